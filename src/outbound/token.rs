//! Access tokens: fetched once however many ask, kept until shortly before they expire. In memory only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use crate::platforms::api::{Answer, CallFailure, CallResult, TokenGrant};

/// A refusal is not asked for again before this is over: hundreds may want the token of an installation that is gone.
const REFUSED: Duration = Duration::from_secs(3);
/// Bytes of a refusal that are remembered.
const REMEMBERED: usize = 4096;
/// A token that is said to count for longer is renewed all the same.
const LONGEST: Duration = Duration::from_secs(86_400);
/// A token is renewed this long before it expires, or at nine tenths of its life where that is shorter.
const MARGIN: Duration = Duration::from_secs(300);
/// Holders that are remembered; those whose tokens are over are forgotten first.
const MOST: usize = 10_000;

/// A holder's token: the lock is held while it is fetched, so that everybody else waits for that one.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

/// A token, told from others by its place and not by its text.
pub(super) type Token = Arc<SecretString>;

struct Kept {
    token: Result<Token, Answer>,
    until: Instant,
}

/// The tokens of all holders.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Slot>>);

impl Tokens {
    /// The holder's token: the kept one, else a new one.
    pub(super) async fn get<F>(
        &self,
        grant: &TokenGrant,
        fetch: impl FnOnce() -> F,
    ) -> Result<Token, CallFailure>
    where
        F: Future<Output = CallResult>,
    {
        let slot = self.slot(&grant.holder);
        let mut kept = slot.lock().await;
        if let Some(Kept { token, until }) = &*kept
            && *until > Instant::now()
        {
            return token.clone().map_err(CallFailure::TokenRefused);
        }
        // A failure on the way is not kept: the next one tries again.
        let answer = fetch().await?;
        let (token, life) = match answer.status {
            200..=299 => {
                // Something else answers in the platform's place: a portal, a maintenance page.
                let token = (grant.read)(&answer).ok_or(CallFailure::CutOff)?;
                let lifetime = token.lifetime.min(LONGEST);
                (
                    Ok(Arc::new(token.authorization)),
                    lifetime.saturating_sub(MARGIN.min(lifetime / 10)),
                )
            }
            // Trouble there is no verdict on who asks.
            408 | 429 | 500.. => return Err(CallFailure::TokenRefused(answer)),
            _ => (
                Err(Answer {
                    body: answer.body.slice(..answer.body.len().min(REMEMBERED)),
                    ..answer
                }),
                REFUSED,
            ),
        };
        *kept = Some(Kept {
            token: token.clone(),
            until: Instant::now() + life,
        });
        token.map_err(CallFailure::TokenRefused)
    }

    /// Does not use that token of the holder any more. One that was fetched since stays.
    pub(super) async fn forget(&self, holder: &str, used: &Token) {
        let mut kept = self.slot(holder).lock_owned().await;
        if kept.as_ref().is_some_and(|kept| {
            kept.token
                .as_ref()
                .is_ok_and(|token| Arc::ptr_eq(token, used))
        }) {
            *kept = None;
        }
    }

    fn slot(&self, holder: &str) -> Slot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            let now = Instant::now();
            all.retain(|_, slot| {
                slot.try_lock().map_or(true, |kept| {
                    kept.as_ref().is_some_and(|kept| kept.until > now)
                })
            });
        }
        Arc::clone(all.entry(holder.to_owned()).or_default())
    }
}
