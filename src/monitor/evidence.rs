//! Assesses a connection from a check, from rejected requests and from the arrival of deliveries: a pure decision.
//!
//! `connections::lifecycle` decides how the assessment changes the connection's state.

use jiff::Timestamp;

use super::delivery_problem::DeliveryProblem;
use super::settings;
use crate::connections::{Assessment, Condition, Connection};
use crate::delivery::ReasonCode;
use crate::platforms::api::{CheckReport, FindingCode, Severity};
use crate::platforms::reported_problem;

/// The evidence about a connection at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    pub(super) connection: &'a Connection,
    /// The result of the check; `None` if the connection cannot be checked.
    pub(super) report: Option<&'a CheckReport>,
    /// The reason code of an established outage.
    pub(super) outage: Option<FindingCode>,
    /// The problem that rejected requests show.
    pub(super) rejected: Option<DeliveryProblem>,
    /// When the last delivery was accepted.
    pub(super) accepted_at: Option<Timestamp>,
    /// `true` if no delivery has arrived for longer than usual.
    pub(super) is_silent: bool,
    /// `true` if the check has just repaired the webhooks.
    pub(super) is_repaired: bool,
    /// `true` if a webhook that was refused has not been accepted since.
    pub(super) has_refused_webhook: bool,
    /// `true` if so many verified deliveries could not be read that this is a finding.
    pub(super) is_unreadable: bool,
    /// When a delivery was last read, if this process knows.
    pub(super) readable_at: Option<Timestamp>,
}

impl<'a> Evidence<'a> {
    /// The evidence of a check alone.
    pub(super) fn of_check(connection: &'a Connection, report: Option<&'a CheckReport>) -> Self {
        Self {
            connection,
            report,
            outage: None,
            rejected: None,
            accepted_at: None,
            is_silent: false,
            is_repaired: false,
            has_refused_webhook: false,
            is_unreadable: false,
            readable_at: None,
        }
    }

    /// `true` if the assessment depends on which deliveries have arrived.
    pub(super) fn depends_on_arrivals(&self) -> bool {
        self.rejected.is_some() || self.is_silent || self.waits_for_delivery()
    }

    /// The assessment. A problem that the store's API reports precedes one that deliveries show.
    pub(super) fn assessment(&self) -> Assessment {
        let problem = self.report.and_then(CheckReport::trouble);
        let is_unreadable = self.is_unreadable || self.is_still_unreadable();
        match problem.map(|problem| (problem.severity, problem.code)) {
            Some((Severity::Gone, code)) => return Assessment::Disconnected(code),
            Some((Severity::Broken, code)) => return Assessment::Degraded(code),
            Some((Severity::Unavailable, _)) if !is_unreadable => {
                return self
                    .outage
                    .map_or(Assessment::Inconclusive, Assessment::Degraded);
            }
            Some((Severity::Unavailable | Severity::Note, _)) | None => {}
        }
        if self.is_unreadable {
            return Assessment::Degraded(DeliveryProblem::BodiesUnreadable.code());
        }
        if is_unreadable {
            return Assessment::Inconclusive;
        }
        if let Some(problem) = self.rejected {
            return Assessment::Degraded(problem.code());
        }
        if self.waits_for_proof() {
            return Assessment::Inconclusive;
        }
        if self.is_silent {
            return Assessment::Degraded(DeliveryProblem::Silent.code());
        }
        if self.report.is_some() || self.has_ended_by_delivery() {
            Assessment::Healthy
        } else {
            Assessment::Inconclusive
        }
    }

    /// `true` if a problem has not ended and the check cannot prove its end.
    fn waits_for_proof(&self) -> bool {
        let is_refused = self.has_refused_webhook && !self.is_repaired;
        let is_waiting = self.waits_for_delivery() && (self.is_silent || !self.is_repaired);
        is_refused || is_waiting || self.has_reported_problem()
    }

    /// `true` if the connection is degraded by a problem that deliveries report. Only the operator ends it.
    fn has_reported_problem(&self) -> bool {
        match self.connection.condition() {
            Condition::Degraded(Some(code)) => {
                reported_problem(&self.connection.platform, code).is_some()
            }
            Condition::Degraded(None) | Condition::Disconnected(_) | Condition::Connected => false,
        }
    }

    /// The problem that the connection is degraded by.
    fn current(&self) -> Option<DeliveryProblem> {
        DeliveryProblem::of(self.connection)
    }

    fn has_problem_until_delivery(&self) -> bool {
        self.current()
            .is_some_and(DeliveryProblem::ends_with_a_delivery)
    }

    /// `true` if the problem ends with the next accepted delivery, and none has been accepted since it began.
    fn waits_for_delivery(&self) -> bool {
        let since = self.connection.changed_at;
        self.has_problem_until_delivery() && self.accepted_at.is_none_or(|at| at <= since)
    }

    /// `true` if deliveries were unreadable, and neither a readable one nor a repair has ended that.
    fn is_still_unreadable(&self) -> bool {
        let since = self.connection.changed_at;
        self.current() == Some(DeliveryProblem::BodiesUnreadable)
            && self.readable_at.is_none_or(|at| at <= since)
            && !(self.is_repaired && self.is_repairable_run())
    }

    /// `true` if `check --fix` ends the unreadable deliveries: it registers webhooks with a wrong topic again.
    fn is_repairable_run(&self) -> bool {
        settings::unreadable_run(self.connection)
            .is_some_and(|run| run.reason.code() == Some(ReasonCode::TopicMismatch))
    }

    /// `true` if the problem was one that deliveries end. Only for evidence that shows that it has ended.
    fn has_ended_by_delivery(&self) -> bool {
        self.has_problem_until_delivery()
            || self.current() == Some(DeliveryProblem::BodiesUnreadable)
    }
}

#[cfg(test)]
mod tests;
