//! The checks of what the operator sees in the morning.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::troubles::{EXPECTED, FORGED, Troubles};
use support::consumer::Arrived;
use support::eventually;
use support::process::ProcessGateway;

/// Maximum number of lines that `doctor` may print in addition to the number of problems.
const DOCTOR_LINES: usize = 60;

/// One message if events of deliveries that were answered 200 are missing in both drains of the queue.
pub(crate) fn missing(answered: &[String], before: &[Arrived], after: &[Arrived]) -> Vec<String> {
    let arrived: BTreeSet<&str> = before
        .iter()
        .chain(after)
        .map(|message| message.id.as_str())
        .collect();
    let missing: Vec<&String> = answered
        .iter()
        .filter(|id| !arrived.contains(id.as_str()))
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{} of {} events are missing, {} among them",
        missing.len(),
        answered.len(),
        missing[0]
    )]
}

/// Checks `connections list` and `doctor`. Returns one message for each error.
pub(crate) async fn look(gateway: &ProcessGateway, _: &Troubles) -> Vec<String> {
    let troubled: BTreeSet<&str> = EXPECTED
        .iter()
        .map(|expected| expected.connection)
        .collect();
    // A problem is found by the first or second background check.
    eventually("all troubles are found", || async {
        let list = connections(gateway);
        let first: BTreeSet<&str> = list
            .iter()
            .take(troubled.len())
            .map(|row| text(row, "id"))
            .collect();
        if first != troubled {
            eprintln!("first in the list: {first:?}");
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        }
        (first == troubled).then_some(())
    })
    .await;
    let list = connections(gateway);
    println!("connections list:");
    for row in list.iter().take(troubled.len() + 1) {
        println!(
            "  {} {} {}",
            text(row, "id"),
            text(row, "status"),
            text(row, "reason")
        );
    }
    let mut wrong = Vec::new();
    for expected in EXPECTED {
        let row = list
            .iter()
            .find(|row| text(row, "id") == expected.connection);
        let reason = row.map_or("", |row| text(row, "reason"));
        if !reason.contains(expected.reason) {
            wrong.push(format!(
                "{} has the reason {reason:?}, not one with {:?}",
                expected.connection, expected.reason
            ));
        }
    }
    let well = list
        .iter()
        .skip(troubled.len())
        .filter(|row| text(row, "status") != "connected");
    wrong.extend(well.map(|row| {
        format!(
            "{} is well and listed as {}",
            text(row, "id"),
            text(row, "status")
        )
    }));
    wrong.extend(doctor(gateway));
    wrong
}

fn doctor(gateway: &ProcessGateway) -> Vec<String> {
    let output = gateway.doctor();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("doctor:\n{printed}");
    let mut wrong = Vec::new();
    if output.status.code() != Some(1) {
        wrong.push(format!("doctor ended with {}", output.status));
    }
    for expected in EXPECTED {
        if !printed.contains(expected.connection) {
            wrong.push(format!("doctor does not name {}", expected.connection));
        }
    }
    if printed.contains(FORGED) || printed.contains("well-000") {
        wrong.push("doctor names connections that are well".to_owned());
    }
    let lines = printed.lines().count();
    if lines > DOCTOR_LINES {
        wrong.push(format!("doctor prints {lines} lines"));
    }
    wrong
}

fn connections(gateway: &ProcessGateway) -> Vec<Value> {
    let listed = gateway.cli_json(&["connections", "list"]);
    listed["connections"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}
