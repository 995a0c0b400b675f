//! Collects all mistakes in the options, each with the option's name and the valid values.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// A mistake in the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The option as entered.
    pub option: &'static str,
    /// The valid values.
    pub right: String,
}

/// All mistakes in the options.
#[derive(Debug, thiserror::Error)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the configuration has {} mistake{}",
            self.0.len(),
            if self.0.len() == 1 { "" } else { "s" }
        )?;
        for mistake in &self.0 {
            write!(
                f,
                "\n  {} ({}): {}",
                mistake.option,
                variable(mistake.option),
                mistake.right
            )?;
        }
        Ok(())
    }
}

/// The environment variable of an option.
fn variable(option: &str) -> String {
    format!(
        "CARTWIRE_{}",
        option
            .trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase()
    )
}

/// Collects mistakes.
#[derive(Default)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, option: &'static str, right: impl ToString) {
        self.0.push(Mistake {
            option,
            right: right.to_string(),
        });
    }

    pub(super) fn take<T>(
        &mut self,
        option: &'static str,
        result: Result<T, impl ToString>,
    ) -> Option<T> {
        result.map_err(|right| self.add(option, right)).ok()
    }

    /// A secret from its option or its file, not both.
    pub(super) fn secret(
        &mut self,
        option: &'static str,
        typed: Option<&SecretString>,
        file_option: &'static str,
        file: Option<&Path>,
    ) -> Option<SecretString> {
        // An empty variable counts as not set, because compose files write it for an unset one.
        match (
            typed.filter(|typed| !typed.expose_secret().is_empty()),
            file,
        ) {
            (Some(_), Some(_)) => {
                self.add(file_option, format!("either this or {option}, not both"));
                None
            }
            (Some(typed), None) => Some(typed.clone()),
            (None, Some(file)) => self.take(file_option, read_secret(file)),
            (None, None) => None,
        }
    }
}

/// Reads the file of a secret (`-` is standard input) without the line break at its end.
///
/// # Errors
/// The mistake, without the content of the file.
pub fn read_secret(file: &Path) -> Result<SecretString, String> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
            .map_err(|e| format!("cannot read standard input: {e}"))?
    } else {
        std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?
    };
    // Some editors put a byte order mark at the begin of a file. No secret has one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        Err(format!("{} is empty", file.display()))
    } else {
        Ok(text.to_owned().into())
    }
}
