//! The binary as an operator uses it: exit codes, what is printed and what never is, and changes beside a running `serve`.
//!
//! Every test has a data folder of its own. HTTP is spoken by `cartwire::replay::FixtureSender`, the one that `replay` uses.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use cartwire::replay::fixture::test_key;
use jiff::Timestamp;
use serde_json::{Value, json};
use support::eventually_blocking;
use tempfile::TempDir;

/// Whatever takes longer is a failure, not a measurement.
const PATIENCE: Duration = Duration::from_secs(60);
const APP_ID: &str = "5bc2062d-010b-448c-a62a-d6bb269c5a4c";

/// A data folder, and commands on it.
struct Bench(TempDir);

/// What a command did.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {:?}, {:?}", self.out, self.err))
    }

    fn assert(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Writes a file beside the data folder.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(support::program());
        command
            .env_clear()
            .env("CARTWIRE_DATA_DIR", self.data())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments)
            .output()
            .expect("the binary runs")
            .into()
    }

    /// A shop whose secret is the fixtures' one.
    fn add_shop(&self) {
        let secret = self.file("secret", &key("woocommerce", "verification"));
        let shop = [
            "--id",
            "shop-a",
            "--url",
            "https://shop.example",
            "--webhook-secret-file",
            &secret,
            "--no-register",
        ];
        self.run(&[&["connections", "add", "woocommerce"], &shop[..]].concat())
            .assert(0);
    }

    /// An app with the fixtures' keys.
    fn add_app(&self) -> Done {
        let public = self.file("public.pem", &key("wix", "verification"));
        let private = self.file("private.pem", &key("wix", "signing"));
        let app = [
            "--id",
            "my-app",
            "--app-id",
            APP_ID,
            "--public-key-file",
            &public,
            "--signing-key-file",
            &private,
        ];
        self.run(&[&["connections", "add", "wix-app"], &app[..]].concat())
    }

    fn serve(&self, more: &[&str]) -> Served {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--disk-reserve",
            "1",
        ];
        let mut command = self.command(&[&arguments[..], more].concat());
        Served::start(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the binary runs"),
        )
    }
}

/// A running gateway; it is ended with the test.
struct Served {
    child: Child,
    log: Arc<Mutex<String>>,
    public: String,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    fn start(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let (tell, told) = std::sync::mpsc::channel();
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                let fields =
                    serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
                if let Some(address) = fields["webhooks"].as_str() {
                    let _ = tell.send(address.to_owned());
                }
                written.lock().expect("nobody panicked").push_str(&line);
                line.clear();
            }
        });
        let Ok(public) = told.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!(
                "serve does not serve: {}",
                log.lock().expect("nobody panicked")
            );
        };
        Self {
            child,
            log,
            public: format!("http://{public}"),
            reader: Some(reader),
        }
    }

    fn post(&self, platform: &str, connection: &str, request: &SignedRequest) -> (u16, Value) {
        let connection = ConnectionId::new(connection).expect("an id");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = FixtureSender::new(&self.public).expect("a client");
        let answer = runtime
            .block_on(sender.send(platform, &connection, request))
            .expect("an answer");
        (answer.status, answer.body)
    }

    /// SIGTERM; gives the exit code and the whole log.
    fn stop(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .expect("kill")
                .success()
        );
        let code = self.child.wait().expect("it ends").code();
        self.reader
            .take()
            .expect("once")
            .join()
            .expect("the log is read");
        let log = self.log.lock().expect("nobody panicked").clone();
        (code, log)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.reader.is_some() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn key(name: &str, which: &str) -> String {
    test_key(platform(name).expect("a platform"), which).expect("a test key")
}

fn order(payload: &str, nonce: u64, secret: &str) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic: "order.updated",
        payload: payload.as_bytes(),
        nonce,
        options: &options,
    };
    platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, secret, Timestamp::now())
        .expect("signed")
}

fn states(bench: &Bench, more: &[&str]) -> Vec<String> {
    let list = bench
        .run(
            &[
                &["deliveries", "list", "--json", "--topic", "order.updated"],
                more,
            ]
            .concat(),
        )
        .assert(0)
        .json();
    let deliveries = list["deliveries"].as_array().expect("deliveries").iter();
    deliveries
        .filter_map(|delivery| delivery["state"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn exit_codes_say_what_sort_of_end_it_was() {
    let bench = Bench::new();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["serve", "--help"], 0),
        (&["connections", "add", "woocommerce", "--help"], 0),
        (&[], 64),
        (&["frobnicate"], 64),
        (&["serve", "--no-such-option"], 64),
        (&["connections"], 64),
        (&["connections", "add", "woocommerce"], 64),
        (&["connections", "show", "a b"], 64),
        (&["deliveries", "list", "--state", "lost"], 64),
        (&["deliveries", "show", "nonsense"], 64),
        (&["deliveries", "redrive"], 64),
        (&["events", "show", "nonsense"], 64),
        (&["replay", "fixtures", "--to", "nowhere"], 64),
        (&["connections", "list"], 0),
        (&["connections", "show", "nobody"], 1),
        (&["connections", "pause", "nobody"], 1),
        (&["connections", "rotate-secret", "nobody"], 1),
        (
            &["deliveries", "show", "00000000000000000000000000000000"],
            1,
        ),
        (&["deliveries", "redrive", "--all"], 1),
        (&["events", "show", "00000000000000000000000000000000-0"], 1),
    ] {
        let done = bench.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.all());
        assert!(
            code != 64 || done.out.is_empty(),
            "{arguments:?}: mistakes go to standard error"
        );
        assert!(
            !done.all().trim().is_empty(),
            "{arguments:?} says something"
        );
    }
    let file = bench.file("file", "");
    bench
        .run(&["connections", "list", "--data-dir", &file])
        .assert(74);
    bench.add_shop();
    bench
        .run(&[
            "replay",
            "fixtures/woocommerce/order.created/guest",
            "--to",
            "http://127.0.0.1:1",
        ])
        .assert(69);
}

#[test]
fn all_mistakes_of_the_configuration_are_told_at_once() {
    let bench = Bench::new();
    let done = bench.run(&[
        "serve",
        "--listen",
        "nowhere",
        "--admin-listen",
        "0.0.0.0:8081",
        "--amqp-url",
        "ampq://user:geheim@host",
        "--topology",
        "make",
        "--queue",
        "orders",
        "--max-body-bytes",
        "big",
        "--body-timeout-seconds",
        "0",
        "--log-format",
        "xml",
        "--tls-cert",
        "cert.pem",
    ]);
    done.assert(78);
    for option in [
        "--listen (CARTWIRE_LISTEN)",
        "--admin-token (CARTWIRE_ADMIN_TOKEN)",
        "--amqp-url (CARTWIRE_AMQP_URL)",
        "--topology",
        "--queue",
        "--max-body-bytes",
        "--body-timeout-seconds",
        "--log-format",
        "--tls-key",
    ] {
        assert!(done.err.contains(option), "{option} in {}", done.err);
    }
    assert!(!done.err.contains("geheim"));
    assert!(!bench.data().exists(), "nothing was begun");
}

#[test]
fn a_secret_is_made_shown_once_and_never_again() {
    let bench = Bench::new();
    let added = bench.run(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-a",
        "--url",
        "shop.example",
        "--no-register",
        "--json",
    ]);
    let added = added.assert(0).json();
    let secret = added["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(secret.len(), 48);
    assert!(
        secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
        "{secret}"
    );
    assert_eq!(
        added["connection"]["settings"]["url"],
        "https://shop.example"
    );
    assert!(
        added["url"]
            .as_str()
            .is_some_and(|url| url.ends_with("/webhooks/woocommerce/shop-a"))
    );

    let other = bench.run(&[
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-b",
        "--url",
        "b.example",
        "--no-register",
    ]);
    let line = other
        .assert(0)
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("secret:").map(str::to_owned));
    let other = line
        .and_then(|line| line.split_whitespace().next().map(str::to_owned))
        .expect("a secret is shown");
    assert!(other.len() == 48 && other != secret, "each has its own");
    bench.add_app().assert(0);
    let given = bench.file("given", "this-secret-was-typed\n");
    let credentials = [("ck", "ck_0123456789abcdef"), ("cs", "cs_fedcba9876543210")]
        .map(|(name, value)| bench.file(name, value));
    let more = [
        "--consumer-key-file",
        &credentials[0],
        "--consumer-secret-file",
        &credentials[1],
        "--webhook-secret-file",
        &given,
    ];
    let add = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop-c",
        "--url",
        "c.example",
        "--no-register",
        "--json",
    ];
    let typed = bench.run(&[&add[..], &more].concat());
    assert_eq!(
        typed.assert(0).json()["secret"],
        Value::Null,
        "who typed it knows it"
    );

    let pem = key("wix", "signing");
    let private = pem.lines().nth(3).expect("a line");
    let public_pem = key("wix", "verification");
    let public = public_pem.lines().nth(3).expect("a line");
    let mut seen = vec![typed.all()];
    for arguments in [
        &["connections", "list"][..],
        &["connections", "list", "--json"],
        &["connections", "show", "shop-a"],
        &["connections", "show", "shop-b", "--json"],
        &["connections", "show", "shop-c", "--json"],
        &["connections", "show", "my-app", "--json"],
        &["deliveries", "list", "--json"],
        &["events", "list", "--json"],
    ] {
        seen.push(bench.run(arguments).assert(0).all());
    }
    for secret in [
        &secret,
        &other,
        "this-secret-was-typed",
        "ck_0123456789abcdef",
        "cs_fedcba9876543210",
        private,
        public,
    ] {
        assert!(
            seen.iter().all(|text| !text.contains(secret)),
            "a secret is shown again"
        );
        // Nor does it lie in the data folder as it is.
        for file in std::fs::read_dir(bench.data()).expect("the data folder") {
            let bytes = std::fs::read(file.expect("a file").path()).expect("a file");
            assert!(
                !bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes()),
                "it is sealed"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn the_master_key_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    bench.add_shop();
    let mode = |path: &Path| {
        std::fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode(&bench.data().join("master.key")), 0o600);
    assert_eq!(mode(&bench.data()), 0o700);
}

#[test]
fn a_connection_lives_from_add_to_remove() {
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
fn a_bad_key_is_refused_when_it_is_configured_with_everything_else_that_is_wrong() {
    let bench = Bench::new();
    let key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";
    let bad = bench.file(
        "bad.pem",
        &format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n"),
    );
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        "no-uuid",
        "--public-key-file",
        &bad,
    ];
    let done = bench.run(&app);
    done.assert(78);
    assert!(
        done.err.contains("--app-id") && done.err.contains("--public-key-file"),
        "both at once: {}",
        done.err
    );
    assert!(!done.all().contains(key), "the key is not repeated");
    bench.run(&["connections", "show", "my-app"]).assert(1);
    let private = bench.file("private.pem", &private_key());
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        APP_ID,
        "--public-key-file",
        &private,
    ];
    assert!(bench.run(&app).assert(78).err.contains("private key"));
    let missing = bench.0.path().join("missing").display().to_string();
    let app = [
        "connections",
        "add",
        "wix-app",
        "--id",
        "my-app",
        "--app-id",
        APP_ID,
        "--public-key-file",
        &missing,
    ];
    assert!(bench.run(&app).assert(78).err.contains("missing"));
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "a/b",
        "--url",
        "https://shop.example",
        "--no-register",
    ];
    assert!(bench.run(&shop).assert(78).err.contains("--id"));
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "shop",
        "--url",
        "ftp://shop.example",
        "--no-register",
    ];
    assert!(bench.run(&shop).assert(78).err.contains("--url"));

    bench.add_app().assert(0);
    bench
        .run(&["connections", "rotate-secret", "my-app"])
        .assert(64);
    let done = bench.run(&[
        "connections",
        "rotate-secret",
        "my-app",
        "--secret-file",
        &bad,
    ]);
    assert!(done.assert(78).err.contains("--secret-file") && !done.all().contains(key));
}

fn private_key() -> String {
    key("wix", "signing")
}

#[test]
fn a_wrong_master_key_is_a_mistake_of_the_configuration() {
    let bench = Bench::new();
    bench.add_shop();
    let short = bench.file("short.key", "c2hvcnQ=");
    let shop = [
        "connections",
        "add",
        "woocommerce",
        "--id",
        "b",
        "--url",
        "b.example",
        "--no-register",
        "--master-key-file",
        &short,
    ];
    assert!(bench.run(&shop).assert(78).err.contains("32 bytes"));
}

#[test]
fn the_schema_of_an_event_is_a_json_schema_that_refuses_what_is_none() {
    let schema = Bench::new().run(&["schema", "event"]).assert(0).json();
    assert!(jsonschema::meta::is_valid(&schema), "a valid schema");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    assert!(!validator.is_valid(&json!({})) && !validator.is_valid(&json!([])));
}

#[test]
fn the_demo_ends_with_0_when_every_fixture_told_what_it_must() {
    let done = Bench::new().run(&["demo", "--once", "--json"]);
    done.assert(0);
    let schema = serde_json::to_value(cartwire::event::json_schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut platforms = BTreeMap::<String, u32>::new();
    for line in done.out.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is an event");
        assert!(validator.is_valid(&event), "{line}");
        *platforms
            .entry(event["platform"].as_str().expect("a platform").to_owned())
            .or_default() += 1;
    }
    assert!(
        platforms.len() == 2 && platforms.values().all(|count| *count > 50),
        "events of both: {platforms:?}"
    );
}

#[test]
fn a_running_gateway_sees_changes_without_a_restart() {
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
    let mut n = 10_000;
    let deadline = Instant::now() + PATIENCE;
    while send(n) != 404 {
        n += 1;
        assert!(
            Instant::now() < deadline,
            "a removed connection is not served"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn both_secrets_verify_during_the_grace_time_and_one_after_it() {
    let bench = Bench::new();
    bench.add_shop();
    let served = bench.serve(&[]);
    let first = key("woocommerce", "signing");
    let status = |secret: &str, n: u64| {
        served
            .post(
                "woocommerce",
                "shop-a",
                &order(&format!(r#"{{"id":{n}}}"#), n, secret),
            )
            .0
    };
    assert_eq!(status(&first, 1), 200);
    let rotated = bench
        .run(&[
            "connections",
            "rotate-secret",
            "shop-a",
            "--json",
            "--grace-hours",
            "1",
        ])
        .assert(0)
        .json();
    let second = rotated["secret"].as_str().expect("a secret").to_owned();
    eventually_blocking("the new secret verifies", || {
        (status(&second, 2) == 200).then_some(())
    });
    assert_eq!(status(&first, 3), 200, "the old one still does");
    assert_eq!(status("some other secret", 4), 401);
    let third = bench.file("third", "the third secret\n");
    bench
        .run(&[
            "connections",
            "rotate-secret",
            "shop-a",
            "--secret-file",
            &third,
            "--grace-hours",
            "0",
        ])
        .assert(0);
    eventually_blocking("the third secret verifies", || {
        (status("the third secret", 5) == 200).then_some(())
    });
    eventually_blocking("the second secret is over", || {
        (status(&second, 6) == 401).then_some(())
    });
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn a_second_gateway_on_the_same_data_folder_is_refused() {
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

#[test]
fn no_secret_no_body_and_no_token_reaches_the_log() {
    let bench = Bench::new();
    bench.add_shop();
    bench.add_app().assert(0);
    let token = bench.file("token", "the-token-of-the-admin\n");
    let served = bench.serve(&["--log", "debug", "--admin-token-file", &token]);
    let secret = key("woocommerce", "signing");
    let body = r#"{"id":7,"billing":{"email":"somebody@example.com"}}"#;
    let good = order(body, 1, &secret);
    assert_eq!(served.post("woocommerce", "shop-a", &good).0, 200);
    assert_eq!(
        served
            .post("woocommerce", "shop-a", &order(body, 2, "wrong secret"))
            .0,
        401
    );
    let signature = good
        .headers
        .iter()
        .find(|(name, _)| name.contains("Signature"))
        .map(|(_, value)| value.clone());
    eventually_blocking("it is published", || {
        states(&bench, &["--state", "logged"]).first().cloned()
    });
    let (code, log) = served.stop();
    assert_eq!(code, Some(0));
    assert!(
        log.contains(
            r#""message":"webhooks refused","reason":"signature_wrong","count":1,"connections":1"#
        ),
        "refusals are summarized at the end: {log}"
    );
    let master = std::fs::read_to_string(bench.data().join("master.key")).expect("the key");
    let keys = key("wix", "signing");
    let pem = keys.lines().nth(3).expect("a line");
    for secret in [
        secret.trim(),
        "somebody@example.com",
        "the-token-of-the-admin",
        &signature.expect("signed"),
        master.trim(),
        pem,
    ] {
        assert!(!log.contains(secret), "the log contains {secret}");
    }
}

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
    eventually_blocking("all is told once more", || {
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
        .run(&["deliveries", "redrive", "--connection", "nobody"])
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

#[test]
fn a_secret_may_come_from_standard_input() {
    use std::io::Write;
    let bench = Bench::new();
    let shop = [
        "--id",
        "shop-a",
        "--url",
        "shop.example",
        "--no-register",
        "--webhook-secret-file",
        "-",
    ];
    let mut command = bench.command(&[&["connections", "add", "woocommerce"], &shop[..]].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"from a pipe\n")
        .expect("written");
    let mut out = String::new();
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut out)
        .expect("read");
    assert!(child.wait().expect("it ends").success());
    assert!(!out.contains("from a pipe"));
    let served = bench.serve(&[]);
    assert_eq!(
        served
            .post(
                "woocommerce",
                "shop-a",
                &order(r#"{"id":1}"#, 1, "from a pipe")
            )
            .0,
        200
    );
}
