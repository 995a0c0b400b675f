//! Executes the requests that the platforms describe. Only this module sends requests to stores.
//!
//! [`Outbound::converse`] runs a dialogue, and [`Outbound::call`] makes one call. Each call respects the connection's
//! request rate (`pace`), fetches an access token if needed (`token`), connects only to public addresses (`guard`), and
//! limits the time and the size of the response. Redirects are not followed. A platform that follows one makes a new
//! request, with the same checks.
//!
//! The platforms interpret the responses. `relay` and `monitor` decide what follows from them.

mod attempt;
mod guard;
mod pace;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use crate::delivery::ConnectionId;
use crate::platforms::StoreApi;
use crate::platforms::api::{
    Answer, ApiRequest, Auth, CallFailure, CallResult, Dialogue, Method, Unanswered, retry_after,
};
use crate::platforms::oauth1::Placement;
use guard::Guard;
use pace::Paces;
use token::{Token, Tokens};

/// Maximum attempts of a call that may be retried.
const MAX_ATTEMPTS: u32 = 3;
/// Wait before the second attempt. Doubled before each further attempt, with up to 50 % jitter.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Maximum wait for a store's rate limit. The call fails if the store requires a longer wait.
const MAX_RATE_LIMIT_WAIT: Duration = Duration::from_secs(20);
/// Maximum number of requests in one dialogue. All further requests fail.
const MAX_DIALOGUE_REQUESTS: usize = 1000;
/// Maximum bytes of responses in one dialogue, because the dialogue reads all of them again with each request.
const MAX_DIALOGUE_BYTES: usize = 16 << 20;

/// Options for calls to stores.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `true` if stores may be in a private network.
    pub allow_private_stores: bool,
    /// PEM file with certificate authorities that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why [`Outbound`] could not be created.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The file with certificate authorities is invalid.
    #[error("{path} is not a PEM file with certificates")]
    Authority {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP client could not be created.
    #[error("cannot create the HTTP client for stores")]
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
    /// # Errors
    /// [`OutboundError`] if the file with certificate authorities or the HTTP client is invalid.
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
            tries: MAX_ATTEMPTS,
        })
    }

    /// A handle without retries, for callers that retry themselves.
    #[must_use]
    pub fn trying_once(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            tries: 1,
        }
    }

    /// Runs a dialogue until it returns its result.
    pub async fn converse<T>(
        &self,
        platform: &dyn StoreApi,
        connection: &ConnectionId,
        mut talk: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>,
    ) -> T {
        let (mut answers, mut received_bytes): (Vec<CallResult>, usize) = (Vec::new(), 0);
        loop {
            let answer = match talk(&mut Dialogue::new(&answers)) {
                Ok(result) => return result,
                Err(Unanswered(_)) if answers.len() >= MAX_DIALOGUE_REQUESTS => {
                    Err(CallFailure::TimedOut)
                }
                Err(Unanswered(_)) if received_bytes > MAX_DIALOGUE_BYTES => {
                    Err(CallFailure::TooLarge)
                }
                Err(Unanswered(request)) => self.call(platform, connection, *request).await,
            };
            received_bytes += answer.as_ref().map_or(0, |answer| answer.body.len());
            answers.push(answer);
        }
    }

    /// Makes a call within the request rate of `connection`, and retries it if this is safe.
    ///
    /// # Errors
    /// [`CallFailure`] of the last attempt, if there is no response.
    pub async fn call(
        &self,
        platform: &dyn StoreApi,
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
            // The store may have revoked the cached token, so a new token is fetched once.
            if let (Ok(Answer { status: 401, .. }), Auth::Token(grant), Some(token), false) =
                (&result, &request.auth, token, renewed)
            {
                renewed = true;
                self.shared.tokens.forget(&grant.holder, &token).await;
                continue;
            }
            match again(&result, may_repeat) {
                Some(wait)
                    if tries < self.tries && wait.unwrap_or_default() <= MAX_RATE_LIMIT_WAIT =>
                {
                    let wait = wait.unwrap_or_else(|| jittered(RETRY_DELAY * 2_u32.pow(tries - 1)));
                    tokio::time::sleep(wait).await;
                }
                _ => return result,
            }
        }
    }

    /// One attempt with the request's credentials. Also returns the access token that was used.
    async fn authorized(
        &self,
        platform: &dyn StoreApi,
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

    /// Creates the credentials for one attempt.
    async fn proof(
        &self,
        platform: &dyn StoreApi,
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

    /// One attempt within the request rate, with metrics and a log message.
    async fn attempt(
        &self,
        platform: &dyn StoreApi,
        connection: &ConnectionId,
        request: &ApiRequest,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> CallResult {
        self.shared
            .paces
            .wait(connection, platform.pace(), MAX_RATE_LIMIT_WAIT)
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
                .rest(connection, retry_after(answer).unwrap_or(RETRY_DELAY));
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
        tracing::debug!(%connection, call = request.call, outcome, status, milliseconds = took.as_millis() as u64, "store called");
        result
    }
}

/// The credentials for one attempt.
#[derive(Default)]
struct Proof {
    header: Option<(HeaderName, HeaderValue)>,
    /// The access token in `header`.
    token: Option<Token>,
    /// The signed URL, if the signature is in the query.
    url: Option<String>,
}

/// `None` if the call must not be retried; otherwise the wait that the store requires, if any.
fn again(result: &CallResult, may_repeat: bool) -> Option<Option<Duration>> {
    match result {
        Err(CallFailure::Resting(rest)) => Some(Some(*rest)),
        Err(CallFailure::TokenRefused(answer)) if answer.status == 429 || answer.status >= 500 => {
            Some(retry_after(answer))
        }
        Err(failure) => (may_repeat && failure.is_passing()).then_some(None),
        // The store refused the request before executing it, so a retry is safe for every method.
        Ok(answer) if answer.status == 429 => Some(retry_after(answer)),
        Ok(answer) if matches!(answer.status, 500 | 502..=504) => {
            may_repeat.then(|| retry_after(answer))
        }
        Ok(_) => None,
    }
}

fn jittered(wait: Duration) -> Duration {
    let mut byte = [0_u8];
    // If there is no randomness, the delay has no jitter. This is acceptable.
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
