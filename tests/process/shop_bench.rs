//! The commands of the real program beside the double of a shop.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::process::ProcessGateway;
use support::woocommerce::{KEY, Options, SECRET, Shop};
use tempfile::TempDir;

/// The delivery URL of the webhooks. No server listens there, and the tests send no webhook.
pub(crate) const PUBLIC: &str = "https://hooks.example.com";

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {}{}", self.out, self.err))
    }

    /// The codes of all that was found, worst first.
    pub(crate) fn codes(&self) -> Vec<String> {
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
pub(crate) struct Bench(pub(crate) TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
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
    pub(crate) fn add(&self, url: &str, more: &[&str]) -> Done {
        self.add_as("shop", url, more)
    }

    pub(crate) fn add_as(&self, id: &str, url: &str, more: &[&str]) -> Done {
        let (key, secret) = (self.file("key", KEY), self.file("secret", SECRET));
        let (key, secret) = (key.display().to_string(), secret.display().to_string());
        let shop = [
            "connections",
            "add",
            "woocommerce",
            "--id",
            id,
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

    pub(crate) fn check(&self, more: &[&str]) -> Done {
        self.run(&[&["connections", "check", "shop", "--json"], more].concat())
    }

    /// How the connections stand: id, status, reason.
    pub(crate) fn standing(&self) -> Vec<(String, String, String)> {
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

pub(crate) fn open() -> Shop {
    Shop::start(Options {
        pings: false,
        ..Options::default()
    })
}

pub(crate) fn active(shop: &Shop) -> usize {
    shop.webhooks()
        .iter()
        .filter(|webhook| webhook.status == "active")
        .count()
}

/// A running gateway's events about connections, in order: verb and reason.
pub(crate) async fn health_of(gateway: &ProcessGateway, id: &str) -> Vec<(String, String)> {
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
