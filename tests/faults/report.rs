//! The result of the suite for each fault, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::honest::Delays;
use crate::scene::Counted;

/// The summed results of all runs of one fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    name: String,
    runs: u64,
    answered: usize,
    turned_away: u64,
    arrived: usize,
    lost: usize,
    repeated: usize,
    disordered: usize,
    worst: Duration,
    honest: Option<Delays>,
    peak_memory: u64,
    /// One message for each error.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.name == name
    }

    /// Adds a completed run of these faults.
    pub(crate) fn add(
        &mut self,
        faults: &str,
        counted: &Counted,
        may_repeat: bool,
        may_be_unanswered: bool,
    ) {
        let comparison = &counted.comparison;
        self.runs += 1;
        self.answered += counted.answered;
        self.turned_away += counted.refused + counted.unanswered;
        self.arrived += comparison.arrived;
        self.lost += comparison.lost.len();
        self.repeated += comparison.repeated.len();
        self.disordered += comparison.disordered.len();
        self.worst = self.worst.max(counted.worst);
        self.peak_memory = self.peak_memory.max(counted.peak_memory);
        if let Some(delays) = counted.honest {
            self.honest = Some(self.honest.map_or(delays, |worse| worse.worst_of(delays)));
        }
        let mut wrong = |what: &str, found: &[String]| {
            if let Some(first) = found.first() {
                self.wrong.push(format!(
                    "{faults}: {} {what}, {first} among them",
                    found.len()
                ));
            }
        };
        wrong("lost", &comparison.lost);
        wrong("not as they were sent", &comparison.unexpected);
        wrong("out of order", &comparison.disordered);
        if !may_repeat {
            wrong("repeated without a reason", &comparison.repeated);
        }
        if !may_be_unanswered && counted.unanswered > 0 {
            self.wrong.push(format!(
                "{faults}: {} requests without an answer",
                counted.unanswered
            ));
        }
    }

    /// Adds a run that failed before it could count events.
    pub(crate) fn add_failure(&mut self, faults: &str, why: &str) {
        self.runs += 1;
        self.wrong.push(format!("{faults}: {why}"));
    }

    /// Adds an error for each honest store's delay, memory use and number of copies above its bound.
    pub(crate) fn hold_bounds(&mut self) {
        let Some(delays) = self.honest else { return };
        let mut wrong = delays.beyond_bounds();
        if self.peak_memory > MEMORY_BOUND_MIB {
            wrong.push(format!("{} MiB of memory", self.peak_memory));
        }
        if self.repeated > self.arrived / 2 {
            wrong.push(format!("{} copies", self.repeated));
        }
        let name = self.name.clone();
        self.wrong
            .extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
    }

    fn cells(&self) -> [String; COLUMNS] {
        let honest = |delay: fn(&Delays) -> Duration| {
            self.honest.as_ref().map_or_else(
                || "–".to_owned(),
                |delays| format!("{} ms", delay(delays).as_millis()),
            )
        };
        [
            self.name.clone(),
            self.runs.to_string(),
            self.answered.to_string(),
            self.turned_away.to_string(),
            self.arrived.to_string(),
            self.lost.to_string(),
            self.repeated.to_string(),
            self.disordered.to_string(),
            format!("{} ms", self.worst.as_millis()),
            honest(|delays| delays.worst_answer),
            honest(|delays| delays.median_event),
            honest(|delays| delays.worst_event),
            format!("{} MiB", self.peak_memory),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "fault": self.name, "runs": self.runs, "answered": self.answered, "turned_away": self.turned_away,
            "arrived": self.arrived, "lost": self.lost, "repeated": self.repeated, "out_of_order": self.disordered,
            "worst_answer_ms": u64::try_from(self.worst.as_millis()).unwrap_or(u64::MAX),
            "honest_store": self.honest.map(|delays| delays.json()), "peak_memory_mib": self.peak_memory,
            "wrong": self.wrong,
        })
    }
}

/// Maximum memory of the gateway process during an attack.
const MEMORY_BOUND_MIB: u64 = 512;
const COLUMNS: usize = 13;

const HEAD: [&str; COLUMNS] = [
    "fault",
    "runs",
    "answered 200",
    "turned away",
    "arrived",
    "lost",
    "repeated",
    "out of order",
    "worst answer",
    "honest answer",
    "honest event, median",
    "honest event, worst",
    "memory",
];

/// The table, followed by the errors.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        lines
            .iter()
            .map(|cells| cells[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |cells: &[String; COLUMNS]| {
        let cell = |(cell, width): (&String, usize), left: bool| {
            if left {
                format!("{cell:width$}")
            } else {
                format!("{cell:>width$}")
            }
        };
        let cells: Vec<String> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(index, pair)| cell(pair, index == 0))
            .collect();
        format!("| {} |", cells.join(" | "))
    };
    let mut text: Vec<String> = lines.iter().map(line).collect();
    let ruler: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(index, width)| {
            if index == 0 {
                "-".repeat(*width)
            } else {
                "-".repeat(width - 1) + ":"
            }
        })
        .collect();
    text.insert(1, format!("| {} |", ruler.join(" | ")));
    for row in rows {
        text.extend(row.wrong.iter().map(|wrong| format!("WRONG {wrong}")));
    }
    text.join("\n")
}

/// The result as JSON.
pub(crate) fn json(seed: u64, took: Duration, rows: &[Row]) -> Value {
    let whole = rows.iter().all(|row| row.wrong.is_empty());
    json!({ "seed": seed, "seconds": took.as_secs(), "ok": whole, "faults": rows.iter().map(Row::json).collect::<Vec<_>>() })
}
