//! Enrichment of events with the response of the platform's API, and the members of events that enrichment never changes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::delivery::{ConnectionId, Enriched, Enrichment, JournaledDelivery};
use crate::platforms::normalized::Normalized;
use crate::platforms::wix::normalize::normalize;

const V1: &str = "com.wix.ecommerce.catalog.api.v1.";
const STOCK: &str = "com.wix.ecommerce.inventory.api.v1.";

fn delivery(topic: &str, payload: &Value, reported: Option<&Value>) -> JournaledDelivery {
    let id = |name| ConnectionId::new(name).expect("the connection id should be valid");
    let envelope = json!({"data": payload.to_string(), "instanceId": "instance"}).to_string();
    JournaledDelivery {
        platform: "wix".to_owned(),
        endpoint: id("my-app"),
        connection: id("instance"),
        topic: topic.to_owned(),
        headers: Vec::new(),
        body: json!({"data": envelope, "iat": 1_640_788_554})
            .to_string()
            .into(),
        received_at: Timestamp::UNIX_EPOCH,
        enriched: reported.map(|reported| Enriched {
            enrichment: Enrichment::Complete(reported.to_string().into()),
            fetched_at: Timestamp::UNIX_EPOCH,
        }),
    }
}

fn normalized(delivery: &JournaledDelivery) -> (Vec<NormalizedEvent>, Option<ConnectionSignal>) {
    match normalize(delivery) {
        Normalized::Events {
            normalized_events,
            signal,
            ..
        } => (normalized_events, signal),
        other => panic!("{other:?}"),
    }
}

/// The entities of an enriched delivery as JSON, each with its authority. Asserts that verb, id, entity type, time and
/// changed paths are the same as without enrichment, and that complete events need no further request.
fn completed(topic: &str, payload: &Value, reported: &Value) -> Vec<(Authority, Value)> {
    let (thin, _) = normalized(&delivery(topic, payload, None));
    let whole_delivery = delivery(topic, payload, Some(reported));
    let (whole, _) = normalized(&whole_delivery);
    let rest = |normalized_events: &[NormalizedEvent]| -> Vec<_> {
        normalized_events
            .iter()
            .map(|d| {
                (
                    d.verb.clone(),
                    d.id.clone(),
                    d.entity.name(),
                    d.time,
                    d.changed.clone(),
                )
            })
            .collect()
    };
    assert_eq!(rest(&thin), rest(&whole));
    let all_full = whole
        .iter()
        .all(|normalized| normalized.authority == Authority::Full);
    assert!(
        !all_full || FetchRequest::of(&whole_delivery, &whole).is_none(),
        "{topic}"
    );
    whole
        .into_iter()
        .map(|normalized| {
            let name = normalized.entity.name();
            (
                normalized.authority,
                serde_json::to_value(&normalized.entity).expect("the value should be serializable")
                    [name]
                    .clone(),
            )
        })
        .collect()
}

fn one(topic: &str, payload: &Value, reported: &Value) -> Value {
    let mut all = completed(topic, payload, reported);
    assert_eq!(all.len(), 1);
    let (authority, entity) = all.remove(0);
    assert_eq!(authority, Authority::Full);
    entity
}

fn product() -> Value {
    json!({"product": {
        "id": "p1", "name": "Assam", "slug": "assam", "visible": true, "productType": "physical", "description": "<p>Tee</p>",
        "sku": "", "weight": 0.1, "stock": {"trackInventory": true, "quantity": 14, "inStock": true, "inventoryStatus": "PARTIALLY_OUT_OF_STOCK"},
        "price": {"currency": "EUR", "price": 9.5, "discountedPrice": 8.55},
        "media": {"mainMedia": {"id": "a1", "image": {"url": "https://static.example/a1.jpg"}, "title": "Dose"}, "items": []},
        "manageVariants": true,
        "productOptions": [
            {"name": "Gewicht", "choices": [{"value": "100 g", "description": "100 g"}, {"value": "250 g", "description": "250 g"}]},
            {"name": "Farbe", "choices": [{"value": "#ff0000", "description": "Rot"}]},
        ],
        "productPageUrl": {"base": "https://www.hafen.example/", "path": "/product-page/assam"},
        "collectionIds": ["c1", "c2"],
        "variants": [
            {"id": "v1", "choices": {"Gewicht": "100 g"}, "variant": {"priceData": {"currency": "EUR", "price": 9.5, "discountedPrice": 8.55},
                "weight": 0.1, "sku": "AS-100", "visible": true}, "stock": {"trackQuantity": true, "quantity": 14, "inStock": true}},
            {"id": "v2", "choices": {"Gewicht": "250 g"}, "variant": {"priceData": {"price": 21, "discountedPrice": 21},
                "weight": 0.25, "sku": "AS-250", "visible": false}, "stock": {"trackQuantity": true, "quantity": 0, "inStock": false}},
        ],
        "createdDate": "2025-10-01T08:00:00.287Z", "lastUpdated": "2026-03-14T09:26:08.683Z",
    }})
}

#[test]
fn refund_missing_in_the_response_is_added_from_the_event() {
    let topic = "wix.ecom.v1.order_transactions_refund_completed";
    let refund = |id: &str| {
        let amount = json!({"amount": "10"});
        json!({"id": id, "transactions": [{"amount": amount, "refundStatus": "SUCCEEDED"}]})
    };
    let payload = json!({
        "entityFqdn": "wix.ecom.v1.order_transactions", "slug": "refund_completed", "entityId": "o-1",
        "actionEvent": {"body": {"orderId": "o-1", "refund": refund("new")}},
    });
    let stored = json!({
        "order": {"currency": "EUR"},
        "orderTransactions": {"orderId": "o-1", "payments": [], "refunds": [refund("old")]},
    });
    let entities = completed(topic, &payload, &stored);
    let refunds = entities[0].1["refunds"]
        .as_array()
        .expect("the entity should have refunds");
    let ids: Vec<_> = refunds.iter().map(|refund| &refund["id"]).collect();
    assert_eq!(ids, ["old", "new"]);
    assert_eq!(refunds[1]["amount"]["currency"], "EUR");
}

#[test]
fn changed_product_is_enriched_to_a_complete_one() {
    let payload = json!({"productId": "p1", "changedFields": ["priceData"]});
    let eur = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let expected = json!({
        "id": "p1", "kind": "variable", "name": "Assam", "slug": "assam", "visible": true,
        "price": eur("8.55"), "regular_price": eur("9.5"), "sale_price": eur("8.55"), "currency": "EUR",
        "description": "<p>Tee</p>", "images": [{"id": "a1", "url": "https://static.example/a1.jpg", "alt": "Dose"}],
        "categories": [{"id": "c1"}, {"id": "c2"}],
        "options": [{"name": "Gewicht", "values": ["100 g", "250 g"]}, {"name": "Farbe", "values": ["Rot"]}],
        "variants": [
            {"id": "v1", "sku": "AS-100", "options": [{"name": "Gewicht", "value": "100 g"}], "visible": true,
                "price": eur("8.55"), "regular_price": eur("9.5"), "status": "in_stock", "weight": "0.1"},
            {"id": "v2", "sku": "AS-250", "options": [{"name": "Gewicht", "value": "250 g"}], "visible": false,
                "price": eur("21"), "regular_price": eur("21"), "status": "out_of_stock", "weight": "0.25"},
        ],
        "inventory": {"managed": true, "quantity": 14, "status": "partially_in_stock"},
        "weight": "0.1", "url": "https://www.hafen.example/product-page/assam",
        "created_at": "2025-10-01T08:00:00.287Z", "updated_at": "2026-03-14T09:26:08.683Z",
    });
    assert_eq!(
        one(&format!("{V1}ProductChanged"), &payload, &product()),
        expected
    );
    let created =
        json!({"productId": "p1", "name": "Ass", "priceData": {"currency": "EUR", "price": 9}});
    assert_eq!(
        one(&format!("{V1}ProductCreated"), &created, &product()),
        expected
    );
}

#[test]
fn changed_variants_are_enriched_from_their_product() {
    let payload = json!({"productId": "p1", "variants": [
        {"variantId": "v2", "choices": {"Gewicht": "250 g"}, "changedFields": ["price"]}, {"variantId": "gone"},
    ]});
    let all = completed(&format!("{V1}VariantsChanged"), &payload, &product());
    let eur = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    assert_eq!(all[0].0, Authority::Full);
    let expected = json!({
        "id": "v2", "parent_id": "p1", "kind": "variation", "sku": "AS-250", "visible": false, "currency": "EUR",
        "price": eur("21"), "regular_price": eur("21"), "options": [{"name": "Gewicht", "values": ["250 g"]}],
        "inventory": {"managed": true, "quantity": 0, "status": "out_of_stock"}, "weight": "0.25",
    });
    assert_eq!(all[0].1, expected);
    assert_eq!(
        all[1],
        (
            Authority::Reference,
            json!({"id": "gone", "parent_id": "p1", "kind": "variation"})
        )
    );
}

#[test]
fn changed_collection_is_enriched_to_a_complete_one() {
    let reported = json!({"collection": {"id": "c1", "name": "Tee", "slug": "tee", "visible": true, "description": "x", "numberOfProducts": 5}});
    let expected = json!({"id": "c1", "name": "Tee", "slug": "tee", "visible": true, "description": "x", "item_count": 5});
    assert_eq!(
        one(
            &format!("{V1}CollectionChanged"),
            &json!({"collectionId": "c1"}),
            &reported
        ),
        expected
    );
}

#[test]
fn stock_gets_quantities_and_retains_previous_quantities() {
    let reported = json!({"inventoryItem": {"id": "i1", "productId": "p1", "trackQuantity": true, "lastUpdated": "2026-03-14T09:26:55Z",
        "variants": [{"variantId": "v1", "inStock": true, "quantity": 3}, {"variantId": "v2", "inStock": false, "quantity": 0, "availableForPreorder": true}]}});
    let changed = json!({"inventoryItemId": "i1", "productId": "p1", "trackInventory": true});
    let whole = one(&format!("{STOCK}InventoryItemChanged"), &changed, &reported);
    let v2 = json!({"id": "v2", "quantity": 0, "status": "backorder"});
    assert_eq!(
        whole,
        json!({"id": "i1", "product_id": "p1", "managed": true, "updated_at": "2026-03-14T09:26:55Z",
            "variants": [{"id": "v1", "quantity": 3, "status": "in_stock"}, v2]})
    );
    let changed = json!({"inventoryItemId": "i1", "productId": "p1", "variants": [
        {"id": "v1", "oldValue": {"inStock": true, "quantity": 5}, "newValue": {"inStock": true, "quantity": 4}}]});
    let whole = one(
        &format!("{STOCK}InventoryVariantsChanged"),
        &changed,
        &reported,
    );
    let v1 = json!({"id": "v1", "quantity": 3, "previous_quantity": 5, "status": "in_stock", "previous_status": "in_stock"});
    assert_eq!(whole["variants"], json!([v1, v2]));
    let zeros = "00000000-0000-0000-0000-000000000000";
    let reported = json!({"inventoryItem": {"id": "i1", "trackQuantity": false, "variants": [{"variantId": zeros, "inStock": true, "quantity": 2}]}});
    let whole = one(
        &format!("{STOCK}InventoryItemChanged"),
        &json!({"inventoryItemId": "i1"}),
        &reported,
    );
    assert_eq!(
        (&whole["quantity"], &whole["status"], &whole["managed"]),
        (&json!(2), &json!("in_stock"), &json!(false))
    );
}

fn domain(fqdn: &str, slug: &str, id: &str, wrapper: &str, content: &Value) -> (String, Value) {
    let payload = json!({"id": "e1", "entityFqdn": fqdn, "slug": slug, "entityId": id, wrapper: content, "eventTime": "2026-03-14T09:26:53Z"});
    (format!("{fqdn}_{slug}"), payload)
}

#[test]
fn payments_get_the_currency_of_their_order() {
    let all = json!({"orderTransactions": {"orderId": "o1",
        "payments": [{"id": "y1", "amount": {"amount": "59.25"}, "regularPaymentDetails": {"status": "APPROVED"}}],
        "refunds": [{"id": "r1", "summary": {"refunded": {"amount": "9.25"}}}]}});
    let (topic, payload) = domain(
        "wix.ecom.v1.order_transactions",
        "updated",
        "o1",
        "actionEvent",
        &json!({"body": all}),
    );
    let eur = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let expected = json!({"id": "o1", "order_id": "o1", "currency": "EUR",
        "payments": [{"id": "y1", "amount": eur("59.25"), "status": "APPROVED"}], "refunds": [{"id": "r1", "amount": eur("9.25")}]});
    assert_eq!(
        one(
            &topic,
            &payload,
            &json!({"order": {"id": "o1", "currency": "EUR"}})
        ),
        expected
    );

    let body = json!({"body": {"orderId": "o1", "refund": {"id": "r1", "summary": {"refunded": {"amount": "9.25"}}}}});
    let (topic, payload) = domain(
        "wix.ecom.v1.order_transactions",
        "refund_completed",
        "o1",
        "actionEvent",
        &body,
    );
    let mut reported = all.clone();
    reported["order"] = json!({"id": "o1", "currency": "EUR"});
    assert_eq!(one(&topic, &payload, &reported), expected);
    let all = completed(&topic, &payload, &json!({"order": {"id": "o1"}}));
    assert_eq!(
        all[0].0,
        Authority::Partial,
        "a response without a currency completes no payment"
    );
}

#[test]
fn products_and_stock_of_catalog_v3_are_enriched() {
    let entity = json!({"currentEntity": {"id": "p3", "name": "Earl Grey"}});
    let (topic, payload) = domain(
        "wix.stores.catalog.v3.product",
        "updated",
        "p3",
        "updatedEvent",
        &entity,
    );
    let variant = json!({"id": "v", "sku": "EG", "price": {"actualPrice": {"amount": "7.20"}}});
    let reported = json!({"product": {"id": "p3", "name": "Earl Grey", "currency": "EUR", "variantsInfo": {"variants": [variant]}}});
    let whole = one(&topic, &payload, &reported);
    assert_eq!(
        (&whole["sku"], &whole["variants"][0]["price"]),
        (&json!("EG"), &json!({"amount": "7.20", "currency": "EUR"}))
    );
    let without = json!({"product": {"id": "p3", "name": "Earl Grey"}});
    assert_eq!(
        completed(&topic, &payload, &without)[0].0,
        Authority::Partial,
        "a product without variants is incomplete"
    );

    let body = json!({"body": {"inStock": false}});
    let (topic, payload) = domain(
        "wix.stores.catalog.v3.inventory_item",
        "stock_status_updated",
        "i3",
        "actionEvent",
        &body,
    );
    let reported = json!({"inventoryItem": {"id": "i3", "productId": "p3", "trackQuantity": true, "quantity": 0, "availabilityStatus": "OUT_OF_STOCK"}});
    let expected = json!({"id": "i3", "product_id": "p3", "managed": true, "quantity": 0, "status": "out_of_stock"});
    assert_eq!(one(&topic, &payload, &reported), expected);
}

#[test]
fn orders_customers_checkouts_and_sites_are_enriched() {
    let order = json!({"order": {"id": "o1", "number": "10133", "currency": "EUR", "status": "APPROVED", "paymentStatus": "PAID"}});
    let expected = json!({"id": "o1", "number": "10133", "currency": "EUR", "status": "open", "payment_status": "paid", "platform_status": "APPROVED"});
    assert_eq!(
        one(
            "OrderCreated",
            &json!({"orderId": "o1", "number": "1"}),
            &order
        ),
        expected
    );
    let (topic, payload) = domain(
        "wix.ecom.v1.order",
        "approved",
        "o1",
        "actionEvent",
        &json!({"body": {}}),
    );
    assert_eq!(one(&topic, &payload, &order), expected);

    let (topic, payload) = domain(
        "wix.contacts.v4.contact",
        "updated",
        "k1",
        "updatedEvent",
        &json!({}),
    );
    let reported = json!({"contact": {"id": "k1", "primaryInfo": {"email": "kai@kunde.example"}}});
    assert_eq!(
        one(&topic, &payload, &reported),
        json!({"id": "k1", "kind": "contact", "email": "kai@kunde.example"})
    );
    let (topic, payload) = domain(
        "wix.members.v1.member",
        "updated",
        "m1",
        "updatedEvent",
        &json!({}),
    );
    let reported = json!({"member": {"id": "m1", "loginEmail": "kai@kunde.example"}});
    assert_eq!(
        one(&topic, &payload, &reported),
        json!({"id": "m1", "kind": "member", "email": "kai@kunde.example"})
    );

    let (topic, payload) = domain(
        "wix.ecom.v1.abandoned_checkout",
        "recovered",
        "a1",
        "actionEvent",
        &json!({"body": {}}),
    );
    let reported = json!({"abandonedCheckout": {"id": "a1", "currency": "EUR", "totalPrice": {"amount": "5"}}});
    let expected =
        json!({"id": "a1", "currency": "EUR", "total": {"amount": "5", "currency": "EUR"}});
    assert_eq!(one(&topic, &payload, &reported), expected);

    let payload = json!({"metasiteId": "s1", "event": {"fields": ["language"], "properties": {"language": "de"}}});
    let reported = json!({"properties": {"language": "de", "paymentCurrency": "EUR", "siteDisplayName": "Hafenladen"}});
    let expected = json!({"id": "s1", "name": "Hafenladen", "language": "de", "currency": "EUR"});
    assert_eq!(one("SitePropertiesUpdated", &payload, &reported), expected);

    let reported = json!({"orderWithFulfillments": {"orderId": "o1", "fulfillments": [{"id": "f1"}, {"id": "f2"}]}});
    let expected = json!({"id": "o1", "order_id": "o1", "parcels": [{"id": "f1"}, {"id": "f2"}]});
    assert_eq!(
        one(
            "FulfillmentCreated",
            &json!({"orderId": "o1", "fulfillmentId": "f2"}),
            &reported
        ),
        expected
    );
}

#[test]
fn installation_is_enriched_with_the_facts_about_its_site() {
    let payload = json!({"appId": "app-1", "originInstanceId": "old"});
    let reported = json!({
        "instance": {"instanceId": "instance", "isFree": false, "billing": {"packageName": "gold", "billingCycle": "MONTHLY"}, "permissions": ["A", "B"]},
        "site": {"siteDisplayName": "Hafenladen", "url": "https://www.hafen.example", "paymentCurrency": "EUR"},
        "catalogVersion": "V3_CATALOG",
    });
    let all = completed("AppInstalled", &payload, &reported);
    let plan = json!({"product_id": "gold", "cycle": "MONTHLY"});
    let app =
        json!({"id": "instance", "app_id": "app-1", "origin_instance_id": "old", "plan": plan});
    assert_eq!(all[0], (Authority::Full, app));
    let settings = json!({
        "app_id": "app-1", "origin_instance_id": "old", "site_name": "Hafenladen", "site_url": "https://www.hafen.example",
        "currency": "EUR", "plan": "gold", "permissions": "A B", "catalog_version": "V3_CATALOG",
    });
    assert_eq!(all[1].1["settings"], settings);
    let (_, signal) = normalized(&delivery("AppInstalled", &payload, Some(&reported)));
    let Some(ConnectionSignal::Installed {
        settings: known, ..
    }) = signal
    else {
        panic!("{signal:?}")
    };
    assert_eq!(
        serde_json::to_value(known).expect("the value should be serializable"),
        settings
    );
}

#[test]
fn invalid_response_changes_nothing() {
    let topic = format!("{V1}ProductChanged");
    let payload = json!({"productId": "p1"});
    for reported in [
        json!({}),
        json!({"product": 7}),
        json!("text"),
        json!({"collection": {"id": "p1"}}),
    ] {
        let all = completed(&topic, &payload, &reported);
        assert_eq!(
            all,
            [(Authority::Reference, json!({"id": "p1"}))],
            "{reported}"
        );
    }
    let deleted = completed(&format!("{V1}ProductDeleted"), &payload, &product());
    assert_eq!(deleted[0].0, Authority::Reference);
}

/// A complete product of catalog V3 with prices without a currency.
fn priced(currency: Option<&str>) -> Value {
    json!({
        "id": "e1", "entityFqdn": "wix.stores.catalog.v3.product", "slug": "updated", "entityId": "p1",
        "updatedEvent": {"currentEntity": {
            "id": "p1", "currency": currency, "productType": "PHYSICAL",
            "actualPriceRange": {"minValue": {"amount": "12.50"}, "maxValue": {"amount": "12.50"}},
            "variantsInfo": {"variants": [{"id": "v1", "price": {"actualPrice": {"amount": "12.50"}}}]},
        }},
    })
}

#[test]
fn prices_of_catalog_v3_get_the_currency_of_the_site() {
    const TOPIC: &str = "wix.stores.catalog.v3.product_updated";
    let reported = json!({"properties": {"paymentCurrency": "SEK"}});
    let entity = one(TOPIC, &priced(None), &reported);
    assert_eq!(entity["currency"], "SEK");
    assert_eq!(
        entity["price"],
        json!({"amount": "12.50", "currency": "SEK"})
    );
    assert_eq!(entity["variants"][0]["price"]["currency"], "SEK");
    let word = |payload: &Value| {
        let delivery = delivery(TOPIC, payload, None);
        let (normalized_events, _) = normalized(&delivery);
        assert_eq!(normalized_events[0].authority, Authority::Full);
        FetchRequest::of(&delivery, &normalized_events).map(|request| request.text())
    };
    assert_eq!(word(&priced(None)).as_deref(), Some("site-currency/site"));
    assert_eq!(word(&priced(Some("EUR"))), None, "its currency is known");
}
