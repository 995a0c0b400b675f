//! The events of the log that a reader wants, and the limits of a page.

use crate::delivery::ConnectionId;

/// Maximum memory of a page's events, as `JournaledDelivery::cost` estimates it.
const PAGE_BYTES: usize = 16 << 20;

/// Which events; an empty member selects all.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Event type; `cartwire.order.*` matches all types with this prefix.
    pub event_type: Option<String>,
    /// Connection.
    pub connection: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// Events of deliveries received at or after this time, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Events of deliveries received before this time, in milliseconds since 1970.
    pub until: Option<i64>,
}

impl EventFilter {
    /// The connection as the journal stores it. A text that is not a valid id matches no row.
    pub(super) fn stored_connection(&self) -> Option<String> {
        self.connection.as_deref().map(|text| {
            ConnectionId::new(text).map_or_else(|_| text.to_owned(), |id| id.to_string())
        })
    }
}

/// The limits of a page of the event log. A page has at least one row if there is one.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Maximum number of rows.
    pub rows: usize,
    /// The page ends with the row that reaches this number of bytes. The memory of a delivery's events counts, as
    /// `JournaledDelivery::cost` estimates it.
    pub bytes: usize,
}

impl PageLimit {
    /// A limit of rows, with the limit of bytes that every page has.
    #[must_use]
    pub fn rows(rows: usize) -> Self {
        Self {
            rows,
            bytes: PAGE_BYTES,
        }
    }
}
