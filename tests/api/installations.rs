//! Installations of an app are connections of their own.

use cartwire::journal::ConnectionChange;
use cartwire::platforms::SignedRequest;
use serde_json::Value;

use support::eventually;
use support::in_process::{APP, InProcessGateway, id, token, token_at};

pub(crate) const INSTANCE: &str = "5ac57c93-c081-4f4e-9a90-05521490bef2";
pub(crate) const ORDER: &str = r#"{"id":"e1","entityFqdn":"wix.ecom.v1.order","slug":"created","entityId":"o1","createdEvent":{"entity":{"id":"o1","number":"10001"}}}"#;

pub(crate) async fn connection(
    gateway: &InProcessGateway,
    name: &str,
    is: impl Fn(&Value) -> bool,
) -> Value {
    eventually(name, async || {
        let answer = gateway.get(&format!("/api/connections/{name}")).await;
        if answer.status != 200 {
            return None;
        }
        Some(answer.json()).filter(&is)
    })
    .await
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn installation_becomes_a_connection_of_its_app() {
    let gateway = InProcessGateway::start().await;
    let payload =
        r#"{"appId":"d2a57dc1-d883-4d21-bb99-51699df71cc7","originInstanceId":"e9bd440b"}"#;
    gateway
        .post(APP, &token("AppInstalled", payload, INSTANCE))
        .await;
    let captured = connection(&gateway, INSTANCE, |_| true).await;
    assert_eq!(captured["kind"], "instance");
    assert_eq!(
        (
            &captured["platform"],
            &captured["parent"],
            &captured["status"]
        ),
        (&"wix".into(), &"my-app".into(), &"connected".into())
    );
    assert_eq!(captured["settings"]["origin_instance_id"], "e9bd440b");
    let events = gateway.events(&format!("connection={INSTANCE}"), 2).await;
    assert_eq!(
        types(&events),
        ["cartwire.app.installed", "cartwire.connection.connected"]
    );
    assert_eq!(events[1]["data"]["connection"]["parent_id"], "my-app");
    assert_eq!(events[0]["source"], format!("/wix/{INSTANCE}"));

    gateway
        .post(APP, &token("AppRemoved", payload, INSTANCE))
        .await;
    connection(&gateway, INSTANCE, |connection| {
        connection["status"] == "disconnected"
    })
    .await;
    let events = gateway.events(&format!("connection={INSTANCE}"), 4).await;
    assert_eq!(
        types(&events)[2..],
        ["cartwire.app.removed", "cartwire.connection.disconnected"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn first_event_of_an_unknown_installation_creates_its_connection() {
    let gateway = InProcessGateway::start().await;
    gateway
        .post(APP, &token("wix.ecom.v1.order_created", ORDER, INSTANCE))
        .await;
    let captured = connection(&gateway, INSTANCE, |_| true).await;
    assert_eq!(
        (&captured["kind"], &captured["parent"]),
        (&"instance".into(), &"my-app".into())
    );
    let events = gateway.events(&format!("connection={INSTANCE}"), 2).await;
    let mut found = types(&events);
    found.sort_unstable();
    assert_eq!(
        found,
        ["cartwire.connection.connected", "cartwire.order.created"]
    );
    // The next one captures nothing more.
    gateway
        .post(
            APP,
            &token(
                "wix.ecom.v1.order_created",
                &ORDER.replace("e1", "e2").replace("o1", "o2"),
                INSTANCE,
            ),
        )
        .await;
    let events = gateway.events(&format!("connection={INSTANCE}"), 3).await;
    assert_eq!(
        types(&events)
            .iter()
            .filter(|kind| **kind == "cartwire.connection.connected")
            .count(),
        1
    );
    let page = gateway.get("/api/connections").await.json();
    let ids: Vec<&str> = page["connections"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["id"].as_str())
        .collect();
    assert_eq!(ids.iter().filter(|known| **known == INSTANCE).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn app_state_follows_the_newest_token_and_ignores_replayed_ones() {
    let gateway = InProcessGateway::start().await;
    let payload = r#"{"appId":"d2a57dc1-d883-4d21-bb99-51699df71cc7"}"#;
    let tokens = [
        ("AppInstalled", -400),
        ("AppRemoved", -300),
        ("AppInstalled", -200),
        // Signed before the newest installation, and arrives after it.
        ("AppRemoved", -250),
    ]
    .map(|(topic, seconds)| token_at(topic, payload, INSTANCE, seconds));
    let send = async |token: &SignedRequest| gateway.post(APP, token).await.word();
    for token in &tokens {
        assert_eq!(send(token).await, "accepted");
    }
    for _ in 0..3 {
        for token in &tokens {
            assert_eq!(send(token).await, "duplicate");
        }
    }
    let is_connected = |connection: &Value| connection["status"] == "connected";
    connection(&gateway, INSTANCE, is_connected).await;
    connection(&gateway, &INSTANCE.to_uppercase(), is_connected).await;
    let stale = async || {
        let path = format!("/api/deliveries?connection={INSTANCE}&state=ignored");
        let found = gateway.get(&path).await.json();
        let all = found["deliveries"].as_array()?;
        (all.len() == 1 && all[0]["reason"] == "stale").then_some(())
    };
    eventually("the late removal is ignored", stale).await;
    let events = gateway
        .events(&format!("connection={INSTANCE}&type=cartwire.app.*"), 3)
        .await;
    assert_eq!(
        types(&events),
        [
            "cartwire.app.installed",
            "cartwire.app.removed",
            "cartwire.app.installed"
        ]
    );
    let upper = format!("connection={}&type=cartwire.app.*", INSTANCE.to_uppercase());
    assert_eq!(gateway.events(&upper, 3).await, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_cannot_name_a_connection_of_another_app() {
    let gateway = InProcessGateway::start().await;
    let payload = r#"{"appId":"d2a57dc1-d883-4d21-bb99-51699df71cc7"}"#;
    for (topic, payload) in [
        ("AppRemoved", payload),
        ("wix.ecom.v1.order_created", ORDER),
    ] {
        let answer = gateway.post(APP, &token(topic, payload, "shop-a")).await;
        let settled = &gateway.settled(&answer.delivery()).await["delivery"];
        assert_eq!(
            (&settled["state"], &settled["reason"]),
            (&"dead_lettered".into(), &"connection_of_another".into())
        );
    }
    // A name that cannot be one does not speak for the app itself either.
    let answer = gateway
        .post(APP, &token("AppRemoved", payload, "not an id!"))
        .await;
    gateway.settled(&answer.delivery()).await;
    for name in ["shop-a", "my-app"] {
        connection(&gateway, name, |connection| {
            connection["status"] == "connected"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_installation_returns_only_after_a_new_install() {
    let gateway = InProcessGateway::start().await;
    let payload = r#"{"appId":"d2a57dc1-d883-4d21-bb99-51699df71cc7"}"#;
    gateway
        .post(APP, &token_at("AppInstalled", payload, INSTANCE, -400))
        .await;
    connection(&gateway, INSTANCE, |_| true).await;
    gateway.change(&ConnectionChange::Remove(id(INSTANCE)));
    // The relay takes notice within two seconds.
    let number = std::cell::Cell::new(100);
    eventually("the relay knows of the removal", async || {
        number.set(number.get() + 1);
        let payload = ORDER.replace("e1", &format!("e{}", number.get()));
        let request = token("wix.ecom.v1.order_created", &payload, INSTANCE);
        let answer = gateway.post(APP, &request).await;
        let settled = &gateway.settled(&answer.delivery()).await["delivery"];
        (settled["reason"] == "connection_removed").then_some(())
    })
    .await;
    for (topic, payload, seconds) in [
        ("wix.ecom.v1.order_created", ORDER, 0),
        ("AppInstalled", payload, -300),
        ("AppRemoved", payload, 60),
    ] {
        let request = token_at(topic, payload, INSTANCE, seconds);
        let answer = gateway.post(APP, &request).await;
        assert_eq!(answer.word(), "accepted", "{topic}");
        let settled = &gateway.settled(&answer.delivery()).await["delivery"];
        assert_eq!(
            (&settled["state"], &settled["reason"]),
            (&"ignored".into(), &"connection_removed".into()),
            "{topic}"
        );
    }
    let answer = gateway.get(&format!("/api/connections/{INSTANCE}")).await;
    assert_eq!(answer.status, 404, "it has not returned");
    // Another site's installation is captured as before.
    let other = INSTANCE.replace("5ac57c93", "6ac57c93");
    gateway
        .post(
            APP,
            &token(
                "wix.ecom.v1.order_created",
                &ORDER.replace("e1", "e2").replace("o1", "o2"),
                &other,
            ),
        )
        .await;
    connection(&gateway, &other, |_| true).await;

    gateway
        .post(APP, &token_at("AppInstalled", payload, INSTANCE, 60))
        .await;
    connection(&gateway, INSTANCE, |connection| {
        connection["status"] == "connected"
    })
    .await;
    let answer = gateway
        .post(
            APP,
            &token(
                "wix.ecom.v1.order_created",
                &ORDER.replace("e1", "e3"),
                INSTANCE,
            ),
        )
        .await;
    let settled = &gateway.settled(&answer.delivery()).await["delivery"];
    assert_eq!(settled["state"], "logged");
}
