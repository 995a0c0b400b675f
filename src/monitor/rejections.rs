//! The problems that rejected requests prove or suggest: pure functions.
//!
//! A request without a valid signature proves nothing, because an attacker can send it and can name any webhook in it.
//! It counts only if the store itself confirms it, or if no delivery of the store is accepted in the same period.

use jiff::Timestamp;

use super::check::CheckOutcome;
use super::delivery_problem::DeliveryProblem;
use crate::connections::{RefusedWebhook, RejectionCount};
use crate::platforms::Rejection;

/// Minimum number of rejections that suggest a problem.
const MIN_REJECTIONS: u64 = 3;

/// A store notes its attempt to deliver a webhook after the gateway's answer. An attempt and a refusal are the same event if
/// the attempt is at most this much later, in seconds.
const MAX_ATTEMPT_DELAY_SECONDS: i64 = 15;
/// Maximum number of seconds that the attempt may be earlier than the refusal, for inexact clocks.
const MAX_ATTEMPT_LEAD_SECONDS: i64 = 2;

/// The refused webhooks for which the store's own records show that it sent the refused requests, after `not_before`.
pub(super) fn confirmed(
    refused: Vec<RefusedWebhook>,
    outcome: &CheckOutcome,
    not_before: Option<Timestamp>,
) -> Vec<RefusedWebhook> {
    let Some(report) = &outcome.report else {
        return Vec::new();
    };
    let clock_lead = outcome.clock_lead.map_or(0, |lead| lead.as_secs());
    let is_own = |refused: &RefusedWebhook| {
        let state = report
            .webhooks
            .iter()
            .find(|state| state.id == refused.webhook.id && state.is_active);
        let Some(tried_at) = state.and_then(|state| state.tried_at) else {
            return false;
        };
        let tried_at = tried_at.as_second().saturating_sub(clock_lead);
        refused.times.iter().any(|at| {
            let delay = tried_at.saturating_sub(at.as_second());
            not_before.is_none_or(|not_before| *at > not_before)
                && (-MAX_ATTEMPT_LEAD_SECONDS..=MAX_ATTEMPT_DELAY_SECONDS).contains(&delay)
        })
    };
    refused.into_iter().filter(is_own).collect()
}

/// The problem that confirmed refusals prove.
pub(super) fn proved_problem(
    confirmed: &[RefusedWebhook],
    outcome: &CheckOutcome,
) -> Option<DeliveryProblem> {
    let first = confirmed.first()?;
    if first.reason == Rejection::BodyReencoded.reason() {
        return Some(DeliveryProblem::BodyReencoded);
    }
    let webhooks = outcome.report.iter().flat_map(|report| &report.webhooks);
    let active = webhooks.filter(|webhook| webhook.is_active).count();
    Some(if confirmed.len() >= active {
        DeliveryProblem::SignatureWrong
    } else {
        DeliveryProblem::WebhookRefused
    })
}

/// New rejections by the problem that they suggest.
#[derive(Default)]
struct NewRejections {
    signature: u64,
    reencoded: u64,
    clock: u64,
}

/// The problem that the rejections since `before` suggest. An accepted delivery disproves it: an attacker can cause
/// rejections, but cannot prevent the store's own deliveries from being accepted.
pub(super) fn suspected_problem(
    before: &[RejectionCount],
    now: &[RejectionCount],
    has_accepted: bool,
) -> Option<DeliveryProblem> {
    if has_accepted {
        return None;
    }
    let mut new = NewRejections::default();
    for count in now {
        let earlier = before
            .iter()
            .find(|earlier| earlier.reason == count.reason)
            .map_or(0, |earlier| earlier.count);
        let is = |rejection: Rejection| count.reason == rejection.reason();
        let added = count.count.saturating_sub(earlier);
        if is(Rejection::SignatureWrong) {
            new.signature += added;
        } else if is(Rejection::BodyReencoded) {
            new.reencoded += added;
        } else if is(Rejection::TokenExpired) || is(Rejection::TokenNotYetValid) {
            new.clock += added;
        }
        // Stores do not cause the other rejections.
    }
    if new.signature + new.reencoded + new.clock < MIN_REJECTIONS {
        return None;
    }
    // Only some bodies change when they are re-encoded. If one body is, the proxy also explains the wrong signatures.
    let signatures = new.signature + new.reencoded;
    Some(if new.reencoded > 0 && signatures >= new.clock {
        DeliveryProblem::BodyReencoded
    } else if new.signature >= new.clock {
        DeliveryProblem::SignatureWrong
    } else {
        DeliveryProblem::ClockWrong
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&'static str, u64)]) -> Vec<RejectionCount> {
        counts
            .iter()
            .map(|(reason, count)| RejectionCount {
                reason,
                count: *count,
                last_at: Timestamp::UNIX_EPOCH,
            })
            .collect()
    }

    #[test]
    fn three_new_rejections_without_an_accepted_delivery_suggest_a_problem() {
        let wrong = Some(DeliveryProblem::SignatureWrong);
        let three = counts(&[("signature_wrong", 3)]);
        assert_eq!(suspected_problem(&[], &three, false), wrong);
        assert_eq!(suspected_problem(&[], &three, true), None);
        let two = counts(&[("signature_wrong", 2)]);
        assert_eq!(suspected_problem(&[], &two, false), None);
        assert_eq!(suspected_problem(&three, &three, false), None);
        let six = counts(&[("signature_wrong", 6)]);
        assert_eq!(suspected_problem(&three, &six, false), wrong);
        let of_attackers = counts(&[("signature_missing", 9), ("too_large", 9)]);
        assert_eq!(suspected_problem(&[], &of_attackers, false), None);
    }

    #[test]
    fn rejections_suggest_the_problem_that_explains_most_of_them() {
        let clock = counts(&[("token_expired", 2), ("token_not_yet_valid", 1)]);
        let suspected = |counts: &[RejectionCount]| suspected_problem(&[], counts, false);
        assert_eq!(suspected(&clock), Some(DeliveryProblem::ClockWrong));
        let some_bodies = counts(&[("signature_wrong", 4), ("body_reencoded", 1)]);
        let reencoded = Some(DeliveryProblem::BodyReencoded);
        assert_eq!(suspected(&some_bodies), reencoded);
        let both = counts(&[("signature_wrong", 1), ("token_expired", 5)]);
        assert_eq!(suspected(&both), Some(DeliveryProblem::ClockWrong));
    }
}
