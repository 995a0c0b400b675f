//! A gateway in the test's process: a temporary folder, free ports, and connections of a shop and of two apps.
//!
//! On drop, the gateway shuts down in order. No delivery may be pending then, unless the test sets `leaves_pending`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use cartwire::app::App;
use cartwire::config::{Config, DataArgs, ServeArgs};
use cartwire::connections::{Connection, Seal, SealedSecret};
use cartwire::delivery::ConnectionId;
use cartwire::journal::{Changed, ConnectionChange, DataFile, Reader};
use cartwire::platforms::{SignedRequest, Unsigned, connection_kind, platform};
use cartwire::replay::fixture::test_key;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::eventually;
use crate::http::{HttpResponse, RESPONSE_TIMEOUT, Request};

/// The WooCommerce store of every test.
pub const SHOP: &str = "/webhooks/woocommerce/shop-a";
/// The Wix app of every test.
pub const APP: &str = "/webhooks/wix/my-app";
/// A Wix app whose private key the tests do not have.
pub const FOREIGN_APP: &str = "/webhooks/wix/foreign-app";
/// The key of the foreign app: a published one of a real app.
const FOREIGN_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjUtCVyLGf8M0+qlYWrJv\nNYXpCwV2viCFuf4TJcdxoocZT0GOghRA0q9tYko5Rt4uJXARwn3khou9qKnZYC1+\n7+81HY3JSoY9Hc5FILrYuxhkdYEDwKd2A27x4k4MLlEV9YlU2Vugr3oGE3+smuNl\n6RhPn7gHvdK7cK9Ss1cZIg+icNPjUD+tHiDa4tn4I8uJOQqvA+PNXok3AntDZvYD\nETlQctvZVLV5cNvP81JdYOf4huItqoZkATtXwJE8Cm0cvu9vm0IqZCn4KHxjTnBk\nCMY5DcX4T+CyW9klcdmWINxGRQI8VAHORuvGi2gKTK0zZvk7FZHOTjLfEMdgJ/uY\nvwIDAQAB\n-----END PUBLIC KEY-----";

pub struct InProcessGateway {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    token: Option<String>,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    /// Deliveries may be pending when the test ends.
    pub leaves_pending: bool,
}

impl InProcessGateway {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a gateway with changed options.
    pub async fn with(change: impl FnOnce(&mut ServeArgs)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder should be created");
        for (kind, id, field, secret) in [
            (
                "woocommerce",
                "shop-a",
                "webhook-secret",
                key("woocommerce", "verification"),
            ),
            (
                "wix-app",
                "my-app",
                "public-key",
                key("wix", "verification"),
            ),
            (
                "wix-app",
                "foreign-app",
                "public-key",
                FOREIGN_KEY.to_owned(),
            ),
        ] {
            connect(folder.path(), kind, id, &[], &[(field, &secret)]);
        }
        let mut args = ServeArgs {
            listen: "127.0.0.1:0".to_owned(),
            admin_listen: "127.0.0.1:0".to_owned(),
            shutdown_grace_seconds: "2".to_owned(),
            // The disk of a test machine may have less free space than the default reserve.
            disk_reserve: "1".to_owned(),
            ..ServeArgs::defaults()
        };
        change(&mut args);
        let data = DataArgs {
            data_dir: folder.path().to_owned(),
            master_key_file: None,
        };
        let config = Config::new(&data, &args).expect("the configuration should be valid");
        let app = App::build(config).await.expect("the gateway can be built");
        let (public, admin) = (app.address, app.admin_address);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run_until(async move { drop(stopped.await) }));
        let token = args
            .admin_token
            .map(|token| token.expose_secret().to_owned());
        Self {
            public,
            admin,
            token,
            folder,
            stop: Some(stop),
            running: Some(running),
            leaves_pending: false,
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Posts to the public listener.
    pub async fn post(&self, path: &str, request: &SignedRequest) -> HttpResponse {
        Request::new("POST", path)
            .headers(&request.headers)
            .body(&request.body)
            .send(self.public)
            .await
    }

    /// Sends an order of the shop, which must be accepted. Returns the delivery's id.
    pub async fn order(&self, topic: &str, payload: &str, nonce: u64) -> String {
        let answer = self.post(SHOP, &order(topic, payload, nonce)).await;
        assert_eq!(answer.word(), "accepted");
        answer.delivery()
    }

    /// Sends a GET to the admin listener.
    pub async fn get(&self, path: &str) -> HttpResponse {
        self.admin_request("GET", path).send(self.admin).await
    }

    pub fn admin_request(&self, method: &str, path: &str) -> Request {
        let request = Request::new(method, path);
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// The stored deliveries of the platforms, newest first, without the gateway's own announcements.
    pub async fn kept(&self) -> Vec<Value> {
        let answer = self.get("/api/deliveries?limit=1000").await.json();
        let deliveries = answer["deliveries"].as_array().expect("deliveries").iter();
        let sent = |delivery: &&Value| {
            delivery["topic"]
                .as_str()
                .is_some_and(|topic| !topic.starts_with("connection."))
        };
        deliveries.filter(sent).cloned().collect()
    }

    /// Waits until a delivery is settled, and returns it.
    pub async fn settled(&self, id: &str) -> Value {
        eventually("the delivery is settled", async || {
            let delivery = self.get(&format!("/api/deliveries/{id}")).await.json();
            (delivery["delivery"]["state"] != "pending").then_some(delivery)
        })
        .await
    }

    /// Waits until a query finds at least `least` events, and returns them.
    pub async fn events(&self, query: &str, least: usize) -> Vec<Value> {
        eventually(&format!("{least} events of {query:?}"), async || {
            let page = self
                .get(&format!("/api/events?limit=1000&{query}"))
                .await
                .json();
            let events = page["events"].as_array().expect("events").clone();
            (events.len() >= least).then_some(events)
        })
        .await
    }

    /// Adds a connection, and waits until the gateway accepts its webhooks if it has any.
    pub async fn connect(
        &self,
        kind: &str,
        name: &str,
        settings: &[(&str, &str)],
        secrets: &[(&str, &str)],
    ) {
        connect(self.folder(), kind, name, settings, secrets);
        let (platform, kind) = connection_kind(kind).expect("the kind should exist");
        if !kind.receives_webhooks {
            return;
        }
        let path = format!("/webhooks/{}/{name}", platform.name());
        let unsigned = SignedRequest {
            headers: Vec::new(),
            body: "{}".into(),
        };
        eventually("the connection is seen", async || {
            (self.post(&path, &unsigned).await.status != 404).then_some(())
        })
        .await;
    }

    /// Changes a connection as the commands do: in the data file of the running gateway.
    pub fn change(&self, change: &ConnectionChange) {
        let changed = DataFile::open(self.folder())
            .expect("the data file should open")
            .change_connection(change)
            .expect("the change should succeed");
        assert_eq!(changed, Changed::Yes);
    }
}

impl Drop for InProcessGateway {
    fn drop(&mut self) {
        let (Some(stop), Some(running)) = (self.stop.take(), self.running.take()) else {
            return;
        };
        if !std::thread::panicking() && !self.leaves_pending {
            let reader = Reader::open(self.folder.path()).expect("the data file should open");
            let deadline = Instant::now() + RESPONSE_TIMEOUT;
            while reader.backlog().expect("the backlog").0 > 0 {
                assert!(Instant::now() < deadline, "deliveries are left unsettled");
                std::thread::yield_now();
            }
        }
        let _ = stop.send(());
        let ended =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(running));
        if !std::thread::panicking() {
            ended
                .expect("the gateway did not panic")
                .expect("the gateway should end without an error");
        }
    }
}

/// A test key of the fixtures.
pub fn key(name: &str, which: &str) -> String {
    test_key(platform(name).expect("the platform should exist"), which)
        .expect("the fixtures should contain the key")
}

pub fn id(text: &str) -> ConnectionId {
    ConnectionId::new(text).expect("the id should be valid")
}

/// Adds a connection as the commands do.
fn connect(
    folder: &Path,
    kind: &str,
    name: &str,
    settings: &[(&str, &str)],
    secrets: &[(&str, &str)],
) {
    let seal = Seal::load(folder, None).expect("the master key should be loaded");
    let (platform, kind) = connection_kind(kind).expect("the kind should exist");
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let connection = Connection {
        settings,
        ..Connection::new(id(name), platform.name(), kind.name, Timestamp::now())
    };
    let sealed = secrets.iter().map(|(field, secret)| {
        SealedSecret::new(&seal, &connection.id, field, &(*secret).to_owned().into())
            .expect("the secret should be sealed")
    });
    let sealed = sealed.collect();
    let change = ConnectionChange::Add(connection, sealed);
    let changed = DataFile::open(folder)
        .expect("the data file should open")
        .change_connection(&change)
        .expect("the change should succeed");
    assert_eq!(changed, Changed::Yes);
}

/// A delivery of the shop.
pub fn order(topic: &str, payload: &str, nonce: u64) -> SignedRequest {
    let options = BTreeMap::new();
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce,
        options: &options,
    };
    let platform = platform("woocommerce").expect("the platform should exist");
    platform
        .sign(&unsigned, &key("woocommerce", "signing"), Timestamp::now())
        .expect("the delivery should be signed")
}

/// A delivery of an installation of the app.
pub fn token(topic: &str, payload: &str, instance: &str) -> SignedRequest {
    token_at(topic, payload, instance, 0)
}

/// As [`token`], with an issue time of `iat_offset` seconds from now.
pub fn token_at(topic: &str, payload: &str, instance: &str, iat_offset: i64) -> SignedRequest {
    let options = BTreeMap::from([
        ("instance_id".to_owned(), instance.to_owned()),
        ("iat_offset".to_owned(), iat_offset.to_string()),
    ]);
    let unsigned = Unsigned {
        topic,
        payload: payload.as_bytes(),
        nonce: 1,
        options: &options,
    };
    let platform = platform("wix").expect("the platform should exist");
    platform
        .sign(&unsigned, &key("wix", "signing"), Timestamp::now())
        .expect("the delivery should be signed")
}
