//! Decodes the few HTML entities that WordPress decodes in a webhook's secret, and escapes in names.
//!
//! It follows `wp_specialchars_decode` with `ENT_QUOTES` and is deliberately no HTML decoder: one entity more would make
//! another key of some secrets.

use std::borrow::Cow;

/// The entities by name. `&apos;` is not among them, and capitals do not count.
const NAMED: [(&str, char); 4] = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"')];
/// The entities by decimal number, which may be padded with noughts.
const DECIMAL: [(&str, char); 5] = [
    ("34", '"'),
    ("38", '&'),
    ("39", '\''),
    ("60", '<'),
    ("62", '>'),
];
/// The entities by hexadecimal number. WordPress knows no `&#x3c;` and no `&#x3e;`.
const HEXADECIMAL: [(&str, char); 3] = [("22", '"'), ("26", '&'), ("27", '\'')];

/// Decodes in one pass: `&amp;lt;` becomes `&lt;`.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        decoded.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some((character, after)) = entity(rest) {
            decoded.push(character);
            rest = after;
        } else {
            decoded.push('&');
            rest = &rest[1..];
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The entity at the beginning of the text, and what follows it.
fn entity(text: &str) -> Option<(char, &str)> {
    // Up to the end of the word and no further, so that a long text of ampersands is read once.
    let text = text.strip_prefix('&')?;
    let (body, after) = text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric() && c != '#')?);
    let after = after.strip_prefix(';')?;
    let find = |table: &[(&str, char)], word: &str| {
        table
            .iter()
            .find(|(w, _)| *w == word)
            .map(|(_, character)| *character)
    };
    let character = match body.strip_prefix('#') {
        None => find(&NAMED, body),
        Some(number) => match number.strip_prefix(['x', 'X']) {
            None => find(&DECIMAL, number.trim_start_matches('0')),
            Some(number) => find(&HEXADECIMAL, number.trim_start_matches('0')),
        },
    }?;
    Some((character, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_that_wordpress_decodes_are_decoded() {
        for (entities, character) in [
            (&["&amp;", "&#038;", "&#38;", "&#x26;", "&#x026;"][..], "&"),
            (&["&lt;", "&#060;", "&#60;"], "<"),
            (&["&gt;", "&#062;", "&#62;"], ">"),
            (&["&quot;", "&#034;", "&#34;", "&#x22;"], "\""),
            (&["&#039;", "&#39;", "&#x27;", "&#X27;", "&#00039;"], "'"),
        ] {
            for entity in entities {
                assert_eq!(decode(entity), character, "{entity}");
                assert_eq!(
                    decode(&format!("é{entity}{entity}z")),
                    format!("é{character}{character}z"),
                    "{entity}"
                );
            }
        }
    }

    #[test]
    fn entities_that_wordpress_leaves_stay() {
        for same in [
            "", "plain", "&", "&&", "&;", "&#;", "&#x;", "&apos;", "&eacute;", "&nbsp;", "&AMP;",
            "&Lt;", "&#x3c;", "&#x3E;", "&#35;", "&#0;", "&amp", "& amp;", "&#038", "&#3 8;",
            "a&b;c", "&é;",
        ] {
            assert_eq!(decode(same), same);
        }
    }

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(decode("&amp;lt;"), "&lt;");
        assert_eq!(decode("&amp;amp;amp;"), "&amp;amp;");
        assert_eq!(decode("&#38;#39;"), "&#39;");
        assert_eq!(decode("&&amp;&x&lt;;"), "&&&x<;");
    }
}
