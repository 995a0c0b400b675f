//! The admin listener: events to consume, deliveries to look into, who may ask, and what is never told.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use support::eventually;
use support::http::{Peer, Request};
use support::in_process::{APP, InProcessGateway, SHOP, key, order, token};

/// A gateway with orders 1 to 5 in its event log, and the events of its three connections.
async fn with_orders() -> InProcessGateway {
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

fn ids(page: &Value) -> Vec<String> {
    page["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect()
}

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
async fn events_are_chosen_by_type_connection_and_subject() {
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
        ("connection=nobody", vec![]),
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
async fn the_stream_goes_on_after_the_last_event_that_was_seen() {
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
async fn a_redriven_delivery_is_told_once_more_under_the_same_event_id() {
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
async fn what_is_not_there_is_404() {
    let gateway = InProcessGateway::start().await;
    let (event, delivery) = (format!("{}-0", "0".repeat(32)), "0".repeat(32));
    for path in [
        format!("/api/events/{event}"),
        "/api/events/x".to_owned(),
        format!("/api/deliveries/{delivery}"),
        "/api/deliveries/x".to_owned(),
        "/api/connections/nobody".to_owned(),
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
async fn a_wrong_parameter_is_400_with_its_name_and_what_is_right() {
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
async fn a_query_or_path_that_is_none_is_400_with_what_is_right() {
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
async fn with_a_token_nothing_is_shown_to_who_does_not_show_it() {
    const TOKEN: &str = "a-token-of-some-length";
    let gateway =
        InProcessGateway::with(|args| args.admin_token = Some(TOKEN.to_owned().into())).await;
    assert_eq!(gateway.get("/api/events").await.status, 200);
    let redrive = format!("/api/deliveries/{}/redrive", "0".repeat(32));
    for (method, path) in [
        ("GET", "/api/events"),
        ("GET", "/api/events/stream"),
        ("GET", "/api/deliveries"),
        ("GET", "/api/connections"),
        ("GET", "/metrics"),
        ("POST", redrive.as_str()),
    ] {
        for shown in [
            None,
            Some("Bearer"),
            Some("Bearer wrong"),
            Some("Bearer a-token-of-some-lengt"),
            Some("Basic YTpi"),
            Some(TOKEN),
        ] {
            let request = Request::new(method, path);
            let request = match shown {
                Some(shown) => request.header("Authorization", shown),
                None => request,
            };
            let answer = request.send(gateway.admin).await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some("Bearer")),
                "{method} {path} {shown:?}"
            );
            assert!(!answer.text().contains(TOKEN));
        }
    }
    assert_eq!(
        gateway
            .admin_request("POST", &redrive)
            .send(gateway.admin)
            .await
            .status,
        404,
        "with it, one may"
    );
    let lower =
        Request::new("GET", "/api/events").header("Authorization", format!("bearer {TOKEN}"));
    assert_eq!(lower.send(gateway.admin).await.status, 200);
    assert_eq!(
        gateway
            .post(SHOP, &order("order.updated", "{}", 1))
            .await
            .status,
        200,
        "stores need no token"
    );
}

/// Each route of the description with each of its methods, and what is no route; ids are those of nothing.
async fn all_routes(gateway: &InProcessGateway) -> Vec<(String, String)> {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let description = gateway.get("/api/openapi.json").await.json();
    let described = description["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(|path| path.replace("{id}", "x"));
    let unknown = [
        "/",
        "/login",
        "/api",
        "/api/",
        "/api/nothing",
        "//",
        "/healthz/",
        "/%ff",
        "*",
        "http://localhost/healthz",
    ];
    let paths: Vec<String> = described.chain(unknown.map(str::to_owned)).collect();
    assert!(paths.len() > 20, "{paths:?}");
    paths
        .iter()
        .flat_map(|path| METHODS.map(|method| (method.to_owned(), path.clone())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_every_method_of_every_path_is_401() {
    let gateway = InProcessGateway::with(|args| {
        args.admin_token = Some("a-token-of-some-length".to_owned().into())
    })
    .await;
    for (method, path) in all_routes(&gateway).await {
        // What a browser sends for a page of another site, or of this one: no token, whatever else.
        let cookie = Request::new(&method, &path).header("Cookie", "token=a-token-of-some-length");
        for request in [Request::new(&method, &path), cookie] {
            let answer = request.send(gateway.admin).await;
            assert_eq!(answer.status, 401, "{method} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_of_another_site_changes_anything_with_or_without_a_token() {
    for token in [None, Some("a-token-of-some-length".to_owned())] {
        let gateway =
            InProcessGateway::with(|args| args.admin_token = token.clone().map(Into::into)).await;
        for (method, path) in all_routes(&gateway).await {
            if ["GET", "HEAD", "OPTIONS"].contains(&method.as_str()) {
                continue;
            }
            let request = Request::new(&method, &path).header("Origin", "https://evil.example");
            let status = request
                .header("Sec-Fetch-Site", "cross-site")
                .send(gateway.admin)
                .await
                .status;
            assert_eq!(
                status,
                if token.is_some() { 401 } else { 403 },
                "{method} {path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_admin_listener_tells_browsers_what_not_to_do() {
    for token in [None, Some("a-token-of-some-length".to_owned())] {
        let gateway =
            InProcessGateway::with(|args| args.admin_token = token.clone().map(Into::into)).await;
        for (method, path) in all_routes(&gateway).await {
            for request in [
                gateway.admin_request(&method, &path),
                Request::new(&method, &path).header("Host", "evil.example"),
            ] {
                // The stream's answer has no end, and that of HEAD no body.
                let mut peer = Peer::connect(gateway.admin).await;
                peer.write(&request.parts(gateway.admin).0).await;
                let answer = peer.head().await;
                let policy = answer.header("content-security-policy").unwrap_or_default();
                assert!(
                    policy.contains("default-src 'none'")
                        && policy.contains("frame-ancestors 'none'"),
                    "{method} {path}"
                );
                assert_eq!(
                    answer.header("x-content-type-options"),
                    Some("nosniff"),
                    "{method} {path}"
                );
                assert_eq!(
                    answer.header("referrer-policy"),
                    Some("no-referrer"),
                    "{method} {path}"
                );
                assert_eq!(
                    answer.header("cache-control"),
                    Some("no-store"),
                    "{method} {path}"
                );
                assert!(
                    answer
                        .headers
                        .iter()
                        .all(|(name, _)| !name.starts_with("access-control-")),
                    "{method} {path}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_pages_of_other_sites_are_refused() {
    let gateway = with_orders().await;
    let delivery = gateway.kept().await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/api/deliveries/{delivery}/redrive");
    let own = format!("http://{}", gateway.admin);
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1:1"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Host", "evil.example"),
    ] {
        let answer = Request::new("POST", &path)
            .header(name, value)
            .send(gateway.admin)
            .await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    // A name of somebody else's that leads to this machine.
    let rebound = Request::new("GET", "/api/events")
        .header("Host", "evil.example:8081")
        .send(gateway.admin)
        .await;
    assert_eq!(rebound.status, 403);
    assert_eq!(
        gateway
            .get(&format!("/api/deliveries/{delivery}"))
            .await
            .json()["delivery"]["redriven"],
        false
    );
    let same = Request::new("POST", &path)
        .header("Origin", &own)
        .header("Sec-Fetch-Site", "same-origin");
    assert_eq!(same.send(gateway.admin).await.status, 200);
    gateway.settled(&delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_the_admin_listener_contains_a_secret() {
    let gateway = with_orders().await;
    Request::new("POST", SHOP)
        .body("{}")
        .send(gateway.public)
        .await;
    let secrets = [
        key("woocommerce", "verification"),
        key("wix", "verification"),
    ];
    let pieces: Vec<&str> = secrets
        .iter()
        .flat_map(|secret| secret.lines())
        .filter(|line| line.len() > 30)
        .collect();
    assert!(pieces.len() > 5);
    let master =
        std::fs::read_to_string(gateway.folder().join("master.key")).expect("the master key");
    let delivery = gateway.kept().await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for path in [
        "/api/connections",
        "/api/connections/shop-a",
        "/api/connections/my-app",
        "/api/deliveries",
        &format!("/api/deliveries/{delivery}"),
        "/api/events",
        "/metrics",
        "/readyz",
        "/healthz",
        "/api/openapi.json",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        for piece in pieces.iter().chain([&master.trim()]) {
            assert!(!answer.text().contains(piece), "{path}");
        }
    }
    let shown = gateway.get("/api/deliveries/".to_owned().as_str()).await;
    assert_eq!(shown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_tell_what_was_turned_away() {
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
async fn the_metrics_are_text_for_prometheus_and_count_what_happens() {
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
async fn the_description_of_the_api_names_its_routes() {
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
