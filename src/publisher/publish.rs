//! The trait by which the relay publishes, and the outcomes of an attempt.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::broker_status::BrokerStatus;
use crate::delivery::ReasonCode;
use crate::event::Event;

/// How an event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On a channel that carries other events too.
    Shared,
    /// On a channel of its own: the broker may close it because of this event.
    OwnChannel,
    /// On a connection of its own: the broker may close it because of this event.
    OwnConnection,
}

/// How an attempt to publish an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// There is no broker. The event is stored in the event log.
    Logged,
    /// The broker confirmed the event and did not return it.
    Confirmed,
    /// The broker confirmed and returned the event, although a configured queue should have received it.
    Returned,
    /// The broker confirmed and returned the event. No configured queue is meant to receive it.
    Unsubscribed,
    /// The broker refused the event this time, for example because a queue is full. Retried later.
    Refused,
    /// The user may not publish with this routing key. Retried later.
    Forbidden,
    /// The broker closed the channel because of this event or another one on it. Retried on a channel of its own.
    Disputed,
    /// The connection was lost before the broker confirmed. The broker may have the event or not, so it is sent again.
    Lost,
    /// The connection that carried only this event was lost, while the other connection stayed open.
    Killed,
    /// The event was not sent. Retried at once.
    NotSent,
    /// The message is larger than the broker's limit. Retried without `data.raw`, if the event is small enough then.
    TooLarge {
        /// The broker's limit in bytes.
        limit: usize,
    },
    /// No attempt can succeed.
    Impossible(PublishFailure),
    /// The publisher has ended and sends no more events.
    Ended,
}

/// Why an event can never be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishFailure {
    /// The event cannot be written as JSON.
    Unrenderable,
    /// The broker refuses the message, for example because of its size.
    RefusedByBroker,
    /// The broker's connection was lost each time when it carried this event alone.
    ClosesBrokerConnection,
}

impl PublishFailure {
    /// The reason code.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Unrenderable => ReasonCode::Unrenderable,
            Self::RefusedByBroker => ReasonCode::RefusedByBroker,
            Self::ClosesBrokerConnection => ReasonCode::ClosesBrokerConnection,
        }
    }
}

/// Publishes events.
pub trait Publish: Send + Sync + 'static {
    /// Publishes one event and waits for the broker's confirm without a time limit. Events in flight at the same time
    /// have different partition keys. Dropping the future cancels the attempt.
    fn publish(&self, event: Arc<Event>, way: Way) -> impl Future<Output = PublishOutcome> + Send;

    /// `true` if an event can be sent now.
    fn is_ready(&self) -> bool;

    /// Waits until an event can be sent. `false` if the publisher has ended.
    fn ready(&self) -> impl Future<Output = bool> + Send;

    /// Waits until the task of the connection ends by itself. That is a defect.
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

/// Publishes to no broker. Every event is stored in the event log.
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
