//! Installations of an app as connections of their own, and pausing a connection.

use std::time::Instant;

use cartwire::journal::ConnectionChange;
use cartwire::platforms::SignedRequest;
use serde_json::Value;

use support::eventually;
use support::http::PATIENCE;
use support::in_process::{APP, InProcessGateway, SHOP, id, order, token, token_at};

const INSTANCE: &str = "5ac57c93-c081-4f4e-9a90-05521490bef2";
const ORDER: &str = r#"{"id":"e1","entityFqdn":"wix.ecom.v1.order","slug":"created","entityId":"o1","createdEvent":{"entity":{"id":"o1","number":"10001"}}}"#;

async fn connection(gateway: &InProcessGateway, name: &str, is: impl Fn(&Value) -> bool) -> Value {
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
async fn an_installation_becomes_a_connection_of_its_own_under_its_app() {
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
async fn any_event_of_an_unknown_installation_captures_it() {
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

/// Sends the app's order of that number and waits until it is published.
async fn app_order(gateway: &InProcessGateway, number: usize) {
    let payload = ORDER
        .replace("e1", &format!("e{number}"))
        .replace("\"o1\"", &format!("\"o{number}\""));
    gateway
        .post(APP, &token("wix.ecom.v1.order_created", &payload, INSTANCE))
        .await;
    gateway
        .events(
            &format!("connection={INSTANCE}&type=cartwire.order.created"),
            number,
        )
        .await;
}

/// How many deliveries of the shop wait.
async fn waiting(gateway: &InProcessGateway) -> usize {
    let page = gateway
        .get("/api/deliveries?state=pending&connection=shop-a")
        .await
        .json();
    page["deliveries"].as_array().expect("a list").len()
}

/// A pause takes effect soon, not at once: sends orders of the shop until one waits, although a later delivery of the app
/// was published. Gives their number.
async fn probe_until_held(gateway: &InProcessGateway) -> usize {
    let deadline = Instant::now() + PATIENCE;
    for number in 1.. {
        gateway
            .order(
                "order.updated",
                &format!(r#"{{"id":1,"total":"{number}.00"}}"#),
                1000 + number as u64,
            )
            .await;
        app_order(gateway, number).await;
        if waiting(gateway).await > 0 {
            return number;
        }
        assert!(Instant::now() < deadline, "the pause takes effect");
    }
    unreachable!("the loop ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_connection_keeps_its_deliveries_and_resumes_them_in_order() {
    let gateway = InProcessGateway::start().await;
    gateway.change(&ConnectionChange::Pause(id("shop-a")));
    // A pause is no event: the store is as well as before.
    let probed = probe_until_held(&gateway).await;
    for n in 1..=20 {
        let body = format!(r#"{{"id":{},"total":"{n}.00"}}"#, 100 + n % 2);
        assert_eq!(
            gateway
                .post(SHOP, &order("order.updated", &body, n))
                .await
                .word(),
            "accepted"
        );
    }
    // Another connection is not held up, so that what was sent before and is pending now is held back.
    app_order(&gateway, probed + 1).await;
    assert_eq!(waiting(&gateway).await, 21, "kept and not published");
    assert!(gateway.events("subject=order/100", 0).await.is_empty());

    gateway.change(&ConnectionChange::Resume(id("shop-a")));
    gateway
        .post(
            SHOP,
            &order("order.updated", r#"{"id":101,"total":"21.00"}"#, 21),
        )
        .await;
    let events = gateway
        .events("connection=shop-a&type=cartwire.order.updated", 21 + probed)
        .await;
    for subject in ["order/100", "order/101"] {
        let of_one: Vec<&Value> = events
            .iter()
            .filter(|event| event["subject"] == subject)
            .collect();
        let sequences: Vec<&str> = of_one
            .iter()
            .filter_map(|event| event["sequence"].as_str())
            .collect();
        assert!(
            sequences.is_sorted() && sequences.len() >= 10,
            "{subject}: {sequences:?}"
        );
    }
    assert_eq!(
        events.last().map(|event| &event["data"]["raw"]["total"]),
        Some(&"21.00".into())
    );
    for verb in ["degraded", "recovered"] {
        let path = format!("connection=shop-a&type=cartwire.connection.{verb}");
        assert!(
            gateway.events(&path, 0).await.is_empty(),
            "a pause is no event"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_follows_its_newest_token_and_captured_ones_change_nothing() {
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
async fn nobody_speaks_in_the_name_of_anothers_connection() {
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
async fn a_removed_installation_returns_only_when_its_site_installs_the_app_again() {
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
                &ORDER.replace("e1", "e2"),
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
