//! Fetches what a thin delivery lacks from its store. Each fetch ends with the enrichment, or with a retry later.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff;
use super::fetch::{Fetch, FetchTarget};
use crate::connections::Seal;
use crate::delivery::{Enriched, Enrichment, ReasonCode};
use crate::journal::Journal;
use crate::outbound::Outbound;
use crate::platforms::api::{Dialogue, Fetched};
use crate::platforms::store_api;
use crate::report::ErrorChain;

/// Delay before the second fetch after a response that contradicts the delivery. The store may not have updated all of its
/// caches yet, and an ignored delivery is lost for consumers, so one response is not enough.
const CONTRADICTION_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Minimum time limit of a fetch, also if the delivery has waited for almost its maximum time.
const MIN_FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of a response. The response is stored beside the delivery.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// Fetches from stores.
#[derive(Clone)]
pub struct Fetcher {
    pub outbound: Outbound,
    /// Decrypts the credentials.
    pub seal: Seal,
    /// Maximum wait of a delivery. After it, the delivery is published without the data.
    pub max_wait: Duration,
}

/// The result of one attempt.
#[derive(Debug)]
pub(super) enum FetchAttempt {
    Done(Enriched),
    Retry {
        /// Minimum delay.
        delay: Duration,
        /// `true` if the response contradicts the delivery.
        was_contradicted: bool,
    },
}

impl Fetcher {
    pub(super) async fn fetch(self, journal: Journal, fetch: &Fetch) -> FetchAttempt {
        let fetched_at = Timestamp::now();
        let left = || self.max_wait.saturating_sub(fetch.since.elapsed());
        let fetched = if left().is_zero() && fetch.failures == 0 {
            // So many deliveries wait that this one exceeded its maximum wait before its first fetch.
            Fetched::unavailable(ReasonCode::WaitedTooLong)
        } else {
            self.fetch_within(journal, fetch, left().max(MIN_FETCH_TIMEOUT))
                .await
        };
        let retry = |delay: Duration, was_contradicted| FetchAttempt::Retry {
            delay: delay.min(left()),
            was_contradicted,
        };
        let (attempt, result) = match fetched {
            Fetched::Done(Enrichment::Contradicted(_) | Enrichment::NotFound)
                if fetch.contradictions == 0 =>
            {
                (retry(CONTRADICTION_RETRY_DELAY, true), "again".to_owned())
            }
            Fetched::Retry { after, .. } if !left().is_zero() => {
                (retry(after.unwrap_or_default(), false), "again".to_owned())
            }
            Fetched::Retry { reason, .. } => {
                let enrichment = Enrichment::Unavailable(reason.into());
                done(enrichment, fetched_at)
            }
            Fetched::Done(Enrichment::Complete(body)) if body.len() > MAX_RESPONSE_BYTES => {
                let enrichment = Enrichment::Unavailable(ReasonCode::AnswerTooLarge.into());
                done(enrichment, fetched_at)
            }
            Fetched::Done(enrichment) => done(enrichment, fetched_at),
        };
        metrics::counter!("cartwire_completions_total", "platform" => fetch.target.platform.clone(), "result" => result)
            .increment(1);
        attempt
    }

    /// Fetches in a task of its own, so that a panic of the platform's code does not end the relay.
    async fn fetch_within(&self, journal: Journal, fetch: &Fetch, timeout: Duration) -> Fetched {
        let (fetcher, target) = (self.clone(), fetch.target.clone());
        let mut task = tokio::spawn(async move { fetcher.request(&journal, &target).await });
        match tokio::time::timeout(timeout, &mut task).await {
            Ok(fetched) => fetched.unwrap_or(Fetched::unavailable(ReasonCode::CompletingFailed)),
            Err(_) => {
                task.abort();
                Fetched::Retry {
                    reason: ReasonCode::TimedOut,
                    after: None,
                }
            }
        }
    }

    async fn request(&self, journal: &Journal, target: &FetchTarget) -> Fetched {
        let Some(api) = store_api(&target.platform) else {
            return Fetched::unavailable(ReasonCode::UnknownPlatform);
        };
        let seal = self.seal.clone();
        let (connection, endpoint) = (target.connection.clone(), target.endpoint.clone());
        let read = journal
            .read(move |reader| Ok(reader.delivery_context(&seal, &connection, &endpoint)))
            .await;
        let context = match read {
            Ok(Ok(Some(context))) if api.can_request(&context.configured()) => context,
            Ok(Ok(_)) => return Fetched::unavailable(ReasonCode::NoCredentials),
            Ok(Err(error)) => {
                tracing::error!(connection = %target.connection, error = %ErrorChain(&error), "cannot read the credentials for a request to a store");
                return Fetched::unavailable(ReasonCode::CredentialsUnreadable);
            }
            Err(_) => {
                return Fetched::Retry {
                    reason: ReasonCode::JournalUnreadable,
                    after: None,
                };
            }
        };
        let talk = |dialogue: &mut Dialogue<'_>| api.fetch(&target.request, &context, dialogue);
        self.outbound.converse(api, &target.connection, talk).await
    }
}

/// A final result, and its metric label.
fn done(enrichment: Enrichment, fetched_at: Timestamp) -> (FetchAttempt, String) {
    let label = match &enrichment {
        Enrichment::Complete(_) => "completed".to_owned(),
        Enrichment::Contradicted(_) => "untrue".to_owned(),
        Enrichment::NotFound => "absent".to_owned(),
        Enrichment::Unavailable(reason) => reason.as_str().to_owned(),
    };
    let enriched = Enriched {
        enrichment,
        fetched_at,
    };
    (FetchAttempt::Done(enriched), label)
}

/// The delay before the next attempt: the store's minimum, or the gateway's own if that is longer.
pub(super) fn retry_delay(minimum: Duration) -> impl FnOnce(u32) -> Duration {
    move |failures| backoff::after(failures).max(minimum)
}
