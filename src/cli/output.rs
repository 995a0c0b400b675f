//! Printing: lines for people, JSON for programs, bars for what takes long.

use std::io::{ErrorKind, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// JSON?
    pub(super) json: bool,
}

impl Output {
    /// One value, as JSON or as the text.
    pub(super) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            line(&serde_json::to_string_pretty(value)?)
        } else {
            line(&text())
        }
    }

    /// One of many values, a line each.
    pub(super) fn row<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        // A payload may break lines between its tokens, and nowhere else: a value stays on its line.
        if self.json {
            line(&serde_json::to_string(value)?.replace(['\n', '\r'], " "))
        } else {
            line(&text())
        }
    }
}

/// Prints a line. A reader that went away (`| head`) ends the program quietly.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// Tells people something beside the output.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A bar on standard error; nothing where that is no terminal.
pub(super) fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len} {eta}");
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// Columns of text, each as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([head[column].len()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let write = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![write(head.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| write(row.iter().map(String::as_str).collect())),
    );
    lines.join("\n")
}
