//! What becomes of a delivery: the states of a journal entry and what leads from one to the next.
//!
//! ```text
//!                         ┌────────────── redrive, or a broker is configured later ──────────────┐
//!                         ▼                                                                      │
//! append ──────────▶ Pending ──settle──▶ Logged        its events are in the event log; no broker │
//!                      │  ▲     │      ▶ Published     the broker confirmed every event ──────────┤
//!                      └──┘     │      ▶ Unrouted      confirmed, but its queue or binding is gone ┤
//!                               │      ▶ Unsubscribed  confirmed, but no queue is meant for it ───┤
//!                     attempts  │      ▶ Ignored       it tells nothing, on purpose ──────────────┤
//!                               └─────▶ DeadLettered  it cannot be read, or never be published ──┘
//! ```
//! Only `Pending` entries are claimed. Retention removes settled entries; a pending one is never removed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::delivery::JournaledDelivery;
use crate::entities::{DeliveryComparison, DeliveryRecord};
use crate::event::{EventId, Origin};

/// An entry's place in the journal: growing in the order of arrival.
pub type Position = i64;

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Kept, not yet settled.
    Pending,
    /// Its events are in the event log and wait for a broker, if there ever is one.
    Logged,
    /// The broker confirmed all its events and returned none.
    Published,
    /// The broker confirmed, but returned at least one event that a configured queue should have received.
    Unrouted,
    /// The broker confirmed, but returned at least one event, which no configured queue is meant to receive.
    Unsubscribed,
    /// It tells nothing, on purpose.
    Ignored,
    /// It cannot be read, or the broker will never take it.
    DeadLettered,
}

impl DeliveryState {
    /// All states.
    pub const ALL: &[Self] = &[
        DeliveryState::Pending,
        DeliveryState::Logged,
        DeliveryState::Published,
        DeliveryState::Unrouted,
        DeliveryState::Unsubscribed,
        DeliveryState::Ignored,
        DeliveryState::DeadLettered,
    ];

    /// As it is stored.
    pub(crate) fn code(self) -> i64 {
        match self {
            DeliveryState::Pending => 0,
            DeliveryState::Logged => 1,
            DeliveryState::Published => 2,
            DeliveryState::Unrouted => 3,
            DeliveryState::Ignored => 4,
            DeliveryState::DeadLettered => 5,
            DeliveryState::Unsubscribed => 6,
        }
    }

    pub(crate) fn from_code(code: i64) -> Option<Self> {
        DeliveryState::ALL
            .iter()
            .copied()
            .find(|state| state.code() == code)
    }

    /// As it is shown, filtered by and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Pending => "pending",
            DeliveryState::Logged => "logged",
            DeliveryState::Published => "published",
            DeliveryState::Unrouted => "unrouted",
            DeliveryState::Unsubscribed => "unsubscribed",
            DeliveryState::Ignored => "ignored",
            DeliveryState::DeadLettered => "dead_lettered",
        }
    }

    /// Reads what [`DeliveryState::as_str`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        DeliveryState::ALL
            .iter()
            .copied()
            .find(|state| state.as_str() == text)
    }
}

/// A delivery claimed from the journal, to be settled.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// Its key and with it the ids of its events.
    pub key: crate::delivery::DeliveryKey,
    /// Was it sent by a platform, or written by the gateway itself?
    pub kind: EntryKind,
    /// Was it re-opened on demand?
    pub redriven: bool,
    /// How often publishing it failed so far.
    pub attempts: u32,
    /// What was received.
    pub delivery: JournaledDelivery,
    /// The result of the comparison with the known states; `None` if the events were not compared.
    pub record: Option<DeliveryRecord>,
}

impl Entry {
    /// The id of its event at that index.
    #[must_use]
    pub fn event_id(&self, index: u16) -> EventId {
        EventId {
            delivery: self.key,
            index,
        }
    }

    /// The origin of its events.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match (self.redriven, self.kind) {
            (true, _) => Origin::Redrive,
            (false, EntryKind::Found) => Origin::Reconcile,
            (false, EntryKind::Delivery | EntryKind::Announcement) => Origin::Webhook,
        }
    }
}

/// Who wrote an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A platform: a verified delivery.
    Delivery,
    /// The gateway: a change of a connection, whose body is the `connection` shape.
    Announcement,
    /// The gateway: a change that was found by reading a store, in the form of the platform's delivery.
    Found,
}

impl EntryKind {
    pub(crate) fn code(self) -> i64 {
        match self {
            EntryKind::Delivery => 0,
            EntryKind::Announcement => 1,
            EntryKind::Found => 2,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => EntryKind::Announcement,
            2 => EntryKind::Found,
            _ => EntryKind::Delivery,
        }
    }
}

/// How an entry leaves `Pending`.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its events go into the event log; there is no broker.
    Logged(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned none.
    Published(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned some that a configured queue should have received.
    Unrouted(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned some that no configured queue is meant to receive.
    Unsubscribed(Vec<LoggedEvent>),
    /// It tells nothing; why, as a bounded word.
    Ignored(Cow<'static, str>),
    /// It cannot be read or published; why, as a bounded word.
    DeadLettered(&'static str),
}

impl Outcome {
    /// The state it leads to.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        match self {
            Outcome::Logged(_) => DeliveryState::Logged,
            Outcome::Published(_) => DeliveryState::Published,
            Outcome::Unrouted(_) => DeliveryState::Unrouted,
            Outcome::Unsubscribed(_) => DeliveryState::Unsubscribed,
            Outcome::Ignored(_) => DeliveryState::Ignored,
            Outcome::DeadLettered(_) => DeliveryState::DeadLettered,
        }
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Logged(_) | Outcome::Published(_) => None,
            Outcome::Unrouted(_) => Some("no_queue_bound"),
            Outcome::Unsubscribed(_) => Some("no_subscriber"),
            Outcome::Ignored(reason) => Some(reason),
            Outcome::DeadLettered(reason) => Some(reason),
        }
    }

    pub(crate) fn events(&self) -> &[LoggedEvent] {
        match self {
            Outcome::Logged(events)
            | Outcome::Published(events)
            | Outcome::Unrouted(events)
            | Outcome::Unsubscribed(events) => events,
            Outcome::Ignored(_) | Outcome::DeadLettered(_) => &[],
        }
    }
}

/// What the event log stores of an event. The event is made from its delivery again when it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// Which event of the delivery.
    pub index: u16,
    /// `cartwire.{entity}.{verb}`
    pub event_type: String,
    /// `{entity}/{id}`
    pub subject: String,
    /// `true` if the event was published without `data.raw`.
    pub omits_raw: bool,
}

/// An outcome for an entry.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which entry.
    pub position: Position,
    /// Was it re-opened on demand? Then its events move to the end of the log.
    pub redriven: bool,
    /// Failed attempts before.
    pub attempts: u32,
    /// The result of the comparison with the known states, if events were compared.
    pub comparison: Option<DeliveryComparison>,
    /// What became of it.
    pub outcome: Outcome,
}
