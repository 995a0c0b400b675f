//! Stores the result of a background check: the connection's state and settings, the findings, metrics and log messages.

use super::assess::AssessedCheck;
use super::background::BackgroundMonitor;
use super::check::CheckOutcome;
use super::delivery_findings::{add_unreadable, finding_of, unproved};
use super::settings::{self, SettingsUpdate};
use crate::connections::lifecycle::{LifecycleEvent, transition};
use crate::connections::{Assessment, Condition, Connection, UnregisteredWebhook};
use crate::delivery::ReasonCode;
use crate::journal::entry::DeliveryState;
use crate::journal::{Changed, ConnectionChange, DeliveryFilter};
use crate::platforms::api::{Finding, Severity};
use crate::report::ErrorChain;

impl BackgroundMonitor {
    pub(super) async fn record(
        &self,
        connection: &Connection,
        outcome: CheckOutcome,
        assessed: AssessedCheck,
    ) {
        let (id, assessment) = (&connection.id, assessed.assessment);
        let transition = transition(
            Some(connection.state()),
            LifecycleEvent::Assessed(assessment),
        );
        let condition = transition.map_or(connection.condition(), |transition| {
            transition.state.condition
        });
        let is_checked = outcome.report.is_some();
        let report = outcome.report.unwrap_or_default();
        let mut update = SettingsUpdate::new(connection, report.settings);
        update_settings(&mut update, connection, &assessed);
        let mut findings = report.findings;
        add_findings(
            &mut findings,
            &update,
            condition,
            &CheckedConnection {
                connection,
                assessed: &assessed,
            },
        );
        if is_checked {
            count_check(connection, &findings);
        }
        metrics::gauge!("cartwire_connection_healthy", "connection" => id.to_string()).set(
            if condition == Condition::Connected {
                1
            } else {
                0
            },
        );
        let change = ConnectionChange::Examined {
            id: id.clone(),
            settings: update.changed(),
            assessment,
            began: outcome.began,
        };
        match self.journal.change_connection(change).await {
            Ok(Changed::Yes) if transition.is_some() => {
                log_change(connection, condition, findings.first());
            }
            Ok(
                Changed::Yes
                | Changed::No
                | Changed::Stale
                | Changed::Removed
                | Changed::NoSuchConnection
                | Changed::Taken,
            ) => {}
            Err(error) => {
                tracing::error!(connection = %id, error = %ErrorChain(&error), "cannot store result of check");
            }
        }
        self.findings.set(id, findings);
    }

    /// Redrives the dead letters of webhooks that are registered now. Either an operator added the webhook at the
    /// store, or its first delivery arrived before the command that registered it had ended.
    pub(super) async fn redrive_mismatched(&self) {
        let registered = self
            .rejections
            .take_registered(|id, webhook| self.directory.has_webhook(id, webhook));
        for (connection, unregistered) in registered {
            let UnregisteredWebhook { webhook, first_at } = unregistered;
            let filter = DeliveryFilter {
                states: vec![DeliveryState::DeadLettered],
                connection: Some(connection.clone()),
                topic: Some(webhook.topic),
                reason: Some(ReasonCode::TopicMismatch.to_string()),
                since: Some(first_at.as_millisecond()),
                ..DeliveryFilter::default()
            };
            let mut after = Some(0);
            while let Some(position) = after {
                after = match self.journal.redrive(filter.clone(), position).await {
                    Ok(progress) => progress.next,
                    Err(error) => {
                        tracing::error!(connection = %connection, error = %ErrorChain(&error), "cannot redrive deliveries of new webhook");
                        None
                    }
                };
            }
        }
    }
}

/// Adds the refused webhooks and the unreadable deliveries to the settings, or clears those of a healthy connection.
fn update_settings(
    update: &mut SettingsUpdate<'_>,
    connection: &Connection,
    assessed: &AssessedCheck,
) {
    let is_healthy = assessed.assessment == Assessment::Healthy;
    let clears_refused = is_healthy && settings::has_refused_webhooks(connection);
    if !assessed.refused.0.is_empty() || clears_refused {
        update.set_refused_webhooks(&assessed.refused);
    }
    let clears_unreadable = is_healthy && settings::has_unreadable_run(connection);
    if assessed.unreadable.is_some() || clears_unreadable {
        update.set_unreadable_run(assessed.unreadable.as_ref());
    }
}

struct CheckedConnection<'a> {
    connection: &'a Connection,
    assessed: &'a AssessedCheck,
}

/// Adds the findings about deliveries to those of the check.
fn add_findings(
    findings: &mut Vec<Finding>,
    update: &SettingsUpdate<'_>,
    condition: Condition<'_>,
    checked: &CheckedConnection<'_>,
) {
    let CheckedConnection {
        connection,
        assessed,
    } = checked;
    let has_problem = findings
        .iter()
        .any(|finding| finding.severity != Severity::Note);
    let of_deliveries = if has_problem {
        None
    } else {
        condition
            .reason()
            .and_then(|reason| finding_of(connection, update, reason))
    };
    match (of_deliveries, assessed.suspected) {
        (Some(finding), _) => findings.insert(0, finding),
        (None, Some(problem)) => findings.push(unproved(problem, &connection.id)),
        (None, None) => {}
    }
    if assessed.unreadable.is_some() {
        add_unreadable(connection, update, assessed.assessment, findings);
    }
}

fn count_check(connection: &Connection, findings: &[Finding]) {
    let result = match findings.first() {
        Some(finding) if finding.severity != Severity::Note => finding.code.as_str(),
        Some(_) | None => "well",
    };
    let labels = [
        ("platform", connection.platform.clone()),
        ("result", result.to_owned()),
    ];
    metrics::counter!("cartwire_connection_checks_total", &labels).increment(1);
}

/// Logs a changed condition or reason.
fn log_change(connection: &Connection, condition: Condition<'_>, finding: Option<&Finding>) {
    let (id, platform) = (&connection.id, &connection.platform);
    let status = condition.status().as_str();
    match (condition.reason(), finding) {
        (None, _) => {
            tracing::info!(connection = %id, platform, status, "connection recovered");
        }
        (Some(reason), None) => {
            tracing::warn!(connection = %id, platform, status, reason, "connection has a problem");
        }
        (Some(reason), Some(finding)) => {
            let Finding { cause, remedy, .. } = finding;
            tracing::warn!(connection = %id, platform, status, reason, cause, remedy, "connection has a problem");
        }
    }
}
