//! The states of a journal entry and the transitions between them.
//!
//! ```text
//!                         ┌────────────── redrive, or a broker is configured later ──────────────┐
//!                         ▼                                                                      │
//! append ──────────▶ Pending ──settle──▶ Logged        events are in the event log; no broker     │
//!                      │  ▲     │      ▶ Published     the broker confirmed all events ───────────┤
//!                      └──┘     │      ▶ Unrouted      confirmed, but a queue or binding is gone ─┤
//!                               │      ▶ Unsubscribed  confirmed, but no queue is bound for it ───┤
//!                     attempts  │      ▶ Ignored       no event, by design ───────────────────────┤
//!                               └─────▶ DeadLettered  cannot be read, or cannot be published ────┘
//! ```
//! Only `Pending` entries are claimed. Retention removes settled entries; a pending one is never removed.

use serde::{Deserialize, Serialize};

use crate::delivery::{JournaledDelivery, Reason, ReasonCode};
use crate::entities::{DeliveryComparison, DeliveryRecord};
use crate::event::{EventId, Origin};

/// The position of an entry in the journal. Positions grow in the order of arrival.
pub type Position = i64;

/// The state of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Stored, and not settled yet.
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

    /// The name in output, filters and metrics.
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

    /// The state with a name that [`DeliveryState::as_str`] returns.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        DeliveryState::ALL
            .iter()
            .copied()
            .find(|state| state.as_str() == text)
    }
}

/// A delivery in the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    pub position: Position,
    /// The key of the delivery. The ids of its events contain it.
    pub key: crate::delivery::DeliveryKey,
    pub kind: EntryKind,
    /// `true` if an operator redrove the entry.
    pub redriven: bool,
    /// Number of failed attempts to publish its events.
    pub attempts: u32,
    pub delivery: JournaledDelivery,
    /// The result of the comparison with the known states; `None` if the events were not compared.
    pub record: Option<DeliveryRecord>,
}

impl Entry {
    /// The id of the entry's event with this index.
    #[must_use]
    pub fn event_id(&self, index: u16) -> EventId {
        EventId {
            delivery: self.key,
            index,
        }
    }

    #[must_use]
    pub fn origin(&self) -> Origin {
        match (self.redriven, self.kind) {
            (true, _) => Origin::Redrive,
            (false, EntryKind::Found) => Origin::Reconcile,
            (false, EntryKind::Polled) => Origin::Poll,
            (false, EntryKind::Delivery | EntryKind::Announcement) => Origin::Webhook,
        }
    }
}

/// The writer of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A platform sent the delivery, and it was verified.
    Delivery,
    /// The gateway announced a change of a connection. The body has the `connection` shape.
    Announcement,
    /// The gateway found a change that the store had not reported. The body has the form of the platform's webhook.
    Found,
    /// The gateway found a change of a store that sends no webhooks. The body has the form of the platform's webhook.
    Polled,
}

impl EntryKind {
    pub(crate) fn code(self) -> i64 {
        match self {
            EntryKind::Delivery => 0,
            EntryKind::Announcement => 1,
            EntryKind::Found => 2,
            EntryKind::Polled => 3,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => EntryKind::Announcement,
            2 => EntryKind::Found,
            3 => EntryKind::Polled,
            _ => EntryKind::Delivery,
        }
    }
}

/// The result with which an entry leaves `Pending`.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The events are in the event log. No broker is configured.
    Logged(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned none.
    Published(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned some that a configured queue should have received.
    Unrouted(Vec<LoggedEvent>),
    /// The broker confirmed all events and returned some that no configured queue is meant to receive.
    Unsubscribed(Vec<LoggedEvent>),
    /// No event, by design; with a reason code.
    Ignored(Reason),
    /// The delivery cannot be read, or its events cannot be published; with a reason code.
    DeadLettered(ReasonCode),
}

impl Outcome {
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
            Outcome::Ignored(reason) => Some(reason.as_str()),
            Outcome::DeadLettered(reason) => Some(reason.as_str()),
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

/// An event as the event log stores it. A reader makes the event from its delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// The index of the event in its delivery.
    pub index: u16,
    /// `cartwire.{entity}.{verb}`
    pub event_type: String,
    /// `{entity}/{id}`
    pub subject: String,
    /// `true` if the event was published without `data.raw`.
    pub omits_raw: bool,
}

/// The settlement of an entry.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub position: Position,
    /// `true` if an operator redrove the entry. Its events then move to the end of the event log.
    pub redriven: bool,
    /// Number of failed attempts to publish its events.
    pub attempts: u32,
    /// The result of the comparison with the known states, if events were compared.
    pub comparison: Option<DeliveryComparison>,
    pub outcome: Outcome,
}
