//! The client for stores: runs dialogues, and makes calls with retries.

use std::sync::Arc;
use std::time::Duration;

use super::http::HttpClient;
use super::options::{Options, OutboundError};
use super::rate_limit::RateLimiters;
use super::retry::{self, RetryDecision};
use super::store_session::StoreSession;
use super::token_cache::TokenCache;
use crate::delivery::ConnectionId;
use crate::platforms::StoreApi;
use crate::platforms::api::{
    ApiRequest, Auth, CallFailure, CallResult, Dialogue, StoreResponse, Unanswered,
};

/// Maximum attempts of a call that may be retried.
const MAX_ATTEMPTS: u32 = 3;
/// Maximum wait for a store's rate limit. The call fails if the store requires a longer wait.
const MAX_RATE_LIMIT_WAIT: Duration = Duration::from_secs(20);
/// Maximum number of requests in one dialogue. All further requests fail.
const MAX_DIALOGUE_REQUESTS: usize = 1000;
/// Maximum bytes of responses in one dialogue, because the dialogue reads all of them again with each request.
const MAX_DIALOGUE_BYTES: usize = 16 << 20;

/// Calls stores. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
    max_attempts: u32,
}

struct Shared {
    http: HttpClient,
    limiters: RateLimiters,
    tokens: TokenCache,
}

impl Outbound {
    /// # Errors
    /// [`OutboundError`] if the file with certificate authorities or the HTTP client is invalid.
    pub fn new(options: &Options) -> Result<Self, OutboundError> {
        let shared = Shared {
            http: HttpClient::new(options)?,
            limiters: RateLimiters::default(),
            tokens: TokenCache::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            max_attempts: MAX_ATTEMPTS,
        })
    }

    /// A handle without retries, for callers that retry themselves.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            max_attempts: 1,
        }
    }

    /// Runs a dialogue until it returns its result.
    pub async fn converse<T>(
        &self,
        api: &dyn StoreApi,
        connection: &ConnectionId,
        mut dialogue: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>,
    ) -> T {
        let (mut answers, mut received_bytes): (Vec<CallResult>, usize) = (Vec::new(), 0);
        loop {
            let answer = match dialogue(&mut Dialogue::new(&answers)) {
                Ok(result) => return result,
                Err(Unanswered(_)) if answers.len() >= MAX_DIALOGUE_REQUESTS => {
                    Err(CallFailure::TimedOut)
                }
                Err(Unanswered(_)) if received_bytes > MAX_DIALOGUE_BYTES => {
                    Err(CallFailure::TooLarge)
                }
                Err(Unanswered(request)) => self.call(api, connection, *request).await,
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
        api: &dyn StoreApi,
        connection: &ConnectionId,
        request: ApiRequest,
    ) -> CallResult {
        let session = StoreSession {
            http: &self.shared.http,
            limiters: &self.shared.limiters,
            tokens: &self.shared.tokens,
            max_rate_limit_wait: MAX_RATE_LIMIT_WAIT,
            api,
            connection,
        };
        let mut is_token_renewed = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let attempt = session.authorized(&request).await;
            // The store may have revoked the cached token, so a new token is fetched once.
            if let (Ok(StoreResponse { status: 401, .. }), Auth::Token(grant), Some(token), false) = (
                &attempt.result,
                &request.auth,
                attempt.token,
                is_token_renewed,
            ) {
                is_token_renewed = true;
                self.shared.tokens.forget(&grant.holder, &token).await;
                continue;
            }
            let wait = match retry::decide(&attempt.result, request.method) {
                RetryDecision::Never => return attempt.result,
                RetryDecision::AfterBackoff => retry::jittered_delay(attempts),
                RetryDecision::After(wait) if wait > MAX_RATE_LIMIT_WAIT => return attempt.result,
                RetryDecision::After(wait) => wait,
            };
            if attempts >= self.max_attempts {
                return attempt.result;
            }
            tokio::time::sleep(wait).await;
        }
    }
}
