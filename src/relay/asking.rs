//! Asks a store for what a thin delivery lacks.
//!
//! Whatever a store answers, asking ends: with the rest, without it, or with another try later.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff;
use super::enrichment::{Question, Target};
use crate::connections::Seal;
use crate::delivery::{Completed, Completion};
use crate::journal::Journal;
use crate::outbound::Outbound;
use crate::platforms::api::{Dialogue, Told};
use crate::platforms::store_api;
use crate::report::ErrorChain;

/// A store that denies what it has just told is asked once more after this: the news may not have got round inside it. What
/// is ignored for good is worth two questions.
const SURE: Duration = Duration::from_secs(5);

/// However little time is left, a store gets that long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a store says of one delivery at most: it is kept beside it.
const LARGEST: usize = 1 << 20;

/// Who asks stores for what deliveries lack.
#[derive(Clone)]
pub struct Asking {
    /// Makes the calls.
    pub outbound: Outbound,
    /// Opens the credentials.
    pub seal: Seal,
    /// A delivery waits that long; then it goes out as it is, whether its store is away or many wait before it.
    pub within: Duration,
}

/// What came of a question.
#[derive(Debug)]
pub(super) enum Reply {
    /// Asking has ended.
    Done(Completion),
    /// The store is to be asked again.
    Again {
        /// Not before that is over.
        pause: Duration,
        /// It denied what was told.
        was_denied: bool,
    },
}

impl Asking {
    /// Asks.
    pub(super) async fn ask(self, journal: Journal, question: &Question) -> Reply {
        let asked_at = Timestamp::now();
        let left = || self.within.saturating_sub(question.since.elapsed());
        let told = if left().is_zero() && question.failures == 0 {
            // So many wait that its turn came too late: the rest go out as they are, instead of ever later.
            Told::Nothing("waited_too_long")
        } else {
            let (asking, target) = (self.clone(), question.target.clone());
            // A task of its own: what a stranger's answer does to the platform's code must never take the relay with it.
            let mut task = tokio::spawn(async move { asking.tell(&journal, &target).await });
            match tokio::time::timeout(left().max(PATIENCE), &mut task).await {
                Ok(told) => told.unwrap_or(Told::Nothing("completing_failed")),
                Err(_) => {
                    task.abort();
                    Told::Later("timed_out", None)
                }
            }
        };
        let given_up = |reason: &str| {
            Reply::Done(Completion {
                outcome: Completed::GivenUp(reason.to_owned()),
                asked_at,
            })
        };
        let again = |pause: Duration, was_denied| {
            (
                Reply::Again {
                    pause: pause.min(left()),
                    was_denied,
                },
                "again",
            )
        };
        let (reply, word) = match told {
            Told::Whole(body) if body.len() > LARGEST => {
                (given_up("answer_too_large"), "answer_too_large")
            }
            Told::Whole(body) => (
                Reply::Done(Completion {
                    outcome: Completed::Whole(body),
                    asked_at,
                }),
                "completed",
            ),
            Told::Untrue(_) | Told::Absent if question.denials == 0 => again(SURE, true),
            Told::Untrue(reason) => (
                Reply::Done(Completion {
                    outcome: Completed::Untrue(reason.to_owned()),
                    asked_at,
                }),
                "untrue",
            ),
            Told::Absent => (
                Reply::Done(Completion {
                    outcome: Completed::Absent,
                    asked_at,
                }),
                "absent",
            ),
            Told::Nothing(reason) => (given_up(reason), reason),
            Told::Later(reason, _) if left().is_zero() => (given_up(reason), reason),
            Told::Later(_, pause) => again(pause.unwrap_or_default(), false),
        };
        metrics::counter!("cartwire_completions_total", "platform" => question.target.platform.clone(), "result" => word)
            .increment(1);
        reply
    }

    async fn tell(&self, journal: &Journal, target: &Target) -> Told {
        let Some(api) = store_api(&target.platform) else {
            return Told::Nothing("unknown_platform");
        };
        let (seal, connection, endpoint) = (
            self.seal.clone(),
            target.connection.clone(),
            target.endpoint.clone(),
        );
        let read = journal
            .read(move |reader| Ok(reader.delivery_context(&seal, &connection, &endpoint)))
            .await;
        let context = match read {
            Ok(Ok(Some(context))) if api.can_request(&context.configured()) => context,
            Ok(Ok(_)) => return Told::Nothing("no_credentials"),
            Ok(Err(error)) => {
                tracing::error!(connection = %target.connection, error = %ErrorChain(&error), "a store cannot be asked");
                return Told::Nothing("credentials_unreadable");
            }
            Err(_) => return Told::Later("journal_unreadable", None),
        };
        let complete = |dialogue: &mut Dialogue<'_>| api.fetch(&target.lacking, &context, dialogue);
        self.outbound
            .converse(api, &target.connection, complete)
            .await
    }
}

/// The pause before the next try: what the store wants, and no less than our own.
pub(super) fn pause(wanted: Duration) -> impl FnOnce(u32) -> Duration {
    move |failures| backoff::after(failures).max(wanted)
}
