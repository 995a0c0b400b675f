//! Outages: a store that does not respond to checks.

use jiff::{SignedDuration, Timestamp};

use crate::platforms::api::{CheckReport, FindingCode, Severity};

/// An outage degrades the connection after this time, or after [`MIN_FAILED_CHECKS`].
const MIN_OUTAGE_TIME: SignedDuration = SignedDuration::from_mins(15);
const MIN_FAILED_CHECKS: u32 = 2;

/// Consecutive checks without a response from the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outage {
    /// The reason code of the first failed check.
    code: FindingCode,
    since: Timestamp,
    failed_checks: u32,
}

impl Outage {
    /// The outage after one more check; `None` if the store responded.
    pub(super) fn after(
        before: Option<Self>,
        report: &CheckReport,
        now: Timestamp,
    ) -> Option<Self> {
        let problem = report.trouble()?;
        if problem.severity != Severity::Unavailable {
            return None;
        }
        let begun = Self {
            code: problem.code,
            since: now,
            failed_checks: 0,
        };
        let outage = before.unwrap_or(begun);
        Some(Self {
            failed_checks: outage.failed_checks + 1,
            ..outage
        })
    }

    /// The reason code, if the outage is long enough to degrade the connection.
    pub(super) fn established(&self, now: Timestamp) -> Option<FindingCode> {
        let is_long = now.duration_since(self.since) >= MIN_OUTAGE_TIME;
        if self.failed_checks >= MIN_FAILED_CHECKS || is_long {
            Some(self.code)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("the time should be valid")
    }

    fn report(severity: Severity, code: FindingCode) -> CheckReport {
        let mut report = CheckReport::default();
        report.add(severity, code, "cause", "remedy");
        report
    }

    #[test]
    fn an_outage_is_established_by_time_or_by_two_checks_and_keeps_its_code() {
        let timed_out = report(Severity::Unavailable, FindingCode::TimedOut);
        let first = Outage::after(None, &timed_out, at(0)).expect("an outage should begin");
        assert_eq!(first.established(at(0)), None);
        assert_eq!(first.established(at(15 * 60)), Some(FindingCode::TimedOut));
        let cut_off = report(Severity::Unavailable, FindingCode::CutOff);
        let second =
            Outage::after(Some(first), &cut_off, at(1)).expect("the outage should continue");
        assert_eq!(second.established(at(1)), Some(FindingCode::TimedOut));
    }

    #[test]
    fn an_outage_ends_with_any_response() {
        let timed_out = report(Severity::Unavailable, FindingCode::TimedOut);
        let outage = Outage::after(None, &timed_out, at(0));
        let broken = report(Severity::Broken, FindingCode::WebhookDisabled);
        assert_eq!(Outage::after(outage, &broken, at(2)), None);
        assert_eq!(Outage::after(outage, &CheckReport::default(), at(2)), None);
    }
}
