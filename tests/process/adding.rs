//! `connections add` and `remove`: what they refuse, and what they wait for, with the real program and a gateway beside it.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use support::eventually;
use support::process::ProcessGateway;
use support::store::{APP, Order, SITE};
use support::woocommerce::{KEY, Options, SECRET, Shop};
use tempfile::TempDir;

/// Where the webhooks are to go.
const PUBLIC: &str = "https://hooks.example.com";

struct Bench {
    folder: TempDir,
    data: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        Self { folder, data }
    }

    fn of(gateway: &ProcessGateway) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            data: gateway.data().to_owned(),
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(support::program())
            .env_clear()
            .env("CARTWIRE_DATA_DIR", &self.data)
            .env("CARTWIRE_ALLOW_PRIVATE_STORES", "1")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }

    fn add(&self, id: &str, url: &str, more: &[&str]) -> Output {
        let (key, secret) = (self.file("key", KEY), self.file("secret", SECRET));
        let shop = [
            "connections",
            "add",
            "woocommerce",
            "--id",
            id,
            "--url",
            url,
        ];
        let keys = [
            "--consumer-key-file",
            &key,
            "--consumer-secret-file",
            &secret,
        ];
        self.run(&[&shop[..], &keys, more].concat())
    }
}

#[track_caller]
fn ended(output: &Output, code: i32) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn open() -> Shop {
    Shop::start(Options {
        pings: false,
        ..Options::default()
    })
}

#[test]
fn store_is_added_twice_only_if_forced() {
    let (bench, shop) = (Bench::new(), open());
    ended(&bench.add("one", &shop.url, &["--public-url", PUBLIC]), 0);
    let registered = shop.webhooks().len();
    let refused = ended(&bench.add("two", &shop.url, &["--public-url", PUBLIC]), 1);
    assert!(refused.contains("connection one"), "{refused}");
    assert_eq!(shop.webhooks().len(), registered);
    let wanted = ["--public-url", PUBLIC, "--allow-duplicate"];
    ended(&bench.add("two", &shop.url, &wanted), 0);
    assert_eq!(shop.webhooks().len(), 2 * registered);
}

#[test]
fn taken_id_or_shared_routing_key_is_refused() {
    let (bench, shop, other) = (Bench::new(), open(), open());
    ended(
        &bench.add("shop.a", &shop.url, &["--public-url", PUBLIC]),
        0,
    );
    let taken = ended(
        &bench.add("shop.a", &other.url, &["--public-url", PUBLIC]),
        1,
    );
    assert!(taken.contains("check shop.a --fix"), "{taken}");
    let shared = ended(
        &bench.add("shop-a", &other.url, &["--public-url", PUBLIC]),
        1,
    );
    assert!(shared.contains("shop.a"), "{shared}");
    assert!(other.webhooks().is_empty());
}

#[test]
fn unusable_public_url_is_refused_before_registration() {
    let (bench, shop) = (Bench::new(), open());
    let refused = bench.add(
        "shop",
        &shop.url,
        &["--public-url", "http://hooks.example.com:9090"],
    );
    assert!(ended(&refused, 1).contains("delivery_url_port"));
    assert!(shop.webhooks().is_empty());
    assert!(!bench.data.exists(), "nothing is kept");
}

#[test]
fn public_url_is_stored_without_registration() {
    let (bench, shop) = (Bench::new(), open());
    let reported = ended(
        &bench.add(
            "shop",
            &shop.url,
            &["--public-url", PUBLIC, "--no-register"],
        ),
        0,
    );
    assert!(!reported.contains("public_url_missing"), "{reported}");
    assert!(reported.contains("https://hooks.example.com/webhooks/woocommerce/shop"));
}

#[test]
fn the_help_of_each_kind_describes_the_kind() {
    let bench = Bench::new();
    for kind in ["woocommerce", "wix-app", "wix-site"] {
        let help = ended(&bench.run(&["connections", "add", kind, "--help"]), 0);
        assert!(!help.contains("How stores are called"), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_of_an_app_lists_its_installations_first() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    gateway.store().send(Order::Site(1), 1).await;
    let bench = Bench::of(&gateway);
    eventually("the installation is a connection", || async {
        gateway
            .admin_json(&format!("/api/connections/{SITE}"))
            .await["status"]
            .is_string()
            .then_some(())
    })
    .await;
    let refused = ended(&bench.run(&["connections", "remove", APP]), 1);
    assert!(refused.contains(SITE) && refused.contains("--with-installations"));
    ended(
        &bench.run(&["connections", "remove", APP, "--with-installations"]),
        0,
    );
}

async fn post(gateway: &ProcessGateway, id: &str) -> u16 {
    reqwest::Client::new()
        .post(format!(
            "http://{}/webhooks/woocommerce/{id}",
            gateway.public()
        ))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("webhook_id=1")
        .send()
        .await
        .expect("an answer")
        .status()
        .as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connection_is_served_when_the_command_returns() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let (bench, shop) = (Bench::of(&gateway), open());
    for number in 0..5 {
        let id = format!("new-{number}");
        let more = ["--no-register", "--public-url", PUBLIC];
        ended(&bench.add(&id, &shop.url, &more), 0);
        assert_eq!(post(&gateway, &id).await, 200, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_cannot_reach_the_gateway_is_degraded_until_it_does() {
    let mut gateway = ProcessGateway::new(&["--check-interval-seconds", "1"]);
    gateway.set_environment(vec![("CARTWIRE_ALLOW_PRIVATE_STORES", "true".into())]);
    gateway.start().await;
    let bench = Bench::of(&gateway);
    let silent = open();
    let reported = ended(
        &bench.add("silent", &silent.url, &["--public-url", PUBLIC]),
        1,
    );
    assert!(reported.contains("ping_missing"), "{reported}");
    let reaching = Shop::start(Options {
        hooks_at: Some(gateway.public()),
        ..Options::default()
    });
    ended(
        &bench.add("reaching", &reaching.url, &["--public-url", PUBLIC]),
        0,
    );
    let gateway = &gateway;
    let status = |id: &'static str| async move {
        gateway.admin_json(&format!("/api/connections/{id}")).await["status"].clone()
    };
    assert_eq!(status("silent").await, json!("degraded"));
    assert_eq!(post(gateway, "silent").await, 200);
    eventually("the ping ends the trouble", || async {
        (status("silent").await == "connected").then_some(())
    })
    .await;
}
