//! Asks a store for what a thin delivery lacks.
//!
//! Whatever a store answers, asking ends: with the rest, without it, or with another try later.

use std::time::Duration;

use jiff::Timestamp;

use super::backoff;
use super::completion::{Question, Target};
use crate::connections::Seal;
use crate::delivery::{Completed, Completion};
use crate::journal::Journal;
use crate::outbound::{self, Outbound};
use crate::platforms::api::{Dialogue, Told};
use crate::platforms::platform;
use crate::report::ErrorChain;

/// A store that denies what it has just told is asked once more after this: the news may not have got round inside it. What
/// is ignored for good is worth two questions.
const SURE: Duration = Duration::from_secs(5);

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
    /// The store is to be asked again, not before that is over.
    Again(Duration),
}

impl Asking {
    /// Asks.
    pub(super) async fn ask(self, journal: Journal, question: &Question) -> Reply {
        let asked_at = Timestamp::now();
        let is_late = question.since.elapsed() >= self.within;
        let target = question.target.clone();
        let (asking, reader) = (self.clone(), journal.clone());
        // A task of its own: what a stranger's answer does to the platform's code must never take the relay with it.
        let told = if is_late && question.failures == 0 {
            // So many wait that its turn came too late: the rest go out as they are, instead of ever later.
            Told::Nothing("waited_too_long")
        } else {
            let told = tokio::spawn(async move { asking.tell(&reader, &target).await }).await;
            told.unwrap_or(Told::Nothing("completing_failed"))
        };
        let given_up = |reason: &str| Reply::Done(Completion { outcome: Completed::GivenUp(reason.to_owned()), asked_at });
        let (reply, word) = match told {
            Told::Whole(body) => (Reply::Done(Completion { outcome: Completed::Whole(body), asked_at }), "completed"),
            Told::Untrue(_) if question.failures == 0 => (Reply::Again(SURE), "again"),
            Told::Untrue(reason) => {
                (Reply::Done(Completion { outcome: Completed::Untrue(reason.to_owned()), asked_at }), "untrue")
            }
            Told::Nothing(reason) => (given_up(reason), reason),
            Told::Later(reason, pause) => {
                if question.since.elapsed() >= self.within {
                    (given_up(reason), reason)
                } else {
                    (Reply::Again(pause.unwrap_or_default()), "again")
                }
            }
        };
        metrics::counter!("cartwire_completions_total", "platform" => question.target.platform.clone(), "result" => word)
            .increment(1);
        reply
    }

    async fn tell(&self, journal: &Journal, target: &Target) -> Told {
        let Some(platform) = platform(&target.platform) else { return Told::Nothing("unknown_platform") };
        let (seal, connection, endpoint) = (self.seal.clone(), target.connection.clone(), target.endpoint.clone());
        let read = journal.read(move |reader| Ok(outbound::subject_of_delivery(reader, &seal, &connection, &endpoint))).await;
        let subject = match read {
            Ok(Ok(Some(subject))) if platform.can_ask(&subject) => subject,
            Ok(Ok(_)) => return Told::Nothing("no_credentials"),
            Ok(Err(error)) => {
                tracing::error!(connection = %target.connection, error = %ErrorChain(&error), "a store cannot be asked");
                return Told::Nothing("credentials_unreadable");
            }
            Err(_) => return Told::Later("journal_unreadable", None),
        };
        let complete = |dialogue: &mut Dialogue<'_>| platform.complete(&target.lacking, &subject, dialogue);
        self.outbound.converse(platform, &target.connection, complete).await
    }
}

/// The pause before the next try: what the store wants, and no less than our own.
pub(super) fn pause(wanted: Duration) -> impl FnOnce(u32) -> Duration {
    move |failures| backoff::after(failures).max(wanted)
}
