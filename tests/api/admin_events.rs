//! The admin listener's events: pages, filters, and the stream.

use std::collections::HashSet;

use serde_json::{Value, json};

use support::http::Peer;
use support::in_process::{APP, token};

use crate::admin::{ids, with_orders};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_paged_by_cursor_oldest_first_without_gap_or_repetition() {
    let gateway = with_orders().await;
    let whole = gateway.get("/api/events").await.json();
    let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let page = gateway
            .get(&format!("/api/events?after={cursor}&limit=3"))
            .await
            .json();
        let next = page["next"].as_str().expect("a cursor").to_owned();
        let page = ids(&page);
        assert!(page.len() <= 3);
        if page.is_empty() {
            assert_eq!(next, cursor, "at the end the cursor stays");
            break;
        }
        found.extend(page);
        cursor = next;
    }
    assert_eq!(found, ids(&whole));
    assert_eq!(found.iter().collect::<HashSet<_>>().len(), 8);
    // The cursor goes on where it was when something new comes.
    gateway.order("order.updated", r#"{"id":6}"#, 6).await;
    let new = gateway.events(&format!("after={cursor}"), 1).await;
    assert_eq!((new.len(), &new[0]["subject"]), (1, &json!("order/6")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_by_type_connection_and_subject() {
    let gateway = with_orders().await;
    for (query, expected) in [
        ("type=cartwire.order.created", vec!["order/1"]),
        (
            "type=cartwire.order.*",
            vec!["order/1", "order/2", "order/3", "order/4", "order/5"],
        ),
        ("subject=order/3", vec!["order/3"]),
        ("connection=my-app", vec!["connection/my-app"]),
        (
            "connection=shop-a&type=cartwire.connection.*",
            vec!["connection/shop-a"],
        ),
        ("connection=shop-a&subject=order/9", vec![]),
        ("type=cartwire.order", vec![]),
        ("connection=unknown", vec![]),
        ("type=%25", vec![]),
        ("subject=%27%20OR%201=1--", vec![]),
    ] {
        let page = gateway.get(&format!("/api/events?{query}")).await.json();
        let events = page["events"].as_array().expect("events").iter();
        let subjects: Vec<&str> = events
            .filter_map(|event| event["subject"].as_str())
            .collect();
        assert_eq!(subjects, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_fits_the_published_schema() {
    let gateway = with_orders().await;
    gateway
        .post(APP, &token("AppInstalled", r#"{"appId":"a"}"#, "site-1"))
        .await;
    let schema = serde_json::to_value(cartwire::event::json_schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for event in gateway.events("", 10).await {
        assert!(validator.is_valid(&event), "{event}");
        let id = event["id"].as_str().expect("an id");
        assert_eq!(
            gateway.get(&format!("/api/events/{id}")).await.json(),
            event,
            "one event is the same as in the list"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn event_stream_continues_after_the_last_event_id() {
    let gateway = with_orders().await;
    let mut peer = Peer::connect(gateway.admin).await;
    let (head, _) = gateway
        .admin_request("GET", "/api/events/stream?type=cartwire.order.*")
        .parts(gateway.admin);
    peer.write(&head).await;
    let answer = peer.head().await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(next_event(&mut peer).await);
    }
    let subjects: Vec<&str> = seen
        .iter()
        .filter_map(|(_, event)| event["subject"].as_str())
        .collect();
    assert_eq!(
        subjects,
        ["order/1", "order/2", "order/3", "order/4", "order/5"]
    );
    gateway.order("order.updated", r#"{"id":6}"#, 6).await;
    assert_eq!(
        next_event(&mut peer).await.1["subject"],
        "order/6",
        "what comes is sent"
    );
    drop(peer);

    // Its id is the cursor of the pages, too.
    let page = gateway
        .get(&format!("/api/events?after={}&limit=1", seen[3].0))
        .await
        .json();
    assert_eq!(page["events"][0], seen[4].1);
    let mut peer = Peer::connect(gateway.admin).await;
    let request = gateway
        .admin_request("GET", "/api/events/stream?after=0")
        .header("Last-Event-ID", &seen[3].0);
    peer.write(&request.parts(gateway.admin).0).await;
    assert_eq!(peer.head().await.status, 200);
    assert_eq!(
        next_event(&mut peer).await,
        seen[4],
        "Last-Event-ID counts more than the query"
    );
    let wrong = gateway
        .admin_request("GET", "/api/events/stream")
        .header("Last-Event-ID", "yesterday");
    assert_eq!(wrong.send(gateway.admin).await.status, 400);
}

/// The id and data of the next server-sent event.
async fn next_event(peer: &mut Peer) -> (String, Value) {
    loop {
        // Chunks may break anywhere between events; an event is one chunk.
        let block = peer.until("\n\n").await;
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
            return (
                id.to_owned(),
                serde_json::from_str(data).expect("JSON on one line"),
            );
        }
    }
}
