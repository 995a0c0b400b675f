//! All that is wrong with the options, told at once: each mistake with the option's name and what is right.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// A mistake in the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The option as typed.
    pub option: &'static str,
    /// What is right.
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

/// Mistakes so far.
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
        // An empty variable is one that was not set: compose files write them so.
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

/// Reads a secret's file (`-` is standard input) without the line break at its end.
///
/// # Errors
/// What is wrong with it; never its content.
pub fn read_secret(file: &Path) -> Result<SecretString, String> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
            .map_err(|e| format!("cannot read standard input: {e}"))?
    } else {
        std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?
    };
    // Some editors begin a file with a mark of its encoding; no secret does.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        Err(format!("{} is empty", file.display()))
    } else {
        Ok(text.to_owned().into())
    }
}
