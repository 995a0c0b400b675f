//! The printed results: a table of the rows, and the targets with the measured values.

use std::fmt::Write;

use serde::Serialize;

use super::measure::Row;

const MEGABYTE: f64 = 1e6;

/// A target with the measured value.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    /// `true` if the value must be at least `wanted`, `false` if it must be at most `wanted`.
    pub(crate) at_least: bool,
    pub(crate) wanted: f64,
    /// `None` if a row of the target was not measured.
    pub(crate) reached: Option<f64>,
}

impl Target {
    fn assessment(&self) -> &'static str {
        match self.reached {
            None => "not measured",
            Some(reached)
                if self.at_least == (reached >= self.wanted) || reached == self.wanted =>
            {
                "met"
            }
            Some(_) => "NOT MET",
        }
    }
}

/// The rows as a table.
pub(crate) fn rows(rows: &[Row]) -> String {
    let head = [
        "",
        "per second",
        "CPU µs",
        "senders",
        "broker",
        "at half",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "RSS MB",
        "written",
        "behind",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(line));
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..head.len())
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let cell = if column == 0 || line.len() < head.len() {
                format!("{cell}{pad}")
            } else {
                format!("  {pad}{cell}")
            };
            text += &cell;
        }
        text = text.trim_end().to_owned() + "\n";
    }
    text
}

fn line(row: &Row) -> Vec<String> {
    if let Some(why) = &row.missing {
        return vec![row.name.clone(), format!("  not measured: {why}")];
    }
    let open = |value: fn(&super::measure::Open) -> f64, digits: usize| {
        row.open
            .as_ref()
            .map_or_else(String::new, |open| format!("{:.digits$}", value(open)))
    };
    let some = |value: f64, digits: usize| {
        if value == 0.0 {
            String::new()
        } else {
            format!("{value:.digits$}")
        }
    };
    let wrong = row.wrong();
    let name = if wrong == 0 {
        row.name.clone()
    } else {
        format!(
            "{} ({wrong} answered otherwise: {:?})",
            row.name, row.others
        )
    };
    vec![
        name,
        format!("{:.0}", row.per_second),
        format!("{:.1}", row.cpu_us),
        some(row.senders_cpu_us, 1),
        some(row.broker_cpu_us, 1),
        open(|open| open.per_second, 0),
        open(|open| open.p50, 2),
        open(|open| open.p99, 2),
        open(|open| open.p999, 2),
        format!("{:.0}", row.peak.max(row.resident) as f64 / MEGABYTE),
        format!("{:.0}", row.written),
        if row.backlog == 0 {
            String::new()
        } else {
            row.backlog.to_string()
        },
    ]
}

/// The targets as a table.
pub(crate) fn targets(targets: &[Target]) -> String {
    let width = targets
        .iter()
        .map(|target| target.what.chars().count())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for target in targets {
        let sign = if target.at_least { "≥" } else { "≤" };
        let pad = " ".repeat(width - target.what.chars().count());
        let reached = target
            .reached
            .map_or_else(|| "-".to_owned(), |reached| format!("{reached:.3}"));
        let _ = writeln!(
            text,
            "{}{pad}  {sign} {:<6}  {reached:>8}  {}",
            target.what,
            target.wanted,
            target.assessment()
        );
    }
    text
}

/// The targets of a run, as ratios between its rows.
pub(crate) fn reached(rows: &[Row]) -> Vec<Target> {
    let row = |name: &str| {
        rows.iter()
            .find(|row| row.name == name && row.missing.is_none())
    };
    let ratio = |one: &str, other: &str, value: fn(&Row) -> f64| {
        Some(value(row(one)?) / value(row(other)?))
    };
    let rate = |one: &str, other: &str| ratio(one, other, |row| row.per_second);
    let cpu = |one: &str, other: &str| ratio(one, other, |row| row.cpu_us);
    let memory = |name: &str| row(name).map(|row| row.peak.max(row.resident) as f64 / MEGABYTE);
    let least = |what, wanted, reached| Target {
        what,
        at_least: true,
        wanted,
        reached,
    };
    let most = |what, wanted, reached| Target {
        what,
        at_least: false,
        wanted,
        reached,
    };
    // The peak memory in the second half of a long run may exceed that in the first half by at most ten percent.
    let growth = row("ours b woocommerce, sustained").and_then(|row| {
        let (first, second) = row.samples.split_at(row.samples.len() / 2);
        let most = |half: &[super::process::Sample]| {
            half.iter()
                .map(|sample| sample.resident)
                .max()
                .map(|most| most as f64)
        };
        Some(most(second)? / most(first)?)
    });
    vec![
        least(
            "a WooCommerce / empty handler with HMAC",
            0.4,
            rate("ours a woocommerce", "ceiling: empty + HMAC"),
        ),
        least(
            "a Wix / RS256's own ceiling",
            0.7,
            rate("ours a wix", "ceiling: empty + RS256"),
        ),
        least(
            "b WooCommerce / lapin's own ceiling",
            0.6,
            rate("ours b woocommerce", "ceiling: lapin, woocommerce"),
        ),
        least(
            "b sustained / lapin's own ceiling",
            0.6,
            rate(
                "ours b woocommerce, sustained",
                "ceiling: lapin, woocommerce",
            ),
        ),
        most(
            "b sustained: most memory of 2nd half / 1st half",
            1.1,
            growth,
        ),
        most(
            "b WooCommerce: CPU / Node's",
            0.25,
            cpu("ours b woocommerce", "peer: node, woocommerce"),
        ),
        most(
            "b Wix: CPU / Node's",
            0.167,
            cpu("ours b wix", "peer: node, wix"),
        ),
        least(
            "a with a million settled / empty journal",
            0.9,
            rate("ours a woocommerce, 1000000 settled", "ours a woocommerce"),
        ),
        least(
            "b with a million settled / empty journal",
            0.9,
            rate("ours b woocommerce, 1000000 settled", "ours b woocommerce"),
        ),
        least(
            "b with a million known orders / none",
            0.9,
            rate("ours b woocommerce, 1000000 known", "ours b woocommerce"),
        ),
        least(
            "d / empty handler with HMAC",
            0.8,
            rate("ours d woocommerce", "ceiling: empty + HMAC"),
        ),
        most("memory at idle, MB", 64.0, memory("ours idle")),
        most(
            "memory in b with 10,000 connections, MB",
            256.0,
            memory("ours b woocommerce, 10000 connections"),
        ),
    ]
}
