//! The diagnosis of an installation: sections of results, with remedies. Nothing is changed.
//!
//! The checks that need no option of `serve` are here. `cli::doctor` has the options, and puts all sections together.

mod section;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::check::CheckOutcome;
use crate::connections::{Condition, Connection, Status};
use crate::journal::entry::DeliveryState;
use crate::journal::{Budget, Inspection, free_bytes};
use crate::platforms::api::{Finding, Severity};

pub use section::{Grade, Section, SectionLine, put_trouble_first, remedies};

/// A larger data file is not read completely, because this takes too long.
pub const MAX_CHECKED_FILE_BYTES: u64 = 256 << 20;
/// Age at which a pending delivery is a problem.
const MAX_PENDING_AGE: SignedDuration = SignedDuration::from_mins(5);
/// Maximum clock difference that is no problem.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_secs(120);
/// Maximum time that the newest delivery may be ahead of the clock.
const MAX_DELIVERY_LEAD: SignedDuration = SignedDuration::from_secs(1);

/// The data folder: permissions, free space and the journal's share. `used` is `None` if the data file cannot be opened.
#[must_use]
pub fn data_folder(folder: &Path, used: Option<u64>, budget: &Budget) -> Section {
    let mut section = Section::new("data folder");
    let shown = folder.display();
    // The probe must not be the data file: closing a second descriptor of it would release the SQLite locks of a
    // gateway in this process.
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => section.ok(format!("{shown} is writable")),
        Err(error) => {
            section.trouble(
                format!("{shown} is not writable: {error}"),
                format!(
                    "give this user the permission to write to {shown}, or mount its disk again"
                ),
            );
        }
    }
    match free_bytes(folder) {
        Some(free) if free < budget.reserve => section.trouble(
            format!(
                "the disk has {} free, which is less than the reserve of {}: webhooks are answered 503",
                bytes(free),
                bytes(budget.reserve)
            ),
            "free space on the disk, or lower --disk-reserve",
        ),
        Some(free) => section.ok(format!("the disk has {} free", bytes(free))),
        None => section.warn("the system does not report the free space of the disk"),
    }
    match used {
        Some(used) if used > budget.budget => section.trouble(
            format!(
                "the journal uses {}, which is more than the budget of {}: webhooks are answered 503",
                bytes(used),
                bytes(budget.budget)
            ),
            "list the pending deliveries (`cartwire deliveries list --state pending`), or raise --disk-budget",
        ),
        Some(used) => section.ok(format!(
            "the journal uses {} of {}",
            bytes(used),
            bytes(budget.budget)
        )),
        None => {}
    }
    section
}

/// The journal: the integrity of the file, and the deliveries that need attention.
#[must_use]
pub fn journal(inspection: &Inspection, has_broker: bool, now: Timestamp) -> Section {
    let mut section = Section::new("journal");
    match &inspection.damage {
        None => section.warn(format!(
            "the file uses {}: its integrity was not checked",
            bytes(inspection.used)
        )),
        Some(None) => section.ok("the file is intact"),
        Some(Some(damage)) => section.trouble(
            format!("the file is damaged: {damage}"),
            "stop the gateway, keep a copy of the data folder, and restore it from a backup or with SQLite's .recover",
        ),
    }
    if let Some(states) = inspection.states {
        section.ok(format!(
            "the last states of {} entities are known ({})",
            states.count,
            bytes(states.bytes)
        ));
    }
    pending(&mut section, inspection, has_broker, now);
    for &(state, count) in &inspection.counts {
        match state {
            DeliveryState::DeadLettered if count > 0 => section.trouble(
                format!("{count} deliveries are dead letters: they could not be read or published"),
                "list them with `cartwire deliveries list --state dead_lettered`; after an update `cartwire deliveries redrive` processes them again, and `cartwire deliveries acknowledge` removes them from this list",
            ),
            DeliveryState::Unrouted if count > 0 => section.trouble(
                format!("{count} deliveries are unrouted: the queue or the binding for their events is missing"),
                "see the section about the broker; then run `cartwire deliveries redrive --state unrouted`, or `cartwire deliveries acknowledge --state unrouted`",
            ),
            DeliveryState::Unsubscribed if count > 0 => section.warn(format!(
                "{count} deliveries have events that no queue subscribes to; after a new --queue `cartwire deliveries redrive --state unsubscribed` publishes them again"
            )),
            DeliveryState::Pending
            | DeliveryState::Logged
            | DeliveryState::Published
            | DeliveryState::Unrouted
            | DeliveryState::Unsubscribed
            | DeliveryState::Ignored
            | DeliveryState::DeadLettered => {}
        }
    }
    section
}

fn pending(section: &mut Section, inspection: &Inspection, has_broker: bool, now: Timestamp) {
    let count = inspection.pending;
    let age = match inspection.oldest {
        Some(oldest) => now.duration_since(oldest),
        None => SignedDuration::ZERO,
    };
    if count == 0 || age <= MAX_PENDING_AGE {
        section.ok(format!("{count} deliveries are pending"));
        return;
    }
    let remedy = if has_broker {
        "check that the broker is reachable and that a gateway runs; `cartwire deliveries list --state pending` lists the deliveries"
    } else {
        "check that a gateway runs; `cartwire deliveries list --state pending` lists the deliveries"
    };
    section.trouble(
        format!(
            "{count} deliveries are pending, the oldest for {} minutes",
            age.as_mins()
        ),
        remedy,
    );
}

/// This machine's clock, compared with the newest delivery and with the clocks of the stores. `leads` are the times by which
/// the stores' clocks are ahead.
#[must_use]
pub fn clock(newest: Option<Timestamp>, leads: &[SignedDuration], now: Timestamp) -> Section {
    let mut section = Section::new("clock");
    let remedy = "set this machine's clock by NTP (`timedatectl` shows its state)";
    match newest.map(|newest| newest.duration_since(now)) {
        Some(lead) if lead > MAX_DELIVERY_LEAD => section.trouble(
            format!(
                "it is {} s behind the newest delivery in the journal",
                lead.as_secs()
            ),
            remedy,
        ),
        Some(_) => section.ok("it is not behind the newest delivery in the journal"),
        None => {}
    }
    let mut sorted = leads.to_vec();
    sorted.sort();
    // The median ignores the wrong clock of a single store.
    match sorted.get(sorted.len() / 2) {
        Some(lead) if lead.abs() > MAX_CLOCK_DIFFERENCE => section.trouble(
            format!(
                "it differs from the stores' clocks by {} s",
                lead.abs().as_secs()
            ),
            remedy,
        ),
        Some(_) if sorted.len() == 1 => section.ok("it agrees with the store's clock"),
        Some(_) => section.ok(format!(
            "it agrees with the clocks of {} stores",
            sorted.len()
        )),
        None => section.warn("no store sent its time"),
    }
    section
}

/// A connection: the findings of its check, and those that its deliveries caused before.
#[must_use]
pub fn connection(
    connection: &Connection,
    findings: &[Finding],
    outcome: &CheckOutcome,
) -> Section {
    let id = connection.id.as_str();
    let mut section = Section::new(format!("connection {id}"));
    for finding in findings {
        let Finding { cause, remedy, .. } = finding;
        match finding.severity {
            Severity::Note => section.warn(format!("{cause} ({remedy})")),
            Severity::Gone | Severity::Broken | Severity::Unavailable => {
                section.trouble(cause, remedy);
            }
        }
    }
    let has_problem = section.worst() == Grade::Trouble;
    let condition = connection.condition();
    match &outcome.report {
        None if !has_problem && condition != Condition::Connected => section.trouble(
            format!(
                "it is {} ({})",
                condition.status().as_str(),
                condition.reason().unwrap_or("the reason is unknown")
            ),
            format!(
                "`cartwire connections show {id}` shows the details; `cartwire connections resume {id}` declares it to be repaired"
            ),
        ),
        // Not a warning, because an installation may have hundreds of such connections.
        None => section.ok("it has no credentials, so it cannot be checked"),
        Some(report) if !has_problem => {
            for good in &report.good {
                section.ok(good.clone());
            }
            if report.good.is_empty() {
                section.ok("it works");
            }
        }
        Some(_) => {}
    }
    if connection.status == Status::Paused {
        section.warn(format!(
            "it is paused: its deliveries are stored and not published until `cartwire connections resume {id}`"
        ));
    }
    section
}

/// A number of bytes with its unit.
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
    fn bytes_have_a_unit() {
        assert_eq!(
            [bytes(2048), bytes(5 << 20), bytes(3 << 29)],
            ["2 KiB", "5 MiB", "1.5 GiB"]
        );
    }
}
