//! The life of a connection, and changes of connections beside a running gateway.

use serde_json::json;
use support::eventually_blocking;

use crate::command::{Bench, key, order, states};

#[test]
fn connection_lives_from_add_to_remove() {
    let bench = Bench::new();
    bench.add_shop();
    let again = bench.run(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-a",
        "--url",
        "x.example",
        "--no-register",
    ]);
    assert!(again.assert(1).err.contains("shop-a already"));
    let list = || {
        bench
            .run(&["connections", "list", "--json"])
            .assert(0)
            .json()["connections"]
            .clone()
    };
    assert_eq!(list().as_array().map(Vec::len), Some(1));
    let shown = bench
        .run(&["connections", "show", "shop-a", "--json"])
        .assert(0)
        .json();
    assert_eq!(shown["connection"], list()[0]);
    assert_eq!(
        (&shown["connection"]["status"], &shown["connection"]["kind"]),
        (&json!("connected"), &json!("woocommerce"))
    );
    assert_eq!(
        (&shown["endpoint"], &shown["secrets"][0]["name"]),
        (
            &json!("/webhooks/woocommerce/shop-a"),
            &json!("webhook-secret")
        )
    );

    let change = |what: &str| {
        bench
            .run(&["connections", what, "shop-a", "--json"])
            .assert(0)
            .json()["changed"]
            .clone()
    };
    assert_eq!(
        (change("pause"), list()[0]["status"].clone()),
        (json!(true), json!("paused"))
    );
    assert_eq!(change("pause"), json!(false), "it is paused already");
    assert_eq!(
        (change("resume"), list()[0]["status"].clone()),
        (json!(true), json!("connected"))
    );
    assert_eq!(change("resume"), json!(false));
    let rotated = bench
        .run(&["connections", "rotate-secret", "shop-a", "--json"])
        .assert(0)
        .json();
    assert_eq!(
        (
            rotated["secret"].as_str().map(str::len),
            &rotated["previous_valid_hours"]
        ),
        (Some(48), &json!(24))
    );
    let secrets = bench
        .run(&["connections", "show", "shop-a", "--json"])
        .json()["secrets"]
        .clone();
    let until: Vec<bool> = secrets
        .as_array()
        .expect("a list")
        .iter()
        .map(|secret| secret["valid_until"].is_null())
        .collect();
    assert_eq!(
        until.iter().filter(|current| **current).count(),
        1,
        "one is current: {secrets}"
    );
    assert_eq!(until.len(), 2, "the one before is in its grace time");

    assert_eq!(change("remove"), json!(true));
    assert_eq!(list(), json!([]));
    bench.run(&["connections", "remove", "shop-a"]).assert(1);
    bench.add_shop();
    assert_eq!(list()[0]["status"], "connected", "the name is free again");
    let secrets = bench
        .run(&["connections", "show", "shop-a", "--json"])
        .json()["secrets"]
        .clone();
    assert_eq!(
        secrets.as_array().map(Vec::len),
        Some(1),
        "the old secrets went with the old connection"
    );
}

#[test]
fn running_gateway_sees_changes_without_a_restart() {
    let bench = Bench::new();
    let served = bench.serve(&[]);
    let secret = key("woocommerce", "signing");
    let send = |n: u64| {
        served
            .post(
                "woocommerce",
                "shop-a",
                &order(&format!(r#"{{"id":{n}}}"#), n, &secret),
            )
            .0
    };
    assert_eq!(send(1), 404);
    bench.add_shop();
    eventually_blocking("the new connection is served", || {
        (send(2) == 200).then_some(())
    });
    bench.run(&["connections", "pause", "shop-a"]).assert(0);
    let numbers = std::cell::Cell::new(3);
    eventually_blocking("deliveries wait", || {
        assert_eq!(
            send(numbers.replace(numbers.get() + 1)),
            200,
            "a pause costs no webhook"
        );
        (states(&bench, &["--state", "pending"]).len() >= 3).then_some(())
    });
    bench.run(&["connections", "resume", "shop-a"]).assert(0);
    eventually_blocking("all is published", || {
        states(&bench, &[])
            .iter()
            .all(|state| state == "logged")
            .then_some(())
    });
    bench.run(&["connections", "remove", "shop-a"]).assert(0);
    eventually_blocking("the removed connection is not served", || {
        let number = numbers.replace(numbers.get() + 1);
        (send(number) == 404).then_some(())
    });
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn second_gateway_on_the_same_data_folder_is_refused() {
    let bench = Bench::new();
    let served = bench.serve(&[]);
    let second = bench.run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert!(
        second.assert(69).err.contains("--data-dir"),
        "it says what to do: {}",
        second.err
    );
    assert_eq!(served.stop().0, Some(0));
    let third = bench.serve(&[]);
    assert_eq!(third.stop().0, Some(0), "the lock went with its holder");
}
