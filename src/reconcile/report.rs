//! What is read, and what was found: requests and reports as plain data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A request to read stores now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileRequest {
    /// The connections; empty for all.
    pub connections: Vec<String>,
    /// The entity; `None` for all.
    pub entity: Option<String>,
    /// Changes since this time; `None` for changes since the last read.
    pub since: Option<Timestamp>,
    /// Only report what would be found.
    pub dry_run: bool,
    /// `true` to publish the past with origin `poll`, more slowly, and with a progress that is stored.
    #[serde(default)]
    pub is_backfill: bool,
    /// The exchange for the past; `None` for the gateway's own.
    #[serde(default)]
    pub exchange: Option<String>,
    /// The id of the request in the data file.
    #[serde(skip)]
    pub id: i64,
    /// The lists that earlier parts of the same read have finished.
    #[serde(skip)]
    pub finished_lists: Vec<String>,
}

impl StoreReport {
    /// Adds the report of the next part of the same read.
    pub(super) fn continue_with(&mut self, next: Self) {
        self.skipped = next.skipped;
        self.waits = next.waits;
        self.is_journal_failure = next.is_journal_failure;
        for entity in next.entities {
            let mut known = self.entities.iter_mut();
            match known.find(|known| known.entity == entity.entity) {
                Some(known) => known.continue_with(entity),
                None => self.entities.push(entity),
            }
        }
    }
}

impl EntityReport {
    fn continue_with(&mut self, next: Self) {
        if next.expected > 0 {
            self.expected = self.read + next.expected;
        }
        self.read += next.read;
        self.unreadable += next.unreadable;
        if let Some(next) = next.published {
            self.published.get_or_insert_default().add(next);
        }
        self.missing.continue_with(next.missing);
        self.late.continue_with(next.late);
        self.deleted.continue_with(next.deleted);
        self.failure = next.failure;
        self.goes_on = next.goes_on;
        self.is_passing_failure = next.is_passing_failure;
    }
}

/// The result of reading one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    pub connection: String,
    /// Reason code if the store was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// `true` if the store sends no webhooks, so that all its changes are found by reading.
    #[serde(default)]
    pub is_polled: bool,
    /// `true` if the store was not read because deliveries of it are pending.
    #[serde(skip)]
    pub waits: bool,
    /// `true` if the journal could not be read or written.
    #[serde(skip)]
    pub is_journal_failure: bool,
    pub entities: Vec<EntityReport>,
}

/// The result of reading one kind of entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityReport {
    pub entity: String,
    /// Number of rows.
    pub read: u64,
    /// Number of rows that the store counts, with those that are read; 0 if it does not count.
    #[serde(skip)]
    pub expected: u64,
    /// Entities that were never seen.
    pub missing: FoundIds,
    /// Entities that are newer than their known state.
    pub late: FoundIds,
    /// Deleted entities.
    pub deleted: FoundIds,
    /// Number of rows that cannot be read.
    pub unreadable: u64,
    /// The events that were published to an exchange of their own; `None` for other reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedEvents>,
    /// Reason code if the read stopped. It continues at the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// `true` if the read before failed for the same reason.
    #[serde(skip)]
    pub is_known_failure: bool,
    /// `true` if the read of other lists will fail too.
    #[serde(skip)]
    pub is_store_away: bool,
    /// `true` if the read failed, and a later attempt may succeed by itself.
    #[serde(skip)]
    pub is_passing_failure: bool,
    /// `true` if the read made room for others, and goes on later.
    #[serde(skip)]
    pub goes_on: bool,
}

/// Events that were published to an exchange of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedEvents {
    /// Number of events that the broker confirmed.
    pub events: u64,
    /// Number of these that reached no queue, because none is bound for them.
    pub unrouted: u64,
}

impl PublishedEvents {
    pub(super) fn add(&mut self, next: Self) {
        self.events += next.events;
        self.unrouted += next.unrouted;
    }
}

/// Maximum number of ids in a report. `cartwire gaps` lists all.
const MAX_IDS: usize = 100;

/// Found changes of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundIds {
    pub count: u64,
    /// The first ids.
    pub ids: Vec<String>,
}

impl FoundIds {
    fn continue_with(&mut self, next: Self) {
        self.count += next.count;
        let free = MAX_IDS.saturating_sub(self.ids.len());
        self.ids.extend(next.ids.into_iter().take(free));
    }

    pub(super) fn add(&mut self, id: &str) {
        self.count += 1;
        if self.ids.len() < MAX_IDS {
            self.ids.push(id.to_owned());
        }
    }
}
