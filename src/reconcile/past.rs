//! Publishes the past of a store to an exchange of its own, for a new consumer.
//!
//! The events go to the broker under its confirm without a journal entry: the store has them, and the read goes on only after
//! all events of a page were confirmed. They are not compared with known states, because the consumer knows nothing yet.

use std::collections::HashSet;

use jiff::Timestamp;

use super::classify::RowSource;
use super::report::PublishedEvents;
use crate::event::Event;
use crate::journal::entry::Position;
use crate::normalize::{Assembled, assemble_within};
use crate::platforms::api::StoreRow;
use crate::publisher::{ExchangeFailure, ExchangePublisher};

/// An exchange for the past of a store.
pub(super) struct TargetExchange<'a> {
    pub(super) publisher: &'a ExchangePublisher,
    pub(super) name: &'a str,
    pub(super) max_event_bytes: usize,
}

/// The rows of a page.
pub(super) struct PastPage<'a> {
    pub(super) source: RowSource<'a>,
    pub(super) rows: Vec<StoreRow>,
    /// The begin of the past.
    pub(super) after: Timestamp,
    /// The newest delivery before the page was requested. All later events of an entity have a higher sequence.
    pub(super) newest: Position,
    /// The entities of the last page, which are replaced by those of this one. A page begins with the last rows of the page
    /// before, and a store may repeat rows.
    pub(super) last_page: &'a mut HashSet<Vec<u8>>,
}

impl TargetExchange<'_> {
    /// Publishes the entities of a page. Returns also the number of rows that cannot be read.
    pub(super) async fn publish(
        &self,
        page: PastPage<'_>,
    ) -> Result<(PublishedEvents, u64), ExchangeFailure> {
        let (events, unreadable) = self.events(page);
        let mut published = PublishedEvents::default();
        if !events.is_empty() {
            let receipt = self.publisher.publish(self.name, &events).await?;
            published.events = receipt.events as u64;
            published.unrouted = receipt.unrouted as u64;
        }
        Ok((published, unreadable))
    }

    /// The events of a page's entities that are no older than the begin, and the number of rows that cannot be read.
    fn events(&self, page: PastPage<'_>) -> (Vec<Event>, u64) {
        let (mut events, mut unreadable) = (Vec::new(), 0);
        let last_page = std::mem::take(page.last_page);
        for row in page.rows {
            if row.is_in_trash {
                continue;
            }
            let Ok(entity) = page.source.read(row) else {
                unreadable += 1;
                continue;
            };
            let Some(entry) = page
                .source
                .past_entry(entity, page.after, (self.name, page.newest))
            else {
                continue;
            };
            let key = entry.key.as_bytes().to_vec();
            let is_repeated = last_page.contains(&key);
            if !page.last_page.insert(key) || is_repeated {
                continue;
            }
            match assemble_within(&entry, self.max_event_bytes) {
                Assembled::Events { events: found, .. } => events.extend(found),
                Assembled::Ignored(_) => {}
                Assembled::Unreadable(_) => unreadable += 1,
            }
        }
        (events, unreadable)
    }
}
