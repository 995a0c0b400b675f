//! How a conversation with a store ends: with a request that has no answer yet, or with a finding that prevents the rest.

use crate::platforms::api::{CheckReport, Finding, FindingCode, Severity, Unanswered};

/// Why a conversation does not continue.
#[derive(Debug)]
pub(super) enum End {
    /// The next request has no answer yet.
    Unanswered(Unanswered),
    /// A finding that prevents all further checks.
    Found(Finding),
}

impl From<Unanswered> for End {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl From<Finding> for End {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

/// The site has no WooCommerce.
pub(super) const NOT_WOOCOMMERCE: FindingCode = FindingCode::OfPlatform("not_woocommerce");
/// The store's version has no REST API that Cartwire uses.
pub(super) const WOOCOMMERCE_TOO_OLD: FindingCode = FindingCode::OfPlatform("woocommerce_too_old");
/// The codes of findings that no other platform has.
pub(in crate::platforms::woocommerce) const OWN_CODES: &[FindingCode] =
    &[NOT_WOOCOMMERCE, WOOCOMMERCE_TOO_OLD];

pub(super) fn finding(
    severity: Severity,
    code: FindingCode,
    cause: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        code,
        severity,
        cause: cause.into(),
        remedy: remedy.into(),
    }
}

/// How to give a connection another URL, as the end of a sentence.
pub(super) const SET_URL: &str = "run `cartwire connections set-url ID URL`";
/// How to give a connection another key, as the end of a sentence.
pub(super) const SET_CREDENTIALS: &str =
    "run `cartwire connections set-credentials ID --consumer-key-file F --consumer-secret-file F`";

/// Adds a finding to a report.
pub(super) fn add(report: &mut CheckReport, found: Finding) {
    report.add(found.severity, found.code, found.cause, found.remedy);
}
