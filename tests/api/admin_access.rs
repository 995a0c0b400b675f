//! Access to the admin listener: the token, requests of other sites, security headers, and no secrets in responses.

use support::http::{Peer, Request};
use support::in_process::{InProcessGateway, SHOP, key, order};

use crate::admin::with_orders;

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_the_admin_token_are_401() {
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
async fn every_method_and_path_without_the_admin_token_is_401() {
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
async fn cross_site_requests_change_nothing_with_or_without_a_token() {
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
async fn every_admin_response_has_the_security_headers() {
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
async fn cross_site_requests_without_a_token_are_rejected() {
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
    // A foreign name that resolves to this machine.
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
async fn admin_responses_contain_no_secret() {
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
