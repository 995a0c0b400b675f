//! The program's commands on a data folder of their own, and a running `serve` beside them.
//!
//! Requests are sent by `cartwire::replay::FixtureSender`, as `replay` does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cartwire::delivery::ConnectionId;
use cartwire::platforms::{SignedRequest, Unsigned, platform};
use cartwire::replay::FixtureSender;
use cartwire::replay::fixture::test_key;
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

/// Maximum time until `serve` listens.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const APP_ID: &str = "5bc2062d-010b-448c-a62a-d6bb269c5a4c";

/// A data folder, and commands on it.
pub(crate) struct Bench(pub(crate) TempDir);

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|_| panic!("no JSON: {:?}, {:?}", self.out, self.err))
    }

    pub(crate) fn assert(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    pub(crate) fn all(&self) -> String {
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
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Writes a file beside the data folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(support::program());
        command
            .env_clear()
            .env("CARTWIRE_DATA_DIR", self.data())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments)
            .output()
            .expect("the binary runs")
            .into()
    }

    /// A shop whose secret is the fixtures' one.
    pub(crate) fn add_shop(&self) {
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
    pub(crate) fn add_app(&self) -> Done {
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

    pub(crate) fn serve(&self, more: &[&str]) -> Served {
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
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) log: Arc<Mutex<String>>,
    pub(crate) public: String,
    pub(crate) reader: Option<std::thread::JoinHandle<()>>,
}

impl Served {
    pub(crate) fn start(mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let (tell, reported) = std::sync::mpsc::channel();
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
                let fields =
                    serde_json::from_str::<Value>(&line).unwrap_or_default()["fields"].take();
                if let Some(address) = fields["webhooks"].as_str() {
                    let _ = tell.send(address.to_owned());
                }
                written.lock().expect("no panic").push_str(&line);
                line.clear();
            }
        });
        let Ok(public) = reported.recv_timeout(STARTUP_TIMEOUT) else {
            let _ = child.kill();
            panic!("serve does not serve: {}", log.lock().expect("no panic"));
        };
        Self {
            child,
            log,
            public: format!("http://{public}"),
            reader: Some(reader),
        }
    }

    pub(crate) fn post(
        &self,
        platform: &str,
        connection: &str,
        request: &SignedRequest,
    ) -> (u16, Value) {
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
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
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
        let log = self.log.lock().expect("no panic").clone();
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

pub(crate) fn key(name: &str, which: &str) -> String {
    test_key(platform(name).expect("a platform"), which).expect("a test key")
}

pub(crate) fn order(payload: &str, nonce: u64, secret: &str) -> SignedRequest {
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

pub(crate) fn states(bench: &Bench, more: &[&str]) -> Vec<String> {
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

pub(crate) fn private_key() -> String {
    key("wix", "signing")
}
