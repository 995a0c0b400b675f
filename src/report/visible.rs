//! Shows text from outside (stores, senders, files) so that it cannot disguise what stands around it.
//!
//! Control characters move the cursor and color a terminal; format characters reorder or hide what stands beside them.
//! They are written as what they are: `\u{202e}`.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with every control and format character written as an escape.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            hidden if is_hidden(hidden) => shown.extend(hidden.escape_unicode()),
            plain => shown.push(plain),
        }
    }
    Cow::Owned(shown)
}

/// The same for several lines: line breaks stay.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(visible).collect();
    Cow::Owned(lines.join("\n"))
}

/// JSON that means the same, with such characters escaped as JSON does it. Outside of its strings JSON has none but white
/// space.
#[must_use]
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_escaped = |c: char| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    if !json.chars().any(is_escaped) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_escaped(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Unicode's categories Cc, Cf, Zl and Zp.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_format_characters_are_written_out_and_the_rest_is_left() {
        for plain in ["", "Straße 1", "日本語", "🎁", "a\\b", "עברית"] {
            assert!(matches!(visible(plain), Cow::Borrowed(shown) if shown == plain));
        }
        for (text, shown) in [
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("one\r\ntwo\t", "one\\r\\ntwo\\t"),
            ("\u{9b}x\u{7f}", "\\u{9b}x\\u{7f}"),
            (
                "\u{200b}\u{200f}\u{feff}\u{2028}",
                "\\u{200b}\\u{200f}\\u{feff}\\u{2028}",
            ),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text), shown, "{text:?}");
            assert_eq!(visible(shown), shown, "twice is the same");
        }
        assert_eq!(visible_lines("one\n\u{202e}two"), "one\n\\u{202e}two");
    }

    #[test]
    fn shown_json_means_the_same() {
        let value = serde_json::json!({"name": "a\u{202e}b\u{e0041}\u{7f}\n", "ok": "ä🎁"});
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        let shown = visible_json(&pretty);
        assert!(
            shown.contains("a\\u202eb\\udb40\\udc41\\u007f\\n"),
            "{shown}"
        );
        assert!(shown.contains("ä🎁"));
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read, value);
    }
}
