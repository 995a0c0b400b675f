//! The findings about problems that deliveries show, with the details of a connection.

use super::delivery_problem::DeliveryProblem;
use super::settings::SettingsUpdate;
use crate::connections::{Assessment, Connection, UnreadableRun};
use crate::delivery::{ConnectionId, ReasonCode};
use crate::platforms::api::{Finding, Severity};
use crate::platforms::{platform, reported_problem};

/// The finding for a reason code, with the details that are stored; `None` if the code is neither a [`DeliveryProblem`] nor a
/// problem that the platform's deliveries report.
pub(super) fn finding_of(
    connection: &Connection,
    settings: &SettingsUpdate<'_>,
    code: &str,
) -> Option<Finding> {
    let Some(problem) = DeliveryProblem::from_code(code) else {
        return reported_finding(connection, code);
    };
    let mut finding = problem.finding(&connection.id);
    match problem {
        DeliveryProblem::SignatureWrong | DeliveryProblem::WebhookRefused => {
            let webhooks = settings.refused_webhooks().0;
            let names = webhooks
                .iter()
                .map(|webhook| format!("{} (webhook {})", webhook.topic, webhook.id));
            let names: Vec<String> = names.collect();
            if !names.is_empty() {
                finding.cause = format!("{}: {}", finding.cause, names.join(", "));
            }
        }
        DeliveryProblem::BodiesUnreadable => {
            if let Some(run) = settings.unreadable_run() {
                describe(&run, connection, &mut finding);
            }
        }
        DeliveryProblem::BodyReencoded
        | DeliveryProblem::ClockWrong
        | DeliveryProblem::PingMissing
        | DeliveryProblem::Silent => {}
    }
    Some(finding)
}

/// The finding about a problem that the platform's deliveries report.
fn reported_finding(connection: &Connection, code: &str) -> Option<Finding> {
    let problem = reported_problem(&connection.platform, code)?;
    Some(Finding {
        code: problem.code,
        severity: Severity::Broken,
        cause: problem.cause.to_owned(),
        remedy: problem.remedy.replace("{id}", connection.id.as_str()),
    })
}

/// Adds the time, the number, an example and the remedy of unreadable deliveries.
fn describe(run: &UnreadableRun, connection: &Connection, finding: &mut Finding) {
    let id = &connection.id;
    let UnreadableRun {
        reason,
        since,
        count,
        delivery,
    } = run;
    finding.cause = format!(
        "{count} deliveries since {since:.0} have a valid signature and cannot be read ({}), for example {delivery}",
        reason.as_str()
    );
    let code = reason.code();
    let remedy = if code == Some(ReasonCode::TopicMismatch) {
        format!(
            "run `cartwire connections check {id} --fix`, which registers the webhooks again with their topics"
        )
    } else {
        let platform = platform(&connection.platform);
        match platform
            .zip(code)
            .and_then(|(platform, code)| platform.unreadable_remedy(code))
        {
            Some(remedy) => remedy.to_owned(),
            None => return,
        }
    };
    finding.remedy = format!(
        "{remedy}; `cartwire deliveries list --connection {id} --state dead_lettered` lists the deliveries"
    );
}

/// Adds the finding about unreadable deliveries. It comes first if it decides the assessment, and before the notes otherwise.
pub(super) fn add_unreadable(
    connection: &Connection,
    settings: &SettingsUpdate<'_>,
    assessment: Assessment,
    findings: &mut Vec<Finding>,
) {
    let code = DeliveryProblem::BodiesUnreadable.code();
    if findings.iter().any(|finding| finding.code == code) {
        return;
    }
    let Some(found) = finding_of(connection, settings, code.as_str()) else {
        return;
    };
    let place = if assessment == Assessment::Degraded(code) {
        0
    } else {
        let problems = findings
            .iter()
            .filter(|finding| finding.severity != Severity::Note);
        problems.count()
    };
    findings.insert(place, found);
}

/// A note about rejected requests. It is not known whether the store sent them.
pub(super) fn unproved(problem: DeliveryProblem, id: &ConnectionId) -> Finding {
    let found = problem.finding(id);
    Finding {
        severity: Severity::Note,
        cause: format!(
            "requests in the name of this store were rejected, and nothing shows that the store sent them; if the store sent \
             them, {}",
            found.cause
        ),
        ..found
    }
}

/// The finding about a store whose webhooks were registered at `url`, and whose ping has not arrived since.
#[must_use]
pub fn ping_missing(url: &str, id: &ConnectionId) -> Finding {
    Finding {
        cause: format!(
            "the store registered its webhooks, but its ping has not arrived: it cannot reach {url}, and will disable the \
             webhooks after seven failed deliveries"
        ),
        ..DeliveryProblem::PingMissing.finding(id)
    }
}
