//! Generators of JSON and of members that platforms send.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use crate::properties::CASES;

/// Random JSON, with the members that the platforms look for among its names.
pub(crate) fn json(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "-?[0-9]{1,40}(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,4})?".prop_map(number),
        ".{0,24}".prop_map(Value::from),
        "-?[0-9]{1,12}\\.[0-9]{0,8}".prop_map(Value::from),
        "20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z?".prop_map(Value::from),
        Just(Value::from("2026-02-30T25:61:61")),
        json_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(member(), inner, 0..12)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(crate) fn number(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::from(text))
}

/// A layer within a string.
fn json_text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"id":"1","entityFqdn":"wix.ecom.v1.order"}"#.to_owned()),
        Just("[".to_owned())
    ]
}

pub(crate) fn member() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "id",
        "number",
        "status",
        "currency",
        "total",
        "line_items",
        "lineItems",
        "billing",
        "shipping",
        "customer_id",
        "date_created",
        "date_created_gmt",
        "date_modified_gmt",
        "date_paid_gmt",
        "meta_data",
        "parent_id",
        "type",
        "variations",
        "images",
        "code",
        "message",
        "data",
        "amount",
        "order",
        "product",
        "customer",
        "coupon",
        "errors",
        "action",
        "arg",
        "refunds",
        "coupon_lines",
        "fee_lines",
        "shipping_lines",
        "tax_lines",
        "quantity",
        "price",
        "sku",
        "name",
        "stock_quantity",
        "manage_stock",
        "attributes",
        "instanceId",
        "eventType",
        "entityFqdn",
        "slug",
        "entityId",
        "eventTime",
        "createdEvent",
        "updatedEvent",
        "deletedEvent",
        "actionEvent",
        "entity",
        "currentEntity",
        "entityAsJson",
        "body",
        "bodyAsJson",
        "modifiedFields",
        "priceSummary",
        "buyerInfo",
        "appId",
        "originInstanceId",
        "productId",
        "variants",
        "variantId",
        "orderId",
        "payments",
        "fulfillments",
        "iat",
        "exp",
        "operationTimeStamp",
        "expiresOn",
        "fields",
        "paths",
        "properties",
        "event",
        "contact",
        "member",
        "billingInfo",
        "options",
    ];
    prop_oneof![8 => prop::sample::select(KNOWN).prop_map(str::to_owned), 1 => ".{0,8}"]
}

pub(crate) fn topic() -> impl Strategy<Value = String> {
    let known: Vec<String> = CASES
        .iter()
        .map(|(_, topic, _)| topic.clone())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    prop_oneof![6 => prop::sample::select(known), 1 => ".{0,40}"]
}
