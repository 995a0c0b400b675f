//! A cache of access tokens, in memory only. Concurrent requests share one fetch. A token is renewed before it expires.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::platforms::api::{CallFailure, CallResult, StoreResponse, TokenGrant};

/// Time that a refusal is cached, because hundreds of requests may need the token of a removed installation.
const REFUSAL_CACHE_TIME: Duration = Duration::from_secs(3);
/// Maximum bytes of a refusal's body in the cache.
const MAX_REFUSAL_BYTES: usize = 4096;
/// Maximum time that a token is cached, whatever lifetime the platform announces.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);
/// Time before expiry at which a token is renewed; at most a tenth of its lifetime.
const RENEWAL_MARGIN: Duration = Duration::from_secs(300);
/// Number of holders above which expired tokens are removed.
const MAX_HOLDERS: usize = 10_000;

/// A holder's token. The lock is held during the fetch, so that concurrent requests wait for the same token.
type Slot = Arc<tokio::sync::Mutex<Option<CachedToken>>>;

/// A token. Two tokens are compared by their pointers, not by their texts.
pub(super) type Token = Arc<SecretString>;

struct CachedToken {
    token: Result<Token, StoreResponse>,
    until: Instant,
}

/// The cached tokens of all holders.
#[derive(Default)]
pub(super) struct TokenCache(Mutex<HashMap<String, Slot>>);

impl TokenCache {
    /// Returns the holder's cached token, or fetches one.
    pub(super) async fn get<F>(
        &self,
        grant: &TokenGrant,
        fetch: impl FnOnce() -> F,
    ) -> Result<Token, CallFailure>
    where
        F: Future<Output = CallResult>,
    {
        let slot = self.slot(&grant.holder);
        let mut cached = slot.lock().await;
        if let Some(CachedToken { token, until }) = &*cached
            && *until > Instant::now()
        {
            return token.clone().map_err(CallFailure::TokenRefused);
        }
        // A network failure is not cached, so the next request tries again.
        let answer = fetch().await?;
        let (token, life) = match answer.status {
            200..=299 => {
                // A success without a token comes from another server, for example a captive portal.
                let token = (grant.read)(&answer).ok_or(CallFailure::CutOff)?;
                let lifetime = token.lifetime.min(MAX_TOKEN_LIFETIME);
                (
                    Ok(Arc::new(token.authorization)),
                    lifetime.saturating_sub(RENEWAL_MARGIN.min(lifetime / 10)),
                )
            }
            // An outage of the platform is not a refusal of the credentials.
            408 | 429 | 500.. => return Err(CallFailure::TokenRefused(answer)),
            _ => (
                Err(StoreResponse {
                    body: answer
                        .body
                        .slice(..answer.body.len().min(MAX_REFUSAL_BYTES)),
                    ..answer
                }),
                REFUSAL_CACHE_TIME,
            ),
        };
        *cached = Some(CachedToken {
            token: token.clone(),
            until: Instant::now() + life,
        });
        token.map_err(CallFailure::TokenRefused)
    }

    /// Removes the token from the cache, unless a newer token has replaced it.
    pub(super) async fn forget(&self, holder: &str, used: &Token) {
        let mut cached = self.slot(holder).lock_owned().await;
        if cached.as_ref().is_some_and(|cached| {
            cached
                .token
                .as_ref()
                .is_ok_and(|token| Arc::ptr_eq(token, used))
        }) {
            *cached = None;
        }
    }

    fn slot(&self, holder: &str) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_HOLDERS {
            let now = Instant::now();
            all.retain(|_, slot| {
                slot.try_lock().map_or(true, |cached| {
                    cached.as_ref().is_some_and(|cached| cached.until > now)
                })
            });
        }
        Arc::clone(all.entry(holder.to_owned()).or_default())
    }
}
