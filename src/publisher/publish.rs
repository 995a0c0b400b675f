//! The trait by which the relay publishes, and the broker's answers.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::broker_status::BrokerStatus;
use crate::event::Event;

/// How an event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On a channel that it shares with other events.
    Shared,
    /// On a channel of its own: the broker may close it because of this event.
    OwnChannel,
    /// On a connection of its own: the broker may close it because of this event.
    OwnConnection,
}

/// The broker's answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// There is no broker: it belongs into the event log.
    Logged,
    /// The broker confirmed it and did not return it.
    Confirmed,
    /// The broker confirmed it and returned it, although a configured queue should have received it.
    Returned,
    /// The broker confirmed it and returned it; no configured queue is meant to receive it.
    Unsubscribed,
    /// The broker refused it this time, for example because a queue is full: try again later.
    Refused,
    /// The user may not publish with this routing key: try again later.
    Forbidden,
    /// The broker closed the channel because of this event or another one on it: try again on a channel of its own.
    Disputed,
    /// The connection was lost before the broker answered: the event may be there or not, so it must be sent again.
    Lost,
    /// The connection was lost on which this event was alone, while the other connection went on.
    Killed,
    /// It was not sent: try again at once.
    NotSent,
    /// The broker will never take it.
    Impossible(&'static str),
    /// The publisher has ended and sends nothing any more.
    Ended,
}

/// Takes events.
pub trait Publish: Send + Sync + 'static {
    /// Publishes one event and waits for the broker's answer, however long that takes. Events in flight at the same time
    /// have different partition keys. Dropping the future gives up.
    fn publish(&self, event: Arc<Event>, way: Way) -> impl Future<Output = PublishOutcome> + Send;

    /// `true` if a publish would be tried now.
    fn is_ready(&self) -> bool;

    /// Waits until a publish would be tried. `false` if that will never be again.
    fn ready(&self) -> impl Future<Output = bool> + Send;

    /// Ends when the task that keeps the connection has ended by itself, which must not happen.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The state of the broker; `None` without a broker.
    fn status(&self) -> Option<watch::Receiver<BrokerStatus>> {
        None
    }

    /// Ends the connection in order.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// No broker: every event belongs into the event log.
#[derive(Clone, Copy, Debug)]
pub struct EventLogOnly;

impl Publish for EventLogOnly {
    async fn publish(&self, _event: Arc<Event>, _way: Way) -> PublishOutcome {
        PublishOutcome::Logged
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn ready(&self) -> bool {
        true
    }

    async fn close(&self) {}
}
