//! The finding about deliveries that have a valid signature and cannot be read: pure decisions.

use std::collections::BTreeMap;

use super::finding_of;
use crate::connections::{Assessment, Connection, UnreadableRun};
use crate::platforms::TOPIC_MISMATCH;
use crate::platforms::api::{Finding, Severity};

pub(super) const BODIES_UNREADABLE: &str = "bodies_unreadable";

/// The setting that holds the run of unreadable deliveries, as [`UnreadableRun`] writes it.
const UNREADABLE_BODIES: &str = "unreadable_bodies";

/// `true` if the connection is degraded because of unreadable deliveries.
#[must_use]
pub fn is_unreadable(connection: &Connection) -> bool {
    connection.condition().is_degraded_by(BODIES_UNREADABLE)
}

/// The run that was stored with the diagnosis; `None` if the diagnosis is not in force.
#[must_use]
pub fn stored_unreadable(connection: &Connection) -> Option<UnreadableRun> {
    if is_unreadable(connection) {
        connection.settings.get(UNREADABLE_BODIES)?.parse().ok()
    } else {
        None
    }
}

/// `true` if `check --fix` can repair it: webhooks that deliver under a wrong topic are registered again.
pub(super) fn is_mended_by_fix(connection: &Connection) -> bool {
    stored_unreadable(connection).is_some_and(|run| run.reason == TOPIC_MISMATCH)
}

/// Adds the run to the settings to be stored, or removes the stored one of a connection that is well.
pub fn keep_unreadable(
    connection: &Connection,
    run: Option<&UnreadableRun>,
    assessment: Assessment,
    settings: &mut BTreeMap<String, String>,
) {
    let is_stored = connection
        .settings
        .get(UNREADABLE_BODIES)
        .is_some_and(|run| !run.is_empty());
    if let Some(run) = run {
        settings.insert(UNREADABLE_BODIES.to_owned(), run.to_string());
    } else if is_stored && assessment == Assessment::Healthy {
        settings.insert(UNREADABLE_BODIES.to_owned(), String::new());
    }
}

/// Adds the finding beside others. It comes first if it is the diagnosis.
pub fn add_unreadable(
    connection: &Connection,
    settings: &BTreeMap<String, String>,
    assessment: Assessment,
    findings: &mut Vec<Finding>,
) {
    let is_there = |finding: &Finding| finding.code == BODIES_UNREADABLE;
    if findings.iter().any(is_there) {
        return;
    }
    let Some(found) = finding_of(connection, settings, BODIES_UNREADABLE) else {
        return;
    };
    if assessment == Assessment::Degraded(BODIES_UNREADABLE) {
        findings.insert(0, found);
    } else {
        let is_trouble = |finding: &Finding| finding.severity != Severity::Note;
        let place = findings
            .iter()
            .filter(|finding| is_trouble(finding))
            .count();
        findings.insert(place, found);
    }
}

/// Adds since when, how many, an example and the remedy to the finding.
pub fn describe_unreadable(
    connection: &Connection,
    settings: &BTreeMap<String, String>,
    found: &mut Finding,
) {
    if found.code != BODIES_UNREADABLE {
        return;
    }
    let text = settings
        .get(UNREADABLE_BODIES)
        .or_else(|| connection.settings.get(UNREADABLE_BODIES));
    let Some(Ok(run)) = text.map(|text| text.parse::<UnreadableRun>()) else {
        return;
    };
    let UnreadableRun {
        reason,
        since,
        count,
        delivery,
    } = &run;
    found.cause = format!(
        "{count} deliveries since {since:.0} have a valid signature and cannot be read ({reason}), for example {delivery}"
    );
    let remedy = match reason.as_str() {
        TOPIC_MISMATCH => format!(
            "run `cartwire connections check {} --fix`, which registers the webhooks again with their topics",
            connection.id
        ),
        "empty_body" => "look into the store's PHP log: PHP could not encode the payload, often because of invalid UTF-8 in \
                         the data or of a plugin's fatal error"
            .to_owned(),
        "not_json" => "look at the example's body: text that PHP prints in front of the JSON is a notice or a warning; turn \
                       `display_errors` off in the store's PHP settings, and repair the plugin that causes it"
            .to_owned(),
        _ => return,
    };
    found.remedy = format!(
        "{remedy}; `cartwire deliveries list --connection {} --state dead_lettered` lists the deliveries",
        connection.id
    );
}
