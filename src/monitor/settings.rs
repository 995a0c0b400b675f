//! Typed access to the settings of a connection that the monitor stores as text.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::connections::{Connection, UnreadableRun};
use crate::platforms::WebhookList;

/// The setting with the time of the store's last ping, as RFC 3339.
pub const PINGED_AT: &str = "pinged_at";

/// The setting with the webhooks whose deliveries are refused, as [`WebhookList`] writes them.
const REFUSED_WEBHOOKS: &str = "refused_webhooks";

/// The setting with the run of unreadable deliveries, as [`UnreadableRun`] writes it.
const UNREADABLE_BODIES: &str = "unreadable_bodies";

/// New settings of a connection, on top of the stored ones. Reads return the new value, else the stored one.
pub(super) struct SettingsUpdate<'a> {
    connection: &'a Connection,
    pub(super) new: BTreeMap<String, String>,
}

impl<'a> SettingsUpdate<'a> {
    pub(super) fn new(connection: &'a Connection, new: BTreeMap<String, String>) -> Self {
        Self { connection, new }
    }

    /// The settings that differ from the stored ones. Equal ones are not written again, because another process may have
    /// stored newer values meanwhile.
    pub(super) fn changed(self) -> BTreeMap<String, String> {
        let stored = &self.connection.settings;
        let mut new = self.new;
        new.retain(|name, value| stored.get(name) != Some(value));
        new
    }

    fn get(&self, name: &str) -> Option<&str> {
        let new = self.new.get(name);
        new.or_else(|| self.connection.settings.get(name))
            .map(String::as_str)
    }

    pub(super) fn refused_webhooks(&self) -> WebhookList {
        self.get(REFUSED_WEBHOOKS)
            .map(WebhookList::parse)
            .unwrap_or_default()
    }

    pub(super) fn set_refused_webhooks(&mut self, webhooks: &WebhookList) {
        let text = webhooks.to_string();
        self.new.insert(REFUSED_WEBHOOKS.to_owned(), text);
    }

    pub(super) fn unreadable_run(&self) -> Option<UnreadableRun> {
        self.get(UNREADABLE_BODIES)?.parse().ok()
    }

    /// `None` clears the setting.
    pub(super) fn set_unreadable_run(&mut self, run: Option<&UnreadableRun>) {
        let text = run.map(ToString::to_string).unwrap_or_default();
        self.new.insert(UNREADABLE_BODIES.to_owned(), text);
    }
}

/// The stored webhooks whose deliveries are refused.
pub(super) fn refused_webhooks(connection: &Connection) -> WebhookList {
    SettingsUpdate::new(connection, BTreeMap::new()).refused_webhooks()
}

/// The stored run of unreadable deliveries. It may have ended since.
pub(super) fn unreadable_run(connection: &Connection) -> Option<UnreadableRun> {
    SettingsUpdate::new(connection, BTreeMap::new()).unreadable_run()
}

/// `true` if refused webhooks are stored.
pub(super) fn has_refused_webhooks(connection: &Connection) -> bool {
    is_set(connection, REFUSED_WEBHOOKS)
}

/// `true` if a run of unreadable deliveries is stored.
pub(super) fn has_unreadable_run(connection: &Connection) -> bool {
    is_set(connection, UNREADABLE_BODIES)
}

fn is_set(connection: &Connection, name: &str) -> bool {
    let value = connection.settings.get(name);
    value.is_some_and(|value| !value.is_empty())
}

/// When the store's last ping arrived.
pub(super) fn pinged_at(connection: &Connection) -> Option<Timestamp> {
    connection.settings.get(PINGED_AT)?.parse().ok()
}
