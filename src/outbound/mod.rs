//! Calling out: executes what the platforms describe, and is the only place that talks to stores.
//!
//! [`Outbound::converse`] leads a dialogue, [`Outbound::call`] makes one call: within the connection's pace (`pace`), with a
//! token where one is needed (`token`), to public addresses only (`guard`), with a bounded answer in a bounded time. Redirects
//! are answers here: a platform that follows one asks again, through all of this.
//!
//! What an answer means is the platforms' business, what follows from it that of `relay` and `setup`.

mod attempt;
mod guard;
mod pace;
mod subject;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

pub use subject::{SubjectError, subject, subject_of_delivery};

use crate::delivery::ConnectionId;
use crate::platforms::Platform;
use crate::platforms::api::{
    Answer, ApiRequest, Auth, CallFailure, CallResult, Dialogue, Method, Unanswered, retry_after,
};
use crate::platforms::oauth1::Placement;
use guard::Guard;
use pace::Paces;
use token::{Token, Tokens};

/// Tries of a call that may be made twice.
const TRIES: u32 = 3;
/// The wait before the second try; doubled before each further one, and half of it is chance.
const WAIT: Duration = Duration::from_millis(500);
/// A store that wants a longer pause than this is not waited for here.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Questions in one dialogue. None needs as many; one that goes on hears nothing any more.
const QUESTIONS: usize = 1000;
/// Bytes of answers in one dialogue: all of them are read again with each question.
const HEARD: usize = 16 << 20;

/// How stores are called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// May a store be in a private network?
    pub allow_private_stores: bool,
    /// A certificate authority that is trusted besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
}

/// Why nothing can be called.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The authority's file.
    #[error("{path} is no PEM file with certificates")]
    Authority {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The library's client.
    #[error("cannot prepare to call stores")]
    Client(#[from] reqwest::Error),
}

/// Calls stores. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    tries: u32,
}

struct Shared {
    client: Client,
    guard: Guard,
    paces: Paces,
    tokens: Tokens,
}

impl Outbound {
    /// Prepares to call stores.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub fn new(options: &Options) -> Result<Self, OutboundError> {
        let guard = Guard {
            allow_private: options.allow_private_stores,
        };
        let client = attempt::client(&guard, options.ca_file.as_deref())?;
        let shared = Shared {
            client,
            guard,
            paces: Paces::default(),
            tokens: Tokens::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            tries: TRIES,
        })
    }

    /// The same for those who try again by themselves.
    #[must_use]
    pub fn trying_once(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            tries: 1,
        }
    }

    /// Leads a dialogue to its end.
    pub async fn converse<T>(
        &self,
        platform: &dyn Platform,
        connection: &ConnectionId,
        mut talk: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>,
    ) -> T {
        let (mut answers, mut heard): (Vec<CallResult>, usize) = (Vec::new(), 0);
        loop {
            let answer = match talk(&mut Dialogue::new(&answers)) {
                Ok(told) => return told,
                Err(Unanswered(_)) if answers.len() >= QUESTIONS => Err(CallFailure::TimedOut),
                Err(Unanswered(_)) if heard > HEARD => Err(CallFailure::TooLarge),
                Err(Unanswered(request)) => self.call(platform, connection, *request).await,
            };
            heard += answer.as_ref().map_or(0, |answer| answer.body.len());
            answers.push(answer);
        }
    }

    /// Makes a call, again where it may be made again. The connection is whose pace is kept.
    ///
    /// # Errors
    /// [`CallFailure`].
    pub async fn call(
        &self,
        platform: &dyn Platform,
        connection: &ConnectionId,
        request: ApiRequest,
    ) -> CallResult {
        let may_repeat = match request.method {
            Method::Get | Method::PostIdempotent | Method::Put | Method::Delete => true,
            Method::Post => false,
        };
        let mut renewed = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let (result, token) = self.authorized(platform, connection, &request).await;
            // A token that the other side has forgotten is fetched anew, once.
            if let (Ok(Answer { status: 401, .. }), Auth::Token(grant), Some(token), false) =
                (&result, &request.auth, token, renewed)
            {
                renewed = true;
                self.shared.tokens.forget(&grant.holder, &token).await;
                continue;
            }
            match again(&result, may_repeat) {
                Some(wait) if tries < self.tries && wait.unwrap_or_default() <= LONGEST_WAIT => {
                    let wait = wait.unwrap_or_else(|| jittered(WAIT * 2_u32.pow(tries - 1)));
                    tokio::time::sleep(wait).await;
                }
                _ => return result,
            }
        }
    }

    /// One try, with whatever proves who asks; and the token that was used.
    async fn authorized(
        &self,
        platform: &dyn Platform,
        connection: &ConnectionId,
        request: &ApiRequest,
    ) -> (CallResult, Option<Token>) {
        let proof = match self.proof(platform, connection, request).await {
            Ok(proof) => proof,
            Err(failure) => return (Err(failure), None),
        };
        let result = match proof.url {
            None => {
                self.attempt(platform, connection, request, proof.header)
                    .await
            }
            Some(url) => {
                let signed = ApiRequest {
                    url,
                    ..request.clone()
                };
                self.attempt(platform, connection, &signed, proof.header)
                    .await
            }
        };
        (result, proof.token)
    }

    /// What proves who asks.
    async fn proof(
        &self,
        platform: &dyn Platform,
        connection: &ConnectionId,
        request: &ApiRequest,
    ) -> Result<Proof, CallFailure> {
        let sensitive = |value: &str| {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| CallFailure::AddressInvalid)?;
            value.set_sensitive(true);
            Ok(value)
        };
        match &request.auth {
            Auth::None => Ok(Proof::default()),
            Auth::Header(name, value) => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| CallFailure::AddressInvalid)?;
                Ok(Proof {
                    header: Some((name, sensitive(value.expose_secret())?)),
                    ..Proof::default()
                })
            }
            Auth::OAuth1(oauth) => {
                let (verb, now) = (attempt::verb(request.method), Timestamp::now());
                match oauth.placement {
                    Placement::Header => {
                        let value = oauth.header(verb, &request.url, &nonce(), now);
                        Ok(Proof {
                            header: Some((AUTHORIZATION, sensitive(&value)?)),
                            ..Proof::default()
                        })
                    }
                    Placement::Query => Ok(Proof {
                        url: Some(oauth.signed_url(verb, &request.url, &nonce(), now)),
                        ..Proof::default()
                    }),
                }
            }
            Auth::Token(grant) => {
                let fetch = || self.attempt(platform, connection, &grant.request, None);
                let token = self.shared.tokens.get(grant, fetch).await?;
                Ok(Proof {
                    header: Some((AUTHORIZATION, sensitive(token.expose_secret())?)),
                    token: Some(token),
                    url: None,
                })
            }
        }
    }

    /// One try within the pace, counted and traced.
    async fn attempt(
        &self,
        platform: &dyn Platform,
        connection: &ConnectionId,
        request: &ApiRequest,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> CallResult {
        self.shared
            .paces
            .wait(connection, platform.pace(), LONGEST_WAIT)
            .await
            .map_err(CallFailure::Resting)?;
        let started = std::time::Instant::now();
        let result =
            attempt::attempt(&self.shared.client, &self.shared.guard, request, header).await;
        if let Ok(answer) = &result
            && answer.status == 429
        {
            self.shared
                .paces
                .rest(connection, retry_after(answer).unwrap_or(WAIT));
        }
        let took = started.elapsed();
        let outcome = match &result {
            Ok(answer) => match answer.status {
                200..=299 => "good",
                300..=399 => "redirected",
                401 | 403 => "refused",
                429 => "rate_limited",
                400..=499 => "client_error",
                _ => "server_error",
            },
            Err(failure) => failure.reason(),
        };
        let labels = [
            ("platform", platform.name()),
            ("call", request.call),
            ("result", outcome),
        ];
        metrics::counter!("cartwire_store_calls_total", &labels).increment(1);
        metrics::histogram!("cartwire_store_call_seconds", "platform" => platform.name())
            .record(took.as_secs_f64());
        let status = result.as_ref().map_or(0, |answer| answer.status);
        tracing::debug!(%connection, call = request.call, outcome, status, milliseconds = took.as_millis() as u64, "a store was called");
        result
    }
}

/// What proves who asks.
#[derive(Default)]
struct Proof {
    header: Option<(HeaderName, HeaderValue)>,
    /// The token in the header.
    token: Option<Token>,
    /// The request's URL, if the signature is part of it.
    url: Option<String>,
}

/// Is it worth another try, and after which wait, where the other side names one?
fn again(result: &CallResult, may_repeat: bool) -> Option<Option<Duration>> {
    match result {
        Err(CallFailure::Resting(rest)) => Some(Some(*rest)),
        Err(CallFailure::TokenRefused(answer)) if answer.status == 429 || answer.status >= 500 => {
            Some(retry_after(answer))
        }
        Err(failure) => (may_repeat && failure.is_passing()).then_some(None),
        // Refused before anything was done: even what must not be done twice can be asked again.
        Ok(answer) if answer.status == 429 => Some(retry_after(answer)),
        Ok(answer) if matches!(answer.status, 500 | 502..=504) => {
            may_repeat.then(|| retry_after(answer))
        }
        Ok(_) => None,
    }
}

fn jittered(wait: Duration) -> Duration {
    let mut byte = [0_u8];
    // Without randomness there is no jitter, and nothing worse.
    let _ = getrandom::fill(&mut byte);
    wait.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    let _ = getrandom::fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
