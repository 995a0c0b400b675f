//! The admin listener: deliveries, connections, metrics, and invalid requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use support::eventually;
use support::http::Request;
use support::in_process::{InProcessGateway, SHOP};

/// A gateway with orders 1 to 5 in its event log, and the events of its three connections.
pub(crate) async fn with_orders() -> InProcessGateway {
    let gateway = InProcessGateway::start().await;
    for n in 1..=5 {
        let topic = if n == 1 {
            "order.created"
        } else {
            "order.updated"
        };
        let id = gateway
            .order(
                topic,
                &format!(r#"{{"id":{n},"total":"{n}.50","currency":"EUR"}}"#),
                n,
            )
            .await;
        gateway.settled(&id).await;
    }
    gateway.events("", 8).await;
    gateway
}

pub(crate) fn ids(page: &Value) -> Vec<String> {
    page["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_newest_first_without_bodies_and_shown_with_them() {
    let gateway = with_orders().await;
    let first = gateway
        .get("/api/deliveries?connection=shop-a&state=logged&topic=order.updated&limit=3")
        .await;
    assert!(!first.text().contains("total"), "lists show no body");
    let first = first.json();
    let before = first["next"].as_str().expect("a cursor");
    let rest = gateway
        .get(&format!("/api/deliveries?connection=shop-a&state=logged&topic=order.updated&limit=3&before={before}"))
        .await
        .json();
    assert_eq!(rest["next"], Value::Null);
    let pages = [
        first["deliveries"].as_array().expect("a list").clone(),
        rest["deliveries"].as_array().expect("a list").clone(),
    ];
    let all = pages.concat();
    let positions: Vec<i64> = all
        .iter()
        .filter_map(|delivery| delivery["position"].as_i64())
        .collect();
    assert_eq!(positions.len(), 4);
    assert!(positions.is_sorted_by(|a, b| a > b), "{positions:?}");

    let shown = gateway
        .get(&format!(
            "/api/deliveries/{}",
            all[0]["id"].as_str().expect("an id")
        ))
        .await
        .json();
    assert_eq!(shown["delivery"], all[0]);
    assert_eq!(shown["body"], r#"{"id":5,"total":"5.50","currency":"EUR"}"#);
    assert_eq!(shown["events"][0]["subject"], "order/5");
    for (query, count) in [
        ("topic=order.created", 1),
        ("platform=woocommerce", 6),
        ("platform=wix", 2),
        ("state=pending,dead_lettered", 0),
        ("since=2020-01-01T00:00:00Z", 8),
        ("until=2020-01-01T00:00:00Z", 0),
        ("reason=no_queue_bound", 0),
    ] {
        let found = gateway
            .get(&format!("/api/deliveries?{query}"))
            .await
            .json();
        assert_eq!(
            found["deliveries"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redriven_delivery_is_published_again_with_the_same_event_id() {
    let gateway = with_orders().await;
    let before = gateway.events("subject=order/2", 1).await;
    let whole = gateway.get("/api/events").await.json();
    let cursor = whole["next"].as_str().expect("a cursor").to_owned();
    let delivery = before[0]["id"]
        .as_str()
        .and_then(|id| id.split_once('-'))
        .expect("an id")
        .0
        .to_owned();
    let redrive = gateway.admin_request("POST", &format!("/api/deliveries/{delivery}/redrive"));
    assert_eq!(
        redrive.send(gateway.admin).await.json(),
        json!({"redriven": 1})
    );
    let again = gateway.events(&format!("after={cursor}"), 1).await;
    assert_eq!(
        (&again[0]["id"], &again[0]["sequence"]),
        (&before[0]["id"], &before[0]["sequence"])
    );
    assert_eq!(
        (&again[0]["origin"], &before[0]["origin"]),
        (&json!("redrive"), &json!("webhook"))
    );
    assert_eq!(again[0]["data"], before[0]["data"]);
    assert_eq!(
        gateway.events("subject=order/2", 1).await.len(),
        1,
        "it moved to the end of the log"
    );
    assert_eq!(
        gateway.settled(&delivery).await["delivery"]["redriven"],
        true
    );
    for unknown in [&"0".repeat(32), "nonsense"] {
        let redrive = gateway.admin_request("POST", &format!("/api/deliveries/{unknown}/redrive"));
        assert_eq!(redrive.send(gateway.admin).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_resources_are_404() {
    let gateway = InProcessGateway::start().await;
    let (event, delivery) = (format!("{}-0", "0".repeat(32)), "0".repeat(32));
    for path in [
        format!("/api/events/{event}"),
        "/api/events/x".to_owned(),
        format!("/api/deliveries/{delivery}"),
        "/api/deliveries/x".to_owned(),
        "/api/connections/unknown".to_owned(),
        "/api/connections/..".to_owned(),
        "/api/nothing".to_owned(),
        "/webhooks/woocommerce/shop-a".to_owned(),
    ] {
        let answer = gateway.get(&path).await;
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"error": "not_found"})),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_parameter_is_400_with_its_name_and_the_valid_values() {
    let gateway = InProcessGateway::start().await;
    for (path, parameter) in [
        ("/api/events?after=x", "after"),
        ("/api/events?after=-1", "after"),
        ("/api/events?limit=0", "limit"),
        ("/api/events?limit=1001", "limit"),
        ("/api/events?limit=many", "limit"),
        ("/api/events/stream?after=x", "after"),
        ("/api/deliveries?before=x", "before"),
        ("/api/deliveries?state=lost", "state"),
        ("/api/deliveries?state=", "state"),
        ("/api/deliveries?connection=a%20b", "connection"),
        ("/api/deliveries?since=yesterday", "since"),
        ("/api/deliveries?until=1", "until"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        let body = answer.json();
        assert_eq!(
            (&body["error"], &body["parameter"]),
            (&json!("bad_request"), &json!(parameter)),
            "{path}"
        );
        assert!(
            body["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_query_or_path_is_400_with_the_valid_form() {
    let gateway = InProcessGateway::start().await;
    for path in [
        "/api/events?limit=1&limit=2",
        "/api/deliveries?state=pending&state=logged",
        "/api/events/stream?after=0&after=1",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (400, &json!("bad_request")),
            "{path}"
        );
        assert!(
            answer.json()["hint"]
                .as_str()
                .is_some_and(|hint| hint.contains("once")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_list_their_rejections() {
    let gateway = InProcessGateway::start().await;
    for _ in 0..3 {
        Request::new("POST", SHOP)
            .body("{}")
            .send(gateway.public)
            .await;
    }
    let page = gateway.get("/api/connections").await.json();
    let ids: Vec<&str> = page["connections"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 3);
    let shop = gateway.get("/api/connections/shop-a").await.json();
    assert_eq!(
        (&shop["platform"], &shop["status"]),
        (&json!("woocommerce"), &json!("connected"))
    );
    assert_eq!(
        (
            &shop["rejections"][0]["reason"],
            &shop["rejections"][0]["count"]
        ),
        (&json!("signature_missing"), &json!(3))
    );
    let last = shop["rejections"][0]["last_at"]
        .as_str()
        .and_then(|at| at.parse::<Timestamp>().ok());
    assert!(last.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_prometheus_text_and_count_requests() {
    let gateway = with_orders().await;
    let text = eventually("the counters", async || {
        let answer = gateway.get("/metrics").await;
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/plain"))
        );
        Some(answer.text().to_owned())
            .filter(|text| text.contains("cartwire_deliveries_settled_total"))
    })
    .await;
    for name in [
        "cartwire_webhooks_total",
        "cartwire_webhook_seconds",
        "cartwire_journal_writable",
        "cartwire_pending_deliveries",
    ] {
        assert!(text.contains(name), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn api_description_names_every_route() {
    let gateway = InProcessGateway::start().await;
    let description = gateway.get("/api/openapi.json").await.json();
    let paths = description["paths"].as_object().expect("paths");
    for path in [
        "/api/events",
        "/api/events/stream",
        "/api/deliveries",
        "/api/connections",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}
