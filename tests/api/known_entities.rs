//! The known entities that the admin API lists and shows.

use cartwire::journal::ConnectionChange;
use serde_json::{Value, json};
use support::in_process::{APP, InProcessGateway, id, token};

use crate::entities::{order, paid, send};

#[tokio::test(flavor = "multi_thread")]
async fn known_entities_are_listed_shown_and_removed_with_their_connection() {
    let gateway = InProcessGateway::start().await;
    let webhooks = [
        ("order.created", order(10, json!({}))),
        ("order.updated", paid(20)),
        (
            "customer.created",
            json!({"id": 3, "email": "a@b.example"}).to_string(),
        ),
    ];
    send(&gateway, &webhooks).await;
    let page = gateway.get("/api/entities/order?status=open").await.json();
    assert_eq!(page["entities"].as_array().map(Vec::len), Some(1), "{page}");
    let known = &page["entities"][0];
    assert_eq!(known["data"]["payment_status"], "paid");
    assert_eq!(
        (&known["id"], &known["deleted"]),
        (&json!("7"), &json!(false))
    );
    assert_eq!(page["next"], Value::Null);
    for (query, count) in [
        ("connection=shop-a", 1),
        ("connection=other", 0),
        ("status=completed", 0),
        ("updated_since=2026-01-01T10:00:20Z", 1),
        ("updated_since=2026-01-01T10:00:21Z", 0),
        ("low_stock=true", 0),
    ] {
        let page = gateway
            .get(&format!("/api/entities/order?{query}"))
            .await
            .json();
        assert_eq!(
            page["entities"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
    let shown = gateway.get("/api/entities/order/shop-a/7").await.json();
    let history: Vec<&str> = shown["history"]
        .as_array()
        .expect("a history")
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(
        history,
        [
            "cartwire.order.status_changed",
            "cartwire.order.paid",
            "cartwire.order.updated",
            "cartwire.order.created"
        ]
    );
    for path in ["order/shop-a/8", "action/shop-a/7", "order/other/7"] {
        let answer = gateway.get(&format!("/api/entities/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    gateway.change(&ConnectionChange::Remove(id("shop-a")));
    let page = gateway.get("/api/entities/customer").await.json();
    assert_eq!(page["entities"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn contact_and_member_with_one_id_are_compared_apart() {
    let gateway = InProcessGateway::start().await;
    let installed = token("AppInstalled", r#"{"appId":"a"}"#, "site-1");
    let answer = gateway.post(APP, &installed).await;
    gateway.settled(&answer.delivery()).await;
    let event = |fqdn: &str, sequence: u64, entity: Value| {
        let payload = json!({
            "id": format!("{fqdn}-{sequence}"), "entityFqdn": fqdn, "slug": "updated", "entityId": "c-1",
            "entityEventSequence": sequence.to_string(), "eventTime": "2026-01-01T10:00:00Z",
            "updatedEvent": {"currentEntityAsJson": entity.to_string()},
        });
        token(&format!("{fqdn}_updated"), &payload.to_string(), "site-1")
    };
    let (contact, member) = ("wix.contacts.v4.contact", "wix.members.v1.member");
    let named = |first: &str| json!({"id": "c-1", "info": {"name": {"first": first}}});
    let email = |address: &str| json!({"id": "c-1", "loginEmail": address});
    let mut states = Vec::new();
    for request in [
        event(contact, 40, named("Ada")),
        event(member, 1, email("a@b.example")),
        event(contact, 41, named("Ada L.")),
        event(member, 2, email("c@d.example")),
        event(member, 3, email("c@d.example")),
    ] {
        let answer = gateway.post(APP, &request).await;
        let settled = gateway.settled(&answer.delivery()).await;
        states.push(settled["delivery"]["state"].clone());
    }
    assert_eq!(states, ["logged", "logged", "logged", "logged", "ignored"]);
    let events = gateway.events("subject=customer/c-1", 4).await;
    assert_eq!(events[2]["data"]["changed"], json!(["/first_name"]));
    assert_eq!(events[3]["data"]["changed"], json!(["/email"]));
    let of = |entity: &str| format!("/api/entities/{entity}/site-1/c-1");
    let member = gateway.get(&of("member")).await.json();
    assert_eq!(member["data"]["email"], "c@d.example");
    let contact = gateway.get(&of("customer")).await.json();
    assert_eq!(contact["data"]["first_name"], "Ada L.");
    assert_eq!(contact["history"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn variation_that_is_deleted_as_a_product_is_a_deleted_variant() {
    let gateway = InProcessGateway::start().await;
    let variation =
        json!({"id": 12, "parent_id": 5, "type": "variation", "name": "Mug, red", "price": "4.00"});
    let webhooks = [
        ("product.updated", variation.to_string()),
        ("product.deleted", json!({"id": 12}).to_string()),
    ];
    send(&gateway, &webhooks).await;
    let known = gateway.get("/api/entities/variant/shop-a/12").await.json();
    assert_eq!(known["deleted"], true, "{known}");
    let product = gateway.get("/api/entities/product/shop-a/12").await;
    assert_eq!(product.status, 404);
}
