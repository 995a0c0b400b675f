//! The shop's lists of orders, products, customers and coupons, with WooCommerce's filters and sort orders.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::options::Fault;
use super::state::State;

/// The entities of a list, filtered and sorted by the query.
pub(super) fn listed(resource: &str, state: &State, query: &str) -> Vec<Value> {
    let parameter = |name: &str| {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let mut values = pairs.filter(|(known, _)| known == name);
        values.next().map(|(_, value)| value.into_owned())
    };
    let is_trash = parameter("status").as_deref() == Some("trash");
    // WooCommerce ignores the time filters in a list of customers.
    let has_window = resource != "customers";
    let bound = |name: &str| {
        let text = parameter(name).filter(|_| has_window)?;
        format!("{text}Z").parse::<Timestamp>().ok()
    };
    let (after, before) = (bound("modified_after"), bound("modified_before"));
    let created_after = bound("after");
    let is_listed = |entity: &Value| {
        let created = time(entity, "date_created_gmt");
        let is_recent =
            created_after.is_none_or(|after| created.is_some_and(|created| created > after));
        let modified = modified_at(entity);
        let is_after = after.is_none_or(|after| modified.is_some_and(|modified| modified > after));
        let is_before =
            before.is_none_or(|before| modified.is_some_and(|modified| modified < before));
        let is_hidden =
            matches!(state.fault, Fault::HiddenInLists(id) if entity["id"].as_u64() == Some(id));
        (entity["status"] == "trash") == is_trash
            && entity["type"] != "variation"
            && is_recent
            && is_after
            && is_before
            && !is_hidden
    };
    let mut found: Vec<Value> = state
        .entities
        .iter()
        .filter(|((of, _), entity)| of == resource && is_listed(entity))
        .map(|(_, entity)| entity.clone())
        .collect();
    if parameter("orderby").as_deref() == Some("modified") {
        found.sort_by_key(modified_at);
    }
    if parameter("order").as_deref() != Some("asc") {
        found.reverse();
    }
    if parameter("_fields").as_deref() == Some("id") {
        found = found
            .iter()
            .map(|entity| json!({"id": entity["id"]}))
            .collect();
    }
    found
}

/// The variations of a product in the form of WooCommerce 6: without type, parent and the name of the product.
pub(super) fn variations_of(product: u64, state: &State) -> Vec<Value> {
    let is_of_product = |entity: &Value| {
        entity["type"] == "variation" && entity["parent_id"].as_u64() == Some(product)
    };
    let listed = |entity: &Value| {
        let mut row = entity.clone();
        let members = row.as_object_mut().expect("an object");
        for name in ["type", "parent_id", "images", "name", "categories"] {
            members.remove(name);
        }
        members.insert("image".to_owned(), Value::Null);
        row
    };
    let entities = state.entities.values();
    let of_product = entities.filter(|entity| is_of_product(entity));
    of_product.map(listed).collect()
}

fn modified_at(entity: &Value) -> Option<Timestamp> {
    time(entity, "date_modified_gmt")
}

fn time(entity: &Value, name: &str) -> Option<Timestamp> {
    let text = entity[name].as_str()?;
    format!("{text}Z").parse().ok()
}
