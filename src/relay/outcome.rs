//! The states of an event and of its delivery after publishing. Pure.

use crate::journal::entry::{DeliveryState, LoggedEvent, Outcome};
use crate::publisher::PublishOutcome;

/// The state of an event after the broker's answer; `None` if the event must be published again.
pub(super) fn state_of(outcome: PublishOutcome) -> Option<DeliveryState> {
    match outcome {
        PublishOutcome::Logged => Some(DeliveryState::Logged),
        PublishOutcome::Confirmed => Some(DeliveryState::Published),
        PublishOutcome::Returned => Some(DeliveryState::Unrouted),
        PublishOutcome::Unsubscribed => Some(DeliveryState::Unsubscribed),
        PublishOutcome::Impossible(_) => Some(DeliveryState::DeadLettered),
        PublishOutcome::Refused
        | PublishOutcome::Forbidden
        | PublishOutcome::Disputed
        | PublishOutcome::Lost
        | PublishOutcome::Killed
        | PublishOutcome::NotSent
        | PublishOutcome::TooLarge { .. }
        | PublishOutcome::Ended => None,
    }
}

/// The metric label of a retry; `None` for an outcome that is not retried.
pub(super) fn retry_reason(outcome: PublishOutcome) -> Option<&'static str> {
    match outcome {
        PublishOutcome::Lost => Some("connection_lost"),
        PublishOutcome::NotSent => Some("not_sent"),
        PublishOutcome::Disputed => Some("channel_closed"),
        PublishOutcome::Killed => Some("connection_closed"),
        PublishOutcome::Refused => Some("refused"),
        PublishOutcome::Forbidden => Some("forbidden"),
        PublishOutcome::TooLarge { .. } => Some("too_large"),
        PublishOutcome::Logged
        | PublishOutcome::Confirmed
        | PublishOutcome::Returned
        | PublishOutcome::Unsubscribed
        | PublishOutcome::Impossible(_)
        | PublishOutcome::Ended => None,
    }
}

/// The outcome of a delivery: the worst one of its events.
pub(super) fn of_delivery(outcomes: &[PublishOutcome], events: Vec<LoggedEvent>) -> Outcome {
    let dead = outcomes.iter().find_map(|outcome| match outcome {
        PublishOutcome::Impossible(reason) => Some(reason.reason()),
        _ => None,
    });
    if let Some(reason) = dead {
        return Outcome::DeadLettered(reason);
    }
    let has = |state: DeliveryState| {
        outcomes
            .iter()
            .any(|outcome| state_of(*outcome) == Some(state))
    };
    if has(DeliveryState::Unrouted) {
        Outcome::Unrouted(events)
    } else if has(DeliveryState::Unsubscribed) {
        Outcome::Unsubscribed(events)
    } else if has(DeliveryState::Logged) {
        Outcome::Logged(events)
    } else {
        Outcome::Published(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::ReasonCode;
    use crate::publisher::PublishFailure;

    #[test]
    fn only_a_confirm_without_a_return_is_published() {
        let published = Some(DeliveryState::Published);
        assert_eq!(state_of(PublishOutcome::Confirmed), published);
        assert_ne!(state_of(PublishOutcome::Returned), published);
        assert_eq!(state_of(PublishOutcome::Lost), None);
        assert_eq!(state_of(PublishOutcome::Refused), None);
    }

    #[test]
    fn each_outcome_settles_an_event_or_has_a_retry_reason() {
        for outcome in [
            PublishOutcome::Logged,
            PublishOutcome::Confirmed,
            PublishOutcome::Returned,
            PublishOutcome::Unsubscribed,
            PublishOutcome::Impossible(PublishFailure::Unrenderable),
            PublishOutcome::Refused,
            PublishOutcome::Forbidden,
            PublishOutcome::Disputed,
            PublishOutcome::Lost,
            PublishOutcome::Killed,
            PublishOutcome::NotSent,
            PublishOutcome::TooLarge { limit: 1 },
        ] {
            let is_settled = state_of(outcome).is_some();
            assert_ne!(is_settled, retry_reason(outcome).is_some(), "{outcome:?}");
        }
    }

    #[test]
    fn delivery_has_the_state_of_its_worst_event() {
        use PublishOutcome::{Confirmed, Impossible, Returned, Unsubscribed};
        let of = |outcomes: &[PublishOutcome]| of_delivery(outcomes, vec![]);
        assert_eq!(of(&[Confirmed, Confirmed]), Outcome::Published(vec![]));
        assert_eq!(of(&[Confirmed, Returned]), Outcome::Unrouted(vec![]));
        assert_eq!(
            of(&[Confirmed, Unsubscribed]),
            Outcome::Unsubscribed(vec![])
        );
        assert_eq!(of(&[Unsubscribed, Returned]), Outcome::Unrouted(vec![]));
        assert_eq!(
            of(&[Returned, Impossible(PublishFailure::RefusedByBroker)]),
            Outcome::DeadLettered(ReasonCode::RefusedByBroker)
        );
    }
}
