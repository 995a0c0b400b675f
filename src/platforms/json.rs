//! A JSON document as a tree that borrows its text: names and strings without escapes are not copied.
//!
//! Numbers keep their digits. Of doubled members the last one counts. It knows nothing of what a document means.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What serde_json calls its own numbers by in maps. A payload that uses the word means nothing by it, and must not be
/// read as a number, or refused because it is none.
const PRIVATE: &str = "serde_json::private::";
const NUMBER: &str = "$serde_json::private::Number";

/// A value in a document.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(String),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// In the order of the document.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Reads a document; `None` where no consumer could read it either: bad syntax, lone surrogates, nesting beyond 128 levels.
pub(crate) fn parse(text: &str) -> Option<Json<'_>> {
    if text.contains(PRIVATE) {
        let text = text.replace(PRIVATE, "serde_json.private.");
        return serde_json::from_str::<Json<'_>>(&text)
            .ok()
            .map(Json::into_owned);
    }
    serde_json::from_str(text).ok()
}

impl<'a> Json<'a> {
    /// The member of that name of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(members) => members
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// The same without the text that it was read from.
    pub(crate) fn into_owned(self) -> Json<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Bool(flag) => Json::Bool(flag),
            Json::Number(digits) => Json::Number(digits),
            Json::Text(text) => Json::Text(owned(text)),
            Json::Array(items) => Json::Array(items.into_iter().map(Json::into_owned).collect()),
            Json::Object(members) => Json::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (owned(key), value.into_owned()))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.to_string()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            // So serde_json hands over a number that is no integer of 64 bits, with all its digits.
            if name == NUMBER {
                return Ok(Json::Number(map.next_value()?));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Json::Object(members))
    }
}

/// A member's name; `Cow` by itself never borrows.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_own_words_mean_nothing_in_a_payload() {
        for text in [
            r#"{"a":{"\u0024serde_json::private::Number":"x"},"b":1}"#,
            r#"{"a":{"$serde_json::private::Number":"x"},"b":1}"#,
            r#"{"a":{"$serde_json::private::RawValue":"x"},"b":1}"#,
        ] {
            let document = parse(text).expect("a document");
            assert!(document.get("a").is_some_and(Json::is_object), "{text}");
            assert!(
                matches!(document.get("b"), Some(Json::Number(digits)) if digits == "1"),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_strings_are_copied_only_for_escapes() {
        let document =
            parse(r#"{"n":16.710000000000001,"e":-1E+400,"s":"plain","x":"a\n","d":1,"d":2}"#)
                .expect("a document");
        assert!(
            matches!(document.get("n"), Some(Json::Number(digits)) if digits == "16.710000000000001")
        );
        assert!(
            matches!(document.get("e"), Some(Json::Number(digits)) if digits.eq_ignore_ascii_case("-1e+400"))
        );
        assert!(matches!(
            document.get("s"),
            Some(Json::Text(Cow::Borrowed("plain")))
        ));
        assert!(matches!(document.get("x"), Some(Json::Text(Cow::Owned(text))) if text == "a\n"));
        assert!(
            matches!(document.get("d"), Some(Json::Number(digits)) if digits == "2"),
            "the last one counts"
        );
    }

    #[test]
    fn what_no_consumer_could_read_is_no_document() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", r#""\ud800""#, "[1,]", "01", deep.as_str()] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
