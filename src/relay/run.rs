//! The relay's loop: starts all work that can be started, then waits for a result, an arrival or a change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::fetch::FetchTarget;
use super::fetching;
use super::state::{Finished, InFlightEntry, JOURNAL_RETRY_DELAY, Relay, is_reached};
use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::publisher::Publish;

/// Maximum number of results that are processed before new work is started.
const MAX_RESULTS: usize = 256;

impl<P: Publish> Relay<P> {
    /// Runs until `shutdown`. Then publishes the remaining events until `grace` is over or the broker is away. Returns early
    /// only if the publisher has ended by itself.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, grace: Duration) {
        self.try_suspects(&shutdown).await;
        while !*shutdown.borrow() && !self.is_ended {
            self.start_work().await;
            self.wait(&mut shutdown).await;
        }
        if self.is_ended {
            tracing::error!("the publisher has ended; the relay ends, too");
        }
        self.finish_within(grace).await;
        self.settle_all().await;
        self.trials.close();
    }

    /// Publishes the remaining events. Deliveries that wait for their store stay pending, and are fetched after the next start.
    async fn finish_within(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.is_stopping = true;
        // There may be an arrival that no search has found.
        (self.intake.has_arrivals, self.intake.is_drained) = (true, false);
        while Instant::now() < deadline && self.publisher.is_ready() && !self.is_ended {
            self.start_work().await;
            let is_waiting = !self.can_publish() && !self.can_claim();
            if is_waiting && self.window.in_flight() == 0 {
                break;
            }
            let _ = tokio::time::timeout_at(deadline.into(), self.step()).await;
        }
    }

    /// Settles confirmed events, even after the grace time, because unsettled events are published again.
    async fn settle_all(&mut self) {
        while !self.settling.waiting.is_empty() || self.settling.is_running {
            self.start_settling();
            match tokio::time::timeout(JOURNAL_RETRY_DELAY, self.work.next()).await {
                Ok(Some(finished)) => self.finish(finished).await,
                _ => break,
            }
        }
    }

    /// `true` if nothing is pending or in flight. For tests that step the relay.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.can_claim()
            && self.in_flight.entries.is_empty()
            && self.work.is_empty()
            && self.settling.waiting.is_empty()
    }

    /// Starts all work that can be started: claims, fetches, publishes, settlements.
    pub async fn start_work(&mut self) {
        self.retry_suspects().await;
        if self.can_claim() && is_reached(self.intake.not_before) {
            self.claim().await;
        }
        let now = Instant::now();
        if self
            .intake
            .backlog
            .wake()
            .is_some_and(|instant| now >= instant)
        {
            self.allow_claims();
        }
        self.partitions.wake(now);
        self.start_reading_states();
        self.start_fetching();
        self.release_waiting();
        self.window.mark_overdue(now);
        self.start_publishing();
        if self.is_settling_due() {
            self.start_settling();
        }
    }

    /// `true` if a claim may return entries.
    fn can_claim(&self) -> bool {
        self.intake.has_arrivals || !self.intake.is_drained
    }

    /// Space became free, or an entry became claimable.
    pub(super) fn allow_claims(&mut self) {
        self.intake.is_drained = false;
    }

    /// Waits for a result, and processes it.
    pub async fn step(&mut self) {
        let wake = self.wake();
        tokio::select! {
            biased;
            Some(finished) = self.work.next() => self.finish_all(finished).await,
            () = tokio::time::sleep_until(wake.into()) => {}
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }

    /// The time at which there is work to do even if nothing happens before.
    fn wake(&mut self) -> Instant {
        let now = Instant::now();
        let next_claim = if self.can_claim() {
            self.intake.not_before
        } else {
            self.intake.backlog.wake()
        };
        let next_settlement = if self.settling.is_running || self.settling.waiting.is_empty() {
            None
        } else {
            self.settling.not_before
        };
        let wakes = [
            self.partitions.wake(now),
            next_claim,
            next_settlement,
            self.window.wake(now),
            self.enrichment.queue.wake(),
            self.trials.wake(),
        ];
        let wake = wakes.into_iter().flatten().min();
        wake.unwrap_or_else(|| now + Duration::from_secs(60))
    }

    async fn wait(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let wake = self.wake();
        if self.can_publish() {
            return;
        }
        let claim_now = self.can_claim() && is_reached(self.intake.not_before);
        let publisher = Arc::clone(&self.publisher);
        let waits_for_broker = self.partitions.has_ready() && !publisher.is_ready();
        tokio::select! {
            // Results first, so that a stream of arrivals never delays them.
            biased;
            Some(finished) = self.work.next(), if !self.work.is_empty() => self.finish_all(finished).await,
            () = std::future::ready(()), if claim_now => {}
            is_ready = publisher.ready(), if waits_for_broker => self.is_ended |= !is_ready,
            () = self.arrived.notified() => self.intake.has_arrivals = true,
            Ok(()) = self.marks.changed() => self.connections_changed(),
            () = tokio::time::sleep_until(wake.into()) => {}
            _ = shutdown.changed() => {}
        }
    }

    /// Connections were changed, or settled entries were re-opened.
    fn connections_changed(&mut self) {
        self.marks.borrow_and_update();
        let paused = self.directory.paused();
        let newly_paused = paused.difference(&self.intake.paused).cloned();
        self.intake.to_release.extend(newly_paused);
        self.intake.paused = paused;
        self.enrichment.captured.clear();
        // Connections that were removed or lost their credentials give no response, so waiting for one is useless.
        let directory = &self.directory;
        let cannot_respond =
            |target: &FetchTarget| !directory.can_request(&target.connection, &target.endpoint);
        self.enrichment.queue.hurry(cannot_respond, Instant::now());
        self.search_from_start();
    }

    /// Searches all pending entries again.
    pub(super) fn search_from_start(&mut self) {
        self.intake.backlog.restart();
        self.intake.has_arrivals = true;
    }

    /// Releases the waiting events of paused connections: they stay pending in the journal and are claimed again later. Only
    /// while no event of the connection is in flight, because that event could overtake a released one.
    fn release_waiting(&mut self) {
        let is_free = |connection: &&ConnectionId| !self.window.has_in_flight(connection);
        let connections: Vec<ConnectionId> = self
            .intake
            .to_release
            .iter()
            .filter(is_free)
            .cloned()
            .collect();
        for connection in connections {
            self.intake.to_release.remove(&connection);
            self.allow_claims();
            // A delivery that was published in part is finished: its known state has advanced.
            let entries = &self.in_flight.entries;
            let has_begun = |position| {
                let entry = entries.get(&position);
                entry.is_some_and(InFlightEntry::has_begun)
            };
            for position in self.partitions.withdraw(&connection, has_begun) {
                let Some(entry) = self.in_flight.entries.get_mut(&position) else {
                    continue;
                };
                entry.waiting = entry.waiting.saturating_sub(1);
                if entry.waiting == 0 {
                    self.release_entry(position);
                }
            }
        }
    }

    /// Releases an entry: it can be claimed again if it is not settled.
    fn release_entry(&mut self, position: Position) {
        if let Some(entry) = self.enrichment.queue.take(position) {
            self.end_installation(&entry);
        }
        if let Some(entry) = self.in_flight.entries.remove(&position) {
            self.release_states(&entry);
            if entry.is_counted {
                self.in_flight.shares.remove(&entry.connection, entry.bytes);
            }
            let connection = entry.connection.to_string();
            self.intake.backlog.reopen(connection, position);
        }
        self.allow_claims();
    }

    /// Processes a result, and others that are available.
    async fn finish_all(&mut self, first: Finished) {
        self.finish(first).await;
        for _ in 0..MAX_RESULTS {
            match self.work.next().now_or_never() {
                Some(Some(finished)) => self.finish(finished).await,
                Some(None) | None => return,
            }
        }
    }

    async fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Enriched {
                target,
                positions,
                enriched,
            } => {
                self.enrichment.queue.answered(&target, Instant::now());
                for position in positions {
                    self.entry_enriched(position, &enriched).await;
                }
            }
            Finished::FetchFailed {
                fetch,
                delay,
                was_contradicted,
            } => {
                let delay = fetching::retry_delay(delay);
                self.enrichment
                    .queue
                    .again(fetch, was_contradicted, delay, Instant::now());
            }
            Finished::Published { flight, outcome } => self.published(flight, outcome),
            Finished::StatesRead { keys, result } => self.states_read(keys, result),
            Finished::Settled {
                settlements,
                result,
            } => self.settled(settlements, result),
        }
    }
}
