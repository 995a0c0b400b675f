//! A JSON document as a tree that borrows its text: names and strings without escapes are not copied.
//!
//! Numbers keep their digits. If an object repeats a name, the last member counts.
//!
//! The memory of a document is limited during parsing: [`MAX_VALUES`] values in total, and [`MAX_ITEMS`] items in one list
//! or members in one object, because PHP may send a list as an object. Items and members are collected on two stacks that
//! the whole document shares, so each list is allocated once with its exact length. A value needs at most 48 bytes beside
//! its text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Prefix of the member names that serde_json uses for its own types. A payload may contain such a name. It must neither be
/// read as a number nor make the document unreadable.
const SERDE_PRIVATE_PREFIX: &str = "serde_json::private::";
const SERDE_NUMBER_NAME: &str = "$serde_json::private::Number";

/// Maximum number of values in a document. Genuine webhooks have one value per 20 to 25 bytes, so a genuine document of
/// 8 MiB has fewer than 400,000 values.
pub(crate) const MAX_VALUES: usize = 500_000;
/// Maximum number of items in one list: ten times the largest orders and products that stores have.
pub(crate) const MAX_ITEMS: usize = 50_000;
/// Size of a value with its name, without their texts.
#[cfg(test)]
const VALUE_BYTES: usize = 48;

/// A value in a document.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Box<str>),
    Text(Cow<'a, str>),
    Array(Box<[Json<'a>]>),
    /// The members in the order of the document.
    Object(Box<[(Cow<'a, str>, Json<'a>)]>),
}

/// Why a document could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Bad syntax, a lone surrogate, or nesting beyond 128 levels.
    Malformed,
    /// Too many values, or too many items in one list.
    TooComplex,
}

/// Parses a document; `None` if [`read`] fails.
pub(crate) fn parse(text: &str) -> Option<Json<'_>> {
    read(text).ok()
}

/// Parses a document.
pub(crate) fn read(text: &str) -> Result<Json<'_>, Unread> {
    if text.contains(SERDE_PRIVATE_PREFIX) {
        let text = text.replace(SERDE_PRIVATE_PREFIX, "serde_json.private.");
        return build(&text).map(Json::into_owned);
    }
    build(text)
}

fn build(text: &str) -> Result<Json<'_>, Unread> {
    let mut builder = Builder::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let document = builder.deserialize(&mut deserializer);
    match document.and_then(|document| deserializer.end().map(|()| document)) {
        Ok(document) => Ok(document),
        Err(_) if builder.is_exceeded => Err(Unread::TooComplex),
        Err(_) => Err(Unread::Malformed),
    }
}

impl<'a> Json<'a> {
    /// The object's last member with this name.
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

    /// Copies all borrowed texts.
    pub(crate) fn into_owned(self) -> Json<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Json::Null => Json::Null,
            Json::Bool(flag) => Json::Bool(flag),
            Json::Number(digits) => Json::Number(digits),
            Json::Text(text) => Json::Text(owned(text)),
            Json::Array(items) => {
                Json::Array(items.into_vec().into_iter().map(Json::into_owned).collect())
            }
            Json::Object(members) => Json::Object(
                members
                    .into_vec()
                    .into_iter()
                    .map(|(key, value)| (owned(key), value.into_owned()))
                    .collect(),
            ),
        }
    }
}

/// Builds a tree and counts its values. The stacks contain the items and members of the incomplete lists and objects.
#[derive(Default)]
struct Builder<'de> {
    items: Vec<Json<'de>>,
    members: Vec<(Cow<'de, str>, Json<'de>)>,
    values: usize,
    is_exceeded: bool,
}

impl Builder<'_> {
    fn exceeded<E: serde::de::Error>(&mut self) -> E {
        self.is_exceeded = true;
        E::custom("the document has too many values")
    }
}

impl<'de> DeserializeSeed<'de> for &mut Builder<'de> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.exceeded());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Builder<'de> {
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
        Ok(Json::Number(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.to_string().into()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let start = self.items.len();
        while let Some(item) = items.next_element_seed(&mut *self)? {
            if self.items.len() - start == MAX_ITEMS {
                return Err(self.exceeded());
            }
            self.items.push(item);
        }
        Ok(Json::Array(self.items.drain(start..).collect()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let start = self.members.len();
        while let Some(Name(name)) = map.next_key()? {
            // serde_json passes a number as a map of this one member, with all its digits.
            if name == SERDE_NUMBER_NAME {
                let digits: String = map.next_value()?;
                return Ok(Json::Number(digits.into()));
            }
            if self.members.len() - start == MAX_ITEMS {
                return Err(self.exceeded());
            }
            let value = map.next_value_seed(&mut *self)?;
            self.members.push((name, value));
        }
        Ok(Json::Object(self.members.drain(start..).collect()))
    }
}

/// A member's name. The `Deserialize` of `Cow` itself never borrows.
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
    fn private_names_of_serde_json_have_no_effect_in_a_payload() {
        for text in [
            r#"{"a":{"\u0024serde_json::private::Number":"x"},"b":1}"#,
            r#"{"a":{"$serde_json::private::Number":"x"},"b":1}"#,
            r#"{"a":{"$serde_json::private::RawValue":"x"},"b":1}"#,
        ] {
            let document = parse(text).expect("a document");
            assert!(document.get("a").is_some_and(Json::is_object), "{text}");
            assert!(
                matches!(document.get("b"), Some(Json::Number(digits)) if &**digits == "1"),
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
            matches!(document.get("n"), Some(Json::Number(digits)) if &**digits == "16.710000000000001")
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
            matches!(document.get("d"), Some(Json::Number(digits)) if &**digits == "2"),
            "the last one counts"
        );
    }

    #[test]
    fn an_invalid_document_is_not_parsed() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", r#""\ud800""#, "[1,]", "01", deep.as_str()] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_document_of_too_many_values_or_items_is_too_complex() {
        let list = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        assert!(read(&list(MAX_ITEMS)).is_ok());
        assert_eq!(read(&list(MAX_ITEMS + 1)).err(), Some(Unread::TooComplex));
        // Ten lists of one item less than 50,000, with the lists themselves and the list of them.
        let lists = |count: usize| format!("[{}]", vec![list(MAX_ITEMS - 1); count].join(","));
        assert!(read(&lists(9)).is_ok());
        assert_eq!(read(&lists(11)).err(), Some(Unread::TooComplex));
        let members = r#""a":{},"#.repeat(MAX_VALUES);
        assert_eq!(
            read(&format!(r#"{{{members}"a":1}}"#)).err(),
            Some(Unread::TooComplex)
        );
        assert_eq!(read("[1,").err(), Some(Unread::Malformed));
    }

    #[test]
    fn a_value_is_small_and_lists_are_allocated_at_their_exact_length() {
        assert_eq!(size_of::<Json<'_>>(), 24);
        assert_eq!(size_of::<(Cow<'_, str>, Json<'_>)>(), VALUE_BYTES);
    }
}
