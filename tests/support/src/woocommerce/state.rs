//! What the shop stores: webhooks, entities and received requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use serde_json::Value;

use super::options::{Fault, Options};

/// A webhook, including the members that REST hides.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub id: u64,
    pub name: String,
    /// `active`, `paused` or `disabled`.
    pub status: &'static str,
    pub topic: String,
    pub delivery_url: String,
    /// Not shown by REST.
    pub secret: String,
    /// Consecutive failures, not shown by REST. WooCommerce disables the webhook at the seventh one.
    pub failures: u32,
    /// Time of the last change or delivery: the shop's own clock, in seconds since its start.
    pub modified: u32,
    /// The same time by this machine's clock.
    pub changed_at: Timestamp,
}

/// A received request.
#[derive(Clone, Debug, PartialEq)]
pub struct ShopRequest {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// `true` if the OAuth signature was valid.
    pub proved: bool,
}

/// The shop's data.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) fault: Fault,
    pub(super) webhooks: BTreeMap<u64, Webhook>,
    pub(super) next_webhook: u64,
    pub(super) clock: u32,
    /// Entities by resource (such as `orders`) and id.
    pub(super) entities: BTreeMap<(String, u64), Value>,
    pub(super) requested: Vec<ShopRequest>,
    pub(super) nonces: BTreeSet<String>,
    pub(super) deliveries: u64,
    /// Number of pages of lists since a fault of lists.
    pub(super) faulty_pages: u64,
}

/// Ignores a poisoned lock: the panic that poisoned it is the test's real failure.
pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl State {
    pub(super) fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn add(&mut self, webhook: Webhook) -> u64 {
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

    pub(super) fn delivered(&mut self, id: u64, well: bool) {
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

    /// `true` if the version is this or later.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
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
