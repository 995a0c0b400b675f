//! Output: lines for people, JSON for programs, bars for progress.
//!
//! Names, topics and messages come from outside. Every line passes through `report::visible`, so that none of them can reorder,
//! hide or color other text.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::report::{visible, visible_json, visible_lines};

/// The output format of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// `true` for JSON.
    pub(super) json: bool,
}

impl Output {
    /// Prints one value, as JSON or as text.
    pub(super) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            json(value)
        } else {
            line(&text())
        }
    }

    /// Prints one of many values, on one line.
    pub(super) fn row<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        // A payload may have line breaks between its tokens. They are removed, so that a value stays on its line.
        if self.json {
            let json = serde_json::to_string(value)?.replace(['\n', '\r'], " ");
            print(&visible_json(&json))
        } else {
            line(&text())
        }
    }
}

/// Prints one value as JSON on several lines.
pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    print(&visible_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a text of one or more lines.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    print(&visible_lines(text))
}

/// Prints text without control characters. The program ends without an error if the reader has gone (`| head`).
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        result => Ok(result?),
    }
}

/// Prints a note on standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible_lines(text));
}

/// A progress bar on standard error; invisible if standard error is not a terminal.
pub(super) fn bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len} {eta}");
    ProgressBar::new(length)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// The texts of the items with problems, then the other items or only their number.
pub(super) fn trouble_first<T>(
    items: &[T],
    is_in_trouble: impl Fn(&T) -> bool,
    text: impl Fn(&T) -> String,
    verbose: bool,
) -> String {
    let (troubled, well): (Vec<&T>, Vec<&T>) = items.iter().partition(|item| is_in_trouble(item));
    let mut lines: Vec<String> = troubled.into_iter().map(&text).collect();
    if verbose {
        lines.extend(well.into_iter().map(&text));
    } else if !well.is_empty() {
        let count = well.len();
        let are = if count == 1 { "is" } else { "are" };
        lines.push(format!("{count} {are} well (--verbose lists them)"));
    }
    lines.join("\n")
}

/// Columns of text, each as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    // A line break within a cell would break the table.
    let rows: Vec<Vec<Cow<'_, str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| visible(cell)).collect())
        .collect();
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
            .map(|row| write(row.iter().map(AsRef::as_ref).collect())),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_with_hidden_characters_keeps_its_line_and_shows_them() {
        let rows = [vec!["a\u{202e}b\nc".to_owned(), "x".to_owned()]];
        let shown = table(&["NAME", "ID"], &rows);
        assert_eq!(shown, "NAME           ID\na\\u{202e}b\\nc  x");
    }

    #[test]
    fn trouble_stands_first_and_the_rest_is_a_number() {
        let is_odd = |number: &i32| number % 2 == 1;
        let text = |number: &i32| number.to_string();
        assert_eq!(
            trouble_first(&[2, 1, 4], is_odd, text, false),
            "1\n2 are well (--verbose lists them)"
        );
        assert_eq!(trouble_first(&[2, 1, 4], is_odd, text, true), "1\n2\n4");
        assert_eq!(trouble_first(&[1], is_odd, text, false), "1");
    }
}
