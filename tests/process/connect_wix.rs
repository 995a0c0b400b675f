//! Connecting Wix sites and installations, with the double of Wix's API over real HTTP.

use std::collections::BTreeMap;

use cartwire::platforms::Unsigned;
use serde_json::{Value, json};
use support::eventually;
use support::process::ProcessGateway;
use support::store::{Keys, Order, SITE};
use support::wix::{
    ACCOUNT_ID, API_KEY, APP_ID, APP_SECRET, Installation, OTHER_SITE_ID, RefusalShape, SITE_ID,
    Wixapis, World,
};

use crate::shop_bench::{Bench, health_of};

#[test]
fn site_is_connected_by_its_key_and_its_faults_are_diagnosed() {
    let (bench, wix) = (Bench::new(), Wixapis::start(World::default()));
    let add = |site: &str, account: &str, key: &str| {
        let key = bench.file("key", key).display().to_string();
        let site = [
            "connections",
            "add",
            "wix-site",
            "--id",
            "site",
            "--site-id",
            site,
            "--account-id",
            account,
            "--json",
        ];
        bench.run(&[&site[..], &["--api-key-file", &key, "--api-base", &wix.url]].concat())
    };
    let unknown = "00000000-1111-4222-8333-444444444444";
    for (site, account, key, code) in [
        (SITE_ID, ACCOUNT_ID, "IST.mistyped", "api_key_refused"),
        (SITE_ID, unknown, API_KEY, "account_unconfirmed"),
        (unknown, ACCOUNT_ID, API_KEY, "site_unknown"),
    ] {
        let reported = add(site, account, key);
        assert_eq!(reported.codes()[0], code, "{}", reported.out);
        if code == "site_unknown" {
            assert!(
                reported.out.contains(SITE_ID) && reported.out.contains(OTHER_SITE_ID),
                "the account's sites are offered"
            );
        }
        if code != "account_unconfirmed" {
            assert_eq!(
                (reported.code, bench.standing()),
                (1, vec![]),
                "nothing is kept"
            );
        } else {
            bench.run(&["connections", "remove", "site"]).ends(0);
        }
    }
    let dashboard = format!(" https://manage.wix.com/dashboard/{SITE_ID}/home ");
    add(&dashboard, ACCOUNT_ID, API_KEY).ends(0);
    let shown = bench
        .run(&["connections", "show", "site", "--json"])
        .ends(0)
        .json();
    assert_eq!(shown["connection"]["settings"]["site_id"], SITE_ID);
    wix.change(|world| world.api_key = "IST.another".to_owned());
    let revoked = bench
        .run(&["connections", "check", "site", "--json"])
        .ends(1);
    assert_eq!(revoked.codes()[0], "api_key_refused");
    assert_eq!(bench.standing()[0].1, "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_installation_is_detected_without_a_webhook() {
    let wix = Wixapis::start(World::default());
    // The platform does not say what it refuses: that shows at the app's other installations.
    wix.change(|world| world.shape = RefusalShape::Bare);
    let another = "0b0e2d4c-6f8a-4b1d-8e3f-5a7c9d1b3e5f";
    wix.change(|world| {
        world.installations = [SITE, another]
            .map(|id| (id.to_owned(), Installation::default()))
            .into()
    });
    let mut gateway = ProcessGateway::new(&["--check-interval-seconds", "1"]);
    gateway.set_environment(vec![("CARTWIRE_ALLOW_PRIVATE_STORES", "1".into())]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (public, secret) = (
        file("public", &Keys::test().app_public),
        file("secret", APP_SECRET),
    );
    let add = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "checked-app",
        "--app-id",
        APP_ID,
        "--api-base",
        &wix.url,
    ];
    let added = gateway.cli(
        &[
            &add[..],
            &["--public-key-file", &public, "--app-secret-file", &secret],
        ]
        .concat(),
    );
    assert!(
        added.status.success(),
        "{}",
        String::from_utf8_lossy(&added.stderr)
    );
    gateway.start().await;
    // Any delivery of a site makes it a connection.
    let url = format!("http://{}/webhooks/wix/checked-app", gateway.public());
    let post = async |body| {
        reqwest::Client::new()
            .post(&url)
            .body(body)
            .send()
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!(
        post(gateway.store().webhook(Order::Site(1), 1).body).await,
        200
    );
    let installed = Unsigned {
        topic: "AppInstalled",
        payload: format!(r#"{{"appId":"{APP_ID}"}}"#).into_bytes().leak(),
        nonce: 1,
        options: &BTreeMap::from([("instance_id".to_owned(), another.to_owned())]),
    };
    let platform = cartwire::platforms::platform("wix").expect("a platform");
    let key = cartwire::replay::fixture::test_key(platform, "signing").expect("a key");
    assert_eq!(
        post(
            platform
                .sign(&installed, &key, jiff::Timestamp::now())
                .expect("signed")
                .body
        )
        .await,
        200
    );
    let gateway = &gateway;
    let shown = |what: &'static str, is: fn(&Value) -> bool| {
        eventually(what, move || async move {
            Some(
                gateway
                    .admin_json(&format!("/api/connections/{SITE}"))
                    .await,
            )
            .filter(is)
        })
    };
    let known = shown("what the site is", |site| {
        site["settings"]["site_name"] == "Hafenladen"
    })
    .await;
    assert_eq!(
        (&known["status"], &known["settings"]["catalog_version"]),
        (&json!("connected"), &json!("V1_CATALOG"))
    );
    assert!(
        !known.to_string().contains("ida@hafen.example"),
        "no address is stored"
    );
    let checked = gateway.cli(&["connections", "check", "checked-app", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let checked = &checked["connections"][0];
    assert_eq!(checked["asked"], true, "an app is checked: {checked}");
    assert!(checked.to_string().contains("the app secret is right"));
    let missing = gateway.cli(&["scopes", SITE]);
    assert_eq!(missing.status.code(), Some(1), "some permission is missing");
    wix.change(|world| drop(world.installations.remove(SITE)));
    let gone = shown("that it is gone", |site| site["status"] == "disconnected").await;
    assert_eq!(gone["reason"], "app_removed");
    let reported = |verb: &'static str| async move {
        health_of(gateway, SITE)
            .await
            .into_iter()
            .find(|reported| reported.0 == verb)
    };
    eventually("consumers get the event", || reported("disconnected")).await;
    wix.change(|world| {
        drop(
            world
                .installations
                .insert(SITE.to_owned(), Installation::default()),
        )
    });
    eventually("and when it is back", || reported("recovered")).await;
}
