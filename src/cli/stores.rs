//! What the commands that ask stores have in common: how they ask, how they keep and print what they found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::exit::{Exit, fail};
use crate::config::DataArgs;
use crate::connections::{Assessment, Connection, Seal};
use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::journal::{ConnectionChange, DataFile, Reader};
use crate::monitor::Arrivals;
use crate::monitor::check::{self, Look};
use crate::monitor::decide::{self, Facts};
use crate::monitor::health::ARRIVALS;
use crate::outbound::Outbound;
use crate::platforms::api::{CheckMode, CheckReport, ConnectionContext, Finding, Severity};

/// Stores asked at once.
const AT_ONCE: usize = 8;

/// A connection that was looked at.
pub(super) struct Looked {
    pub(super) connection: Connection,
    pub(super) look: Look,
    /// Something that its deliveries tell of, and has not ended.
    pub(super) told: Option<Finding>,
    assessment: Assessment,
    settings: BTreeMap<String, String>,
}

impl Looked {
    /// All that was found, worst first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let examined = self
            .look
            .report
            .iter()
            .flat_map(|report| report.findings.iter());
        let mut findings: Vec<Finding> = examined.chain(&self.told).cloned().collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    /// Is something wrong?
    pub(super) fn is_in_trouble(&self) -> bool {
        self.findings()
            .iter()
            .any(|finding| finding.severity != Severity::Note)
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let report = self.look.report.clone().unwrap_or_default();
        json!({
            "connection": self.connection.id,
            "asked": self.look.report.is_some(),
            "ok": !self.is_in_trouble(),
            "findings": self.findings(),
            "good": report.good,
            "done": report.done,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let state = match (&self.look.report, self.is_in_trouble()) {
            (_, true) => "in trouble",
            (Some(_), false) => "well",
            (None, false) => "not asked: there are no credentials for it",
        };
        let mut text = format!("{}: {state}", self.connection.id);
        let report = self.look.report.clone().unwrap_or_default();
        text += &told(&CheckReport {
            findings: self.findings(),
            ..report
        });
        text
    }
}

/// The lines of a check.
pub(super) fn told(report: &CheckReport) -> String {
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

/// Asks about connections, each with the context that it has in the data file.
pub(super) struct Asker {
    pub(super) outbound: Outbound,
    pub(super) seal: Seal,
    /// Where webhooks come in, where it was said just now.
    pub(super) public_url: Option<String>,
}

impl Asker {
    /// What a dialogue has to know of a connection.
    pub(super) fn context(
        &self,
        reader: &Reader,
        connection: &Connection,
    ) -> anyhow::Result<Option<ConnectionContext>> {
        Ok(reader.connection_context(&self.seal, &connection.id, self.public_url.as_deref())?)
    }

    /// Looks at connections, some at once, and says what that means of each as it comes.
    pub(super) async fn look(
        &self,
        reader: &Reader,
        connections: Vec<Connection>,
        mode: CheckMode,
        mut each: impl FnMut(&Looked) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Looked>> {
        let mut arrivals = Arrivals::default();
        arrivals.hear(&reader.arrivals(Position::MIN, ARRIVALS)?);
        let mut known = Vec::with_capacity(connections.len());
        for connection in connections {
            // One that went meanwhile is no matter.
            if let Some(context) = self.context(reader, &connection)? {
                known.push((connection, context));
            }
        }
        let looks = known.into_iter().map(|(connection, context)| async move {
            let look = check::look(&self.outbound, &connection, &context, mode).await;
            (connection, look)
        });
        let mut looks = std::pin::pin!(stream::iter(looks).buffered(AT_ONCE));
        let mut all = Vec::new();
        while let Some((connection, look)) = looks.next().await {
            let looked = judge(connection, look, mode, &arrivals);
            each(&looked)?;
            all.push(looked);
        }
        Ok(all)
    }
}

fn judge(connection: Connection, look: Look, mode: CheckMode, arrivals: &Arrivals) -> Looked {
    let receives = connection.receives_deliveries();
    let facts = Facts {
        connection: &connection,
        report: look.report.as_ref(),
        // One look does not tell a moment from an outage; the gateway's checks do.
        outage: None,
        rejected: None,
        accepted_at: arrivals.last(&connection.id),
        silent: receives && arrivals.is_silent(&connection.id, Timestamp::now()),
        mended: mode == CheckMode::Fix && look.report.is_some(),
        still_refused: decide::is_refused(&connection),
        // The gateway counts them; the stored standing says what it found.
        unreadable: false,
        readable_at: None,
    };
    let assessment = facts.assessment();
    let reason = match assessment {
        Assessment::Degraded(reason) => Some(reason.to_owned()),
        Assessment::Inconclusive => connection.condition().reason().map(str::to_owned),
        Assessment::Healthy | Assessment::Disconnected(_) => None,
    };
    let told = reason
        .as_deref()
        .and_then(|reason| decide::finding_of(&connection, &BTreeMap::new(), reason));
    let settings = look
        .report
        .as_ref()
        .map(|report| report.settings.clone())
        .unwrap_or_default();
    let mut settings = check::learned(&connection, settings);
    if assessment == Assessment::Healthy
        && connection.settings.contains_key(decide::REFUSED_WEBHOOKS)
    {
        settings.insert(decide::REFUSED_WEBHOOKS.to_owned(), String::new());
    }
    decide::keep_unreadable(&connection, None, assessment, &mut settings);
    Looked {
        connection,
        look,
        told,
        assessment,
        settings,
    }
}

/// Keeps what was found, and tells consumers where it changes something.
pub(super) fn keep(file: &mut DataFile, looked: &Looked) -> anyhow::Result<()> {
    let change = ConnectionChange::Examined {
        id: looked.connection.id.clone(),
        settings: looked.settings.clone(),
        assessment: looked.assessment,
        began: looked.look.began,
    };
    file.change_connection(&change)?;
    Ok(())
}

/// The master key, and the proof that it is the right one.
pub(super) fn unlocked(data: &DataArgs) -> anyhow::Result<(DataFile, Seal)> {
    let seal = Seal::load_existing(&data.data_dir, data.master_key_file.as_deref())?;
    let file = DataFile::open(&data.data_dir)?;
    file.unlock(&seal)?;
    Ok((file, seal))
}

/// An address of ours as typed.
pub(super) fn public_url(typed: Option<&str>) -> anyhow::Result<Option<String>> {
    let typed = typed
        .filter(|url| !url.is_empty())
        .map(crate::config::web_address)
        .transpose();
    typed.map_err(|right| fail(Exit::Config, format!("--public-url: {right}")))
}

/// A connection's name as typed.
pub(super) fn id(text: &str) -> anyhow::Result<ConnectionId> {
    ConnectionId::new(text).map_err(|error| fail(Exit::Usage, error.to_string()))
}

/// There is none of that name.
pub(super) fn no_such(id: &ConnectionId) -> anyhow::Error {
    fail(
        Exit::No,
        format!("there is no connection {id} (connections list shows all)"),
    )
}
