//! Asks a store how a connection stands.
//!
//! Nothing is decided or kept here: see `decide` and `journal::ConnectionChange::Examined`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;

use crate::connections::Connection;
use crate::outbound::Outbound;
use crate::platforms::api::{Answer, CheckMode, CheckReport, ConnectionContext, Severity};
use crate::platforms::store_api;

/// The setting that holds when the store's last ping arrived, as RFC 3339.
pub const PINGED_AT: &str = "pinged_at";

/// What came of asking.
#[derive(Clone, Debug)]
pub struct Look {
    /// When it began.
    pub began: Timestamp,
    /// What was found; `None` where the connection cannot be asked, for want of credentials.
    pub report: Option<CheckReport>,
    /// By how much the store's clock is ahead of ours, as far as it told.
    pub clock: Option<SignedDuration>,
}

/// Can the connection be asked?
#[must_use]
pub fn can_ask(connection: &Connection, context: &ConnectionContext) -> bool {
    store_api(&connection.platform).is_some_and(|api| api.can_check(&context.configured()))
}

/// How long all questions to one store may take. Changing something takes longer: it is tried by a ping each time.
fn patience(mode: CheckMode) -> Duration {
    match mode {
        CheckMode::Check => Duration::from_secs(150),
        CheckMode::Fix | CheckMode::Remove => Duration::from_secs(600),
    }
}

/// Asks the store, where it can be asked.
pub async fn look(
    outbound: &Outbound,
    connection: &Connection,
    context: &ConnectionContext,
    mode: CheckMode,
) -> Look {
    let mut look = Look {
        began: Timestamp::now(),
        report: None,
        clock: None,
    };
    let Some(api) =
        store_api(&connection.platform).filter(|api| api.can_check(&context.configured()))
    else {
        return look;
    };
    let clock = &mut look.clock;
    let asking = outbound.converse(api, &connection.id, |dialogue| {
        *clock = dialogue
            .answers()
            .iter()
            .flatten()
            .filter_map(clock_of)
            .min_by_key(|ahead| ahead.abs());
        api.check(context, mode, dialogue)
    });
    look.report = Some(
        tokio::time::timeout(patience(mode), asking)
            .await
            .unwrap_or_else(|_| too_slow()),
    );
    look
}

fn too_slow() -> CheckReport {
    let mut report = CheckReport::default();
    report.add(
        Severity::Unavailable,
        "timed_out",
        "the store takes too long to answer what a check asks",
        "see why the store is slow; until then its webhooks may come, and nothing can be asked",
    );
    report
}

/// What of the learned settings is new. What was only remembered is not written again: another command may know better.
#[must_use]
pub fn learned(
    connection: &Connection,
    settings: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    settings
        .into_iter()
        .filter(|(name, value)| connection.settings.get(name) != Some(value))
        .collect()
}

/// By how much the clock of who answered is ahead of ours. What comes out of a cache is late: the smallest difference counts.
fn clock_of(answer: &Answer) -> Option<SignedDuration> {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")?)
        .ok()?
        .timestamp();
    Some(date.duration_since(answer.received_at))
}

/// A connection that is not stored yet, for its first check.
#[must_use]
pub fn unstored(
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
    fn the_clocks_are_compared_where_the_store_tells_its_time() {
        let answer = |headers: &[(&str, &str)]| Answer {
            status: 200,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: bytes::Bytes::new(),
            received_at: Timestamp::from_second(100).expect("a time"),
        };
        let told = answer(&[("date", "Thu, 01 Jan 1970 00:05:00 GMT")]);
        assert_eq!(clock_of(&told), Some(SignedDuration::from_secs(200)));
        assert_eq!(clock_of(&answer(&[])), None);
        assert_eq!(clock_of(&answer(&[("date", "today")])), None);
    }
}
