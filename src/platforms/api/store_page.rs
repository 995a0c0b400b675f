//! Reading a store's entities page by page: requests, pages and failures as plain data.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::fetched::Fetched;
use crate::delivery::{Enrichment, ReasonCode};

/// A page of entities to read.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    pub list: ReadableList,
    /// Of a list of changes: entities that changed after this time.
    pub after: Timestamp,
    /// Of a list of changes: entities that changed at or before this time.
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
    /// Number of rows from the begin of this page to the end of the list, as the store counts; `None` if it does not count.
    pub rows_left: Option<u64>,
    /// Of a list of all entities, if its ids are in order: which ones the page shows to exist.
    pub ids: Option<PageIds>,
}

/// The ids on a page of a list that is sorted by id. An entity of the range that is not among them may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageIds {
    /// The last id of the page before.
    pub after: u64,
    /// The last id that the page covers.
    pub to: u64,
    pub present: BTreeSet<u64>,
}

/// One entity as the store returned it, in the form of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreRow {
    /// The platform's name of the resource, from which [`StoreApi::topic_of_change`](crate::platforms::StoreApi::topic_of_change)
    /// makes the topic.
    pub resource: &'static str,
    /// The body of the webhook, JSON.
    pub body: Vec<u8>,
    /// If the webhook is thin: the response that completes it, as [`StoreApi::fetch`](crate::platforms::StoreApi::fetch) returns it.
    pub details: Option<Vec<u8>>,
    /// `true` if the entity is in the store's trash.
    pub is_in_trash: bool,
    /// If the row has only a part of the entity: the request by which [`StoreApi::fetch`](crate::platforms::StoreApi::fetch)
    /// returns the body of the webhook.
    pub whole: Option<String>,
}

/// Why a page cannot be read. The run stops, and continues later at the same page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFailure {
    /// Reason code.
    pub reason: ReasonCode,
    /// The store's minimum wait before a retry, if the store sent one.
    pub retry_after: Option<Duration>,
    pub scope: FailureScope,
}

/// What a failure to read a page concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureScope {
    /// The store: the read of other lists would fail too.
    Store,
    /// The store, for a time.
    Outage,
    /// Perhaps only this list.
    List,
    /// Perhaps only this page, for a time: something in front of the store answers, or the response was cut.
    Page,
    /// Only the place of the page: the store does not accept its cursor any more. The next read begins with the first page.
    Cursor,
}

impl FailureScope {
    /// `true` if a later attempt may succeed without a change by an operator.
    #[must_use]
    pub fn is_passing(self) -> bool {
        match self {
            Self::Outage | Self::Page | Self::Cursor => true,
            Self::Store | Self::List => false,
        }
    }
}

impl PageFailure {
    /// A failure without a wait that the store sent.
    #[must_use]
    pub const fn new(reason: ReasonCode, scope: FailureScope) -> Self {
        Self {
            reason,
            retry_after: None,
            scope,
        }
    }

    /// The failure of a whole store, from the result of a failed request.
    #[must_use]
    pub fn of_store(fetched: Fetched) -> Self {
        match fetched {
            Fetched::Retry { reason, after } => Self {
                reason,
                retry_after: after,
                scope: FailureScope::Outage,
            },
            Fetched::Done(Enrichment::Unavailable(reason)) => {
                let code = reason.code().unwrap_or(ReasonCode::StoreRefuses);
                Self::new(code, FailureScope::Store)
            }
            Fetched::Done(_) => Self::new(ReasonCode::StoreRefuses, FailureScope::Store),
        }
    }
}

/// A list of a store's entities that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableList {
    /// The name of the list, for example `order_ids`. The progress of its read is stored under it.
    pub name: &'static str,
    /// The name of the entity, for example `order`.
    pub entity: &'static str,
    pub kind: ListKind,
    /// Time between two reads for a connection that is followed by polling; zero for a list that each poll reads.
    pub poll_interval: SignedDuration,
}

impl ReadableList {
    /// A list of the changes of an entity, with the entity's name.
    #[must_use]
    pub const fn changes(name: &'static str, poll_interval: SignedDuration) -> Self {
        Self {
            name,
            entity: name,
            kind: ListKind::Changes,
            poll_interval,
        }
    }

    /// A list that is read once in an interval, also for a connection that is followed by polling.
    #[must_use]
    pub const fn in_intervals(name: &'static str, entity: &'static str, kind: ListKind) -> Self {
        let poll_interval = match kind.interval() {
            Some(interval) => interval,
            None => SignedDuration::ZERO,
        };
        Self {
            name,
            entity,
            kind,
            poll_interval,
        }
    }

    /// The list with another interval for connections that are followed by polling.
    #[must_use]
    pub const fn polled_every(self, poll_interval: SignedDuration) -> Self {
        Self {
            poll_interval,
            ..self
        }
    }
}

/// What a list contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// The entities that changed in a window of time, and those in the trash.
    Changes,
    /// All entities that exist. Shows changes that move no date, and deletions.
    All {
        /// Time between two reads.
        interval: SignedDuration,
    },
    /// The entities that were created in the time before a read. Shows their changes that move no date.
    Recent {
        /// Time between two reads.
        interval: SignedDuration,
        /// Maximum age of the entities.
        age: SignedDuration,
    },
    /// The ids of all entities that exist. Shows deletions.
    Ids {
        /// Time between two reads.
        interval: SignedDuration,
    },
}

impl ListKind {
    /// Time between two reads; `None` for a list with a window, which is read at each run.
    #[must_use]
    pub const fn interval(self) -> Option<SignedDuration> {
        match self {
            Self::Changes => None,
            Self::All { interval } | Self::Recent { interval, .. } | Self::Ids { interval } => {
                Some(interval)
            }
        }
    }
}

/// How an entity of a store differs from its last known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
    Restored,
}
