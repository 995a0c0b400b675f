//! Texts as platforms write them, turned into plain Unicode.
//!
//! Pure functions on text. Which members of a payload are texts, and which stay HTML, is decided where they are read.

use std::borrow::Cow;

/// No character reference is longer: the longest name has 32 characters, `&` and `;` included.
const MAX_REFERENCE_BYTES: usize = 40;
/// An escape of one UTF-16 code unit, as in `\ud83d`.
const ESCAPE_BYTES: usize = 6;

/// Decodes HTML character references (`&amp;`, `&#8217;`, `&#x2019;`, `&eacute;`) in one pass, so `&amp;lt;` becomes `&lt;`.
///
/// A reference without its semicolon stays: in a text that a person typed, `&copy` is no reference.
pub(crate) fn decode_entities(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        decoded.push_str(&rest[..start]);
        rest = &rest[start..];
        let reference = &rest[..reference_length(rest)];
        if reference.is_empty() {
            decoded.push('&');
            rest = &rest[1..];
        } else {
            decoded.push_str(&htmlize::unescape(reference));
            rest = &rest[reference.len()..];
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The length of the reference that the text begins with, 0 if it begins with none. Looks at a bounded number of bytes.
fn reference_length(text: &str) -> usize {
    let bytes = &text.as_bytes()[..text.len().min(MAX_REFERENCE_BYTES)];
    let end = bytes[1..]
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#');
    match end {
        Some(end) if end > 0 && bytes[end + 1] == b';' => end + 2,
        _ => 0,
    }
}

/// Decodes the percent-encoded slug of a non-Latin term (`%ce%ba%cf%8c…`).
///
/// `None` unless the whole text is such a slug: letters, digits, `-` and `_` beside octets that form characters outside ASCII.
pub(crate) fn decode_slug(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 3);
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match first {
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                let octet = u8::from_str_radix(digits, 16).ok()?;
                if octet.is_ascii() {
                    return None;
                }
                bytes.push(octet);
                rest = &after[2..];
            }
            b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                bytes.push(*first);
                rest = after;
            }
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

/// Replaces each escaped half of a surrogate pair in a JSON text by `\ufffd`.
///
/// PHP and its plugins cut texts between the halves of an emoji. No JSON parser for Unicode strings takes such an escape, so
/// this costs one character where it would cost the document.
pub(crate) fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    let mut repaired = String::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match code_unit(json, at) {
            None => {
                // The escaped character is skipped with its backslash: `\\ud83d` is no escape of a code unit.
                at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8);
            }
            Some(0xd800..=0xdbff)
                if matches!(code_unit(json, at + ESCAPE_BYTES), Some(0xdc00..=0xdfff)) =>
            {
                at += 2 * ESCAPE_BYTES;
            }
            Some(0xd800..=0xdfff) => {
                repaired.push_str(&json[done..at]);
                repaired.push_str("\\ufffd");
                at += ESCAPE_BYTES;
                done = at;
            }
            Some(_) => at += ESCAPE_BYTES,
        }
    }
    if done == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[done..]);
    Cow::Owned(repaired)
}

/// The UTF-16 code unit that is escaped at this place, if one is.
fn code_unit(json: &str, at: usize) -> Option<u16> {
    let escape = json.as_bytes().get(at..at + ESCAPE_BYTES)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit: u16, digit| {
        let value = char::from(*digit).to_digit(16)?;
        u16::try_from(value).ok().map(|value| unit << 4 | value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_of_every_kind_are_decoded_once() {
        for (text, plain) in [
            ("Krog &amp; S&#248;n", "Krog & Søn"),
            ("O&#8217;Dwyer &#x2019;", "O’Dwyer ’"),
            ("a&nbsp;b &eacute;&Eacute;&hellip;", "a\u{a0}b éÉ…"),
            ("&quot;&apos;&#039;&lt;&gt;", "\"''<>"),
            ("&amp;lt; &amp;amp;amp;", "&lt; &amp;amp;"),
            ("&#128512;", "😀"),
            ("&CounterClockwiseContourIntegral;", "∳"),
        ] {
            assert_eq!(decode_entities(text), plain, "{text}");
        }
        for same in [
            "",
            "&",
            "&&",
            "&;",
            "&#;",
            "AT&T",
            "Rock &copy roll",
            "a&b;c",
            "?a=1&amp",
            "&é;",
            "&unheardof;",
        ] {
            assert_eq!(decode_entities(same), same);
        }
        let many = "&".repeat(100_000);
        assert_eq!(decode_entities(&many), many);
    }

    #[test]
    fn only_whole_slugs_are_decoded() {
        for (slug, term) in [
            ("%ce%ba%cf%8c%ce%ba%ce%ba%ce%b9%ce%bd%ce%bf", "κόκκινο"),
            ("%D7%90%D7%93%D7%95%D7%9D", "אדום"),
            ("pa_%cf%87%cf%81%cf%8e%ce%bc%ce%b1", "pa_χρώμα"),
            ("xl-%d1%81%d0%b8%d0%bd%d0%b8%d0%b9-2", "xl-синий-2"),
        ] {
            assert_eq!(decode_slug(slug).as_deref(), Some(term), "{slug}");
        }
        for other in [
            "",
            "Sand",
            "100%",
            "50%25",
            "%20",
            "a%ce",
            "%ce%ba %ce%ba",
            "%c",
            "%zz",
            "50% %ce%ba",
            "%+a",
            "%ce%ba%",
        ] {
            assert_eq!(decode_slug(other), None, "{other}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_costs_one_character() {
        for (json, repaired) in [
            (r#""a \ud83d""#, r#""a \ufffd""#),
            (r#""\ude00 b""#, r#""\ufffd b""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ud83d\n\ude00""#, r#""\ufffd\n\ufffd""#),
            (r#"{"\uD83D":"\\\ud83d"}"#, r#"{"\ufffd":"\\\ufffd"}"#),
        ] {
            assert_eq!(replace_lone_surrogates(json), repaired);
            assert!(serde_json::from_str::<serde_json::Value>(repaired).is_ok());
        }
        for same in [
            "",
            "\\",
            r#""\u""#,
            r#""\ud83d\ude00""#,
            r#""\\ud83d""#,
            r#""\u00e9\ufffd""#,
            "\\é",
            r"\ud83",
        ] {
            assert!(matches!(replace_lone_surrogates(same), Cow::Borrowed(text) if text == same));
        }
    }
}
