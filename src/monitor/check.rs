//! One check of a connection through its store's API. `evidence` assesses the result.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::connections::Connection;
use crate::outbound::Outbound;
use crate::platforms::api::{
    CheckMode, CheckReport, ConnectionContext, FindingCode, Severity, StoreResponse,
};
use crate::platforms::store_api;

/// Maximum time of a check that changes nothing.
const CHECK_TIMEOUT: Duration = Duration::from_secs(150);
/// Maximum time of a check that changes webhooks. It is longer because each change is tested by a ping.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(600);

/// The result of a check.
#[derive(Clone, Debug)]
pub struct CheckOutcome {
    /// When the check began.
    pub began: Timestamp,
    /// `None` if the connection has no credentials for a check.
    pub report: Option<CheckReport>,
    /// How far the store's clock is ahead of this machine's clock, if the store sent a date.
    pub clock_lead: Option<SignedDuration>,
}

impl CheckOutcome {
    /// The outcome of a check that begins now, without a report.
    #[must_use]
    pub fn unchecked() -> Self {
        Self {
            began: Timestamp::now(),
            report: None,
            clock_lead: None,
        }
    }
}

/// `true` if the connection can be checked through its store's API.
#[must_use]
pub fn can_check(connection: &Connection, context: &ConnectionContext) -> bool {
    store_api(&connection.platform).is_some_and(|api| api.can_check(&context.configured()))
}

/// Checks a connection. A store that takes too long is reported as unavailable.
pub async fn run(
    outbound: &Outbound,
    connection: &Connection,
    context: &ConnectionContext,
    mode: CheckMode,
) -> CheckOutcome {
    let mut outcome = CheckOutcome::unchecked();
    let Some(api) = store_api(&connection.platform) else {
        return outcome;
    };
    if !api.can_check(&context.configured()) {
        return outcome;
    }
    let clock_lead = &mut outcome.clock_lead;
    let check = outbound.converse(api, &connection.id, |dialogue| {
        let leads = dialogue
            .answers()
            .iter()
            .flatten()
            .filter_map(clock_lead_of);
        // A cached response has an old date, so the smallest difference is used.
        *clock_lead = leads.min_by_key(|lead| lead.abs());
        api.check(context, mode, dialogue)
    });
    let timeout = match mode {
        CheckMode::Check => CHECK_TIMEOUT,
        CheckMode::Fix | CheckMode::Remove => CHANGE_TIMEOUT,
    };
    let report = tokio::time::timeout(timeout, check).await;
    outcome.report = Some(report.unwrap_or_else(|_| timed_out()));
    outcome
}

fn timed_out() -> CheckReport {
    let mut report = CheckReport::default();
    report.add(
        Severity::Unavailable,
        FindingCode::TimedOut,
        "the store takes too long to respond to the requests of a check",
        "find out why the store is slow; until then its webhooks may arrive, but the connection cannot be checked",
    );
    report
}

/// How far the clock of the server that responded is ahead of this machine's clock.
pub(crate) fn clock_lead_of(answer: &StoreResponse) -> Option<SignedDuration> {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")?)
        .ok()?
        .timestamp();
    Some(date.duration_since(answer.received_at))
}

/// The context of a connection that is not stored yet, for its first check.
#[must_use]
pub fn unstored_context(
    connection: &Connection,
    secrets: &[(&'static str, SecretString)],
    delivery_url: Option<String>,
) -> ConnectionContext {
    let secrets: BTreeMap<String, SecretString> = secrets
        .iter()
        .map(|(name, secret)| ((*name).to_owned(), secret.clone()))
        .collect();
    ConnectionContext {
        id: connection.id.clone(),
        kind: connection.kind.clone(),
        settings: connection.settings.clone(),
        secrets,
        delivery_url,
        parent: None,
        installations: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_lead_is_known_if_the_store_sends_a_valid_date() {
        let answer = |headers: &[(&str, &str)]| StoreResponse {
            status: 200,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: bytes::Bytes::new(),
            received_at: Timestamp::from_second(100).expect("the time should be valid"),
        };
        let dated = answer(&[("date", "Thu, 01 Jan 1970 00:05:00 GMT")]);
        assert_eq!(clock_lead_of(&dated), Some(SignedDuration::from_secs(200)));
        assert_eq!(clock_lead_of(&answer(&[])), None);
        assert_eq!(clock_lead_of(&answer(&[("date", "today")])), None);
    }
}
