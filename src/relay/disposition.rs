//! What a receipt means for an event and its delivery. Pure: the relay's decisions in one place.

use crate::journal::entry::{LoggedEvent, Outcome};
use crate::publisher::PublishOutcome;

/// What to do with an event after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is done.
    Done(Ending),
    /// Try again at once; why.
    Again(&'static str),
    /// Try again apart from other events; why.
    Alone(&'static str),
    /// Try again after a pause; why.
    Later(&'static str),
    /// The publisher has ended.
    Ended,
}

/// How an event is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In the event log, without a broker.
    Logged,
    /// Confirmed.
    Published,
    /// Confirmed and returned, although a configured queue should have received it.
    Unrouted,
    /// Confirmed and returned; no configured queue is meant to receive it.
    Unsubscribed,
    /// It will never be taken; why.
    Dead(&'static str),
}

/// Decides.
#[must_use]
pub fn of(receipt: PublishOutcome) -> Disposition {
    match receipt {
        PublishOutcome::Logged => Disposition::Done(Ending::Logged),
        PublishOutcome::Confirmed => Disposition::Done(Ending::Published),
        PublishOutcome::Returned => Disposition::Done(Ending::Unrouted),
        PublishOutcome::Unsubscribed => Disposition::Done(Ending::Unsubscribed),
        PublishOutcome::Impossible(reason) => Disposition::Done(Ending::Dead(reason)),
        PublishOutcome::Lost => Disposition::Again("connection_lost"),
        PublishOutcome::NotSent => Disposition::Again("not_sent"),
        PublishOutcome::Disputed => Disposition::Alone("channel_closed"),
        PublishOutcome::Killed => Disposition::Alone("connection_closed"),
        PublishOutcome::Refused => Disposition::Later("refused"),
        PublishOutcome::Forbidden => Disposition::Later("forbidden"),
        PublishOutcome::Ended => Disposition::Ended,
    }
}

/// The outcome of a delivery whose events are all done: the worst of them.
#[must_use]
pub fn outcome(endings: &[Ending], events: Vec<LoggedEvent>) -> Outcome {
    let dead = endings.iter().find_map(|ending| match ending {
        Ending::Dead(reason) => Some(*reason),
        Ending::Logged | Ending::Published | Ending::Unrouted | Ending::Unsubscribed => None,
    });
    if let Some(reason) = dead {
        return Outcome::DeadLettered(reason);
    }
    if endings.contains(&Ending::Unrouted) {
        Outcome::Unrouted(events)
    } else if endings.contains(&Ending::Unsubscribed) {
        Outcome::Unsubscribed(events)
    } else if endings.contains(&Ending::Logged) {
        Outcome::Logged(events)
    } else {
        Outcome::Published(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_confirm_without_a_return_is_published() {
        assert_eq!(
            of(PublishOutcome::Confirmed),
            Disposition::Done(Ending::Published)
        );
        assert_eq!(
            of(PublishOutcome::Returned),
            Disposition::Done(Ending::Unrouted)
        );
        assert_eq!(
            of(PublishOutcome::Lost),
            Disposition::Again("connection_lost")
        );
        assert_eq!(of(PublishOutcome::Refused), Disposition::Later("refused"));
    }

    #[test]
    fn a_delivery_is_as_good_as_its_worst_event() {
        use Ending::{Dead, Published, Unrouted, Unsubscribed};
        assert_eq!(
            outcome(&[Published, Published], vec![]),
            Outcome::Published(vec![])
        );
        assert_eq!(
            outcome(&[Published, Unrouted], vec![]),
            Outcome::Unrouted(vec![])
        );
        assert_eq!(
            outcome(&[Published, Unsubscribed], vec![]),
            Outcome::Unsubscribed(vec![])
        );
        assert_eq!(
            outcome(&[Unsubscribed, Unrouted], vec![]),
            Outcome::Unrouted(vec![])
        );
        assert_eq!(
            outcome(&[Unrouted, Dead("x")], vec![]),
            Outcome::DeadLettered("x")
        );
    }
}
