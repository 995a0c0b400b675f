//! `connections set-credentials` and `set-url` with the double of a shop over real HTTP.

use serde_json::json;
use support::woocommerce::SECRET;

use crate::shop_bench::{Bench, Done, PUBLIC, open};

const NEW_KEY: &str = "ck_00000000000000000000000000000000000000aa";
const NEW_SECRET: &str = "cs_00000000000000000000000000000000000000bb";

/// Replaces the key of the shop.
fn set_credentials(bench: &Bench, key: &str, secret: &str) -> Done {
    let key = bench.file("new-key", key).display().to_string();
    let secret = bench.file("new-secret", secret).display().to_string();
    bench.run(&[
        "connections",
        "set-credentials",
        "shop",
        "--consumer-key-file",
        &key,
        "--consumer-secret-file",
        &secret,
        "--json",
    ])
}

fn set_url(bench: &Bench, url: &str) -> Done {
    bench.run(&["connections", "set-url", "shop", url, "--json"])
}

#[test]
fn new_key_replaces_a_revoked_one_after_a_check() {
    let (bench, shop) = (Bench::new(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    shop.change(|options| {
        options.consumer_key = NEW_KEY.to_owned();
        options.consumer_secret = NEW_SECRET.to_owned();
    });
    bench.check(&[]).ends(1);
    assert_eq!(bench.standing()[0].1, "degraded");
    let refused = set_credentials(&bench, NEW_KEY, SECRET).ends(1);
    assert_eq!(refused.json()["changed"], false);
    assert_eq!(
        refused.codes().first().map(String::as_str),
        Some("key_secret_wrong")
    );
    let replaced = set_credentials(&bench, NEW_KEY, NEW_SECRET).ends(0).json();
    assert_eq!(
        (&replaced["changed"], &replaced["check"]["ok"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(bench.standing()[0].1, "connected");
    bench.check(&[]).ends(0);
    bench.check(&["--fix"]).ends(0);
}

#[test]
fn store_that_moved_gets_its_new_url() {
    let (bench, shop, moved) = (Bench::new(), open(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    let refused = set_url(&bench, "http://127.0.0.1:1").ends(1).json();
    assert_eq!(refused["changed"], false);
    set_url(&bench, "no address").ends(78);
    bench
        .add_as(
            "other",
            &moved.url,
            &["--no-register", "--public-url", PUBLIC],
        )
        .ends(0);
    let taken = set_url(&bench, &moved.url).ends(1);
    assert!(
        taken.err.contains("connection other is this store already"),
        "{}",
        taken.err
    );
    bench.run(&["connections", "remove", "other"]).ends(0);
    // The webhooks are still missing at the new address.
    let replaced = set_url(&bench, &moved.url).ends(1).json();
    assert_eq!(replaced["changed"], true);
    assert_eq!(replaced["check"]["findings"][0]["code"], "webhook_missing");
    bench.check(&["--fix"]).ends(0);
    assert_eq!(moved.webhooks().len(), shop.webhooks().len());
    let shown = bench
        .run(&["connections", "show", "shop", "--json"])
        .ends(0)
        .json();
    let url = shown["connection"]["settings"]["url"].as_str();
    assert_eq!(url.map(|url| url.trim_end_matches('/')), Some(&*moved.url));
}

#[test]
fn credentials_of_another_kind_are_refused_with_the_right_options() {
    let (bench, shop) = (Bench::new(), open());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    let file = bench.file("api-key", "x").display().to_string();
    let refused = bench.run(&[
        "connections",
        "set-credentials",
        "shop",
        "--api-key-file",
        &file,
    ]);
    assert!(
        refused
            .err
            .contains("--consumer-key-file, --consumer-secret-file"),
        "{}",
        refused.err
    );
    let unknown = bench.run(&["connections", "set-url", "other", "https://shop.example"]);
    assert!(
        unknown.err.contains("there is no connection other"),
        "{}",
        unknown.err
    );
}
