//! What the admin API refuses, and how: cursors that cannot be used, unknown parameters, other methods, too many streams.

use serde_json::{Value, json};

use support::eventually;
use support::http::{HttpResponse, Peer, Request};
use support::in_process::InProcessGateway;

/// A gateway whose event log ends with five orders.
async fn with_orders() -> InProcessGateway {
    let gateway = InProcessGateway::start().await;
    for n in 1..=5 {
        let id = gateway
            .order("order.updated", &format!(r#"{{"id":{n}}}"#), n)
            .await;
        gateway.settled(&id).await;
    }
    gateway.events("type=cartwire.order.*", 5).await;
    gateway
}

async fn head_of(gateway: &InProcessGateway, request: Request) -> HttpResponse {
    let mut peer = Peer::connect(gateway.admin).await;
    peer.write(&request.parts(gateway.admin).0).await;
    peer.head().await
}

/// The next answer with its body, also from a connection that stays open.
async fn answer_of(gateway: &InProcessGateway, request: Request) -> HttpResponse {
    let mut peer = Peer::connect(gateway.admin).await;
    peer.write(&request.parts(gateway.admin).0).await;
    peer.next_answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_ahead_of_the_log_is_400_with_the_newest_cursor() {
    let gateway = with_orders().await;
    let page = gateway.get("/api/events?limit=1000").await.json();
    let newest = page["next"].as_str().expect("a cursor").to_owned();
    let ahead = newest.parse::<i64>().expect("a position") + 1;
    for cursor in [ahead, i64::MAX] {
        let by_header = gateway
            .admin_request("GET", "/api/events/stream")
            .header("Last-Event-ID", cursor.to_string());
        let list = gateway.admin_request("GET", &format!("/api/events?after={cursor}"));
        let stream = gateway.admin_request("GET", &format!("/api/events/stream?after={cursor}"));
        for (parameter, request) in [
            ("after", list),
            ("after", stream),
            ("Last-Event-ID", by_header),
        ] {
            let answer = answer_of(&gateway, request).await;
            assert_eq!(answer.status, 400, "{cursor} {parameter}");
            let body = answer.json();
            assert_eq!(
                (&body["error"], &body["parameter"], &body["newest"]),
                (&json!("cursor_ahead"), &json!(parameter), &json!(newest))
            );
            assert!(
                body["hint"]
                    .as_str()
                    .is_some_and(|hint| hint.contains(&newest))
            );
        }
    }
    let end = gateway.get(&format!("/api/events?after={newest}")).await;
    assert_eq!((end.status, &end.json()["events"]), (200, &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn cursor_of_removed_events_is_410_with_the_oldest_cursor() {
    let gateway = with_orders().await;
    let orders = gateway
        .get("/api/events?type=cartwire.order.*")
        .await
        .json();
    assert_eq!(orders["events"].as_array().map(Vec::len), Some(5));
    let all = gateway.get("/api/events?limit=1").await.json();
    let old = all["next"].as_str().expect("a cursor").to_owned();
    let sqlite = rusqlite::Connection::open(gateway.folder().join("cartwire.db")).expect("opened");
    let removed = sqlite
        .execute(
            "DELETE FROM events WHERE subject IN ('order/1', 'order/3')",
            [],
        )
        .expect("removed");
    assert_eq!(removed, 2);
    let noted = sqlite.execute(
        "UPDATE usage SET removed_through = (SELECT max(position) FROM events WHERE subject < 'order/3')
         WHERE connection = 'shop-a'",
        [],
    );
    assert_eq!(noted, Ok(1));

    let list = gateway.get(&format!("/api/events?after={old}")).await;
    let by_header = gateway
        .admin_request("GET", "/api/events/stream")
        .header("Last-Event-ID", &old);
    let stream = answer_of(&gateway, by_header).await;
    for answer in [&list, &stream] {
        assert_eq!(
            (answer.status, &answer.json()["error"]),
            (410, &json!("events_removed"))
        );
    }
    let first = list.json()["first"].as_str().expect("a cursor").to_owned();
    let left = gateway
        .get(&format!("/api/events?after={first}&type=cartwire.order.*"))
        .await;
    let subjects: Vec<Value> = left.json()["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["subject"].clone())
        .collect();
    assert_eq!(subjects, ["order/2", "order/4", "order/5"]);
    // A reader of another connection lost nothing, nor did one who had read them, nor one who begins.
    for cursor in [
        format!("after={old}&connection=my-app"),
        format!("after={}", left.json()["next"].as_str().expect("a cursor")),
        "after=0".to_owned(),
    ] {
        let answer = gateway.get(&format!("/api/events?{cursor}")).await;
        assert_eq!(answer.status, 200, "{cursor}");
    }
    // Who begins reads on page by page, and over a stream.
    let mut cursor = "0".to_owned();
    for _ in 0..3 {
        let path = format!("/api/events?limit=1&after={cursor}");
        let page = gateway.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        cursor = page.json()["next"].as_str().expect("a cursor").to_owned();
    }
    assert!(cursor.contains('~'), "{cursor} knows what was removed");
    let metrics = gateway.get("/metrics").await;
    assert!(metrics.text().contains("cartwire_event_cursors_lost_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameter_is_400_with_its_name_and_the_known_ones() {
    let gateway = InProcessGateway::start().await;
    let delivery = "0".repeat(32);
    for (path, parameter, known) in [
        ("/api/events?conection=shop-a", "conection", "connection"),
        ("/api/events?before=1", "before", "after"),
        ("/api/events/stream?limit=5", "limit", "Last-Event-ID"),
        ("/api/events/stream?Type=x", "Type", "type"),
        ("/api/deliveries?after=1", "after", "before"),
        ("/api/deliveries?status=pending", "status", "state"),
        ("/api/connections?id=shop-a", "id", "no parameters"),
        ("/api/connections/shop-a?x", "x", "no parameters"),
        ("/api/openapi.json?x=1", "x", "no parameters"),
        (
            &format!("/api/deliveries/{delivery}?raw=1"),
            "raw",
            "no parameters",
        ),
        (
            &format!("/api/events/{delivery}-0?raw=1"),
            "raw",
            "no parameters",
        ),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        let body = answer.json();
        assert_eq!(
            (&body["error"], &body["parameter"]),
            (&json!("unknown_parameter"), &json!(parameter)),
            "{path}"
        );
        let hint = body["hint"].as_str().expect("a hint");
        assert!(
            hint.contains(known) || known == "Last-Event-ID",
            "{path}: {hint}"
        );
    }
    let redrive = format!("/api/deliveries/{delivery}/redrive?dry-run=1");
    let redrive = gateway
        .admin_request("POST", &redrive)
        .send(gateway.admin)
        .await;
    assert_eq!(redrive.status, 400);
    // Probes add what they like.
    for path in ["/healthz?t=1", "/readyz?t=1", "/metrics?name[]=x"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_405_with_allow_and_head_is_get_without_a_body() {
    let gateway = InProcessGateway::start().await;
    let redrive = format!("/api/deliveries/{}/redrive", "0".repeat(32));
    let reads = [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/events",
        "/api/events/stream",
        "/api/events/x",
        "/api/deliveries",
        "/api/deliveries/x",
        "/api/connections",
        "/api/connections/shop-a",
        "/api/openapi.json",
    ];
    for (path, allowed) in reads
        .map(|path| (path, "GET, HEAD"))
        .into_iter()
        .chain([(redrive.as_str(), "POST")])
    {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if allowed.contains(method) {
                continue;
            }
            let answer = gateway
                .admin_request(method, path)
                .send(gateway.admin)
                .await;
            assert_eq!(
                (
                    answer.status,
                    answer.header("allow"),
                    &answer.json()["error"]
                ),
                (405, Some(allowed), &json!("method_not_allowed")),
                "{method} {path}"
            );
        }
    }
    for path in reads {
        let get = head_of(&gateway, gateway.admin_request("GET", path)).await;
        let head = gateway.admin_request("HEAD", path);
        let mut peer = Peer::connect(gateway.admin).await;
        peer.write(&head.parts(gateway.admin).0).await;
        let head = peer.head().await;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
        assert_eq!(peer.rest().await, b"", "{path}: HEAD has no body");
    }
    let public = Request::new("HEAD", "/healthz");
    let mut peer = Peer::connect(gateway.public).await;
    peer.write(&public.parts(gateway.public).0).await;
    assert_eq!(peer.head().await.status, 200);
    assert_eq!(peer.rest().await, b"");
    let post = Request::new("POST", "/healthz").send(gateway.public).await;
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_by_arrival_time() {
    let gateway = with_orders().await;
    for (query, count) in [
        ("since=2020-01-01T00:00:00Z", 5),
        ("until=2020-01-01T00:00:00Z", 0),
        ("since=2999-01-01T00:00:00%2B01:00", 0),
        ("since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z", 5),
    ] {
        let page = gateway
            .get(&format!("/api/events?type=cartwire.order.*&{query}"))
            .await
            .json();
        assert_eq!(
            page["events"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
    let wrong = gateway.get("/api/events?since=yesterday").await;
    assert_eq!(
        (wrong.status, &wrong.json()["parameter"]),
        (400, &json!("since"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_503_and_probes_are_answered() {
    let gateway = InProcessGateway::start().await;
    let mut streams = Vec::new();
    let refused = loop {
        let mut peer = Peer::connect(gateway.admin).await;
        let request = gateway.admin_request("GET", "/api/events/stream");
        peer.write(&request.parts(gateway.admin).0).await;
        let head = peer.head().await;
        if head.status != 200 {
            break head;
        }
        streams.push(peer);
        assert!(streams.len() < 200, "streams are bounded");
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    for path in [
        "/readyz",
        "/healthz",
        "/metrics",
        "/api/events",
        "/api/connections",
    ] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    streams.truncate(10);
    eventually("there is room for streams again", async || {
        let request = gateway.admin_request("GET", "/api/events/stream");
        (head_of(&gateway, request).await.status == 200).then_some(())
    })
    .await;
}
