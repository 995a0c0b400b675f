//! The version, the currency and the clock of a store, from its system status.
//!
//! Only problems that would break a connection are reported.

use super::body::json;
use super::client::AuthMethod;
use super::outcome::{WOOCOMMERCE_TOO_OLD, finding};
use crate::platforms::api::{CheckReport, Finding, FindingCode, Severity, StoreResponse};
use crate::platforms::lenient::Node;

/// The oldest version that was tried.
const OLDEST: (u64, u64) = (6, 0);
/// Maximum difference of the clocks for OAuth, in seconds.
const APART: u64 = 15 * 60;

/// The description that a store gives of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreDescription {
    pub(super) woocommerce_version: Option<String>,
    pub(super) wordpress_version: Option<String>,
    pub(super) currency: Option<String>,
}

impl StoreDescription {
    pub(super) fn of(answer: &StoreResponse) -> Self {
        let document = json(answer);
        let root = document.as_ref().map_or_else(Node::nowhere, Node::root);
        let (environment, settings) = (root.get("environment"), root.get("settings"));
        Self {
            woocommerce_version: environment.get("version").text(),
            wordpress_version: environment.get("wp_version").text(),
            currency: settings.get("currency").text(),
        }
    }

    /// The finding for a version that is too old.
    pub(super) fn judge(&self, report: &mut CheckReport) {
        let Some(text) = &self.woocommerce_version else {
            return;
        };
        if version(text).is_some_and(|version| version < OLDEST) {
            report.add(
                Severity::Broken,
                WOOCOMMERCE_TOO_OLD,
                format!("The store runs WooCommerce {text}; Cartwire needs 6.0 or newer."),
                "Update WooCommerce under Dashboard > Updates in WordPress.",
            );
        } else {
            report.good.push(format!("WooCommerce {text}"));
        }
    }
}

/// The first two numbers of a version.
pub(super) fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split(['.', '-']);
    Some((
        parts.next()?.parse().ok()?,
        parts.next().unwrap_or("0").parse().ok()?,
    ))
}

/// The seconds by which the store's clock is ahead, if they are too many.
pub(super) fn apart(answer: &StoreResponse) -> Option<i64> {
    let date = answer
        .header("date")
        .and_then(|date| jiff::fmt::rfc2822::parse(date).ok())?;
    // A cached response was made that long ago.
    let age: i64 = answer
        .header("age")
        .and_then(|age| age.trim().parse().ok())
        .unwrap_or_default();
    let apart = date
        .timestamp()
        .as_second()
        .saturating_add(age)
        .saturating_sub(answer.received_at.as_second());
    (apart.unsigned_abs() >= APART).then_some(apart)
}

/// The finding for clocks that differ.
pub(super) fn clock_off(apart: i64, severity: Severity) -> Finding {
    let (direction, minutes) = (
        if apart > 0 { "ahead of" } else { "behind" },
        apart.unsigned_abs() / 60,
    );
    finding(
        severity,
        FindingCode::ClockOff,
        format!(
            "The store's clock is {minutes} minutes {direction} ours; signed requests count for a quarter of an hour."
        ),
        "Set both clocks by NTP.",
    )
}

/// Compares the store's clock with this machine's clock.
pub(super) fn clock(answer: &StoreResponse, mode: &AuthMethod, report: &mut CheckReport) {
    let Some(apart) = apart(answer) else { return };
    let severity = match mode {
        AuthMethod::Basic => Severity::Note,
        AuthMethod::OAuth { .. } => Severity::Broken,
    };
    report
        .findings
        .retain(|finding| finding.code != FindingCode::ClockOff);
    let found = clock_off(apart, severity);
    report.add(found.severity, found.code, found.cause, found.remedy);
}
