//! The calls of one connection: credentials, request rate, metrics and log messages.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::http::{HttpClient, method_name};
use super::rate_limit::RateLimiters;
use super::retry;
use super::token_cache::{Token, TokenCache};
use crate::delivery::ConnectionId;
use crate::platforms::StoreApi;
use crate::platforms::api::{ApiRequest, Auth, CallFailure, CallResult};
use crate::platforms::oauth1::Placement;

/// A connection and the parts of the client that its calls use.
#[derive(Clone, Copy)]
pub(super) struct StoreSession<'a> {
    pub(super) http: &'a HttpClient,
    pub(super) limiters: &'a RateLimiters,
    pub(super) tokens: &'a TokenCache,
    pub(super) max_rate_limit_wait: Duration,
    pub(super) api: &'a dyn StoreApi,
    pub(super) connection: &'a ConnectionId,
}

/// The result of one attempt.
pub(super) struct Attempt {
    pub(super) result: CallResult,
    /// The access token that was used.
    pub(super) token: Option<Token>,
}

/// The credentials for one attempt.
#[derive(Default)]
struct Credentials {
    header: Option<(HeaderName, HeaderValue)>,
    /// The access token in `header`.
    token: Option<Token>,
    /// The signed URL, if the signature is in the query.
    url: Option<String>,
}

impl StoreSession<'_> {
    /// One attempt with the request's credentials.
    pub(super) async fn authorized(self, request: &ApiRequest) -> Attempt {
        let Credentials { header, token, url } = match self.credentials(request).await {
            Ok(credentials) => credentials,
            Err(failure) => {
                return Attempt {
                    result: Err(failure),
                    token: None,
                };
            }
        };
        let result = match url {
            None => self.attempt(request, header).await,
            Some(url) => {
                let signed = ApiRequest {
                    url,
                    ..request.clone()
                };
                self.attempt(&signed, header).await
            }
        };
        Attempt { result, token }
    }

    async fn credentials(self, request: &ApiRequest) -> Result<Credentials, CallFailure> {
        match &request.auth {
            Auth::None => Ok(Credentials::default()),
            Auth::Header(name, value) => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| CallFailure::AddressInvalid)?;
                Ok(Credentials {
                    header: Some((name, sensitive(value.expose_secret())?)),
                    ..Credentials::default()
                })
            }
            Auth::OAuth1(oauth) => {
                let (method, now) = (method_name(request.method), Timestamp::now());
                match oauth.placement {
                    Placement::Header => {
                        let value = oauth.header(method, &request.url, &nonce(), now);
                        Ok(Credentials {
                            header: Some((AUTHORIZATION, sensitive(&value)?)),
                            ..Credentials::default()
                        })
                    }
                    Placement::Query => Ok(Credentials {
                        url: Some(oauth.signed_url(method, &request.url, &nonce(), now)),
                        ..Credentials::default()
                    }),
                }
            }
            Auth::Token(grant) => {
                let fetch = || self.attempt(&grant.request, None);
                let token = self.tokens.get(grant, fetch).await?;
                Ok(Credentials {
                    header: Some((AUTHORIZATION, sensitive(token.expose_secret())?)),
                    token: Some(token),
                    url: None,
                })
            }
        }
    }

    /// One attempt within the request rate.
    async fn attempt(
        self,
        request: &ApiRequest,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> CallResult {
        self.limiters
            .wait(self.connection, self.api.pace(), self.max_rate_limit_wait)
            .await
            .map_err(CallFailure::RateLimited)?;
        let started = Instant::now();
        let result = self.http.send(request, header).await;
        if let Some(wait) = retry::rate_limit_wait(&result) {
            self.limiters.back_off(self.connection, wait);
        }
        self.count(request, &result, started.elapsed());
        result
    }

    fn count(self, request: &ApiRequest, result: &CallResult, took: Duration) {
        let outcome = match result {
            Ok(answer) => match answer.status {
                200..=299 => "good",
                300..=399 => "redirected",
                401 | 403 => "refused",
                429 => "rate_limited",
                400..=499 => "client_error",
                _ => "server_error",
            },
            Err(failure) => failure.reason().as_str(),
        };
        let platform = self.api.name();
        let labels = [
            ("platform", platform),
            ("call", request.call),
            ("result", outcome),
        ];
        metrics::counter!("cartwire_store_calls_total", &labels).increment(1);
        metrics::histogram!("cartwire_store_call_seconds", "platform" => platform)
            .record(took.as_secs_f64());
        let status = result.as_ref().map_or(0, |answer| answer.status);
        tracing::debug!(connection = %self.connection, call = request.call, outcome, status, milliseconds = took.as_millis() as u64, "store called");
    }
}

/// A header value that logs do not show.
fn sensitive(value: &str) -> Result<HeaderValue, CallFailure> {
    let mut value = HeaderValue::from_str(value).map_err(|_| CallFailure::AddressInvalid)?;
    value.set_sensitive(true);
    Ok(value)
}

fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    let _ = getrandom::fill(&mut bytes);
    format!("{:032x}", u128::from_be_bytes(bytes))
}
