//! Publishing: which events are in flight, how each was sent, and what its receipt means for its route.
//!
//! Connections share the window fairly, and each route has its own limits. An event that hangs stays in flight for as long
//! as the broker may still confirm it, but counts no more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disposition::{self, Disposition};
use super::flow::Flow;
use super::partitions::{Partitions, Route, Suspicion, Task, Turn};
use super::shares::Shares;
use super::{Finished, Relay, backoff, settle};
use crate::delivery::ConnectionId;
use crate::publisher::{Publish, PublishOutcome, Way};

/// Events in flight, and the bytes of their deliveries.
const MAX_IN_FLIGHT: usize = 1024;
const MAX_BYTES: usize = 8 << 20;
/// Events in flight of one connection, overdue or not. RabbitMQ stops reading the whole AMQP connection when 400 messages
/// wait for a channel that it has blocked.
const MAX_OF_CONNECTION: usize = 256;
/// Events in flight on channels of their own, and on connections of their own.
const MAX_OWN_CHANNELS: usize = 16;
const MAX_OWN_CONNECTIONS: usize = 4;
/// How often overdue confirms are searched for while events are in flight.
const JUDGE_INTERVAL: Duration = Duration::from_millis(250);
/// How long after its first return an event is sent once more.
const RETURN_RECHECK_DELAY: Duration = Duration::from_millis(100);
/// An event that was in flight on so many lost connections in a row is sent on a connection of its own.
const SUSPECT_AFTER: u32 = 2;
/// An event that alone ended so many connections is a dead letter.
const MAX_KILLED_CONNECTIONS: u32 = 5;
/// The reason of such a dead letter.
const CLOSES_CONNECTION: &str = "closes_broker_connection";

/// An event in flight.
struct Flight {
    task: Task,
    route: Route,
    way: Way,
    sent_at: Instant,
    /// `false` once its confirm is overdue.
    is_counted: bool,
}

/// Events in flight, and the state of their routes.
pub(super) struct PublishWindow {
    flights: HashMap<u64, Flight>,
    next: u64,
    flows: HashMap<Route, Flow>,
    shares: Shares,
    own_channels: usize,
    own_connections: usize,
    /// When the newest confirmed event was sent.
    newest_confirmed: Option<Instant>,
    judged_at: Option<Instant>,
    /// Events in flight by the connection that they came in by and the store's connection.
    by_connection: HashMap<ConnectionId, usize>,
}

impl Default for PublishWindow {
    fn default() -> Self {
        Self {
            flights: HashMap::new(),
            next: 0,
            flows: HashMap::new(),
            shares: Shares::new(MAX_IN_FLIGHT, MAX_BYTES),
            own_channels: 0,
            own_connections: 0,
            newest_confirmed: None,
            judged_at: None,
            by_connection: HashMap::new(),
        }
    }
}

impl PublishWindow {
    /// Events in flight whose confirm is not overdue.
    pub(super) fn in_flight(&self) -> usize {
        self.shares.used().count
    }

    /// `true` if an event of the connection is in flight, overdue or not.
    pub(super) fn has_in_flight(&self, connection: &ConnectionId) -> bool {
        self.by_connection.contains_key(connection)
    }

    /// When a probe may be sent, or overdue confirms are to be searched for.
    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        let probe = self
            .flows
            .values()
            .filter_map(Flow::wake)
            .filter(|instant| *instant > now)
            .min();
        let judge = if self.flights.is_empty() {
            None
        } else {
            Some(self.judged_at.unwrap_or(now) + JUDGE_INTERVAL)
        };
        [probe, judge].into_iter().flatten().min()
    }

    fn way(&self, route: &Route, task: &Task) -> Way {
        let is_refused = self.flows.get(route).is_some_and(Flow::is_refused);
        match task.suspicion {
            Suspicion {
                lost_connections, ..
            } if lost_connections >= SUSPECT_AFTER => Way::OwnConnection,
            Suspicion {
                closed_channel: true,
                ..
            } => Way::OwnChannel,
            _ if is_refused => Way::OwnChannel,
            _ => Way::Shared,
        }
    }

    fn turn(&self, route: &Route, task: &Task, now: Instant) -> Turn {
        let connection = &task.event.connection;
        let in_flight = self.by_connection.get(connection).copied();
        if in_flight.is_some_and(|count| count >= MAX_OF_CONNECTION)
            || !self.shares.fits(connection, task.bytes)
        {
            return Turn::SkipConnection;
        }
        if !self.flows.get(route).is_none_or(|flow| flow.may_send(now)) {
            return Turn::SkipRoute;
        }
        let has_place = match self.way(route, task) {
            Way::Shared => true,
            Way::OwnChannel => self.own_channels < MAX_OWN_CHANNELS,
            Way::OwnConnection => self.own_connections < MAX_OWN_CONNECTIONS,
        };
        if has_place { Turn::Go } else { Turn::SkipRoute }
    }

    /// The next event that may go.
    fn take(
        &mut self,
        partitions: &mut Partitions,
        is_held_back: impl Fn(&Task) -> bool,
        now: Instant,
    ) -> Option<(Route, Task)> {
        partitions.take(|route, task| {
            if is_held_back(task) {
                Turn::SkipConnection
            } else {
                self.turn(route, task, now)
            }
        })
    }

    fn count(&mut self, way: Way) -> Option<&mut usize> {
        match way {
            Way::Shared => None,
            Way::OwnChannel => Some(&mut self.own_channels),
            Way::OwnConnection => Some(&mut self.own_connections),
        }
    }

    fn sent(&mut self, route: Route, task: Task, way: Way, now: Instant) -> u64 {
        self.next += 1;
        self.shares.add(&task.event.connection, task.bytes);
        if let Some(count) = self.count(way) {
            *count += 1;
        }
        for connection in owners(&task) {
            *self.by_connection.entry(connection).or_default() += 1;
        }
        self.flows
            .entry(Arc::clone(&route))
            .or_default()
            .sent(now, self.next);
        let flight = Flight {
            task,
            route,
            way,
            sent_at: now,
            is_counted: true,
        };
        self.flights.insert(self.next, flight);
        self.next
    }

    fn landed(&mut self, id: u64) -> Option<Flight> {
        let flight = self.flights.remove(&id)?;
        self.uncount(&flight);
        for connection in owners(&flight.task) {
            if let Some(count) = self.by_connection.get_mut(&connection) {
                *count -= 1;
                if *count == 0 {
                    self.by_connection.remove(&connection);
                }
            }
        }
        if let Some(flow) = self.flows.get_mut(&flight.route) {
            flow.landed(flight.sent_at, id);
        }
        Some(flight)
    }

    fn uncount(&mut self, flight: &Flight) {
        if !flight.is_counted {
            return;
        }
        self.shares
            .remove(&flight.task.event.connection, flight.task.bytes);
        if let Some(count) = self.count(flight.way) {
            *count = count.saturating_sub(1);
        }
    }

    /// Marks the routes whose confirms are overdue. Their events count no more.
    fn judge(&mut self, now: Instant) {
        if self
            .judged_at
            .is_some_and(|before| now < before + JUDGE_INTERVAL)
        {
            return;
        }
        self.judged_at = Some(now);
        let mut hanging: Vec<Route> = Vec::new();
        for (route, flow) in &mut self.flows {
            if flow.judge(now, self.newest_confirmed) {
                tracing::warn!(route = %route, "the broker confirms events of other routes and not of this one; it waits");
            }
            if flow.is_hanging() {
                hanging.push(Arc::clone(route));
            }
        }
        metrics::gauge!("cartwire_routes_hanging").set(hanging.len() as f64);
        let refused = self.flows.values().filter(|flow| flow.is_refused()).count();
        metrics::gauge!("cartwire_routes_refused").set(refused as f64);
        let mut uncounted = Vec::new();
        for (id, flight) in &self.flights {
            if flight.is_counted && hanging.contains(&flight.route) {
                uncounted.push(*id);
            }
        }
        for id in uncounted {
            if let Some(mut flight) = self.flights.remove(&id) {
                self.uncount(&flight);
                flight.is_counted = false;
                self.flights.insert(id, flight);
            }
        }
        self.flows.retain(|_, flow| !flow.is_idle());
    }
}

/// The connections that an event belongs to.
fn owners(task: &Task) -> impl Iterator<Item = ConnectionId> {
    let endpoint = (task.endpoint != task.event.connection).then(|| task.endpoint.clone());
    std::iter::once(task.event.connection.clone()).chain(endpoint)
}

impl<P: Publish> Relay<P> {
    /// `true` if an event may be sent now. May be `true` although each route has reached its limit.
    pub(super) fn can_publish(&mut self) -> bool {
        self.publisher.is_ready() && self.start_publishing()
    }

    /// Sends what may be sent. Returns `true` if anything was.
    pub(super) fn start_publishing(&mut self) -> bool {
        let mut any = false;
        let now = Instant::now();
        while self.partitions.has_ready() && self.publisher.is_ready() {
            // What is to be put back waits until nothing is in flight.
            let to_put_back = &self.to_put_back;
            let is_held_back = |task: &Task| {
                !to_put_back.is_empty()
                    && (to_put_back.contains(&task.event.connection)
                        || to_put_back.contains(&task.endpoint))
            };
            let Some((route, task)) = self.window.take(&mut self.partitions, is_held_back, now)
            else {
                break;
            };
            any = true;
            let (event, way) = (Arc::clone(&task.event), self.window.way(&route, &task));
            let id = self.window.sent(route, task, way, now);
            let publisher = Arc::clone(&self.publisher);
            self.work.push(Box::pin(async move {
                Finished::Published(id, publisher.publish(event, way).await)
            }));
        }
        any
    }

    pub(super) fn judge_flows(&mut self) {
        self.window.judge(Instant::now());
    }

    /// An event's receipt is there.
    pub(super) fn landed(&mut self, id: u64, receipt: PublishOutcome) {
        let Some(Flight {
            mut task,
            route,
            sent_at,
            ..
        }) = self.window.landed(id)
        else {
            return;
        };
        let now = Instant::now();
        if receipt == PublishOutcome::Returned && !task.suspicion.was_returned {
            // An exchange that is being deleted returns what it would refuse a moment later. No queue got the event, so
            // sending it once more makes no copy.
            retried("returned");
            task.suspicion.was_returned = true;
            self.partitions
                .again(task, Some(now + RETURN_RECHECK_DELAY));
            return;
        }
        let disposition = disposition::of(receipt);
        match disposition {
            Disposition::Done(_) => {
                self.window.newest_confirmed = self.window.newest_confirmed.max(Some(sent_at));
                if let Some(flow) = self.window.flows.get_mut(&route) {
                    flow.accepted();
                }
            }
            Disposition::Later(reason) => {
                retried(reason);
                self.quotas.reset(&task.event.connection);
                self.window
                    .flows
                    .entry(Arc::clone(&route))
                    .or_default()
                    .refused(sent_at, now);
            }
            Disposition::Again(reason) | Disposition::Alone(reason) => retried(reason),
            Disposition::Ended => {}
        }
        match disposition {
            Disposition::Done(ending) => {
                settle::count(&task.event, ending);
                self.partitions.done(task.event.partition_key());
                self.event_done(task.position, task.attempts, ending);
            }
            Disposition::Later(_) => {
                // The broker decided about it: it did not end the connection.
                task.suspicion.lost_connections = 0;
                task.attempts += 1;
                let not_before = now + backoff::after(task.attempts);
                self.partitions.again(task, Some(not_before));
            }
            Disposition::Again(_) => {
                if receipt == PublishOutcome::Lost {
                    task.suspicion.lost_connections += 1;
                }
                self.partitions.again(task, None);
            }
            Disposition::Alone(_) if receipt == PublishOutcome::Killed => self.killed(task, now),
            Disposition::Alone(_) => {
                task.suspicion.closed_channel = true;
                self.partitions.again(task, None);
            }
            Disposition::Ended => {
                self.is_ended = true;
                self.partitions.again(task, None);
            }
        }
    }

    /// The broker closed the connection on which this event was alone.
    fn killed(&mut self, mut task: Task, now: Instant) {
        task.attempts += 1;
        task.suspicion.killed_connections += 1;
        if task.suspicion.killed_connections < MAX_KILLED_CONNECTIONS {
            let not_before = now + backoff::after(task.attempts);
            self.partitions.again(task, Some(not_before));
            return;
        }
        tracing::warn!(event = %task.event.id, connection = %task.event.connection, "delivery dead-lettered: the broker closes the connection at its event");
        let ending = disposition::Ending::Dead(CLOSES_CONNECTION);
        settle::count(&task.event, ending);
        self.partitions.done(task.event.partition_key());
        self.event_done(task.position, task.attempts, ending);
    }
}

fn retried(reason: &'static str) {
    metrics::counter!("cartwire_publish_retries_total", "reason" => reason).increment(1);
}
