//! The shop: a server on its own threads, with the actions of tests.

use super::http;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use jiff::Timestamp;
use serde_json::Value;

use super::options::{Fault, Options};
use super::state::{ShopRequest, State, Webhook, lock};

/// A running shop. It stops on drop.
#[derive(Debug)]
pub struct Shop {
    /// The URL with the folder, without a trailing slash.
    pub url: String,
    /// Host and port.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    closed: Arc<AtomicBool>,
    door: Option<JoinHandle<()>>,
}

impl Shop {
    /// Starts a shop on a free port.
    pub fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener
            .local_addr()
            .expect("the listener should have an address");
        let url = format!("http://{address}{}", options.folder);
        let state = Arc::new(Mutex::new(State {
            options,
            fault: Fault::None,
            webhooks: BTreeMap::new(),
            next_webhook: 1,
            clock: 0,
            entities: BTreeMap::new(),
            requested: Vec::new(),
            nonces: BTreeSet::new(),
            deliveries: 0,
            faulty_pages: 0,
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

    /// Sets the fault of all further requests.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.faulty_pages = 0;
    }

    /// Changes the shop's configuration.
    pub fn change(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.state().options);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<ShopRequest> {
        self.state().requested.clone()
    }

    /// Clears the list of requests.
    pub fn forget_requests(&self) {
        self.state().requested.clear();
    }

    /// All webhooks, by id.
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.state().webhooks.values().cloned().collect()
    }

    /// Adds a webhook as an operator would by hand. Returns its id.
    pub fn add_webhook(&self, topic: &str, delivery_url: &str) -> u64 {
        let mut state = self.state();
        let webhook = Webhook {
            id: 0,
            name: format!("Manual {topic}"),
            status: "active",
            topic: topic.to_owned(),
            delivery_url: delivery_url.to_owned(),
            secret: "another secret".to_owned(),
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
                .expect("the webhook should exist"),
        );
    }

    /// Deletes a webhook in the shop's administration.
    pub fn delete_webhook(&self, id: u64) {
        self.state()
            .webhooks
            .remove(&id)
            .expect("the webhook should exist");
    }

    /// Stores an entity under its `id`. `resource` is `orders`, `products`, `customers` or `coupons`.
    pub fn keep(&self, resource: &str, entity: Value) {
        let id = entity["id"].as_u64().expect("the entity should have an id");
        self.state()
            .entities
            .insert((resource.to_owned(), id), entity);
    }

    /// Deletes an entity permanently.
    pub fn lose(&self, resource: &str, id: u64) {
        self.state().entities.remove(&(resource.to_owned(), id));
    }

    /// Sends a signed delivery of the payload to every active webhook of the topic, and counts failures as WooCommerce
    /// does. Returns each webhook's id and the status of the response, 0 for none.
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
        // Wakes the listener, so that it sees that the shop is closed.
        drop(TcpStream::connect(self.address));
        if let Some(door) = self.door.take() {
            drop(door.join());
        }
    }
}
