//! A WooCommerce shop on 127.0.0.1 for tests: a home page, WordPress's REST root, WooCommerce's v3, and webhooks that are
//! signed and sent. It answers as shops of 6.0 and 11.0 were seen to answer, right and wrong.
//!
//! ```ignore
//! #[path = "stores/woocommerce.rs"]
//! mod woocommerce;
//!
//! let shop = Shop::start(Options::default());          // WooCommerce 11.0.1 at shop.url, without a proxy and without TLS
//! let old = Shop::start(Options { version: "6.0.0", ..Options::default() });
//! // connect to shop.url with KEY and SECRET …
//! shop.webhooks();                                     // what is registered, with the secrets that REST never shows
//! shop.edit(3, |webhook| webhook.status = "disabled"); // what happens in its administration
//! shop.keep("products", json!({"id": 25, "status": "trash"}));
//! shop.fire("order.created", &json!({"id": 18}));      // a signed delivery to each active webhook: (id, status) of each
//! shop.fail(Fault::Html);                              // from now on: see Fault
//! shop.asked();                                        // every request so far, and whether its signature was right
//! ```
//!
//! It speaks HTTP/1.1 on threads of its own, so it serves tests with and without a runtime, and ends when it is dropped.
//! Requests are proved by OAuth 1.0a, which is checked here by code of its own; as on a real shop, Basic over plain http is
//! passed over in silence. What it does not do: TLS, carts, permissions beyond the key's, and delivering without being told.
#![allow(dead_code, reason = "each test file uses its part")]

mod http;
mod lists;
mod oauth;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// The consumer key of every shop, unless its options say otherwise.
pub const KEY: &str = "ck_0123456789abcdef0123456789abcdef01234567";
/// The consumer secret of every shop, unless its options say otherwise.
pub const SECRET: &str = "cs_76543210fedcba9876543210fedcba9876543210";

/// What shop it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// WooCommerce's version. Before 10.9 it refuses `product.published`, from then on `customer.restored`; before 9.0 a
    /// webhook that is not there is a 400.
    pub version: &'static str,
    /// The key that counts.
    pub consumer_key: String,
    /// Its secret.
    pub consumer_secret: String,
    /// What the key may do.
    pub permission: Permission,
    /// May the key's user manage the shop? Otherwise every answer to him is a 403.
    pub manager: bool,
    /// The folder that the shop lies in: `""` or `"/shop"`.
    pub folder: &'static str,
    /// How its REST API is reached.
    pub permalinks: Permalinks,
    /// How WordPress knows itself where that is not the address that it is reached by: `http://shop.example`.
    pub home: Option<String>,
    /// Does `POST webhooks/batch` work? Some hosts block it.
    pub batch: bool,
    /// Topics that are refused whatever the version.
    pub refused_topics: &'static [&'static str],
    /// Does it say where its REST API is, as WordPress does unless a cache or a plugin takes it out?
    pub link: bool,
    /// Does it post the unsigned ping when a webhook is made?
    pub pings: bool,
    /// Where requests to `https://hooks.example.com` arrive: a gateway's port behind an address that shops may deliver to.
    pub hooks_at: Option<SocketAddr>,
    /// Does it show when its webhooks were really changed or tried, and not a clock of its own?
    pub real_times: bool,
    /// Are its messages in German?
    pub german: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "11.0.1",
            consumer_key: KEY.to_owned(),
            consumer_secret: SECRET.to_owned(),
            permission: Permission::ReadWrite,
            manager: true,
            folder: "",
            permalinks: Permalinks::Pretty,
            home: None,
            batch: true,
            refused_topics: &[],
            link: true,
            pings: true,
            hooks_at: None,
            real_times: false,
            german: false,
        }
    }
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    ReadWrite,
    Read,
    Write,
}

/// How a REST API is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permalinks {
    /// `/wp-json/`.
    Pretty,
    /// `/index.php/wp-json/`.
    Index,
    /// `?rest_route=/`, where WooCommerce takes no keys; `/index.php/wp-json/` works as well.
    Plain,
    /// `?rest_route=/` alone: the web server does not hand on what follows `index.php`.
    PlainOnly,
}

/// What is wrong with the shop at the moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The REST API answers 200 with a page.
    Html,
    /// A firewall answers 403 with a page.
    Forbidden,
    /// Cloudflare asks for proof of a human.
    Cloudflare,
    /// The web server asks for a name and a password.
    BasicAuth,
    /// A plugin turned the REST API off for all who are not logged in.
    RestDisabled,
    /// WordPress is being updated: 503 with a page.
    Maintenance,
    /// Every answer takes that long.
    Slow(Duration),
    /// Every answer ends in the middle.
    CutOff,
    /// Every request is sent there, with its path: `https://www.shop.example`, `http://10.0.0.1`.
    RedirectTo(String),
    /// 429, with that many seconds to wait.
    RateLimited(u32),
    /// Some other web site: pages, and 404 for the REST API.
    NotWordPress,
    /// WordPress without WooCommerce.
    WithoutWooCommerce,
    /// PHP fails: 500.
    ServerError,
    /// The web server does not hand the Authorization header to PHP.
    AuthorizationStripped,
    /// Every request that would change something fails with 500 after it was done.
    WritesUnheard,
}

/// A webhook, with what REST shows and what it hides.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub id: u64,
    pub name: String,
    /// `active`, `paused`, `disabled`.
    pub status: &'static str,
    pub topic: String,
    pub delivery_url: String,
    /// Hidden.
    pub secret: String,
    /// Hidden: disabled at the seventh failure in a row.
    pub failures: u32,
    /// Of the last change or delivery: a clock of the shop's own, in seconds since it was opened.
    pub modified: u32,
    /// The same by this machine's clock.
    pub changed_at: Timestamp,
}

/// A request that was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Was it proved with the shop's key?
    pub proved: bool,
}

/// What the shop knows.
#[derive(Debug)]
struct State {
    options: Options,
    fault: Fault,
    webhooks: BTreeMap<u64, Webhook>,
    next_webhook: u64,
    clock: u32,
    /// By resource (`orders`) and id.
    entities: BTreeMap<(String, u64), Value>,
    asked: Vec<Asked>,
    nonces: BTreeSet<String>,
    deliveries: u64,
}

/// The shop.
#[derive(Debug)]
pub struct Shop {
    /// Where it is reached, with its folder and without a slash at the end.
    pub url: String,
    /// Host and port.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    closed: Arc<AtomicBool>,
    door: Option<JoinHandle<()>>,
}

impl Shop {
    /// Opens a shop on a free port.
    pub fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let url = format!("http://{address}{}", options.folder);
        let state = Arc::new(Mutex::new(State {
            options,
            fault: Fault::None,
            webhooks: BTreeMap::new(),
            next_webhook: 1,
            clock: 0,
            entities: BTreeMap::new(),
            asked: Vec::new(),
            nonces: BTreeSet::new(),
            deliveries: 0,
        }));
        let closed = Arc::new(AtomicBool::new(false));
        let (inside, closing, base) = (state.clone(), closed.clone(), url.clone());
        let door = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closing.load(Ordering::SeqCst) {
                    break;
                }
                let (state, base) = (inside.clone(), base.clone());
                if let Ok(stream) = stream {
                    std::thread::spawn(move || http::serve(stream, &state, &base));
                }
            }
        });
        Self {
            url,
            address,
            state,
            closed,
            door: Some(door),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// From now on that is wrong.
    pub fn fail(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// Changes what shop it is.
    pub fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.state().options);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Forgets the requests so far.
    pub fn forget_asked(&self) {
        self.state().asked.clear();
    }

    /// Every webhook, by id.
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.state().webhooks.values().cloned().collect()
    }

    /// Adds a webhook as somebody would by hand; its id.
    pub fn add_webhook(&self, topic: &str, delivery_url: &str) -> u64 {
        let mut state = self.state();
        let webhook = Webhook {
            id: 0,
            name: format!("Somebody's {topic}"),
            status: "active",
            topic: topic.to_owned(),
            delivery_url: delivery_url.to_owned(),
            secret: "of somebody else".to_owned(),
            failures: 0,
            modified: 0,
            changed_at: Timestamp::now(),
        };
        state.add(webhook)
    }

    /// Changes a webhook in the shop's administration.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut Webhook)) {
        change(
            self.state()
                .webhooks
                .get_mut(&id)
                .expect("the webhook is there"),
        );
    }

    /// Deletes a webhook in the shop's administration.
    pub fn delete_webhook(&self, id: u64) {
        self.state()
            .webhooks
            .remove(&id)
            .expect("the webhook is there");
    }

    /// Keeps an entity with its `id`, under `orders`, `products`, `customers`, `coupons`.
    pub fn keep(&self, resource: &str, entity: Value) {
        let id = entity["id"].as_u64().expect("an id");
        self.state()
            .entities
            .insert((resource.to_owned(), id), entity);
    }

    /// Deletes an entity for good.
    pub fn lose(&self, resource: &str, id: u64) {
        self.state().entities.remove(&(resource.to_owned(), id));
    }

    /// Something happens in the shop: delivers the payload to every active webhook of the topic, signed, and counts
    /// failures as WooCommerce does. The webhooks' ids, with the status that each was answered, 0 for none.
    pub fn fire(&self, topic: &str, payload: &Value) -> Vec<(u64, u16)> {
        let due: Vec<Webhook> = self
            .webhooks()
            .into_iter()
            .filter(|webhook| webhook.status == "active" && webhook.topic == topic)
            .collect();
        due.into_iter()
            .map(|webhook| {
                let delivery = {
                    let mut state = self.state();
                    state.deliveries += 1;
                    state.deliveries
                };
                let hooks_at = self.state().options.hooks_at;
                let reached = http::reached(&webhook, hooks_at);
                let status = http::deliver(&reached, &self.url, delivery, payload);
                self.state()
                    .delivered(webhook.id, (200..303).contains(&status));
                (webhook.id, status)
            })
            .collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the door up, so that it sees that the shop is closed.
        drop(TcpStream::connect(self.address));
        if let Some(door) = self.door.take() {
            drop(door.join());
        }
    }
}

/// A test that failed while it looked must not hide behind a poisoned lock.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl State {
    fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    fn add(&mut self, webhook: Webhook) -> u64 {
        let id = self.next_webhook;
        self.next_webhook += 1;
        let modified = self.tick();
        self.webhooks.insert(
            id,
            Webhook {
                id,
                modified,
                ..webhook
            },
        );
        id
    }

    fn delivered(&mut self, id: u64, well: bool) {
        let modified = self.tick();
        let Some(webhook) = self.webhooks.get_mut(&id) else {
            return;
        };
        webhook.modified = modified;
        webhook.changed_at = Timestamp::now();
        if well {
            webhook.failures = 0;
        } else if webhook.failures > 5 {
            webhook.status = "disabled";
        } else {
            webhook.failures += 1;
        }
    }

    /// Is the version at least that?
    fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self
            .options
            .version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or_default());
        (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        ) >= (major, minor)
    }
}
