//! Confirmation of deletions, and enrichment of actions.

use bytes::Bytes;

use super::*;
use crate::delivery::{Enriched, Enrichment, JournaledDelivery, ReasonCode};
use crate::event::data::Entity;
use crate::event::{Authority, NormalizedEvent};
use crate::platforms::api::Fetched;
use crate::platforms::normalized::Normalized;
use crate::platforms::woocommerce::api::fetch;
use crate::platforms::woocommerce::entity_request::EntityRequest;
use crate::platforms::woocommerce::normalize::{entity_of, normalize};
use crate::platforms::woocommerce::resource::Resource;

fn delivery(topic: &str, body: &str) -> JournaledDelivery {
    JournaledDelivery {
        platform: "woocommerce".to_owned(),
        endpoint: ConnectionId::new("shop").expect("an id"),
        connection: ConnectionId::new("shop").expect("an id"),
        topic: topic.to_owned(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::UNIX_EPOCH,
        enriched: None,
    }
}

fn normalized(delivery: &JournaledDelivery) -> NormalizedEvent {
    let Normalized::Events {
        mut normalized_events,
        ..
    } = normalize(delivery)
    else {
        panic!("no event")
    };
    normalized_events.remove(0)
}

/// The request for what a delivery lacks, as it is stored.
fn request(topic: &str, body: &str) -> Option<String> {
    let delivery = delivery(topic, body);
    let request = EntityRequest::of(&delivery, &[normalized(&delivery)])?;
    assert_eq!(
        EntityRequest::parse(&request.to_string()).as_ref(),
        Some(&request)
    );
    Some(request.to_string())
}

/// The URL that a request leads to, and what the store's response means.
fn fetched(request: &str, result: CallResult) -> (String, Fetched) {
    let context = context("https://shop.example");
    let request = EntityRequest::parse(request).expect("a request");
    let Err(Unanswered(call)) = fetch(&request, &context, &mut Dialogue::new(&[])) else {
        panic!("no call")
    };
    let results = [result];
    let fetched = fetch(&request, &context, &mut Dialogue::new(&results)).expect("one call");
    (call.url.clone(), fetched)
}

#[test]
fn only_thin_deliveries_have_a_request() {
    assert_eq!(
        request("order.deleted", r#"{"id":18}"#).as_deref(),
        Some("order/18/deleted")
    );
    assert_eq!(
        request("customer.deleted", r#"{"id":"7"}"#).as_deref(),
        Some("customer/7/deleted")
    );
    let order = r#"{"id":18,"status":"active","line_items":[],"order_key":"x"}"#;
    assert_eq!(
        request("subscription.deleted", order).as_deref(),
        Some("subscription/18/deleted_with_body")
    );
    assert_eq!(
        request("order.deleted", r#"{"id":18,"status":"completed"}"#).as_deref(),
        Some("order/18/deleted_with_body"),
        "a replaced topic header must not make a deletion of an update"
    );
    let action = r#"{"action":"woocommerce_order_status_completed","arg":18}"#;
    assert_eq!(
        request("action.woocommerce_order_status_completed", action).as_deref(),
        Some("order/18")
    );
    for (topic, body) in [
        ("order.updated", r#"{"id":18,"status":"completed"}"#),
        ("order.updated", r#"{"id":18}"#),
        ("order.deleted", r#"{"id":"18/../../x"}"#),
        (
            "action.woocommerce_product_set_stock",
            r#"{"action":"x","arg":[]}"#,
        ),
        ("action.wc_nightly_cleanup", r#"{"action":"x","arg":5}"#),
        ("shelf.updated", r#"{"id":5}"#),
    ] {
        assert_eq!(request(topic, body), None, "{topic} {body}");
    }
}

#[test]
fn name_of_a_hook_gives_the_entity_of_its_argument() {
    for (hook, resource) in [
        ("woocommerce_order_status_completed", Some(Resource::Order)),
        ("woocommerce_payment_complete", Some(Resource::Order)),
        ("woocommerce_order_refunded", Some(Resource::Order)),
        ("woocommerce_new_product_variation", Some(Resource::Product)),
        ("woocommerce_update_product", Some(Resource::Product)),
        ("woocommerce_created_customer", Some(Resource::Customer)),
        ("woocommerce_new_coupon", Some(Resource::Coupon)),
        ("woocommerce_new_order_item", None),
        ("woocommerce_order_note_added", None),
        ("woocommerce_refund_created", None),
        ("wc_border_drawn", None),
    ] {
        assert_eq!(entity_of(hook), resource, "{hook}");
    }
}

#[test]
fn deletion_is_confirmed_by_an_entity_in_the_trash() {
    let trashed = json!({ "id": 25, "name": "Mug", "status": "trash" });
    let (url, answer) = fetched("product/25/deleted", Ok(reported(200, &trashed)));
    assert_eq!(url, "https://shop.example/wp-json/wc/v3/products/25");
    assert_eq!(
        answer,
        Fetched::Done(Enrichment::Complete(trashed.to_string().into()))
    );
    let untrue = Fetched::contradicted(ReasonCode::NotInTrash);
    assert_eq!(
        fetched(
            "product/25/deleted",
            Ok(reported(200, &json!({ "id": 25, "status": "publish" })))
        )
        .1,
        untrue
    );
    assert_eq!(
        fetched(
            "product/25/deleted",
            Ok(refusal(404, "woocommerce_rest_product_invalid_id"))
        )
        .1,
        Fetched::Done(Enrichment::NotFound)
    );
    let coupon = json!({ "id": 25, "code": "ten" });
    assert_eq!(
        fetched("coupon/25/deleted", Ok(reported(200, &coupon))).1,
        Fetched::Done(Enrichment::Complete(coupon.to_string().into()))
    );
}

#[test]
fn deletion_of_a_customer_is_confirmed_by_a_404() {
    for code in ["wc_user_invalid_id", "woocommerce_rest_invalid_id"] {
        assert!(matches!(
            fetched("customer/7/deleted", Ok(refusal(404, code))).1,
            Fetched::Done(Enrichment::Complete(_))
        ));
    }
    assert_eq!(
        fetched("customer/7/deleted", Ok(reported(200, &json!({ "id": 7 })))).1,
        Fetched::contradicted(ReasonCode::StillThere)
    );
}

#[test]
fn deletion_with_a_body_needs_more_proof() {
    let customer = refusal(404, "wc_user_invalid_id");
    assert_eq!(
        fetched("customer/7/deleted_with_body", Ok(customer)).1,
        Fetched::Done(Enrichment::NotFound)
    );
    let coupon = reported(200, &json!({ "id": 25, "code": "ten" }));
    assert_eq!(
        fetched("coupon/25/deleted_with_body", Ok(coupon)).1,
        Fetched::unavailable(ReasonCode::StatusNotShown)
    );
    let whole = delivery(
        "order.deleted",
        r#"{"id":18,"status":"completed","total":"9.00"}"#,
    );
    assert_eq!(normalized(&whole).authority, Authority::Reference);
}

#[test]
fn response_that_is_not_of_woocommerce_confirms_nothing() {
    for (result, expected) in [
        (
            Ok(page(404, "Not found")),
            Fetched::unavailable(ReasonCode::StoreRefuses),
        ),
        (
            Ok(refusal(404, "rest_no_route")),
            Fetched::unavailable(ReasonCode::StoreRefuses),
        ),
        (
            Ok(page(200, "Welcome")),
            Fetched::Retry {
                reason: ReasonCode::NoJson,
                after: None,
            },
        ),
        (
            Ok(page(503, "Maintenance")),
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None,
            },
        ),
        (
            Ok(refusal(401, "woocommerce_rest_cannot_view")),
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            Err(CallFailure::TimedOut),
            Fetched::Retry {
                reason: ReasonCode::TimedOut,
                after: None,
            },
        ),
        (
            Ok(reported(200, &json!({ "id": 26 }))),
            Fetched::unavailable(ReasonCode::AnotherEntity),
        ),
    ] {
        assert_eq!(fetched("product/25/deleted", result).1, expected);
    }
    assert_eq!(
        fetched(
            "order/18",
            Ok(refusal(404, "woocommerce_rest_shop_order_invalid_id"))
        )
        .1,
        Fetched::unavailable(ReasonCode::NotThere)
    );
}

fn enriched(topic: &str, body: &str, response: &str) -> (NormalizedEvent, NormalizedEvent) {
    let before = delivery(topic, body);
    let enriched = Enriched {
        enrichment: Enrichment::Complete(response.to_owned().into()),
        fetched_at: Timestamp::UNIX_EPOCH,
    };
    let after = JournaledDelivery {
        enriched: Some(enriched),
        ..before.clone()
    };
    (normalized(&before), normalized(&after))
}

#[test]
fn response_completes_the_event_and_keeps_its_subject() {
    for (topic, body, response) in [
        (
            "order.deleted",
            r#"{"id":18}"#,
            r#"{"id":18,"status":"trash","currency":"EUR"}"#,
        ),
        (
            "product.deleted",
            r#"{"id":18}"#,
            r#"{"id":18,"status":"trash","type":"variation","parent_id":4}"#,
        ),
        (
            "coupon.deleted",
            r#"{"id":18}"#,
            r#"{"id":18,"code":"ten"}"#,
        ),
        (
            "action.woocommerce_order_status_completed",
            r#"{"action":"x","arg":18}"#,
            r#"{"id":18,"currency":"EUR"}"#,
        ),
        (
            "action.woocommerce_update_product",
            r#"{"action":"x","arg":18}"#,
            r#"{"id":18,"name":"Mug"}"#,
        ),
    ] {
        let (before, after) = enriched(topic, body, response);
        assert_eq!(
            (before.authority, after.authority),
            (Authority::Reference, Authority::Full),
            "{topic}"
        );
        assert_eq!(
            (&before.verb, &before.id, before.time),
            (&after.verb, &after.id, after.time)
        );
        assert_eq!(before.entity.name(), after.entity.name());
        assert_ne!(before.entity, after.entity);
    }
    let (_, action) = enriched(
        "action.wc_order_x",
        r#"{"arg":18}"#,
        r#"{"id":18,"currency":"EUR"}"#,
    );
    let Entity::Action(action) = action.entity else {
        panic!("an action")
    };
    assert_eq!(
        action.order.and_then(|order| order.currency).as_deref(),
        Some("EUR")
    );
}

#[test]
fn confirmed_deletion_without_an_entity_stays_a_reference() {
    let Fetched::Done(Enrichment::Complete(gone)) =
        fetched("customer/7/deleted", Ok(refusal(404, "wc_user_invalid_id"))).1
    else {
        panic!("confirmed")
    };
    let (before, after) = enriched(
        "customer.deleted",
        r#"{"id":7}"#,
        std::str::from_utf8(&gone).expect("text"),
    );
    assert_eq!(
        (after.authority, &after.entity),
        (Authority::Reference, &before.entity)
    );
}
