//! Which events of the log a reader wants, and how many at once.

use crate::delivery::ConnectionId;

/// Memory that the events of a page may take, as `JournaledDelivery::cost` estimates it.
const PAGE_BYTES: usize = 16 << 20;

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this type; `cartwire.order.*` means all types that begin so.
    pub event_type: Option<String>,
    /// Only of this connection.
    pub connection: Option<String>,
    /// Only of this subject.
    pub subject: Option<String>,
    /// Only of deliveries that arrived at or after this instant, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Only of deliveries that arrived before this instant, in milliseconds since 1970.
    pub until: Option<i64>,
}

impl EventFilter {
    /// The connection as the journal writes it. A text that is no id is compared as it is, and matches nothing.
    pub(super) fn stored_connection(&self) -> Option<String> {
        self.connection.as_deref().map(|text| {
            ConnectionId::new(text).map_or_else(|_| text.to_owned(), |id| id.to_string())
        })
    }
}

/// How much a page of the event log may hold. A page has at least one row where there is one.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Maximum number of rows.
    pub rows: usize,
    /// The row that reaches this number of bytes is the last one of its page. What counts is the memory that a delivery's
    /// events take, as `JournaledDelivery::cost` estimates it.
    pub bytes: usize,
}

impl PageLimit {
    /// A limit on the rows, beside the limit on bytes that every page has.
    #[must_use]
    pub fn rows(rows: usize) -> Self {
        Self {
            rows,
            bytes: PAGE_BYTES,
        }
    }
}
