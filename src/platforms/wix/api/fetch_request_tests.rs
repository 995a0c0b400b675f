//! The fetch request of each delivery that comes without details.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::delivery::ConnectionId;
use crate::platforms::normalized::Normalized;
use crate::platforms::wix::normalize::normalize;

fn word(topic: &str, payload: &str) -> Option<String> {
    let id = |name| ConnectionId::new(name).expect("the connection id should be valid");
    let delivery = JournaledDelivery {
        platform: "wix".to_owned(),
        endpoint: id("my-app"),
        connection: id("instance"),
        topic: topic.to_owned(),
        headers: Vec::new(),
        body: json!({"data": json!({"data": payload, "instanceId": "instance"}).to_string()})
            .to_string()
            .into(),
        received_at: Timestamp::UNIX_EPOCH,
        enriched: None,
    };
    match normalize(&delivery) {
        Normalized::Events {
            normalized_events, ..
        } => FetchRequest::of(&delivery, &normalized_events).map(|lacking| lacking.text()),
        other => panic!("{other:?}"),
    }
}

/// The request for a domain event about the entity `x1`.
fn domain(fqdn: &str, slug: &str, content: &str) -> Option<String> {
    let payload = format!(r#"{{"entityFqdn":"{fqdn}","slug":"{slug}","entityId":"x1",{content}}}"#);
    word(&format!("{fqdn}_{slug}"), &payload)
}

#[test]
fn events_of_one_product_share_a_request() {
    let v1 = |name: &str, payload: &str| {
        word(&format!("com.wix.ecommerce.catalog.api.v1.{name}"), payload)
    };
    let product = Some("product/p1".to_owned());
    assert_eq!(v1("ProductChanged", r#"{"productId":"p1"}"#), product);
    assert_eq!(
        v1("ProductCreated", r#"{"productId":"p1","name":"n"}"#),
        product
    );
    assert_eq!(
        v1(
            "VariantsChanged",
            r#"{"productId":"p1","variants":[{"variantId":"v1"},{"variantId":"v2"}]}"#
        ),
        product
    );
    assert_eq!(
        v1("VariantsChanged", r#"{"productId":"p1","variants":[]}"#),
        product
    );
    assert_eq!(
        v1("CollectionChanged", r#"{"collectionId":"c1"}"#).as_deref(),
        Some("collection/c1")
    );
    let stock = |name: &str| {
        word(
            &format!("com.wix.ecommerce.inventory.api.v1.{name}"),
            r#"{"inventoryItemId":"i1","variants":[]}"#,
        )
    };
    assert_eq!(
        stock("InventoryItemChanged").as_deref(),
        Some("inventory/i1")
    );
    assert_eq!(
        stock("InventoryItemChanged"),
        stock("InventoryVariantsChanged")
    );
}

#[test]
fn deleted_entity_has_no_request() {
    for (name, payload) in [
        ("ProductDeleted", r#"{"productId":"p1"}"#),
        ("CollectionDeleted", r#"{"collectionId":"c1"}"#),
    ] {
        assert_eq!(
            word(&format!("com.wix.ecommerce.catalog.api.v1.{name}"), payload),
            None
        );
    }
    for fqdn in [
        "wix.stores.catalog.v3.product",
        "wix.stores.catalog.v3.inventory_item",
        "wix.contacts.v4.contact",
        "wix.members.v1.member",
        "wix.ecom.v1.abandoned_checkout",
        "wix.categories.v1.category",
    ] {
        assert_eq!(
            domain(fqdn, "deleted", r#""deletedEvent":{}"#),
            None,
            "{fqdn}"
        );
    }
    assert_eq!(
        domain(
            "wix.ecom.v1.order",
            "imported_order_deleted",
            r#""actionEvent":{"body":{}}"#
        ),
        None
    );
}

#[test]
fn complete_events_have_no_request() {
    assert_eq!(
        domain(
            "wix.ecom.v1.order",
            "updated",
            r#""updatedEvent":{"currentEntity":{"id":"x1"}}"#
        ),
        None
    );
    let variants = r#""createdEvent":{"entity":{"id":"x1","variantsInfo":{"variants":[]}}}"#;
    assert_eq!(
        domain("wix.stores.catalog.v3.product", "created", variants),
        None
    );
    assert_eq!(
        domain(
            "wix.contacts.v4.contact",
            "created",
            r#""createdEvent":{"entity":{"id":"x1"}}"#
        ),
        None
    );
}

#[test]
fn each_entity_type_has_its_request() {
    let empty = r#""actionEvent":{"body":{}}"#;
    let payments = r#""actionEvent":{"body":{"orderTransactions":{"orderId":"x1","payments":[]}}}"#;
    for (fqdn, slug, content, expected) in [
        ("wix.ecom.v1.order", "approved", empty, "order/x1"),
        (
            "wix.ecom.v1.order_transactions",
            "updated",
            payments,
            "transactions/x1",
        ),
        (
            "wix.ecom.v1.order_transactions",
            "chargeback_approved",
            empty,
            "payments/x1",
        ),
        (
            "wix.ecom.v1.fulfillments",
            "updated",
            empty,
            "fulfillments/x1",
        ),
        (
            "wix.ecom.v1.abandoned_checkout",
            "recovered",
            empty,
            "abandoned-checkout/x1",
        ),
        (
            "wix.stores.catalog.v3.product",
            "updated",
            r#""updatedEvent":{"currentEntity":{"id":"x1"}}"#,
            "product-v3/x1",
        ),
        (
            "wix.stores.catalog.v3.inventory_item",
            "stock_status_updated",
            empty,
            "inventory-item/x1",
        ),
        ("wix.contacts.v4.contact", "updated", empty, "contact/x1"),
        ("wix.members.v1.member", "updated", empty, "member/x1"),
    ] {
        assert_eq!(domain(fqdn, slug, content).as_deref(), Some(expected));
    }
    for (topic, payload, expected) in [
        ("OrderCreated", r#"{"orderId":"o1"}"#, Some("order/o1")),
        ("OrderPaid", r#"{"order":{"id":"o1"}}"#, None),
        (
            "OrderRefunded",
            r#"{"orderId":"o1","refundId":"r"}"#,
            Some("payments/o1"),
        ),
        (
            "FulfillmentDeleted",
            r#"{"orderId":"o1"}"#,
            Some("fulfillments/o1"),
        ),
        ("CartAbandoned", r#"{"cartId":"k1"}"#, None),
        (
            "SitePropertiesUpdated",
            r#"{"metasiteId":"s1"}"#,
            Some("site/properties"),
        ),
        ("PaidPlanPurchased", r#"{"vendorProductId":"gold"}"#, None),
        ("AppInstalled", r#"{"appId":"a1"}"#, Some("installation/a1")),
        ("AppInstalled", "{}", Some("installation/unnamed")),
        ("AppRemoved", r#"{"appId":"a1"}"#, None),
        ("SomethingNew", "{}", None),
    ] {
        assert_eq!(
            word(topic, payload).as_deref(),
            expected,
            "{topic} {payload}"
        );
    }
    assert_eq!(
        domain("wix.categories.v1.category", "category_moved", empty),
        None,
        "no API call is known"
    );
}

#[test]
fn id_that_changes_the_path_is_not_requested() {
    for id in [
        "../apps/v1/instance",
        "p1?x=y",
        "p1#",
        "p 1",
        "..",
        "p%2f",
        "ä",
        &"x".repeat(101),
    ] {
        let payload = json!({"productId": id}).to_string();
        assert_eq!(
            word("com.wix.ecommerce.catalog.api.v1.ProductChanged", &payload),
            None,
            "{id}"
        );
        assert_eq!(FetchRequest::parse(&format!("product/{id}")), None, "{id}");
    }
}

#[test]
fn every_request_is_parsed_from_its_text() {
    for (kind, _) in NAMES {
        let lacking = FetchRequest {
            kind,
            id: "a-1".to_owned(),
        };
        assert_eq!(FetchRequest::parse(&lacking.text()), Some(lacking));
    }
    for bad in ["", "product", "products/p1", "product/", "product/a/b"] {
        assert_eq!(FetchRequest::parse(bad), None, "{bad}");
    }
}
