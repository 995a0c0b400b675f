//! What a look at the whole installation found: sections of lines, and what to do.
//!
//! The looks themselves that need no option are here; who has the options (`cli::doctor`) puts them together. Nothing is
//! changed anywhere.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::check::Look;
use crate::connections::{Condition, Connection, Status};
use crate::journal::entry::State;
use crate::journal::{Budget, Inspection, free_bytes};
use crate::platforms::api::{Finding, Severity};

/// A file larger than this takes too long to read as a whole.
pub const LARGE: u64 = 256 << 20;
/// A pending delivery that is older waits for something.
const WAITING: SignedDuration = SignedDuration::from_mins(5);
/// Clocks that differ by more are wrong.
const CLOCKS: SignedDuration = SignedDuration::from_secs(120);

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Well.
    Ok,
    /// Worth knowing; nothing has to be done.
    Warning,
    /// Something has to be done.
    Trouble,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// How it is meant.
    pub grade: Grade,
    /// What is the case.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Things of one sort.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// What was looked at.
    pub lines: Vec<Line>,
}

impl Section {
    /// An empty one.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lines: Vec::new(),
        }
    }

    /// The grade of the worst line.
    #[must_use]
    pub fn worst(&self) -> Grade {
        let has = |grade| self.lines.iter().any(|line| line.grade == grade);
        if has(Grade::Trouble) {
            Grade::Trouble
        } else if has(Grade::Warning) {
            Grade::Warning
        } else {
            Grade::Ok
        }
    }

    /// Something is well.
    pub fn ok(&mut self, what: impl Into<String>) {
        self.lines.push(Line {
            grade: Grade::Ok,
            what: what.into(),
            remedy: None,
        });
    }

    /// Something is worth knowing.
    pub fn warn(&mut self, what: impl Into<String>) {
        self.lines.push(Line {
            grade: Grade::Warning,
            what: what.into(),
            remedy: None,
        });
    }

    /// Something has to be done.
    pub fn trouble(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.lines.push(Line {
            grade: Grade::Trouble,
            what: what.into(),
            remedy: Some(remedy.into()),
        });
    }
}

/// Sorts by the worst line of each section, and keeps the order of equals.
pub fn put_trouble_first(sections: &mut [Section]) {
    sections.sort_by_key(|section| match section.worst() {
        Grade::Trouble => 0,
        Grade::Warning => 1,
        Grade::Ok => 2,
    });
}

/// What has to be done, in the order of the sections.
#[must_use]
pub fn steps(sections: &[Section]) -> Vec<String> {
    let lines = sections
        .iter()
        .flat_map(|section| section.lines.iter().map(move |line| (section, line)));
    lines
        .filter(|(_, line)| line.grade == Grade::Trouble)
        .map(|(section, line)| {
            format!(
                "{}: {}",
                section.name,
                line.remedy.as_deref().unwrap_or(&line.what)
            )
        })
        .collect()
}

/// The data folder: can it be written, is there room?
#[must_use]
pub fn data_folder(folder: &Path, used: Option<u64>, budget: &Budget) -> Section {
    let mut section = Section::new("data folder");
    let shown = folder.display();
    // Not the file's own descriptor: closing one would drop the locks of a gateway in this process.
    let tried = folder.join(format!(".doctor-{}", std::process::id()));
    match std::fs::write(&tried, b"").and_then(|()| std::fs::remove_file(&tried)) {
        Ok(()) => section.ok(format!("{shown} can be written")),
        Err(error) => {
            section.trouble(
                format!("{shown} cannot be written: {error}"),
                format!("let this user write into {shown}, or mount its disk anew"),
            );
        }
    }
    match free_bytes(folder) {
        Some(free) if free < budget.reserve => section.trouble(
            format!(
                "the disk has {} left, and {} are to stay free: webhooks are answered 503",
                bytes(free),
                bytes(budget.reserve)
            ),
            "make room on the disk, or lower --disk-reserve",
        ),
        Some(free) => section.ok(format!("the disk has {} left", bytes(free))),
        None => section.warn("the disk does not tell how much is left"),
    }
    if let Some(used) = used {
        if used > budget.budget {
            section.trouble(
                format!("the journal uses {}, and {} are allowed: webhooks are answered 503", bytes(used), bytes(budget.budget)),
                "see what is pending (`cartwire deliveries list --state pending`), or raise --disk-budget",
            );
        } else {
            section.ok(format!(
                "the journal uses {} of {}",
                bytes(used),
                bytes(budget.budget)
            ));
        }
    }
    section
}

/// The journal: is the file whole, and what waits in it?
#[must_use]
pub fn journal(found: &Inspection, has_broker: bool, now: Timestamp) -> Section {
    let mut section = Section::new("journal");
    match &found.damage {
        None => section.warn(format!("it uses {}: whether the file is whole was not looked at", bytes(found.used))),
        Some(None) => section.ok("the file is whole"),
        Some(Some(damage)) => section.trouble(
            format!("the file is damaged: {damage}"),
            "stop the gateway, keep a copy of the data folder, and restore it from a backup or with SQLite's .recover",
        ),
    }
    let pending = found.pending;
    let age = found
        .oldest
        .map_or(SignedDuration::ZERO, |oldest| now.duration_since(oldest));
    if pending > 0 && age > WAITING {
        let remedy = if has_broker {
            "see below whether the broker is reached and a gateway runs; `cartwire deliveries list --state pending` shows them"
        } else {
            "see below whether a gateway runs; `cartwire deliveries list --state pending` shows them"
        };
        section.trouble(
            format!(
                "{pending} deliveries are pending, the oldest for {} minutes",
                age.as_mins()
            ),
            remedy,
        );
    } else {
        section.ok(format!("{pending} deliveries are pending"));
    }
    for &(state, count) in &found.counts {
        match state {
            State::DeadLettered if count > 0 => section.trouble(
                format!("{count} deliveries are dead letters: they could not be read or published"),
                "look at `cartwire deliveries list --state dead_lettered`; `cartwire deliveries redrive` tries them again after an update, `cartwire deliveries acknowledge` takes them out of this list",
            ),
            State::Unrouted if count > 0 => section.trouble(
                format!("{count} deliveries are unrouted: the queue or the binding that their events need is gone"),
                "see the broker's section; then run `cartwire deliveries redrive --state unrouted`, or `cartwire deliveries acknowledge --state unrouted`",
            ),
            State::Unsubscribed if count > 0 => section.warn(format!(
                "{count} deliveries have events that no queue subscribes to; `cartwire deliveries redrive --state unsubscribed` publishes them again after a new --queue"
            )),
            State::Pending | State::Logged | State::Published | State::Unrouted | State::Unsubscribed | State::Ignored | State::DeadLettered => {}
        }
    }
    section
}

/// The clock: against the newest delivery, and against the stores that told their time.
#[must_use]
pub fn clock(newest: Option<Timestamp>, stores: &[SignedDuration], now: Timestamp) -> Section {
    let mut section = Section::new("clock");
    let remedy = "set this machine's clock by NTP (`timedatectl` shows whether it is)";
    match newest.map(|newest| newest.duration_since(now)) {
        Some(ahead) if ahead > SignedDuration::from_secs(1) => {
            section.trouble(
                format!(
                    "it is {} s before the newest delivery in the journal",
                    ahead.as_secs()
                ),
                remedy,
            );
        }
        Some(_) => section.ok("it is not before the newest delivery in the journal"),
        None => {}
    }
    let mut sorted = stores.to_vec();
    sorted.sort();
    // The one in the middle: one store's wrong clock is not ours.
    match sorted.get(sorted.len() / 2) {
        Some(ahead) if ahead.abs() > CLOCKS => {
            section.trouble(
                format!("it differs from the stores' by {} s", ahead.abs().as_secs()),
                remedy,
            );
        }
        Some(_) => section.ok(format!(
            "it agrees with that of {} that told the time",
            stores_of(sorted.len())
        )),
        None => section.warn("no store told the time"),
    }
    section
}

fn stores_of(count: usize) -> String {
    if count == 1 {
        "the store".to_owned()
    } else {
        format!("{count} stores")
    }
}

/// A connection: what was found when it was asked, and by its deliveries before.
#[must_use]
pub fn connection(connection: &Connection, findings: &[Finding], look: &Look) -> Section {
    let id = connection.id.as_str();
    let mut section = Section::new(format!("connection {id}"));
    let condition = connection.condition();
    let in_trouble = findings
        .iter()
        .any(|finding| finding.severity != Severity::Note);
    for Finding {
        severity,
        cause,
        remedy,
        ..
    } in findings
    {
        match severity {
            Severity::Note => section.warn(format!("{cause} ({remedy})")),
            Severity::Gone | Severity::Broken | Severity::Unavailable => {
                section.trouble(cause, remedy)
            }
        }
    }
    match &look.report {
        None if !in_trouble && condition != Condition::Connected => section.trouble(
            format!("it is {} ({})", condition.status().as_str(), condition.reason().unwrap_or("no reason is known")),
            format!("`cartwire connections show {id}` tells more; `cartwire connections resume {id}` says that it is mended"),
        ),
        // No finding: hundreds of such connections would hide those with a problem.
        None => section.ok("it has no credentials, so the store cannot be asked"),
        Some(report) if !in_trouble => {
            for good in &report.good {
                section.ok(good.clone());
            }
            if report.good.is_empty() {
                section.ok("it is well");
            }
        }
        Some(_) => {}
    }
    if connection.status == Status::Paused {
        section.warn(format!("it is paused: what it sends is kept and not published until `cartwire connections resume {id}`"));
    }
    section
}

/// A number of bytes for people.
fn bytes(number: u64) -> String {
    match number {
        0..1_048_576 => format!("{} KiB", number >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", number >> 20),
        _ => format!("{:.1} GiB", number as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_has_to_be_done() {
        let mut section = Section::new("clock");
        section.ok("a");
        section.warn("b");
        assert!(steps(&[section.clone()]).is_empty());
        section.trouble("c", "mend c");
        assert_eq!(steps(&[section]), ["clock: mend c"]);
    }

    #[test]
    fn bytes_are_for_people() {
        assert_eq!(
            [bytes(2048), bytes(5 << 20), bytes(3 << 29)],
            ["2 KiB", "5 MiB", "1.5 GiB"]
        );
    }
}
