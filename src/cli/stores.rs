//! The checks of stores for commands: requests, storing of results, output.

use std::fmt::Write as _;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::exit::{Exit, fail};
use crate::config::DataArgs;
use crate::connections::{Connection, Seal};
use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::journal::{ConnectionChange, DataFile, Reader};
use crate::monitor::single_check::{self, SingleCheck};
use crate::monitor::{Arrivals, CheckOutcome, MAX_ARRIVALS_READ, check};
use crate::outbound::Outbound;
use crate::platforms::api::{
    CheckMode, CheckReport, ConnectionContext, Finding, FindingCode, Severity,
};

/// Maximum number of concurrent checks.
const AT_ONCE: usize = 8;

/// A checked connection.
pub(super) struct CheckedStore {
    pub(super) connection: Connection,
    pub(super) outcome: CheckOutcome,
    assessed: SingleCheck,
}

impl CheckedStore {
    /// All findings, most severe first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let checked = self
            .outcome
            .report
            .iter()
            .flat_map(|report| report.findings.iter());
        let mut findings: Vec<Finding> = checked.chain(&self.assessed.finding).cloned().collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    /// `true` if a finding is a problem.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.findings()
            .iter()
            .any(|finding| finding.severity != Severity::Note)
    }

    /// The result as JSON.
    pub(super) fn json(&self) -> Value {
        let report = self.outcome.report.clone().unwrap_or_default();
        json!({
            "connection": self.connection.id,
            "asked": self.outcome.report.is_some(),
            "ok": !self.is_in_trouble(),
            "findings": self.findings(),
            "good": report.good,
            "done": report.done,
        })
    }

    /// The result as text.
    pub(super) fn text(&self) -> String {
        let state = match (&self.outcome.report, self.is_in_trouble()) {
            (_, true) => "in trouble",
            (Some(_), false) => "well",
            (None, false) => "not checked: there are no credentials for it",
        };
        let mut text = format!("{}: {state}", self.connection.id);
        let report = self.outcome.report.clone().unwrap_or_default();
        text += &reported(&CheckReport {
            findings: self.findings(),
            ..report
        });
        text
    }
}

/// The lines of one check.
pub(super) fn reported(report: &CheckReport) -> String {
    let mut text = String::new();
    for done in &report.done {
        let _ = write!(text, "\n  done     {done}");
    }
    for good in &report.good {
        let _ = write!(text, "\n  ok       {good}");
    }
    for finding in &report.findings {
        let mark = if finding.severity == Severity::Note {
            "note   "
        } else {
            "trouble"
        };
        let _ = write!(
            text,
            "\n  {mark}  {} ({})\n           -> {}",
            finding.cause, finding.code, finding.remedy
        );
    }
    text
}

/// Checks connections with their credentials from the data file.
pub(super) struct StoreChecker {
    pub(super) outbound: Outbound,
    pub(super) seal: Seal,
    /// The public URL, if it is an option of the command.
    pub(super) public_url: Option<String>,
}

impl StoreChecker {
    /// The connection's context for a dialogue.
    pub(super) fn context(
        &self,
        reader: &Reader,
        connection: &Connection,
    ) -> anyhow::Result<Option<ConnectionContext>> {
        Ok(reader.connection_context(&self.seal, &connection.id, self.public_url.as_deref())?)
    }

    /// Checks connections, some of them at once, and passes each result on as it arrives.
    pub(super) async fn check(
        &self,
        reader: &Reader,
        connections: Vec<Connection>,
        mode: CheckMode,
        mut each: impl FnMut(&CheckedStore) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<CheckedStore>> {
        let mut arrivals = Arrivals::default();
        arrivals.add(&reader.arrivals(Position::MIN, MAX_ARRIVALS_READ)?);
        let mut known = Vec::with_capacity(connections.len());
        for connection in connections {
            // The connection was removed meanwhile.
            if let Some(context) = self.context(reader, &connection)? {
                known.push((connection, context));
            }
        }
        let checks = known.into_iter().map(|(connection, context)| async move {
            let outcome = check::run(&self.outbound, &connection, &context, mode).await;
            (connection, outcome)
        });
        let mut checks = std::pin::pin!(stream::iter(checks).buffered(AT_ONCE));
        let mut all = Vec::new();
        while let Some((connection, outcome)) = checks.next().await {
            let assessed = single_check::assess(&connection, &outcome, mode, &arrivals);
            let checked = CheckedStore {
                connection,
                outcome,
                assessed,
            };
            each(&checked)?;
            all.push(checked);
        }
        Ok(all)
    }
}

/// Stores the result of a check. A change of the connection's state is announced to consumers.
///
/// A private address is a problem of the command's options: the running gateway may be allowed to call it.
pub(super) fn keep(file: &mut DataFile, checked: &CheckedStore) -> anyhow::Result<()> {
    let is_private = |finding: &Finding| finding.code == FindingCode::PrivateAddress;
    if checked.findings().iter().any(is_private) {
        return Ok(());
    }
    let change = ConnectionChange::Examined {
        id: checked.connection.id.clone(),
        settings: checked.assessed.settings.clone(),
        assessment: checked.assessed.assessment,
        began: checked.outcome.began,
    };
    file.change_connection(&change)?;
    Ok(())
}

/// The data file and the master key that encrypted its secrets.
pub(super) fn unlocked(data: &DataArgs) -> anyhow::Result<(DataFile, Seal)> {
    let seal = Seal::load_existing(&data.data_dir, data.master_key_file.as_deref())?;
    let file = DataFile::open(&data.data_dir)?;
    file.unlock(&seal)?;
    Ok((file, seal))
}

/// The public URL as entered.
pub(super) fn public_url(typed: Option<&str>) -> anyhow::Result<Option<String>> {
    let typed = typed
        .filter(|url| !url.is_empty())
        .map(crate::config::web_address)
        .transpose();
    typed.map_err(|right| fail(Exit::Config, format!("--public-url: {right}")))
}

/// A connection id as entered.
pub(super) fn id(text: &str) -> anyhow::Result<ConnectionId> {
    ConnectionId::new(text).map_err(|error| fail(Exit::Usage, error.to_string()))
}

/// The error for an unknown connection.
pub(super) fn no_such(id: &ConnectionId) -> anyhow::Error {
    fail(
        Exit::No,
        format!("there is no connection {id} (connections list shows all)"),
    )
}
