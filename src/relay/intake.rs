//! What the relay takes in: claimed entries become tasks in their partitions, at once or when their store has told the rest.
//!
//! Claims are fair: connections take turns, and each gets no more than its share of what may be in hand.
//!
//! Here, too, an installation becomes a connection: the first time that something of it is seen.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::backlog::Grant;
use super::enrichment::Target;
use super::partitions::{Suspicion, Task};
use super::{Held, PAUSE, Relay, deletion};
use crate::connections::{Ownership, UnreadableDelivery};
use crate::delivery::{Completed, Completion, ConnectionId, JournaledDelivery};
use crate::event::{Authority, EVENT_TOO_LARGE, Event, NormalizedEvent, weight};
use crate::journal::entry::{Entry, EntryKind, LoggedEvent, Outcome, Position, Settlement};
use crate::journal::{Claimed, Damaged, Excluded, JournalError, Want};
use crate::normalize::{Assembled, assemble_within};
use crate::platforms::{ConnectionSignal, TOPIC_MISMATCH, store_api};
use crate::publisher::Publish;
use crate::report::ErrorChain;

/// Entries claimed by one read, and the bytes of bodies they may have.
const CLAIM: usize = 512;
const CLAIM_BYTES: usize = 4 << 20;
/// The least that a connection in turn is given of these.
const MIN_CLAIM: usize = 8;
const MIN_CLAIM_BYTES: usize = 64 << 10;
/// Under load the journal is read this often and not more: each read has a cost of its own.
const CLAIM_PACE: Duration = Duration::from_millis(10);

/// Why a delivery is a dead letter whose sender speaks in the name of somebody else's connection.
pub(super) const FOREIGN: &str = "connection_of_another";
/// Why a delivery is a dead letter whose row cannot be read.
const DAMAGED: &str = "damaged_row";
/// Why a deletion is not confirmed whose connection was removed.
pub(super) const REMOVED: &str = "connection_removed";
/// The same for a delivery in doubt of a connection without credentials.
const NOT_ASKED: &str = "not_asked";
/// Why an installation or a removal tells nothing: a newer one was applied before it.
pub(super) const STALE: &str = "stale";
/// Why a delivery goes out as it is although its store could be asked.
const TOO_MANY: &str = "too_many_waiting";

impl<P: Publish> Relay<P> {
    pub(super) async fn claim(&mut self) {
        if self.has_arrivals
            && let Err(error) = self.search_arrivals().await
        {
            return self.journal_failed(&error);
        }
        let (wants, full) = self.wants();
        self.is_drained = wants.is_empty();
        self.claim_not_before = Some(Instant::now() + CLAIM_PACE);
        self.make_way(&full).await;
        if wants.is_empty() {
            return;
        }
        let excluded = Excluded {
            held: self.held.keys().copied().collect(),
            paused_endpoints: self.paused.clone(),
        };
        let claimed = match self.journal.claim(wants.clone(), excluded).await {
            Ok(claimed) => claimed,
            Err(error) => {
                for want in wants {
                    self.backlog.visited(want.connection, Some(want.from));
                }
                return self.journal_failed(&error);
            }
        };
        let positions = claimed
            .iter()
            .flat_map(|claimed| claimed.entries.iter().map(|entry| entry.position));
        self.trials.claimed(positions.collect());
        let mut too_many = Vec::new();
        for (want, claimed) in wants.into_iter().zip(claimed) {
            let connection = want.connection.clone();
            let next = self.take_in_all(want, claimed, &mut too_many).await;
            self.backlog.visited(connection, next);
        }
        self.give_up(too_many).await;
    }

    async fn search_arrivals(&mut self) -> Result<(), JournalError> {
        // An arrival that the search does not see notifies again.
        self.has_arrivals = false;
        match self.journal.pending_connections(self.backlog.since()).await {
            Ok(found) => {
                self.has_arrivals = !found.is_complete;
                self.backlog.found(found);
                Ok(())
            }
            Err(error) => {
                self.has_arrivals = true;
                Err(error)
            }
        }
    }

    /// What to claim now, and the connections that have no room.
    fn wants(&mut self) -> (Vec<Want>, Vec<ConnectionId>) {
        let full = std::cell::RefCell::new(Vec::new());
        let mut backlog = std::mem::take(&mut self.backlog);
        let mut wants = backlog.wants(Instant::now(), |name| {
            // A damaged row may have a name that is none.
            let Ok(connection) = ConnectionId::new(name) else {
                return Grant::Some {
                    entries: MIN_CLAIM,
                    bytes: MIN_CLAIM_BYTES,
                };
            };
            let is_in_trial = self.trials.waiting().any(|waiting| *waiting == connection);
            if is_in_trial || self.to_put_back.contains(&connection) {
                return Grant::None;
            }
            if self.is_paused(&connection) {
                return Grant::Paused;
            }
            let room = self.shares.room(&connection);
            if room.count == 0 || room.bytes == 0 {
                full.borrow_mut().push(connection);
                return Grant::None;
            }
            let own = self.shares.of(&connection).count;
            let quota = self.quotas.of(&connection).saturating_sub(own);
            Grant::Some {
                // What waits behind a store makes no progress, and that is not the broker's doing.
                entries: if self.enrichment.is_waiting(&connection) {
                    room.count
                } else {
                    room.count.min(quota)
                },
                bytes: room.bytes,
            }
        });
        self.backlog = backlog;
        let count = wants.len().max(1);
        for want in &mut wants {
            want.entries = want.entries.min((CLAIM / count).max(MIN_CLAIM));
            want.bytes = want.bytes.min((CLAIM_BYTES / count).max(MIN_CLAIM_BYTES));
        }
        (wants, full.into_inner())
    }

    /// Takes in what was claimed of one connection. Returns where its next claim begins.
    async fn take_in_all(
        &mut self,
        want: Want,
        claimed: Claimed,
        too_many: &mut Vec<Position>,
    ) -> Option<Position> {
        if claimed.passed_over
            && let Ok(connection) = ConnectionId::new(&want.connection)
        {
            self.passed_over.insert(connection);
        }
        for damaged in claimed.damaged {
            self.set_aside(&want.connection, damaged);
        }
        for entry in claimed.entries {
            let position = entry.position;
            // What the events of an entry take is known when they are made: the rest stays in the journal.
            let room = self.shares.room(&entry.delivery.connection);
            if room.count == 0 || room.bytes == 0 {
                return Some(position);
            }
            match self.take_in(entry).await {
                Ok(Waits::TooMany) => too_many.push(position),
                Ok(Waits::No | Waits::Yes) => {}
                // It stays in the journal until there is room, and so does what comes after it.
                Ok(Waits::Postponed) => {
                    self.backlog.rest(want.connection, Instant::now() + PAUSE);
                    return Some(position);
                }
                Err(error) => {
                    self.journal_failed(&error);
                    return Some(position);
                }
            }
        }
        claimed.next
    }

    /// A row that cannot be read becomes a dead letter, so that it stops nothing else.
    fn set_aside(&mut self, connection: &str, damaged: Damaged) {
        let Damaged {
            position,
            error,
            is_final,
        } = damaged;
        if !is_final {
            tracing::error!(
                position,
                connection,
                error,
                "a pending delivery cannot be read at the moment; retrying"
            );
            self.backlog
                .rest(connection.to_owned(), Instant::now() + PAUSE);
            return;
        }
        tracing::error!(
            position,
            connection,
            error,
            "delivery dead-lettered: its row in the journal is damaged"
        );
        metrics::counter!("cartwire_damaged_rows_total").increment(1);
        if let Ok(connection) = ConnectionId::new(connection) {
            self.hold_settled(connection, position);
        }
        self.to_settle.push(Settlement {
            position,
            redriven: false,
            attempts: 0,
            outcome: Outcome::DeadLettered(DAMAGED),
        });
    }

    /// When a connection's share is used up by entries behind deliveries that wait for their store, those go out as they
    /// are. Deletions wait on: they are never told without being confirmed or known.
    async fn make_way(&mut self, full: &[ConnectionId]) {
        for connection in full {
            if !self.enrichment.is_waiting(connection) {
                continue;
            }
            let (behind, before) = self.partitions.held_up(connection);
            if 2 * behind <= self.shares.of(connection).count {
                continue;
            }
            let given_up: Vec<Position> = before
                .into_iter()
                .filter(|position| !self.enrichment.is_deletion(*position))
                .collect();
            if !given_up.is_empty() {
                tracing::warn!(connection = %connection, waiting = given_up.len(), behind, "too many deliveries wait behind deliveries whose store is away; publishing the latter as they are");
                self.give_up(given_up).await;
            }
        }
    }

    /// These go out as they are, though their stores could be asked: too many wait.
    pub(super) async fn give_up(&mut self, positions: Vec<Position>) {
        if positions.is_empty() {
            return;
        }
        let count = positions.len() as u64;
        let completion = Completion {
            outcome: Completed::GivenUp(TOO_MANY.to_owned()),
            asked_at: Timestamp::now(),
        };
        match self
            .journal
            .complete(positions.clone(), completion.clone())
            .await
        {
            Ok(()) => {
                metrics::counter!("cartwire_completions_total", "platform" => "", "result" => TOO_MANY).increment(count);
                for position in positions {
                    self.completed(position, &completion).await;
                }
            }
            // They wait a little longer.
            Err(error) => self.journal_failed(&error),
        }
    }

    fn journal_failed(&mut self, error: &JournalError) {
        tracing::error!(error = %ErrorChain(error), "the relay cannot use the journal; it tries again");
        self.claim_not_before = Some(Instant::now() + PAUSE);
    }

    async fn take_in(&mut self, mut entry: Entry) -> Result<Waits, JournalError> {
        if entry.redriven && entry.delivery.completed().is_none() {
            // What the store did not tell then, it may tell now.
            entry.delivery.completion = None;
        }
        let assembled = assemble_within(&entry, self.max_event_bytes.bytes());
        let Assembled::Events { events, signal } = assembled else {
            self.settle_without_events(&entry, &assembled);
            return Ok(Waits::No);
        };
        if events.is_empty() {
            self.settle_now(&entry, Outcome::Ignored("no_events".into()));
            return Ok(Waits::No);
        }
        if !self.directory.is_registered(&entry.delivery) {
            self.count_unreadable(&entry, TOPIC_MISMATCH);
            self.settle_now(&entry, Outcome::DeadLettered(TOPIC_MISMATCH));
            return Ok(Waits::No);
        }
        if self.is_foreign(&entry.delivery) {
            self.settle_now(&entry, Outcome::DeadLettered(FOREIGN));
            return Ok(Waits::No);
        }
        let tells_entities = !matches!(signal, Some(ConnectionSignal::Degraded(_)));
        if entry.kind == EntryKind::Delivery && !entry.redriven && tells_entities {
            self.unreadable
                .end(&entry.delivery.connection, Timestamp::now());
        }
        let target = self.lacks(&entry, &events);
        let bytes = entry.delivery.bytes();
        let waits = match &target {
            None => Waits::No,
            Some(target) if self.enrichment.has_room(&target.connection, bytes) => Waits::Yes,
            Some(target) if target.deletion.is_some() => return Ok(Waits::Postponed),
            Some(_) => Waits::TooMany,
        };
        if target.is_none() && self.is_unknown_deletion(&mut entry, &events).await? {
            self.settle_now(&entry, Outcome::Ignored(deletion::UNCONFIRMED.into()));
            return Ok(Waits::No);
        }
        // Whether it is a real installation is part of what is asked; what comes after it waits for that, too.
        if let (Some(_), Some(signal)) = (&target, &signal) {
            self.installing
                .entry(entry.delivery.connection.clone())
                .or_default()
                .insert(entry.position, signal.signed_at());
        } else if !self.capture(&entry, signal).await? {
            return Ok(Waits::No);
        }
        let events = self.with_completion(&entry, events);
        let bytes = weight(&events);
        let connection = &entry.delivery.connection;
        let held = Held {
            connection: connection.clone(),
            bytes,
            is_counted: target.is_none(),
            redriven: entry.redriven,
            attempts: entry.attempts,
            waiting: events.len(),
            endings: Vec::with_capacity(events.len()),
            events: events.iter().map(logged).collect(),
        };
        if held.is_counted {
            self.shares.add(connection, bytes);
        }
        self.held.insert(entry.position, held);
        for event in events {
            let (position, endpoint) = (entry.position, entry.delivery.endpoint.clone());
            self.partitions.push(Task {
                position,
                attempts: 0,
                endpoint,
                lacks: target.is_some(),
                bytes,
                suspicion: Suspicion::default(),
                event: Arc::new(event),
            });
        }
        if let Some(target) = target {
            self.enrichment.wait(target, entry, Instant::now());
        }
        Ok(waits)
    }

    fn settle_without_events(&mut self, entry: &Entry, assembled: &Assembled) {
        let outcome = match assembled {
            Assembled::Ignored(reason) => Outcome::Ignored(reason.clone()),
            Assembled::Unreadable(reason) => {
                tracing::warn!(delivery = %entry.key, connection = %entry.delivery.connection, reason, "delivery dead-lettered");
                self.count_unreadable(entry, reason);
                Outcome::DeadLettered(reason)
            }
            Assembled::Events { .. } => return,
        };
        self.settle_now(entry, outcome);
    }

    /// Counts a dead letter whose cause is the store. A redriven delivery says nothing about the store as it is now.
    fn count_unreadable(&self, entry: &Entry, reason: &'static str) {
        let is_ours = [EVENT_TOO_LARGE, "normalizer_failed", "unknown_platform"].contains(&reason);
        if entry.kind != EntryKind::Delivery || entry.redriven || is_ours {
            return;
        }
        let id = entry.key.to_string();
        let delivery = UnreadableDelivery {
            id: &id,
            reason,
            body: &entry.delivery.body,
        };
        self.unreadable
            .count(&entry.delivery.connection, delivery, Timestamp::now());
    }

    /// Settles an entry that has no events to publish.
    pub(super) fn settle_now(&mut self, entry: &Entry, outcome: Outcome) {
        self.hold_settled(entry.delivery.connection.clone(), entry.position);
        self.to_settle.push(settlement(entry, outcome));
    }

    /// Keeps an entry in hand until its settlement is on disk, so that it is not claimed again.
    fn hold_settled(&mut self, connection: ConnectionId, position: Position) {
        if self.held.contains_key(&position) {
            return;
        }
        self.shares.add(&connection, 0);
        let held = Held {
            connection,
            bytes: 0,
            is_counted: true,
            redriven: false,
            attempts: 0,
            waiting: 0,
            endings: Vec::new(),
            events: Vec::new(),
        };
        self.held.insert(position, held);
    }

    /// A deletion that no store can confirm any more, because its connection was removed: `true` if the journal never knew
    /// the entity. Otherwise the delivery is marked as unconfirmed.
    async fn is_unknown_deletion(
        &mut self,
        entry: &mut Entry,
        events: &[Event],
    ) -> Result<bool, JournalError> {
        let delivery = &entry.delivery;
        let is_removed = delivery.connection == delivery.endpoint
            && self.directory.ownership(&delivery.connection) == Ownership::Unknown;
        if self.asking.is_none() || delivery.completion.is_some() {
            return Ok(false);
        }
        let Some(target) = target(entry, events) else {
            return Ok(false);
        };
        let is_doubtful =
            store_api(&delivery.platform).is_some_and(|api| api.must_be_confirmed(&target.lacking));
        let reason = match (is_removed, is_doubtful) {
            (true, _) => REMOVED,
            (false, true) => NOT_ASKED,
            (false, false) => return Ok(false),
        };
        let completion = Completion {
            outcome: Completed::GivenUp(reason.to_owned()),
            asked_at: Timestamp::now(),
        };
        let is_in_hand = self.is_in_hand(&target, entry.position);
        let completion = deletion::judge(&self.journal, &target, is_in_hand, completion).await?;
        if let Completed::Untrue(_) = completion.outcome {
            return Ok(true);
        }
        self.journal
            .complete(vec![entry.position], completion.clone())
            .await?;
        entry.delivery.completion = Some(completion);
        Ok(false)
    }

    /// The events as the entry's completion makes them, if it has got one since they were made.
    fn with_completion(&self, entry: &Entry, events: Vec<Event>) -> Vec<Event> {
        let is_told = events.iter().all(|event| event.asked.is_none());
        if entry.delivery.completion.is_none() || !is_told {
            return events;
        }
        match assemble_within(entry, self.max_event_bytes.bytes()) {
            Assembled::Events { events, .. } => events,
            Assembled::Ignored(_) | Assembled::Unreadable(_) => events,
        }
    }

    /// What its store is to be asked for, where it can be asked.
    fn lacks(&self, entry: &Entry, events: &[Event]) -> Option<Target> {
        self.asking.as_ref()?;
        let delivery = &entry.delivery;
        let is_whole = events.iter().all(|event| {
            event.normalized.authority == Authority::Full && !event.normalized.lacks_currency()
        });
        if delivery.completion.is_some() || is_whole || entry.kind == EntryKind::Announcement {
            return None;
        }
        if !self
            .directory
            .can_request(&delivery.connection, &delivery.endpoint)
        {
            return None;
        }
        target(entry, events)
    }

    /// Asking for an entry's rest has ended, and what was said is in the journal: its events can go.
    pub(super) async fn completed(&mut self, position: Position, completion: &Completion) {
        // It may have been let go meanwhile; then it is claimed again with its completion.
        let Some(mut entry) = self.enrichment.take(position) else {
            return;
        };
        let before = match assemble_within(&entry, self.max_event_bytes.bytes()) {
            Assembled::Events { events, .. } => events,
            Assembled::Ignored(_) | Assembled::Unreadable(_) => Vec::new(),
        };
        let keys: HashSet<String> = before.iter().map(Event::partition_key).collect();
        entry.delivery.completion = Some(completion.clone());
        let was_installing = self.installed(&entry);
        let (mut events, signal) = match assemble_within(&entry, self.max_event_bytes.bytes()) {
            Assembled::Events { events, signal } => (events, signal),
            nothing @ (Assembled::Ignored(_) | Assembled::Unreadable(_)) => {
                self.partitions.complete(position, &keys, 0, Vec::new());
                self.settle_without_events(&entry, &nothing);
                return;
            }
        };
        let same = |(before, now): (&Event, &Event)| before.partition_key() == now.partition_key();
        if events.len() != before.len() || !before.iter().zip(&events).all(same) {
            // Ids, order and keys hang on it: a platform's mistake must not lose an event.
            tracing::error!(delivery = %entry.key, "a completed delivery tells other events than before; it goes out as it was");
            events = before;
        }
        let captured = match signal {
            Some(signal) if was_installing => self.capture(&entry, Some(signal)).await,
            _ => Ok(true),
        };
        let bytes = weight(&events);
        match captured {
            Ok(true) => {
                if let Some(held) = self.held.get_mut(&position) {
                    if held.is_counted {
                        self.shares.remove(&held.connection, held.bytes);
                    }
                    self.shares.add(&held.connection, bytes);
                    (held.bytes, held.is_counted) = (bytes, true);
                }
                self.partitions.complete(position, &keys, bytes, events);
            }
            Ok(false) => self.partitions.complete(position, &keys, 0, Vec::new()),
            Err(error) => {
                // All that waits of the connection is put back, and claimed again in order, with what the store said.
                self.journal_failed(&error);
                self.to_put_back.insert(entry.delivery.connection.clone());
            }
        }
    }
}

/// Does an entry that was taken in wait for its store?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    Yes,
    /// It would, but too many do.
    TooMany,
    /// It was not taken in: it may not go out as it is, and too many wait.
    Postponed,
}

/// What the delivery's store is to be asked for.
fn target(entry: &Entry, events: &[Event]) -> Option<Target> {
    let delivery = &entry.delivery;
    let normalized_events: Vec<NormalizedEvent> = events
        .iter()
        .map(|event| event.normalized.clone())
        .collect();
    let lacking = store_api(&delivery.platform)?.fetch_request(delivery, &normalized_events)?;
    let JournaledDelivery {
        connection,
        endpoint,
        platform,
        ..
    } = delivery.clone();
    Some(Target {
        connection,
        endpoint,
        platform,
        lacking,
        deletion: deletion::subject(events),
    })
}

fn settlement(entry: &Entry, outcome: Outcome) -> Settlement {
    Settlement {
        position: entry.position,
        redriven: entry.redriven,
        attempts: entry.attempts,
        outcome,
    }
}

fn logged(event: &Event) -> LoggedEvent {
    LoggedEvent {
        index: event.id.index,
        event_type: event.event_type(),
        subject: event.subject(),
        omits_raw: event.omits_raw,
    }
}
