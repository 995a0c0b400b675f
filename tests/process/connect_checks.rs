//! The doctor and the regular checks of a running gateway, beside the double of a shop.

use support::eventually;
use support::process::ProcessGateway;
use support::store::{Order, SHOP};
use support::woocommerce::{KEY, Options, SECRET, Shop};

use crate::shop_bench::{Bench, PUBLIC, health_of, open};

#[test]
fn doctor_names_remedies_and_nothing_for_a_healthy_store() {
    let (bench, shop) = (Bench::new(), open());
    let empty = bench.run(&["doctor", "--disk-reserve", "1"]).ends(1);
    assert!(empty.out.contains("1. data folder"), "{}", empty.out);
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    let well = bench
        .run(&["doctor", "--disk-reserve", "1", "--public-url", PUBLIC])
        .ends(0);
    assert!(
        well.out.contains("nothing to do") && well.out.contains("connection shop"),
        "{}",
        well.out
    );
    let one = shop.webhooks()[0].id;
    shop.edit(one, |webhook| webhook.status = "disabled");
    let wrong = bench
        .run(&[
            "doctor",
            "--disk-reserve",
            "1",
            "--json",
            "--listen",
            "nowhere",
            "--public-url",
            PUBLIC,
        ])
        .ends(1)
        .json();
    assert!(
        wrong["to_do"][0]
            .as_str()
            .is_some_and(|step| step.contains("--listen")),
        "{wrong}"
    );
    let wrong = bench
        .run(&[
            "doctor",
            "--disk-reserve",
            "1",
            "--json",
            "--public-url",
            PUBLIC,
        ])
        .ends(1)
        .json();
    assert!(
        wrong["to_do"][0]
            .as_str()
            .is_some_and(|step| step.starts_with("connection shop")),
        "{wrong}"
    );
}

/// A running gateway with a shop that one command connected.
async fn gateway_with_shop(repair: &str) -> (ProcessGateway, Shop) {
    let options = [
        "--check-interval-seconds",
        "1",
        "--public-url",
        PUBLIC,
        "--repair",
        repair,
    ];
    let mut gateway = ProcessGateway::new(&options);
    gateway.set_environment(vec![("CARTWIRE_ALLOW_PRIVATE_STORES", "true".into())]);
    gateway.start().await;
    let shop = Shop::start(Options {
        hooks_at: Some(gateway.public()),
        ..Options::default()
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (key, secret) = (file("key", KEY), file("secret", SECRET));
    let added = gateway.cli(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "checked",
        "--url",
        &shop.url,
        "--public-url",
        PUBLIC,
        "--consumer-key-file",
        &key,
        "--consumer-secret-file",
        &secret,
    ]);
    assert!(
        added.status.success(),
        "{}",
        String::from_utf8_lossy(&added.stderr)
    );
    (gateway, shop)
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_and_lost_webhooks_are_repaired_without_an_operator() {
    let (gateway, shop) = gateway_with_shop("auto").await;
    let before = shop.webhooks();
    shop.edit(before[0].id, |webhook| webhook.status = "disabled");
    shop.delete_webhook(before[1].id);
    eventually("the webhooks are repaired", || async {
        let webhooks = shop.webhooks();
        let is_disabled = webhooks.iter().any(|webhook| webhook.status == "disabled");
        (!is_disabled && webhooks.len() == before.len()).then_some(())
    })
    .await;
    eventually("the repair is counted", || async {
        let count = gateway.metric("cartwire_repairs_total", "\"done\"").await;
        (count >= 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_gateway_reports_a_disabled_webhook_and_its_repair() {
    let (gateway, shop) = gateway_with_shop("manual").await;
    let one = shop.webhooks()[0].id;
    shop.edit(one, |webhook| webhook.status = "disabled");
    let gateway = &gateway;
    let reported = |verb: &'static str| async move {
        health_of(gateway, "checked")
            .await
            .into_iter()
            .find(|reported| reported.0 == verb)
    };
    let (_, reason) = eventually("the gateway tells of the webhook", || reported("degraded")).await;
    let shown = gateway.admin_json("/api/connections/checked").await;
    assert_eq!(
        (shown["status"].as_str(), shown["reason"].as_str()),
        (Some("degraded"), Some(reason.as_str()))
    );
    assert_eq!(shown["findings"][0]["code"], reason.as_str(), "{shown}");
    assert_eq!(
        gateway.cli_json(&["connections", "list"])["connections"][0]["id"],
        "checked",
        "what is in trouble comes first"
    );
    let healthy = || async {
        gateway
            .metric("cartwire_connection_healthy", "\"checked\"")
            .await
    };
    assert_eq!(healthy().await, 0.0);
    shop.edit(one, |webhook| webhook.status = "active");
    eventually("the gateway tells that it is well again", || {
        reported("recovered")
    })
    .await;
    eventually("the gauge says so", || async {
        (healthy().await == 1.0).then_some(())
    })
    .await;
    let reported: Vec<String> = health_of(gateway, "checked")
        .await
        .into_iter()
        .map(|reported| reported.0)
        .collect();
    assert_eq!(
        reported,
        ["connected", "degraded", "recovered"],
        "each change once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_requests_alone_are_a_note_and_no_diagnosis() {
    let mut gateway = ProcessGateway::new(&["--check-interval-seconds", "1"]);
    gateway.start().await;
    let store = gateway.store();
    let mut forged = store.webhook(Order::Shop(1), 1);
    forged.body = [&forged.body[..], b" "].concat().into();
    for _ in 0..4 {
        let answer = store
            .try_send(Order::Shop(1), &forged)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 401);
    }
    let gateway = &gateway;
    let noted = eventually("the gateway notes the requests", || async {
        let shown = gateway
            .admin_json(&format!("/api/connections/{SHOP}"))
            .await;
        (shown["findings"][0]["code"] == "signature_wrong").then_some(shown)
    })
    .await;
    assert_eq!(noted["findings"][0]["severity"], "note");
    assert_eq!(noted["status"], "connected");
    let reported = health_of(gateway, SHOP).await;
    assert_eq!(
        reported.len(),
        1,
        "consumers hear of no degradation: {reported:?}"
    );
}
