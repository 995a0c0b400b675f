//! Connecting a store with one command, keeping it so, and taking it away again: the real program against a shop's API over
//! real HTTP, with a gateway beside it where it matters.
//!
//! Nothing here waits for a time: conditions are polled, and the shop's answers are those that real shops gave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cartwire::platforms::Unsigned;
use serde_json::{Value, json};
use support::eventually;
use support::process::ProcessGateway;
use support::store::{Keys, Order, SHOP, SITE};
use support::wix::{
    ACCOUNT_ID, API_KEY, APP_ID, APP_SECRET, Installation, OTHER_SITE_ID, RefusalShape, SITE_ID,
    Wixapis, World,
};
use support::woocommerce::{Fault, KEY, Options, Permission, SECRET, Shop};
use tempfile::TempDir;

/// Where the webhooks are to go: nobody is there, and nobody looks.
const PUBLIC: &str = "https://hooks.example.com";

/// What a command did.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {}{}", self.out, self.err))
    }

    /// The codes of all that was found, worst first.
    fn codes(&self) -> Vec<String> {
        let json = self.json();
        let findings = json["findings"]
            .as_array()
            .or_else(|| json["connections"][0]["findings"].as_array());
        findings
            .expect("findings")
            .iter()
            .map(|found| found["code"].as_str().expect("a code").to_owned())
            .collect()
    }
}

/// A data folder, and commands on it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(support::program());
        command
            .env_clear()
            .env("CARTWIRE_DATA_DIR", self.0.path().join("data"))
            .env("CARTWIRE_ALLOW_PRIVATE_STORES", "1");
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Done {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Adds a shop by its REST API key.
    fn add(&self, url: &str, more: &[&str]) -> Done {
        let (key, secret) = (self.file("key", KEY), self.file("secret", SECRET));
        let (key, secret) = (key.display().to_string(), secret.display().to_string());
        let shop = [
            "connections",
            "add",
            "woocommerce",
            "--id",
            "shop",
            "--url",
            url,
            "--json",
        ];
        self.run(
            &[
                &shop[..],
                &[
                    "--consumer-key-file",
                    &key,
                    "--consumer-secret-file",
                    &secret,
                ],
                more,
            ]
            .concat(),
        )
    }

    fn check(&self, more: &[&str]) -> Done {
        self.run(&[&["connections", "check", "shop", "--json"], more].concat())
    }

    /// How the connections stand: id, status, reason.
    fn standing(&self) -> Vec<(String, String, String)> {
        let list = self.run(&["connections", "list", "--json"]).ends(0).json();
        let text = |connection: &Value, field: &str| {
            connection[field].as_str().unwrap_or_default().to_owned()
        };
        let connections = list["connections"].as_array().expect("a list").iter();
        connections
            .map(|one| (text(one, "id"), text(one, "status"), text(one, "reason")))
            .collect()
    }
}

fn open() -> Shop {
    Shop::start(Options {
        pings: false,
        ..Options::default()
    })
}

fn active(shop: &Shop) -> usize {
    shop.webhooks()
        .iter()
        .filter(|webhook| webhook.status == "active")
        .count()
}

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
fn a_store_that_does_not_work_is_told_why_and_not_added() {
    let bench = Bench::new();
    let mut told = Vec::new();
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
        told.push(refused(&shop));
        assert!(shop.webhooks().is_empty());
    }
    let another_key = Options {
        consumer_secret: "cs_of_somebody_else".to_owned(),
        ..Options::default()
    };
    told.push(refused(&Shop::start(another_key)));
    told.push(refused(&Shop::start(Options {
        manager: false,
        ..Options::default()
    })));
    assert_eq!(bench.standing(), [], "nothing was added");
    let kinds: std::collections::BTreeSet<&String> = told.iter().collect();
    assert!(kinds.len() >= 7, "each has its own diagnosis: {told:?}");
}

#[test]
fn a_store_that_does_not_work_is_added_all_the_same_where_nothing_is_to_be_registered() {
    let (bench, shop) = (Bench::new(), open());
    shop.fail(Fault::Forbidden);
    let added = bench.add(&shop.url, &["--no-register"]).ends(0);
    assert!(!added.codes().is_empty());
    assert_eq!(bench.standing()[0].1, "degraded");
}

#[test]
fn nobody_is_called_without_an_address_to_register_nor_for_a_name_that_is_taken() {
    let (bench, shop) = (Bench::new(), open());
    let wrong = bench.add(&shop.url, &[]).ends(78);
    assert!(wrong.err.contains("--public-url"), "{}", wrong.err);
    assert!(shop.asked().is_empty());
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(0);
    shop.forget_asked();
    bench.add(&shop.url, &["--public-url", PUBLIC]).ends(1);
    assert!(shop.asked().is_empty());
}

#[test]
fn a_private_address_is_not_called_unless_that_is_allowed() {
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
    assert!(shop.asked().is_empty());
}

#[test]
fn a_webhook_that_was_disabled_is_found_and_mended() {
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
    let mended = bench.check(&["--fix"]).ends(0).json();
    assert_ne!(mended["connections"][0]["done"], json!([]));
    assert_eq!(active(&shop), all);
    assert_eq!(bench.standing()[0].1, "connected");
}

#[test]
fn a_key_that_may_only_read_registers_nothing_and_the_connection_says_so() {
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
fn removing_takes_our_webhooks_and_only_ours() {
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
fn a_store_that_is_away_keeps_its_connection_unless_its_webhooks_may_stay() {
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
fn the_doctor_says_what_to_do_and_nothing_where_all_is_well() {
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

/// A running gateway's events about connections, in order: verb and reason.
async fn health_of(gateway: &ProcessGateway, id: &str) -> Vec<(String, String)> {
    let events = gateway.events_by_api().await;
    let of = events
        .iter()
        .filter(|event| event["subject"] == format!("connection/{id}"));
    let verb = |event: &Value| {
        event["type"]
            .as_str()
            .unwrap_or_default()
            .rsplit('.')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    of.map(|event| {
        (
            verb(event),
            event["data"]["connection"]["reason"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    })
    .collect()
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
        "asked",
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
    let told = |verb: &'static str| async move {
        health_of(gateway, "asked")
            .await
            .into_iter()
            .find(|told| told.0 == verb)
    };
    let (_, reason) = eventually("the gateway tells of the webhook", || told("degraded")).await;
    let shown = gateway.admin_json("/api/connections/asked").await;
    assert_eq!(
        (shown["status"].as_str(), shown["reason"].as_str()),
        (Some("degraded"), Some(reason.as_str()))
    );
    assert_eq!(shown["findings"][0]["code"], reason.as_str(), "{shown}");
    assert_eq!(
        gateway.cli_json(&["connections", "list"])["connections"][0]["id"],
        "asked",
        "what is in trouble comes first"
    );
    let healthy = || async {
        gateway
            .metric("cartwire_connection_healthy", "\"asked\"")
            .await
    };
    assert_eq!(healthy().await, 0.0);
    shop.edit(one, |webhook| webhook.status = "active");
    eventually("the gateway tells that it is well again", || {
        told("recovered")
    })
    .await;
    eventually("the gauge says so", || async {
        (healthy().await == 1.0).then_some(())
    })
    .await;
    let told: Vec<String> = health_of(gateway, "asked")
        .await
        .into_iter()
        .map(|told| told.0)
        .collect();
    assert_eq!(
        told,
        ["connected", "degraded", "recovered"],
        "each change once"
    );
}

#[test]
fn a_site_is_connected_by_its_key_and_what_is_wrong_with_it_is_told_apart() {
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
        let told = add(site, account, key);
        assert_eq!(told.codes()[0], code, "{}", told.out);
        if code == "site_unknown" {
            assert!(
                told.out.contains(SITE_ID) && told.out.contains(OTHER_SITE_ID),
                "the account's sites are offered"
            );
        }
        if code != "account_unconfirmed" {
            assert_eq!(
                (told.code, bench.standing()),
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
async fn an_installation_that_is_gone_is_noticed_without_a_webhook() {
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
        "asked-app",
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
    let url = format!("http://{}/webhooks/wix/asked-app", gateway.public());
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
        "nobody's address is kept"
    );
    let checked = gateway.cli(&["connections", "check", "asked-app", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let checked = &checked["connections"][0];
    assert_eq!(checked["asked"], true, "an app is asked: {checked}");
    assert!(checked.to_string().contains("the app secret is right"));
    let missing = gateway.cli(&["scopes", SITE]);
    assert_eq!(missing.status.code(), Some(1), "some permission is missing");
    wix.change(|world| drop(world.installations.remove(SITE)));
    let gone = shown("that it is gone", |site| site["status"] == "disconnected").await;
    assert_eq!(gone["reason"], "app_removed");
    let told = |verb: &'static str| async move {
        health_of(gateway, SITE)
            .await
            .into_iter()
            .find(|told| told.0 == verb)
    };
    eventually("its consumers are told", || told("disconnected")).await;
    wix.change(|world| {
        drop(
            world
                .installations
                .insert(SITE.to_owned(), Installation::default()),
        )
    });
    eventually("and when it is back", || told("recovered")).await;
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
    let told = health_of(gateway, SHOP).await;
    assert_eq!(told.len(), 1, "consumers hear of no degradation: {told:?}");
}
