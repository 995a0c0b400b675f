//! Reads members of a payload and distinguishes three cases: not sent, read, unreadable.
//!
//! [`Node`]'s own methods return `None` for the first and the third case. For a single member this is enough: it is absent
//! from the event. A value that is computed from members (a sum, a status) needs the distinction: an order with an
//! unreadable refund must not appear as an order without refunds.

use std::collections::HashMap;

use jiff::Timestamp;

use super::json::Json;
use super::lenient::Node;
use super::text::decode_entities;

/// The result of reading a member of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading<T> {
    /// The member is missing, null or an empty string.
    Absent,
    /// The member's value.
    Read(T),
    /// The member was sent, but its value has an unknown meaning.
    Unreadable,
}

impl<T> Reading<T> {
    /// The value; `None` for the two other cases.
    pub(crate) fn known(self) -> Option<T> {
        match self {
            Reading::Read(value) => Some(value),
            Reading::Absent | Reading::Unreadable => None,
        }
    }

    /// Converts the value; the two other cases stay.
    pub(crate) fn map<U>(self, into: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Reading::Absent => Reading::Absent,
            Reading::Read(value) => Reading::Read(into(value)),
            Reading::Unreadable => Reading::Unreadable,
        }
    }
}

/// An object with one of these members is a single item, not a list of items by key.
const ITEM_NAMES: [&str; 12] = [
    "id", "key", "name", "code", "title", "total", "src", "slug", "label", "option", "reason",
    "value",
];

impl<'a> Node<'a> {
    /// A boolean, the digits 1 and 0 as number or text, or the words that PHP plugins use.
    pub(crate) fn truth(self) -> Reading<bool> {
        match self.value() {
            None | Some(Json::Null) => Reading::Absent,
            Some(Json::Bool(flag)) => Reading::Read(*flag),
            Some(Json::Number(digits)) => truth_of(digits),
            Some(Json::Text(text)) if text.trim().is_empty() => Reading::Absent,
            Some(Json::Text(text)) => truth_of(text.trim()),
            Some(Json::Array(_) | Json::Object(_)) => Reading::Unreadable,
        }
    }

    /// A timestamp in UTC. Zero dates and 1970 mean "never" in MySQL and PHP, so they give [`Reading::Absent`].
    pub(crate) fn moment(self) -> Reading<Timestamp> {
        match self.value() {
            None | Some(Json::Null | Json::Bool(false)) => Reading::Absent,
            Some(Json::Text(text)) if is_never(text) => Reading::Absent,
            Some(_) => match self.utc() {
                Some(instant) if instant <= Timestamp::UNIX_EPOCH => Reading::Absent,
                Some(instant) => Reading::Read(instant),
                None => Reading::Unreadable,
            },
        }
    }

    /// A text with decoded HTML entities. `None` for an empty text.
    pub(crate) fn plain(self) -> Option<String> {
        match self.value()? {
            Json::Text(text) if !text.is_empty() => Some(decode_entities(text).into_owned()),
            Json::Number(digits) => Some(digits.to_string()),
            _ => None,
        }
    }

    /// The items of a list of objects, with their keys if the list was sent as an object.
    ///
    /// PHP writes a list with gaps as an object: `{"0":{…},"2":{…}}`, or with the items' ids as keys. The order of the
    /// document is kept. An object that is a single item gives a list of one. Nulls are skipped.
    pub(crate) fn keyed_entries(self) -> Reading<Vec<(Option<&'a str>, Node<'a>)>> {
        match self.value() {
            Some(Json::Object(members)) if is_item(members) => Reading::Read(vec![(None, self)]),
            _ => self.keyed_members(),
        }
    }

    /// As [`Node::keyed_entries`], without the keys.
    pub(crate) fn entries(self) -> Reading<Vec<Node<'a>>> {
        self.keyed_entries()
            .map(|entries| entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The items of a list of texts or ids: an array, or the values of an object.
    pub(crate) fn scalars(self) -> Reading<Vec<Node<'a>>> {
        self.keyed_members()
            .map(|members| members.into_iter().map(|(_, member)| member).collect())
    }

    /// The items of an array, or all members of an object with their keys. Nulls are no items.
    pub(crate) fn keyed_members(self) -> Reading<Vec<(Option<&'a str>, Node<'a>)>> {
        match self.value() {
            None | Some(Json::Null) => Reading::Absent,
            Some(Json::Text(text)) if text.is_empty() => Reading::Absent,
            Some(Json::Array(items)) => Reading::Read(
                items
                    .iter()
                    .map(|item| (None, Node::root(item)))
                    .filter(|(_, item)| item.exists())
                    .collect(),
            ),
            Some(Json::Object(members)) => Reading::Read(last_of_each(members)),
            Some(Json::Bool(_) | Json::Number(_) | Json::Text(_)) => Reading::Unreadable,
        }
    }
}

fn truth_of(text: &str) -> Reading<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "1.0" => Reading::Read(true),
        "false" | "no" | "off" | "0" | "0.0" => Reading::Read(false),
        _ => Reading::Unreadable,
    }
}

/// `true` for an empty text and for MySQL's zero date `0000-00-00 00:00:00`, which PHP formats with the year -1.
fn is_never(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == "0" || text.starts_with("0000-00-00") || text.starts_with("-0001-")
}

/// `true` if the object has a scalar member with one of [`ITEM_NAMES`].
fn is_item(members: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> bool {
    members.iter().any(|(name, value)| {
        ITEM_NAMES.contains(&name.as_ref())
            && matches!(value, Json::Text(_) | Json::Number(_) | Json::Bool(_))
    })
}

/// The members without nulls, in the order of the document. If a name is repeated, only the last member.
fn last_of_each<'a>(
    members: &'a [(std::borrow::Cow<'a, str>, Json<'a>)],
) -> Vec<(Option<&'a str>, Node<'a>)> {
    let last: HashMap<&str, usize> = members
        .iter()
        .enumerate()
        .map(|(index, (name, _))| (name.as_ref(), index))
        .collect();
    members
        .iter()
        .enumerate()
        .filter(|(index, (name, value))| {
            last.get(name.as_ref()) == Some(index) && !matches!(value, Json::Null)
        })
        .map(|(_, (name, value))| (Some(name.as_ref()), Node::root(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::json::parse;

    #[test]
    fn booleans_arrive_as_digits_and_words() {
        let document = parse(
            r#"{"t":[true,1,1.0,"1","yes","TRUE","on"],"f":[false,0,"0","no","False"],"u":[2,-1,"maybe",[],{}],"a":[null,""," "]}"#,
        )
        .expect("a document");
        let all = |name: &str, wanted: Reading<bool>| {
            for item in Node::root(&document).get(name).items() {
                assert_eq!(item.truth(), wanted, "{:?}", item.value());
            }
        };
        all("t", Reading::Read(true));
        all("f", Reading::Read(false));
        all("u", Reading::Unreadable);
        all("a", Reading::Absent);
        assert_eq!(Node::nowhere().truth(), Reading::Absent);
    }

    #[test]
    fn a_list_arrives_as_an_array_or_under_keys() {
        let count = |text: &str| {
            let document = parse(text).expect("a document");
            Node::root(&document).entries().map(|entries| entries.len())
        };
        for (text, wanted) in [
            ("[]", Reading::Read(0)),
            ("{}", Reading::Read(0)),
            (r#"[{"id":1},null,{"id":2}]"#, Reading::Read(2)),
            (r#"{"0":{"id":1},"2":{"id":2}}"#, Reading::Read(2)),
            (r#"{"511":{"id":511},"512":null}"#, Reading::Read(1)),
            (r#"{"a":{"id":1},"b":{"id":2}}"#, Reading::Read(2)),
            (r#"{"0":{"id":1},"0":{"id":2}}"#, Reading::Read(1)),
            (r#"{"id":1,"name":"x"}"#, Reading::Read(1)),
            ("null", Reading::Absent),
            (r#""""#, Reading::Absent),
            ("7", Reading::Unreadable),
            (r#""x""#, Reading::Unreadable),
            ("true", Reading::Unreadable),
        ] {
            assert_eq!(count(text), wanted, "{text}");
        }
        let document = parse(r#"{"9":77,"2":78}"#).expect("a document");
        let ids: Vec<_> = Node::root(&document)
            .scalars()
            .known()
            .into_iter()
            .flatten()
            .filter_map(Node::id)
            .collect();
        assert_eq!(ids, ["77", "78"], "the order of the document");
    }

    #[test]
    fn a_date_that_cannot_be_read_is_not_a_date_that_was_not_sent() {
        for (text, wanted) in [
            ("null", "absent"),
            ("false", "absent"),
            (r#""""#, "absent"),
            (r#""0000-00-00 00:00:00""#, "absent"),
            (r#""-0001-11-30T00:00:00""#, "absent"),
            (r#""1970-01-01T00:00:00""#, "absent"),
            (r#""2026-05-04T10:00:30""#, "read"),
            (r#""2026-05-04T10:00:30Z""#, "read"),
            (r#""yesterday""#, "unreadable"),
            ("true", "unreadable"),
            (r#"{"date":"2026-05-04"}"#, "unreadable"),
        ] {
            let document = parse(text).expect("a document");
            let found = match Node::root(&document).moment() {
                Reading::Absent => "absent",
                Reading::Read(_) => "read",
                Reading::Unreadable => "unreadable",
            };
            assert_eq!(found, wanted, "{text}");
        }
    }
}
