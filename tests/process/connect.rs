//! `connections add`, `check` and `remove` with the double of a shop over real HTTP.

use std::process::Command;

use serde_json::json;
use support::woocommerce::{Fault, KEY, Options, Permission, SECRET, Shop};

use crate::shop_bench::{Bench, PUBLIC, active, open};

#[test]
fn one_command_connects_a_store_and_says_what_it_did() {
    let (bench, shop) = (Bench::new(), open());
    let added = bench
        .add(
            &format!("{}/wp-admin/", shop.url),
            &["--public-url", PUBLIC],
        )
        .ends(0)
        .json();
    assert_eq!(added["registered"], true);
    let webhooks = shop.webhooks();
    assert!(webhooks.len() >= 12, "{} topics", webhooks.len());
    let target = format!("{PUBLIC}/webhooks/woocommerce/shop");
    assert!(
        webhooks
            .iter()
            .all(|webhook| webhook.delivery_url == target && webhook.status == "active")
    );
    assert!(
        webhooks
            .iter()
            .all(|webhook| Some(webhook.secret.as_str()) == added["secret"].as_str())
    );
    assert_eq!(
        bench.standing(),
        [("shop".to_owned(), "connected".to_owned(), String::new())]
    );
    bench.check(&[]).ends(0);
    let again = bench.check(&["--fix"]).ends(0).json();
    assert_eq!(
        again["connections"][0]["done"],
        json!([]),
        "there was nothing to do"
    );
    assert_eq!(
        shop.webhooks().len(),
        webhooks.len(),
        "nothing is registered twice"
    );
}

#[test]
fn failing_store_is_diagnosed_and_not_added() {
    let bench = Bench::new();
    let mut reported = Vec::new();
    let refused = |shop: &Shop| {
        bench
            .add(&shop.url, &["--public-url", PUBLIC])
            .ends(1)
            .codes()
            .remove(0)
    };
    for fault in [
        Fault::Html,
        Fault::Forbidden,
        Fault::Cloudflare,
        Fault::BasicAuth,
        Fault::RestDisabled,
        Fault::NotWordPress,
        Fault::WithoutWooCommerce,
    ] {
        let shop = open();
        shop.fail(fault);
        reported.push(refused(&shop));
        assert!(shop.webhooks().is_empty());
    }
    let another_key = Options {
        consumer_secret: "cs_of_somebody_else".to_owned(),
        ..Options::default()
    };
    reported.push(refused(&Shop::start(another_key)));
    reported.push(refused(&Shop::start(Options {
        manager: false,
        ..Options::default()
    })));
    assert_eq!(bench.standing(), [], "nothing was added");
    let kinds: std::collections::BTreeSet<&String> = reported.iter().collect();
    assert!(kinds.len() >= 7, "each has its own diagnosis: {reported:?}");
}

#[test]
fn failing_store_is_added_without_registration() {
    let (bench, shop) = (Bench::new(), open());
    shop.fail(Fault::Forbidden);
    let added = bench.add(&shop.url, &["--no-register"]).ends(0);
    assert!(!added.codes().is_empty());
    assert_eq!(bench.standing()[0].1, "degraded");
}

#[test]
fn no_request_is_sent_without_public_url_or_for_a_taken_id() {
    let (bench, shop) = (Bench::new(), open());
    let wrong = bench.add(&shop.url, &[]).ends(78);
    assert!(wrong.err.contains("--public-url"), "{}", wrong.err);
    assert!(shop.requests().is_empty());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    shop.forget_requests();
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(1);
    assert!(shop.requests().is_empty());
}

#[test]
fn private_address_is_requested_only_if_allowed() {
    let (bench, shop) = (Bench::new(), open());
    let (key, secret) = (bench.file("key", KEY), bench.file("secret", SECRET));
    let mut command = Command::new(support::program());
    command.env_clear().args([
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop",
        "--public-url",
        PUBLIC,
        "--url",
        &shop.url,
    ]);
    command.arg("--data-dir").arg(bench.0.path().join("data"));
    command
        .arg("--consumer-key-file")
        .arg(key)
        .arg("--consumer-secret-file")
        .arg(secret);
    let output = command.output().expect("the program runs");
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(shop.requests().is_empty());
}

#[test]
fn check_that_may_not_call_private_addresses_changes_no_state() {
    let (bench, shop) = (Bench::new(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    let before = bench.standing();
    let mut command = Command::new(support::program());
    command.env_clear().args(["connections", "check", "shop"]);
    command.arg("--data-dir").arg(bench.0.path().join("data"));
    let output = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("private_address"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(bench.standing(), before);
}

#[test]
fn disabled_webhook_is_found_and_repaired() {
    let (bench, shop) = (Bench::new(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    let all = active(&shop);
    let one = shop.webhooks()[0].id;
    shop.edit(one, |webhook| webhook.status = "disabled");
    let code = bench.check(&[]).ends(1).codes().remove(0);
    assert_eq!(
        bench.standing(),
        [("shop".to_owned(), "degraded".to_owned(), code)]
    );
    assert_eq!(active(&shop), all - 1, "a check changes nothing");
    let repaired = bench.check(&["--fix"]).ends(0).json();
    assert_ne!(repaired["connections"][0]["done"], json!([]));
    assert_eq!(active(&shop), all);
    assert_eq!(bench.standing()[0].1, "connected");
}

#[test]
fn read_only_key_registers_nothing_and_is_reported() {
    let bench = Bench::new();
    let shop = Shop::start(Options {
        permission: Permission::Read,
        pings: false,
        ..Options::default()
    });
    let added = bench.add(&shop.url, &["--public-url", PUBLIC]).ends(1);
    assert!(
        added.codes().contains(&"key_read_only".to_owned()),
        "{:?}",
        added.codes()
    );
    assert!(shop.webhooks().is_empty());
    assert_eq!(bench.standing()[0].1, "degraded");
}

#[test]
fn removal_deletes_only_own_webhooks() {
    let (bench, shop) = (Bench::new(), open());
    let others = shop.add_webhook("order.created", "https://elsewhere.example/hook");
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    shop.fail(Fault::Forbidden);
    let refused = bench.run(&["connections", "remove", "shop"]).ends(1);
    assert!(refused.out.contains("--keep-webhooks"), "{}", refused.out);
    assert_eq!(bench.standing().len(), 1, "it stays while its webhooks do");
    shop.fail(Fault::None);
    bench.run(&["connections", "remove", "shop"]).ends(0);
    assert_eq!(
        shop.webhooks()
            .iter()
            .map(|webhook| webhook.id)
            .collect::<Vec<_>>(),
        [others]
    );
    assert_eq!(bench.standing(), []);
}

#[test]
fn unreachable_store_is_removed_only_if_webhooks_may_stay() {
    let (bench, shop) = (Bench::new(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    drop(shop);
    bench.run(&["connections", "remove", "shop"]).ends(69);
    assert_eq!(bench.standing().len(), 1);
    bench
        .run(&["connections", "remove", "shop", "--keep-webhooks"])
        .ends(0);
    assert_eq!(bench.standing(), []);
}

#[test]
fn followed_store_needs_a_key_that_reads_and_no_public_url() {
    let bench = Bench::new();
    let shop = Shop::start(Options {
        permission: Permission::Read,
        ..Options::default()
    });
    let added = bench
        .add(&shop.url, &["--follow", "--from", "2026-11-21"])
        .ends(0)
        .json();
    assert_eq!(
        (&added["secret"], &added["url"], &added["registered"]),
        (&json!(null), &json!(null), &json!(false))
    );
    bench.check(&["--fix"]).ends(0);
    assert!(shop.webhooks().is_empty());
    let listed = bench.run(&["connections", "list", "--json"]).ends(0).json();
    let listed = &listed["connections"][0];
    assert_eq!(listed["followed_by"], "polling");
    assert_eq!(listed["settings"]["poll_from"], "2026-11-21T00:00:00Z");
}
