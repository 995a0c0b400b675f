//! Filters of the lists of deliveries and events, and acknowledged dead letters: the real program, without a broker.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use support::eventually;
use support::process::ProcessGateway;
use support::store::{Keys, Order, SHOP};

/// Sends a signed body as `order.updated` of the shop.
pub(crate) async fn send_body(gateway: &ProcessGateway, number: u64, body: &[u8]) {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(Keys::test().shop.as_bytes()).expect("a key");
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let answer = reqwest::Client::new()
        .post(format!(
            "http://{}/webhooks/woocommerce/{SHOP}",
            gateway.public()
        ))
        .header("content-type", "application/json")
        .header("x-wc-webhook-topic", "order.updated")
        .header("x-wc-webhook-resource", "order")
        .header("x-wc-webhook-event", "updated")
        .header("x-wc-webhook-id", "7")
        .header("x-wc-webhook-delivery-id", format!("{number:032x}"))
        .header("x-wc-webhook-source", "https://shop.example/")
        .header("x-wc-webhook-signature", signature)
        .body(body.to_vec())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}

fn listed(gateway: &ProcessGateway, options: &[&str]) -> Vec<Value> {
    let list = gateway.cli_json(&[&["deliveries", "list"], options].concat());
    list["deliveries"].as_array().expect("deliveries").clone()
}

async fn doctor(gateway: &ProcessGateway) -> String {
    let output = gateway.cli(&["doctor", "--disk-reserve", "1"]);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_dead_letters_leave_lists_counts_and_the_doctor() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    for number in 0..3 {
        let body = json!({"no_id": number}).to_string();
        send_body(&gateway, number, body.as_bytes()).await;
    }
    gateway.settled().await;
    let dead = listed(&gateway, &["--state", "dead_lettered"]);
    assert_eq!(dead.len(), 3);
    let metric = || gateway.metric("cartwire_dead_letter_deliveries", "");
    assert_eq!(metric().await, 3.0);
    assert!(
        doctor(&gateway)
            .await
            .contains("3 deliveries are dead letters")
    );

    let first = dead[0]["id"].as_str().expect("an id");
    let by_api = gateway
        .admin_post(&format!("/api/deliveries/{first}/acknowledge"))
        .await;
    assert_eq!(by_api["acknowledged"], 1);
    assert_eq!(listed(&gateway, &["--state", "dead_lettered"]).len(), 2);
    let options = ["deliveries", "acknowledge", "--state", "dead_lettered"];
    let counted = gateway.cli_json(&[&options[..], &["--dry-run"]].concat());
    assert_eq!(
        (counted["chosen"].as_u64(), counted["acknowledged"].as_u64()),
        (Some(2), Some(0))
    );
    assert_eq!(gateway.cli_json(&options)["acknowledged"], 2);
    assert!(listed(&gateway, &["--state", "dead_lettered"]).is_empty());
    assert_eq!(
        listed(&gateway, &["--state", "dead_lettered", "--acknowledged"]).len(),
        3
    );
    assert_eq!(metric().await, 0.0);
    assert!(!doctor(&gateway).await.contains("dead letters"));
    // Named, it can still be redriven; it is in trouble again then.
    gateway.cli_json(&["deliveries", "redrive", first]);
    eventually("it is a dead letter again", || async {
        (listed(&gateway, &["--state", "dead_lettered"]).len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_found_by_order_number_text_and_time() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    for (delivery, (id, number, name)) in [
        (71, "A-1", "Jürgen"),
        (72, "A-12", "Zoë"),
        (73, "B-1", "Ann"),
    ]
    .into_iter()
    .enumerate()
    {
        // PHP escapes what is not ASCII.
        let escaped = name.replace('ü', "\\u00fc").replace('ë', "\\u00eb");
        let body = format!(
            r#"{{"id":{id},"number":"{number}","status":"processing","currency":"EUR","total":"1.00","line_items":[],"billing":{{"first_name":"{escaped}"}}}}"#
        );
        send_body(&gateway, delivery as u64, body.as_bytes()).await;
    }
    gateway.settled().await;
    let ids = |options: &[&str]| -> Vec<String> {
        let found = listed(&gateway, &[&["--topic", "order.updated"], options].concat());
        let id = |delivery: &Value| delivery["id"].as_str().expect("an id").to_owned();
        found.iter().map(id).collect()
    };
    let all = ids(&[]);
    assert_eq!(all.len(), 3);
    // A-1 is also a part of A-12's number.
    assert_eq!(ids(&["--order-number", "A-1"]), [all[2].clone()]);
    assert_eq!(ids(&["--order-number", "A-12"]), [all[1].clone()]);
    assert_eq!(ids(&["--text", "Jürgen"]), [all[2].clone()]);
    assert!(ids(&["--text", "jürgen"]).is_empty());
    assert_eq!(
        ids(&["--event-id", &format!("{}-0", all[0])]),
        [all[0].clone()]
    );
    assert_eq!(ids(&["--until", "2020-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(ids(&["--since", "2020-01-01T00:00:00Z"]), all);
    let redriven = gateway.cli_json(&["deliveries", "redrive", "--order-number", "A-12"]);
    assert_eq!(redriven["redriven"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_events_come_first_on_request() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    gateway.store().send_all(&Order::some(2), 0, 10).await;
    gateway.settled().await;
    let lines = |options: &[&str]| -> Vec<Value> {
        let output = gateway.cli(&[&["events", "list", "--json"], options].concat());
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    };
    let oldest = lines(&["--limit", "1000"]);
    let mut newest = lines(&["--newest", "--limit", "5"]);
    assert_eq!(newest.len(), 5);
    newest.reverse();
    assert_eq!(newest, oldest[oldest.len() - 5..]);
    let of_type = lines(&[
        "--newest",
        "--limit",
        "3",
        "--type",
        "cartwire.order.*",
        "--connection",
        SHOP,
    ]);
    assert_eq!(of_type.len(), 3);
    assert!(of_type.iter().all(|event| event["connection"] == SHOP));
    assert!(lines(&["--until", "2020-01-01T00:00:00Z"]).is_empty());
    assert_eq!(
        lines(&["--since", "2020-01-01T00:00:00Z", "--limit", "1000"]),
        oldest
    );
}
