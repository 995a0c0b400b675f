//! Publishing: where events go, behind one trait.
//!
//! [`rabbitmq`] is the broker, [`EventLogOnly`] the embedded default. The trait is the edge where tests inject faults. What
//! is retried, and when, is the relay's decision.

pub mod inspect;
pub mod message;
pub mod rabbitmq;
pub mod session;
pub mod topology;

use std::future::Future;

use crate::event::Event;

/// What became of an event that was to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// There is no broker: it belongs into the event log.
    Logged,
    /// The broker confirmed it and did not return it.
    Confirmed,
    /// The broker confirmed it and returned it, although a configured queue should have received it.
    Returned,
    /// The broker confirmed it and returned it; no configured queue is meant to receive it.
    Unsubscribed,
    /// The broker refused it this time (a full queue, for one): try again later.
    Refused,
    /// The channel or connection was lost before the broker answered: it may be there or not, so it must be sent again.
    Lost,
    /// The broker will never take it.
    Impossible(&'static str),
}

/// Takes events.
pub trait Publish: Send + Sync + 'static {
    /// Publishes events of different partition keys and waits for what becomes of each. Waits for a broker that is away;
    /// dropping the future gives up.
    fn publish(&self, events: Vec<Event>) -> impl Future<Output = Vec<(Event, Receipt)>> + Send;

    /// Would a publish be tried now, or wait?
    fn is_ready(&self) -> bool;

    /// Ends when the task that keeps the connection has ended by itself, which must not happen.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Ends the connection in order.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// No broker: every event belongs into the event log.
#[derive(Clone, Copy, Debug)]
pub struct EventLogOnly;

impl Publish for EventLogOnly {
    async fn publish(&self, events: Vec<Event>) -> Vec<(Event, Receipt)> {
        events
            .into_iter()
            .map(|event| (event, Receipt::Logged))
            .collect()
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn close(&self) {}
}
