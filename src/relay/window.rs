//! The publish window: the events in flight, and the state of their routes. Pure.
//!
//! Connections share the window fairly, and each route has its own limits. An event whose confirm is overdue stays in flight
//! as long as the broker may still confirm it, but it does not count any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flow::Flow;
use super::partitions::Partitions;
use super::ready::Readiness;
use super::shares::Shares;
use super::task::{Route, Suspicion, Task};
use crate::delivery::ConnectionId;
use crate::publisher::Way;

/// Maximum number of events in flight.
const MAX_IN_FLIGHT: usize = 1024;
/// Maximum bytes of their deliveries.
const MAX_IN_FLIGHT_BYTES: usize = 8 << 20;
/// Maximum number of events in flight of one connection, overdue or not. RabbitMQ stops reading the whole AMQP connection when
/// 400 messages wait for a channel that it has blocked.
const MAX_OF_CONNECTION: usize = 256;
/// Maximum number of events in flight on channels of their own.
const MAX_OWN_CHANNELS: usize = 16;
/// Maximum number of events in flight on connections of their own.
const MAX_OWN_CONNECTIONS: usize = 4;
/// Time between two searches for overdue confirms while events are in flight.
const OVERDUE_CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Number of lost connections in a row after which an event is sent on a connection of its own.
const SUSPECT_AFTER: u32 = 2;

/// An event in flight.
pub(super) struct Flight {
    pub(super) task: Task,
    pub(super) route: Route,
    way: Way,
    pub(super) sent_at: Instant,
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
    checked_at: Option<Instant>,
    /// Events in flight, by the endpoint that received them and by the store's connection.
    by_connection: HashMap<ConnectionId, usize>,
}

impl Default for PublishWindow {
    fn default() -> Self {
        Self {
            flights: HashMap::new(),
            next: 0,
            flows: HashMap::new(),
            shares: Shares::new(MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES),
            own_channels: 0,
            own_connections: 0,
            newest_confirmed: None,
            checked_at: None,
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

    /// When a probe may be sent, or overdue confirms must be searched.
    pub(super) fn wake(&self, now: Instant) -> Option<Instant> {
        let probe = self
            .flows
            .values()
            .filter_map(Flow::wake)
            .filter(|instant| *instant > now)
            .min();
        let check = if self.flights.is_empty() {
            None
        } else {
            Some(self.checked_at.unwrap_or(now) + OVERDUE_CHECK_INTERVAL)
        };
        [probe, check].into_iter().flatten().min()
    }

    pub(super) fn way(&self, route: &Route, task: &Task) -> Way {
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

    fn readiness(&self, route: &Route, task: &Task, now: Instant) -> Readiness {
        let connection = &task.event.connection;
        let in_flight = self.by_connection.get(connection).copied();
        if in_flight.is_some_and(|count| count >= MAX_OF_CONNECTION)
            || !self.shares.fits(connection, task.bytes)
        {
            return Readiness::SkipConnection;
        }
        if !self.flows.get(route).is_none_or(|flow| flow.may_send(now)) {
            return Readiness::SkipRoute;
        }
        let has_space = match self.way(route, task) {
            Way::Shared => true,
            Way::OwnChannel => self.own_channels < MAX_OWN_CHANNELS,
            Way::OwnConnection => self.own_connections < MAX_OWN_CONNECTIONS,
        };
        if has_space {
            Readiness::Go
        } else {
            Readiness::SkipRoute
        }
    }

    /// The next event that may be sent.
    pub(super) fn take(
        &mut self,
        partitions: &mut Partitions,
        is_held_back: impl Fn(&Task) -> bool,
        now: Instant,
    ) -> Option<(Route, Task)> {
        partitions.take(|route, task| {
            if is_held_back(task) {
                Readiness::SkipConnection
            } else {
                self.readiness(route, task, now)
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

    pub(super) fn sent(&mut self, route: Route, task: Task, way: Way, now: Instant) -> u64 {
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

    pub(super) fn landed(&mut self, id: u64) -> Option<Flight> {
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

    /// The broker accepted an event of this route, sent at that time.
    pub(super) fn accepted(&mut self, route: &Route, sent_at: Instant) {
        self.newest_confirmed = self.newest_confirmed.max(Some(sent_at));
        if let Some(flow) = self.flows.get_mut(route) {
            flow.accepted();
        }
    }

    /// The broker refused an event of this route, sent at that time.
    pub(super) fn refused(&mut self, route: &Route, sent_at: Instant, now: Instant) {
        let flow = self.flows.entry(Arc::clone(route)).or_default();
        flow.refused(sent_at, now);
    }

    /// Marks the routes whose confirms are overdue. Their events count no more.
    pub(super) fn mark_overdue(&mut self, now: Instant) {
        if self
            .checked_at
            .is_some_and(|before| now < before + OVERDUE_CHECK_INTERVAL)
        {
            return;
        }
        self.checked_at = Some(now);
        let mut hanging: Vec<Route> = Vec::new();
        for (route, flow) in &mut self.flows {
            if flow.mark_overdue(now, self.newest_confirmed) {
                tracing::warn!(route = %route, "the broker confirms events of other routes but not of this one; its events wait");
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
