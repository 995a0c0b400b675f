//! Reading a store's entities page by page: requests, pages and failures as plain data.

use std::time::Duration;

use jiff::Timestamp;

/// A page of changed entities to read.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    /// The name of the entity, for example `order`.
    pub entity: &'static str,
    /// Entities that changed after this time.
    pub after: Timestamp,
    /// Entities that changed at or before this time.
    pub until: Timestamp,
    /// Where the page begins, as the page before returned it; `None` for the first page.
    pub cursor: Option<&'a str>,
}

/// A page of entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorePage {
    pub rows: Vec<StoreRow>,
    /// Where the next page begins; `None` after the last page.
    pub next: Option<String>,
}

/// One entity as the store returned it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreRow {
    /// JSON in the form that the platform's webhooks have.
    pub body: Vec<u8>,
    /// `true` if the entity is in the store's trash.
    pub is_in_trash: bool,
}

/// Why a page cannot be read. The run stops, and continues later at the same page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFailure {
    /// Reason code.
    pub reason: &'static str,
    /// The store's minimum wait before a retry, if the store sent one.
    pub retry_after: Option<Duration>,
}

/// How a store's entities can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableEntity {
    /// The name of the entity, for example `order`.
    pub name: &'static str,
    /// `true` if the store returns only the entities that changed in a window of time. `false` if it returns all.
    pub has_window: bool,
}

/// How an entity of a store differs from its last known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
    Restored,
}
