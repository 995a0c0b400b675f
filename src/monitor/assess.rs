//! The assessment of a background check: collects the evidence that the gateway has about a connection.

use jiff::Timestamp;

use super::background::BackgroundMonitor;
use super::check::CheckOutcome;
use super::delivery_problem::DeliveryProblem;
use super::evidence::Evidence;
use super::rejections;
use super::settings;
use super::store_lock::{self, LastLocked};
use super::watch_list::WatchList;
use crate::connections::{Assessment, Condition, Connection, UnreadableRun};
use crate::delivery::ConnectionId;
use crate::platforms::WebhookList;

/// The assessment of a check, with its details.
pub(super) struct AssessedCheck {
    pub(super) assessment: Assessment,
    /// `true` if the assessment depends on which deliveries have arrived.
    pub(super) depends_on_arrivals: bool,
    /// The webhooks whose deliveries the gateway refuses, as the store confirms.
    pub(super) refused: WebhookList,
    /// The problem that rejected requests suggest, without proof.
    pub(super) suspected: Option<DeliveryProblem>,
    /// The unreadable deliveries, if they make a finding.
    pub(super) unreadable: Option<UnreadableRun>,
}

impl BackgroundMonitor {
    /// `None` if the connection is not watched any more.
    pub(super) fn assess(
        &self,
        list: &WatchList,
        connection: &Connection,
        outcome: &CheckOutcome,
    ) -> Option<AssessedCheck> {
        let (id, now) = (&connection.id, Timestamp::now());
        let watched = list.connections.get(id)?;
        let accepted_at = self.accepted_at(list, id);
        let suspected = rejections::suspected_problem(
            &watched.earlier_rejections,
            &self.rejections.of(id),
            accepted_at.is_some_and(|at| at > watched.counted_since),
        );
        let refused = rejections::confirmed(
            self.rejections.refused_webhooks(id),
            outcome,
            self.changed_at_store(connection),
        );
        let is_silent = connection.receives_deliveries()
            && accepted_at == list.arrivals.last(id)
            && list.arrivals.is_silent(id, now);
        let unreadable = self.unreadable.established(id);
        // Rejected requests count only if the store confirms them, or if its own deliveries are missing.
        let rejected = rejections::proved_problem(&refused, outcome);
        let evidence = Evidence {
            outage: watched.outage.and_then(|outage| outage.established(now)),
            rejected: if is_silent {
                rejected.or(suspected)
            } else {
                rejected
            },
            accepted_at: accepted_at.max(missing_ping(connection)),
            is_silent,
            has_refused_webhook: self.has_refused_webhook(connection),
            is_unreadable: unreadable.is_some(),
            readable_at: self.unreadable.readable_at(id),
            ..Evidence::of_check(connection, outcome.report.as_ref())
        };
        let refused = refused.into_iter().map(|refused| refused.webhook).collect();
        Some(AssessedCheck {
            assessment: evidence.assessment(),
            depends_on_arrivals: evidence.depends_on_arrivals(),
            refused: WebhookList(refused),
            suspected,
            unreadable,
        })
    }

    /// When the last delivery was accepted. With many deliveries, the arrivals that are read from the journal are
    /// incomplete; `accepted` is complete.
    pub(super) fn accepted_at(&self, list: &WatchList, id: &ConnectionId) -> Option<Timestamp> {
        list.arrivals.last(id).max(self.accepted.last(id))
    }

    /// Restores the unreadable deliveries that an earlier process counted.
    pub(super) fn restore_unreadable(&self, connection: &Connection) {
        let stored = match DeliveryProblem::of(connection) {
            Some(DeliveryProblem::BodiesUnreadable) => settings::unreadable_run(connection),
            Some(_) | None => None,
        };
        self.unreadable.restore(&connection.id, stored);
    }

    /// When the operator last changed something at the store. Earlier rejections say nothing about its current
    /// configuration.
    fn changed_at_store(&self, connection: &Connection) -> Option<Timestamp> {
        let repaired_at = match connection.condition() {
            Condition::Connected => Some(connection.changed_at),
            Condition::Degraded(_) | Condition::Disconnected(_) => None,
        };
        let locked_at = store_lock::last_locked(&self.folder).and_then(LastLocked::at);
        locked_at.max(repaired_at)
    }

    /// `true` if the connection is degraded by refused webhooks, and one of them has not been accepted since.
    fn has_refused_webhook(&self, connection: &Connection) -> bool {
        let is_accepted = |id: &str| {
            self.rejections
                .webhook_accepted_at(&connection.id, id)
                .is_some_and(|at| at > connection.changed_at)
        };
        let refused = settings::refused_webhooks(connection).0;
        DeliveryProblem::of(connection) == Some(DeliveryProblem::WebhookRefused)
            && !refused.iter().all(|webhook| is_accepted(&webhook.id))
    }
}

/// When the ping arrived whose absence degraded the connection; `None` if it has not arrived.
fn missing_ping(connection: &Connection) -> Option<Timestamp> {
    match DeliveryProblem::of(connection) {
        Some(DeliveryProblem::PingMissing) => settings::pinged_at(connection),
        Some(_) | None => None,
    }
}
