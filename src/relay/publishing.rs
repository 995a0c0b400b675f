//! Publishing: sends the events within the limits, and handles each outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome;
use super::state::{Finished, Relay};
use super::task::{Task, partition};
use super::window::Flight;
use super::{backoff, settle};
use crate::delivery::ReasonCode;
use crate::event::{Event, json_bytes};
use crate::journal::entry::LoggedEvent;
use crate::publisher::{Publish, PublishFailure, PublishOutcome};

/// Delay before an event is published once more after its first return.
const RETURN_RECHECK_DELAY: Duration = Duration::from_millis(100);
/// Number of lost connections that carried only one event, after which its delivery is dead-lettered.
const MAX_KILLED_CONNECTIONS: u32 = 5;

impl<P: Publish> Relay<P> {
    /// `true` if an event may be published now. It may be `true` although each route has reached its limit.
    pub(super) fn can_publish(&mut self) -> bool {
        self.publisher.is_ready() && self.start_publishing()
    }

    /// Publishes the events that may be published. `true` if there was one.
    pub(super) fn start_publishing(&mut self) -> bool {
        let mut has_started = false;
        let now = Instant::now();
        while self.partitions.has_ready() && self.publisher.is_ready() {
            // Events that are about to be released wait until nothing of their connection is in flight.
            let to_release = &self.intake.to_release;
            let is_held_back = |task: &Task| {
                !to_release.is_empty()
                    && (to_release.contains(&task.event.connection)
                        || to_release.contains(&task.endpoint))
            };
            let Some((route, mut task)) = self.window.take(&mut self.partitions, is_held_back, now)
            else {
                break;
            };
            has_started = true;
            if let Some(reason) = self.compare(&mut task) {
                self.ignore_event(task, reason);
                continue;
            }
            let (event, way) = (Arc::clone(&task.event), self.window.way(&route, &task));
            let flight = self.window.sent(route, task, way, now);
            let publisher = Arc::clone(&self.publisher);
            self.work.push(Box::pin(async move {
                let outcome = publisher.publish(event, way).await;
                Finished::Published { flight, outcome }
            }));
        }
        has_started
    }

    /// Processes the broker's answer to an event.
    pub(super) fn published(&mut self, flight: u64, outcome: PublishOutcome) {
        let Some(Flight {
            mut task,
            route,
            sent_at,
            ..
        }) = self.window.landed(flight)
        else {
            return;
        };
        let now = Instant::now();
        let outcome = self.after_omitting_raw(&mut task, outcome);
        if outcome == PublishOutcome::Returned && !task.suspicion.was_returned {
            // An exchange that is being deleted returns an event that it would refuse a moment later. No queue received the
            // event, so publishing it once more makes no copy.
            count_retry("returned");
            task.suspicion.was_returned = true;
            let not_before = now + RETURN_RECHECK_DELAY;
            self.partitions.again(task, Some(not_before));
            return;
        }
        if let Some(reason) = outcome::retry_reason(outcome) {
            count_retry(reason);
        }
        match outcome {
            PublishOutcome::Logged
            | PublishOutcome::Confirmed
            | PublishOutcome::Returned
            | PublishOutcome::Unsubscribed
            | PublishOutcome::Impossible(_) => {
                self.window.accepted(&route, sent_at);
                self.finish_event(task, outcome);
            }
            PublishOutcome::Refused | PublishOutcome::Forbidden => {
                self.in_flight.quotas.reset(&task.event.connection);
                self.window.refused(&route, sent_at, now);
                // The broker answered, so the event did not end the connection.
                task.suspicion.lost_connections = 0;
                self.retry_later(task, now);
            }
            PublishOutcome::Lost => {
                task.suspicion.lost_connections += 1;
                self.partitions.again(task, None);
            }
            PublishOutcome::NotSent | PublishOutcome::TooLarge { .. } => {
                self.partitions.again(task, None);
            }
            PublishOutcome::Disputed => {
                task.suspicion.closed_channel = true;
                self.partitions.again(task, None);
            }
            PublishOutcome::Killed => self.killed(task, now),
            PublishOutcome::Ended => {
                self.is_ended = true;
                self.partitions.again(task, None);
            }
        }
    }

    /// The outcome after `data.raw` was removed from an event that the broker refused as too large.
    fn after_omitting_raw(&mut self, task: &mut Task, outcome: PublishOutcome) -> PublishOutcome {
        match outcome {
            PublishOutcome::TooLarge { limit } if !self.omit_raw(task, limit) => {
                PublishOutcome::Impossible(PublishFailure::RefusedByBroker)
            }
            outcome => outcome,
        }
    }

    /// Removes `data.raw` from an event that the broker refused as too large. `false` if the event is too large without it.
    fn omit_raw(&mut self, task: &mut Task, limit: usize) -> bool {
        let mut event = Event::clone(&task.event);
        if std::mem::replace(&mut event.omits_raw, true) || json_bytes(&event) > limit {
            return false;
        }
        if let Some(entry) = self.in_flight.entries.get_mut(&task.position) {
            let of_event = |logged: &&mut LoggedEvent| logged.index == event.id.index;
            if let Some(logged) = entry.events.iter_mut().find(of_event) {
                logged.omits_raw = true;
            }
        }
        task.event = Arc::new(event);
        true
    }

    /// The connection that carried only this event was lost.
    fn killed(&mut self, mut task: Task, now: Instant) {
        task.suspicion.killed_connections += 1;
        if task.suspicion.killed_connections < MAX_KILLED_CONNECTIONS {
            self.retry_later(task, now);
            return;
        }
        task.attempts += 1;
        tracing::warn!(event = %task.event.id, connection = %task.event.connection, "delivery dead-lettered: the broker closes the connection at its event");
        let failure = PublishFailure::ClosesBrokerConnection;
        self.finish_event(task, PublishOutcome::Impossible(failure));
    }

    fn retry_later(&mut self, mut task: Task, now: Instant) {
        task.attempts += 1;
        let not_before = now + backoff::after(task.attempts);
        self.partitions.again(task, Some(not_before));
    }

    fn finish_event(&mut self, task: Task, outcome: PublishOutcome) {
        settle::count_event(&task.event, outcome);
        let key = partition(&task.event);
        if !matches!(outcome, PublishOutcome::Impossible(_)) {
            self.accept_state(task.position, task.comparing);
        }
        self.partitions.done(key);
        self.event_finished(task.position, task.attempts, Some(outcome));
    }

    /// Finishes an event that is not published: its content is known, or older than the known state.
    fn ignore_event(&mut self, task: Task, reason: ReasonCode) {
        metrics::counter!("cartwire_events_ignored_total", "reason" => reason.as_str())
            .increment(1);
        let key = partition(&task.event);
        self.accept_state(task.position, task.comparing);
        if let Some(entry) = self.in_flight.entries.get_mut(&task.position) {
            entry.reason_ignored = Some(reason);
            entry
                .events
                .retain(|logged| logged.index != task.event.id.index);
        }
        self.partitions.done(key);
        self.event_finished(task.position, task.attempts, None);
    }
}

fn count_retry(reason: &'static str) {
    metrics::counter!("cartwire_publish_retries_total", "reason" => reason).increment(1);
}
