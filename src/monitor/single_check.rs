//! The assessment of one check that a command makes. A command has no history: only the background checks of a running
//! gateway count outages, rejections and unreadable deliveries.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::arrivals::Arrivals;
use super::check::CheckOutcome;
use super::delivery_findings::finding_of;
use super::delivery_problem::DeliveryProblem;
use super::evidence::Evidence;
use super::settings::{self, SettingsUpdate};
use crate::connections::{Assessment, Connection};
use crate::platforms::WebhookList;
use crate::platforms::api::{CheckMode, CheckReport, Finding, Severity};

/// The result of a single check.
#[derive(Clone, Debug)]
pub struct SingleCheck {
    pub assessment: Assessment,
    /// The settings to store.
    pub settings: BTreeMap<String, String>,
    /// A problem that earlier deliveries showed and that has not ended.
    pub finding: Option<Finding>,
}

/// Assesses a check of a stored connection.
#[must_use]
pub fn assess(
    connection: &Connection,
    outcome: &CheckOutcome,
    mode: CheckMode,
    arrivals: &Arrivals,
) -> SingleCheck {
    let report = outcome.report.as_ref();
    let evidence = Evidence {
        accepted_at: arrivals.last(&connection.id),
        is_silent: connection.receives_deliveries()
            && arrivals.is_silent(&connection.id, Timestamp::now()),
        is_repaired: mode == CheckMode::Fix && report.is_some(),
        has_refused_webhook: DeliveryProblem::of(connection)
            == Some(DeliveryProblem::WebhookRefused),
        ..Evidence::of_check(connection, report)
    };
    let assessment = evidence.assessment();
    let reason = match assessment {
        Assessment::Degraded(reason) => Some(reason.as_str()),
        Assessment::Inconclusive => connection.condition().reason(),
        Assessment::Healthy | Assessment::Disconnected(_) => None,
    };
    let learned = report.map(|report| report.settings.clone());
    let mut update = SettingsUpdate::new(connection, learned.unwrap_or_default());
    let finding = reason.and_then(|reason| finding_of(connection, &update, reason));
    if assessment == Assessment::Healthy {
        if settings::has_refused_webhooks(connection) {
            update.set_refused_webhooks(&WebhookList::default());
        }
        if settings::has_unreadable_run(connection) {
            update.set_unreadable_run(None);
        }
    }
    SingleCheck {
        assessment,
        settings: update.changed(),
        finding,
    }
}

/// Assesses the first check of a connection, after its webhooks were registered. If the store is unavailable, it has
/// never been available, so one failed check counts as an established outage.
#[must_use]
pub fn assess_first(connection: &Connection, report: &CheckReport) -> Assessment {
    let problem = report.trouble();
    let outage = match problem.map(|problem| problem.severity) {
        Some(Severity::Unavailable) => problem.map(|problem| problem.code),
        Some(Severity::Gone | Severity::Broken | Severity::Note) | None => None,
    };
    let evidence = Evidence {
        outage,
        is_repaired: true,
        ..Evidence::of_check(connection, Some(report))
    };
    evidence.assessment()
}
