//! Text for operators: error chains, and text from untrusted sources.

mod visible;

use std::error::Error;
use std::fmt;

pub use visible::{visible, visible_json, visible_lines};

/// Writes an error and its causes on one line: `cannot open the journal: disk I/O error`. Error messages may contain
/// untrusted text, so [`visible_lines`] makes control characters visible.
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = Some(self.0);
        let mut text_so_far = String::new();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries include the text of the cause in their own text.
            if !text_so_far.contains(&text) {
                if !text_so_far.is_empty() {
                    text_so_far.push_str(": ");
                }
                text_so_far.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&visible_lines(&text_so_far))
    }
}
