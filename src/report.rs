//! Text for people: error chains, and text from outside.

mod visible;

use std::error::Error;
use std::fmt;

pub use visible::{visible, visible_json, visible_lines};

/// Writes an error and what caused it on one line: `cannot open the journal: disk I/O error`. Errors repeat text from
/// outside, so the text is written as [`visible_lines`] does it.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = Some(self.0);
        let mut said = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their source in their own text.
            if !said.contains(&text) {
                if !said.is_empty() {
                    said.push_str(": ");
                }
                said.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&visible_lines(&said))
    }
}
