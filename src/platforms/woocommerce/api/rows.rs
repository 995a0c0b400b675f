//! The rows of a list of WooCommerce's REST API.

use serde_json::value::RawValue;

use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// The rows of a page: an array, or an object whose members are rows, as PHP writes a list with gaps.
pub(super) fn rows(text: &str) -> Option<Vec<&RawValue>> {
    if let Ok(rows) = serde_json::from_str(text) {
        return Some(rows);
    }
    let members: Vec<(String, &RawValue)> = serde_json::from_str::<RowsByKey<'_>>(text).ok()?.0;
    let is_list = members.iter().all(|(_, row)| row.get().starts_with('{'));
    is_list.then(|| members.into_iter().map(|(_, row)| row).collect())
}

/// The members of an object in their order.
struct RowsByKey<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for RowsByKey<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = RowsByKey<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M>(self, mut map: M) -> Result<Self::Value, M::Error>
            where
                M: serde::de::MapAccess<'de>,
            {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RowsByKey(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The second in which a row was changed.
pub(super) fn modified_at(row: &str) -> Option<i64> {
    let document = parse(row)?;
    let time = Node::root(&document).get("date_modified_gmt").utc()?;
    Some(time.as_second())
}

pub(super) fn id(row: &str) -> Option<u64> {
    let document = parse(row)?;
    Node::root(&document).get("id").id()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_an_array_or_the_members_of_an_object() {
        let texts =
            |text| rows(text).map(|rows| rows.iter().map(|row| row.get()).collect::<Vec<_>>());
        assert_eq!(texts(r#"[{"id":1},7]"#), Some(vec![r#"{"id":1}"#, "7"]));
        assert_eq!(
            texts(r#"{"0":{"id":1},"2":{"id":2}}"#),
            Some(vec![r#"{"id":1}"#, r#"{"id":2}"#])
        );
        for other in [
            r#"{"code":"x","message":"y"}"#,
            "<html>",
            "7",
            r#"[{"id":1}"#,
        ] {
            assert_eq!(texts(other), None, "{other}");
        }
    }

    #[test]
    fn id_is_a_number_or_a_text_of_digits() {
        assert_eq!(id(r#"{"id":7}"#), Some(7));
        assert_eq!(id(r#"{"id":"7"}"#), Some(7));
        assert_eq!(id(r#"{"id":"x"}"#), None);
        assert_eq!(id("7"), None);
    }
}
