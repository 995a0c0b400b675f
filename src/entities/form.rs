//! The normalized form of an entity as text, with the few members that decide about events.
//!
//! A form is compared as text first. It is parsed as a whole only to name the members that differ.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::event::Entity;

/// The normalized form of an entity, as consumers see it under `data.{entity}`.
#[derive(Clone, Debug)]
pub(crate) struct EntityForm {
    pub(super) text: Arc<str>,
    pub(super) facts: FormFacts,
}

impl EntityForm {
    pub(crate) fn of(entity: &Entity) -> Self {
        Self::from_text(entity.to_text().into())
    }

    pub(super) fn from_text(text: Arc<str>) -> Self {
        let facts = FormFacts::of(&text);
        Self { text, facts }
    }

    /// `null` if the text is no JSON.
    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn updated_at(&self) -> Option<Timestamp> {
        self.facts.updated_at
    }

    pub(crate) fn created_at(&self) -> Option<Timestamp> {
        self.facts.created_at
    }

    /// `true` if the stored text of a form has all members of this one, with the same values.
    pub(crate) fn is_part_of(&self, stored: &str) -> bool {
        let stored: Value = serde_json::from_str(stored).unwrap_or_default();
        let Value::Object(members) = self.value() else {
            return false;
        };
        members
            .iter()
            .all(|(name, value)| stored.get(name) == Some(value))
    }

    /// `true` if the stored text of a form has the same members. An earlier version may have written them in another order.
    pub(crate) fn is_same(&self, stored: &str) -> bool {
        *self.text == *stored
            || serde_json::from_str(stored).is_ok_and(|stored: Value| stored == self.value())
    }
}

/// The members of a form that decide about events. An entity has some of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct FormFacts {
    pub(super) status: Option<String>,
    pub(super) platform_status: Option<String>,
    pub(super) payment_status: Option<String>,
    pub(super) fulfillment_status: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    pub(super) totals: Totals,
    pub(super) price: Option<Price>,
    pub(super) regular_price: Option<Price>,
    pub(super) sale_price: Option<Price>,
    /// The stock of a product. A stock item has these members itself.
    pub(super) inventory: Option<StockFacts>,
    pub(super) quantity: Option<Number>,
    pub(super) low_stock_threshold: Option<Number>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    pub(super) refunded: Option<Price>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Price {
    pub(super) amount: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct StockFacts {
    pub(super) status: Option<String>,
    pub(super) quantity: Option<Number>,
    pub(super) low_stock_threshold: Option<Number>,
}

impl FormFacts {
    /// The facts of a form; none if the text is no form.
    pub(super) fn of(form: &str) -> Self {
        serde_json::from_str(form).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn expected_events(folder: &Path, events: &mut Vec<Value>) {
        for entry in std::fs::read_dir(folder).expect("a folder of fixtures") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                expected_events(&path, events);
            } else if path.file_name().is_some_and(|name| name == "expected.json") {
                let text = std::fs::read_to_string(&path).expect("a fixture");
                let found: Value = serde_json::from_str(&text).expect("JSON");
                events.extend(found["events"].as_array().into_iter().flatten().cloned());
            }
        }
    }

    #[test]
    fn facts_of_all_entities_of_the_fixtures_are_read() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut events = Vec::new();
        expected_events(&fixtures, &mut events);
        let mut read = 0;
        for data in events.iter().filter_map(|event| event["data"].as_object()) {
            for form in data.values().filter(|form| form.is_object()) {
                let facts: FormFacts = serde_json::from_str(&form.to_string()).expect("facts");
                assert_eq!(facts.status.as_deref(), form["status"].as_str());
                read += 1;
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn forms_with_members_in_another_order_are_the_same() {
        let form = EntityForm::from_text(r#"{"id":"1","status":"open"}"#.into());
        assert!(form.is_same(r#"{"status":"open","id":"1"}"#));
        assert!(!form.is_same(r#"{"status":"closed","id":"1"}"#));
        assert!(form.is_part_of(r#"{"status":"open","id":"1","sku":"x"}"#));
        assert!(!form.is_part_of(r#"{"id":"1"}"#));
    }
}
