//! The way of a thin delivery through the relay: decide what to fetch, fetch it, and publish the enriched events.

use std::collections::HashSet;
use std::time::Instant;

use jiff::Timestamp;

use super::deletion;
use super::fetch::{Fetch, FetchTarget};
use super::fetching::{FetchAttempt, Fetcher};
use super::partitions::EnrichedEvents;
use super::state::{Finished, JOURNAL_RETRY_DELAY, Relay};
use super::task::partition;
use crate::connections::Ownership;
use crate::delivery::{Enriched, Enrichment, ReasonCode};
use crate::event::{Authority, Event, NormalizedEvent, weight};
use crate::journal::entry::{Entry, EntryKind, Position};
use crate::journal::{Journal, JournalError};
use crate::normalize::{Assembled, assemble_within};
use crate::platforms::{Content, store_api};
use crate::publisher::Publish;

impl<P: Publish> Relay<P> {
    /// Starts as many fetches as are allowed now.
    pub(super) fn start_fetching(&mut self) {
        let Some(fetcher) = self
            .enrichment
            .fetcher
            .clone()
            .filter(|_| !self.is_stopping)
        else {
            return;
        };
        while let Some(fetch) = self.enrichment.queue.next(Instant::now()) {
            let newest = fetch.positions.iter().max().copied().unwrap_or(0);
            let is_in_flight = self.is_in_flight(&fetch.target, newest);
            let (fetcher, journal) = (fetcher.clone(), self.journal.clone());
            self.work
                .push(Box::pin(run(fetcher, journal, fetch, is_in_flight)));
        }
    }

    /// What to fetch for an entry; `None` if its events are complete, or if its store has no usable credentials.
    pub(super) fn fetch_target(&self, entry: &Entry, events: &[Event]) -> Option<FetchTarget> {
        self.enrichment.fetcher.as_ref()?;
        let delivery = &entry.delivery;
        let is_complete = |event: &Event| {
            event.normalized.authority == Authority::Full && !event.normalized.lacks_currency()
        };
        if delivery.enriched.is_some()
            || entry.kind == EntryKind::Announcement
            || events.iter().all(is_complete)
        {
            return None;
        }
        let can_request = self
            .directory
            .can_request(&delivery.connection, &delivery.endpoint);
        if can_request {
            target(entry, events)
        } else {
            None
        }
    }

    /// `true` if an event of the deleted entity is in flight and is published before the entry at this position. The journal
    /// does not know the entity yet then.
    pub(super) fn is_in_flight(&self, target: &FetchTarget, before: Position) -> bool {
        let Some(subject) = &target.deletion else {
            return false;
        };
        let subjects = deletion::possible_subjects(subject);
        self.in_flight
            .entries
            .iter()
            .filter(|(position, entry)| {
                **position < before && entry.connection == target.connection
            })
            .flat_map(|(_, entry)| &entry.events)
            .any(|event| {
                subjects.contains(&event.subject) && !event.event_type.ends_with(".deleted")
            })
    }

    /// A deletion that no store can confirm. `true` if the journal does not know the entity. Otherwise the delivery is marked
    /// as unconfirmed.
    pub(super) async fn is_unknown_deletion(
        &mut self,
        entry: &mut Entry,
        events: &[Event],
    ) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        if self.enrichment.fetcher.is_none() || delivery.enriched.is_some() {
            return Ok(false);
        }
        let Some(target) = target(entry, events) else {
            return Ok(false);
        };
        let is_removed = delivery.connection == delivery.endpoint
            && self.directory.ownership(&delivery.connection) == Ownership::Unknown;
        let is_doubtful =
            store_api(&delivery.platform).is_some_and(|api| api.must_be_confirmed(&target.request));
        let reason = match (is_removed, is_doubtful) {
            (true, _) => ReasonCode::ConnectionRemoved,
            (false, true) => ReasonCode::NotAsked,
            (false, false) => return Ok(false),
        };
        let enriched = unavailable(reason);
        let is_in_flight = self.is_in_flight(&target, entry.position);
        let enriched = deletion::decide(&self.journal, &target, is_in_flight, enriched).await?;
        if let Enrichment::Contradicted(_) = enriched.enrichment {
            return Ok(true);
        }
        self.journal
            .store_enrichment(vec![entry.position], enriched.clone())
            .await?;
        entry.delivery.enriched = Some(enriched);
        Ok(false)
    }

    /// The events with the entry's enrichment, if the entry was enriched after they were made.
    pub(super) fn with_enrichment(
        &self,
        entry: &Entry,
        events: Vec<Event>,
        content: Option<Content>,
    ) -> (Vec<Event>, Option<Content>) {
        let is_older = events.iter().all(|event| event.enriched.is_none());
        if entry.delivery.enriched.is_none() || !is_older {
            return (events, content);
        }
        match assemble_within(entry, self.max_event_bytes.bytes()) {
            Assembled::Events {
                events, content, ..
            } => (events, content),
            Assembled::Ignored(_) | Assembled::Unreadable(_) => (events, content),
        }
    }

    /// Publishes deliveries without their data, because too many deliveries wait for their stores.
    pub(super) async fn publish_without_data(&mut self, positions: Vec<Position>) {
        if positions.is_empty() {
            return;
        }
        let count = positions.len() as u64;
        let enriched = unavailable(ReasonCode::TooManyWaiting);
        match self
            .journal
            .store_enrichment(positions.clone(), enriched.clone())
            .await
        {
            Ok(()) => {
                metrics::counter!("cartwire_completions_total", "platform" => "", "result" => ReasonCode::TooManyWaiting.as_str()).increment(count);
                for position in positions {
                    self.entry_enriched(position, &enriched).await;
                }
            }
            // They keep waiting.
            Err(error) => self.journal_failed(&error),
        }
    }

    /// Makes an entry's events again after its enrichment was stored, and lets them be published.
    pub(super) async fn entry_enriched(&mut self, position: Position, enriched: &Enriched) {
        // A released entry is claimed again with its enrichment.
        let Some(mut entry) = self.enrichment.queue.take(position) else {
            return;
        };
        let limit = self.max_event_bytes.bytes();
        let before = match assemble_within(&entry, limit) {
            Assembled::Events { events, .. } => events,
            Assembled::Ignored(_) | Assembled::Unreadable(_) => Vec::new(),
        };
        let keys: HashSet<String> = before.iter().map(partition).collect();
        entry.delivery.enriched = Some(enriched.clone());
        let was_installing = self.end_installation(&entry);
        let (mut events, signal, content) = match assemble_within(&entry, limit) {
            Assembled::Events {
                events,
                signal,
                content,
            } => (events, signal, content),
            nothing @ (Assembled::Ignored(_) | Assembled::Unreadable(_)) => {
                self.partitions.remove(position, &keys);
                self.settle_unassembled(&entry, &nothing);
                return;
            }
        };
        if !are_same_events(&before, &events) {
            // Ids, order and partition keys depend on the events. A fault of a platform's code must not lose one.
            tracing::error!(delivery = %entry.key, "the enrichment changes the number or the keys of the events; publishing them without it");
            events = before;
        }
        let captured = match signal {
            Some(signal) if was_installing => self.capture(&entry, Some(signal)).await,
            _ => Ok(true),
        };
        match captured {
            Ok(true) => {
                let bytes = weight(&events);
                self.count_enriched(position, bytes);
                let entities = self.acquire_states(&events);
                if let Some(entry) = self.in_flight.entries.get_mut(&position) {
                    entry.entities = entities;
                }
                let enriched = EnrichedEvents {
                    events,
                    content,
                    bytes,
                };
                self.partitions.complete(position, &keys, enriched);
            }
            Ok(false) => self.partitions.remove(position, &keys),
            Err(error) => {
                // All waiting events of the connection are released, and claimed again in order with the stored enrichment.
                self.journal_failed(&error);
                let connection = entry.delivery.connection.clone();
                self.intake.to_release.insert(connection);
            }
        }
    }

    /// Moves an entry from the space of the enrichment queue to that of the entries in flight.
    fn count_enriched(&mut self, position: Position, bytes: usize) {
        let Some(entry) = self.in_flight.entries.get_mut(&position) else {
            return;
        };
        if entry.is_counted {
            self.in_flight.shares.remove(&entry.connection, entry.bytes);
        }
        self.in_flight.shares.add(&entry.connection, bytes);
        (entry.bytes, entry.is_counted) = (bytes, true);
    }
}

/// Fetches, and stores the result before an event depends on it.
async fn run(fetcher: Fetcher, journal: Journal, fetch: Fetch, is_in_flight: bool) -> Finished {
    let enriched = match fetcher.fetch(journal.clone(), &fetch).await {
        FetchAttempt::Retry {
            delay,
            was_contradicted,
        } => {
            return Finished::FetchFailed {
                fetch,
                delay,
                was_contradicted,
            };
        }
        FetchAttempt::Done(enriched) => enriched,
    };
    let stored = match deletion::decide(&journal, &fetch.target, is_in_flight, enriched).await {
        Ok(enriched) => journal
            .store_enrichment(fetch.positions.clone(), enriched.clone())
            .await
            .map(|()| enriched),
        Err(error) => Err(error),
    };
    match stored {
        Ok(enriched) => Finished::Enriched {
            target: fetch.target,
            positions: fetch.positions,
            enriched,
        },
        Err(_) => Finished::FetchFailed {
            fetch,
            delay: JOURNAL_RETRY_DELAY,
            was_contradicted: false,
        },
    }
}

fn are_same_events(before: &[Event], now: &[Event]) -> bool {
    let has_same_key =
        |(before, now): (&Event, &Event)| before.partition_key() == now.partition_key();
    before.len() == now.len() && before.iter().zip(now).all(has_same_key)
}

fn unavailable(reason: ReasonCode) -> Enriched {
    Enriched {
        enrichment: Enrichment::Unavailable(reason.into()),
        fetched_at: Timestamp::now(),
    }
}

/// What to fetch for a delivery.
fn target(entry: &Entry, events: &[Event]) -> Option<FetchTarget> {
    let delivery = &entry.delivery;
    let normalized: Vec<NormalizedEvent> = events
        .iter()
        .map(|event| event.normalized.clone())
        .collect();
    let request = store_api(&delivery.platform)?.fetch_request(delivery, &normalized)?;
    Some(FetchTarget {
        connection: delivery.connection.clone(),
        endpoint: delivery.endpoint.clone(),
        platform: delivery.platform.clone(),
        request,
        deletion: deletion::subject(events),
    })
}
