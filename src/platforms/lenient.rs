//! Tolerant access to a platform's JSON. Plugins add members and versions change types, and no order may get lost by this.
//!
//! A member that is missing or has an unexpected type is `None`, never an error.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Number;

use super::json::Json;
use crate::event::{Amount, Currency, Money};

/// A value in a JSON document, or a missing value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a>(Option<&'a Json<'a>>);

impl<'a> Node<'a> {
    /// The root of a document.
    pub(crate) fn root(document: &'a Json<'a>) -> Self {
        Self(Some(document))
    }

    /// A missing value.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// The member with this name.
    pub(crate) fn get(self, key: &str) -> Self {
        Self(self.0.and_then(|value| value.get(key)))
    }

    /// The first of these members that exists and is not null.
    pub(crate) fn first(self, keys: &[&str]) -> Self {
        keys.iter()
            .map(|key| self.get(key))
            .find(|node| node.exists())
            .unwrap_or(Self(None))
    }

    /// `true` if the value exists and is not null.
    pub(crate) fn exists(self) -> bool {
        self.0.is_some_and(|value| !matches!(value, Json::Null))
    }

    pub(crate) fn value(self) -> Option<&'a Json<'a>> {
        self.0
    }

    /// The text of a string or a number. `None` for an empty string.
    pub(crate) fn text(self) -> Option<String> {
        match self.0? {
            Json::Text(text) if !text.is_empty() => Some(text.clone().into_owned()),
            Json::Number(digits) => Some(digits.to_string()),
            _ => None,
        }
    }

    /// The text of a string, not copied. `None` for an empty string.
    pub(crate) fn str(self) -> Option<&'a str> {
        match self.0? {
            Json::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// A currency code: three letters. `None` for any other text.
    pub(crate) fn currency(self) -> Option<&'a str> {
        self.str().filter(|text| Currency::parse(text).is_some())
    }

    /// An id: a number or a string. `None` for `0` and `"0"`.
    pub(crate) fn id(self) -> Option<String> {
        self.text().filter(|id| id != "0" && !id.trim().is_empty())
    }

    /// A decimal, from a string or a number.
    pub(crate) fn amount(self) -> Option<Amount> {
        match self.0? {
            Json::Text(text) => Amount::parse(text),
            Json::Number(digits) => Amount::parse(digits),
            _ => None,
        }
    }

    /// A decimal with its currency.
    pub(crate) fn money(self, currency: Option<&str>) -> Option<Money> {
        Some(self.amount()?.in_currency(currency))
    }

    /// A quantity or a count, from a number or a string.
    pub(crate) fn number(self) -> Option<Number> {
        self.amount()?.as_str().parse().ok()
    }

    /// A boolean, or a text such as `yes`, `1` or `false`.
    pub(crate) fn flag(self) -> Option<bool> {
        match self.0? {
            Json::Bool(flag) => Some(*flag),
            Json::Text(text) => match text.as_ref() {
                "true" | "yes" | "1" => Some(true),
                "false" | "no" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A timestamp: RFC 3339, or a date and time without an offset, which is read as UTC.
    pub(crate) fn utc(self) -> Option<Timestamp> {
        let text = self.str()?;
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Some(instant);
        }
        let civil: DateTime = text.parse().ok()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    }

    /// The items of an array. Empty for other types.
    pub(crate) fn items(self) -> impl Iterator<Item = Node<'a>> {
        self.array()
            .into_iter()
            .flatten()
            .map(|value| Node(Some(value)))
    }

    /// The converted items of an array. `None` for other types.
    pub(crate) fn list<T>(self, mut into: impl FnMut(Node<'a>) -> T) -> Option<Vec<T>> {
        // The length is known, so the list is allocated once.
        let items = self.array()?.iter();
        Some(items.map(|item| into(Node(Some(item)))).collect())
    }

    fn array(self) -> Option<&'a [Json<'a>]> {
        match self.0? {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members of an object, by name.
    pub(crate) fn members(self) -> impl Iterator<Item = (&'a str, Node<'a>)> {
        let members: BTreeMap<&str, Node<'_>> = match self.0 {
            Some(Json::Object(members)) => members
                .iter()
                .map(|(name, value)| (name.as_ref(), Node(Some(value))))
                .collect(),
            _ => BTreeMap::new(),
        };
        members.into_iter()
    }

    /// As [`Node::list`], without the items that `into` cannot convert.
    pub(crate) fn list_of<T>(self, into: impl FnMut(Node<'a>) -> Option<T>) -> Option<Vec<T>> {
        self.array()?;
        let mut list: Vec<T> = self.items().filter_map(into).collect();
        list.shrink_to_fit();
        Some(list)
    }

    /// `true` for an object with at least one member.
    pub(crate) fn has_members(self) -> bool {
        matches!(self.0, Some(Json::Object(members)) if !members.is_empty())
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.is_some_and(Json::is_object)
    }
}

/// `None` if all members of the shape are empty, so that empty objects are omitted.
pub(crate) fn filled<T: Default + PartialEq>(shape: T) -> Option<T> {
    (shape != T::default()).then_some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_every_type_that_platforms_use() {
        let value = crate::platforms::json::parse(
            r#"{"n":1234567890123456789012,"s":"10001","e":"","z":0,"p":16.710000000000001,"q":"2","y":"yes","t":"2016-05-30 19:35:25","u":"2022-12-21T13:49:24.655445Z"}"#,
        )
        .expect("a document");
        let node = Node::root(&value);
        assert_eq!(
            node.get("n").text().as_deref(),
            Some("1234567890123456789012")
        );
        assert_eq!(node.get("s").id().as_deref(), Some("10001"));
        assert_eq!(node.get("e").text(), None);
        assert_eq!(node.get("z").id(), None);
        assert_eq!(
            node.get("p")
                .amount()
                .map(|a| a.as_str().to_owned())
                .as_deref(),
            Some("16.710000000000001")
        );
        assert_eq!(
            node.get("q").number().map(|n| n.to_string()).as_deref(),
            Some("2")
        );
        assert_eq!(node.get("y").flag(), Some(true));
        assert_eq!(
            node.get("t").utc().map(|t| t.to_string()).as_deref(),
            Some("2016-05-30T19:35:25Z")
        );
        assert_eq!(
            node.get("u").utc().map(|t| t.to_string()).as_deref(),
            Some("2022-12-21T13:49:24.655445Z")
        );
        assert!(!node.get("n").get("x").exists());
    }
}
