//! `replay` sends fixtures, and `deliveries redrive` publishes deliveries again.

use serde_json::{Value, json};
use support::eventually_blocking;

use crate::command::Bench;

#[test]
fn fixtures_are_replayed_and_deliveries_redriven() {
    let bench = Bench::new();
    bench.add_shop();
    bench.add_app().assert(0);
    let served = bench.serve(&[]);
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/woocommerce");
    let replayed = bench.run(&["replay", fixtures, "--to", &served.public, "--json"]);
    replayed.assert(0);
    let answers: Vec<Value> = replayed
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert!(answers.len() > 50 && answers.iter().all(|answer| answer["status"] == 200));
    let one = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/wix/AppInstalled/plain"
    );
    bench
        .run(&["replay", one, "--to", &served.public])
        .assert(0);
    let wrong = bench.run(&[
        "replay",
        one,
        "--to",
        &served.public,
        "--connection",
        "shop-a",
    ]);
    assert!(wrong.code != 0, "a shop cannot send for an app");

    let count = |filter: &[&str]| {
        let list = bench
            .run(
                &[
                    &["deliveries", "list", "--limit", "10000", "--json"],
                    filter,
                ]
                .concat(),
            )
            .assert(0)
            .json();
        list["deliveries"]
            .as_array()
            .map(Vec::len)
            .expect("deliveries")
    };
    eventually_blocking("all is settled", || {
        (count(&["--state", "pending"]) == 0).then_some(())
    });
    let events = || {
        bench
            .run(&["events", "export"])
            .assert(0)
            .out
            .lines()
            .count()
    };
    let (all, before) = (
        count(&["--connection", "shop-a", "--state", "logged"]),
        events(),
    );
    assert!(all > 40 && before > 40);

    let redrive = [
        "deliveries",
        "redrive",
        "--connection",
        "shop-a",
        "--state",
        "logged",
        "--json",
    ];
    let dry = bench
        .run(&[&redrive[..], &["--dry-run"]].concat())
        .assert(0)
        .json();
    assert_eq!(dry, json!({"chosen": all, "redriven": 0, "dry_run": true}));
    assert_eq!(count(&["--state", "pending"]), 0, "it was only counted");
    let done = bench.run(&redrive).assert(0).json();
    assert_eq!(
        (&done["chosen"], &done["redriven"]),
        (&json!(all), &json!(all))
    );
    eventually_blocking("all events are published once more", || {
        let list = bench.run(&["events", "export"]).assert(0).out.clone();
        (list
            .lines()
            .filter(|line| line.contains(r#""origin":"redrive""#))
            .count()
            >= all)
            .then_some(())
    });
    assert_eq!(events(), before, "under the same ids");
    bench
        .run(&["deliveries", "redrive", "--connection", "unknown"])
        .assert(1);

    // One of them, whole.
    let list = bench
        .run(&[
            "deliveries",
            "list",
            "--json",
            "--limit",
            "1",
            "--topic",
            "order.created",
        ])
        .json();
    let id = list["deliveries"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let shown = bench
        .run(&["deliveries", "show", &id, "--json"])
        .assert(0)
        .json();
    assert!(shown["body"].is_null() && shown["delivery"]["id"] == id.as_str());
    let shown = bench
        .run(&["deliveries", "show", &id, "--json", "--body"])
        .assert(0)
        .json();
    assert!(shown["body"].is_string());
    let event = shown["events"][0]["id"].as_str().map(str::to_owned);
    if let Some(event) = event {
        assert_eq!(
            bench.run(&["events", "show", &event]).assert(0).json()["id"],
            event.as_str()
        );
    }
    assert_eq!(served.stop().0, Some(0));
}
