//! Publishes events to another exchange than the gateway's own, for a new consumer.
//!
//! Each call has a channel of its own, so a missing exchange or a refused event closes no channel that carries other events.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::protocol::AMQPSoftError;
use lapin::{Confirmation, ExchangeKind};
use tokio::sync::watch;

use super::channel::{close, publish, size_limit, soft_error};
use super::declare::{Declarer, TopologyError, classify, is_soft};
use super::keeper::Keeper;
use super::live::{Live, open_channel};
use super::message::Message;
use super::topology::TopologyMode;
use crate::delivery::ReasonCode;
use crate::event::Event;
use crate::report::ErrorChain;

/// Maximum time for the events of one call, with the declaration of the exchange.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Publishes events to exchanges that a request names.
#[derive(Clone)]
pub struct ExchangePublisher {
    live: watch::Receiver<Option<Arc<Live>>>,
    keeper: Arc<Keeper>,
}

/// The broker confirmed all events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeReceipt {
    pub events: usize,
    /// Number of events that reached no queue, because none is bound for them.
    pub unrouted: usize,
}

/// Why some of the events were perhaps not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeFailure {
    /// The exchange does not exist, and the gateway may not create it.
    Missing,
    /// The broker's user may not declare the exchange or publish to it.
    Forbidden,
    /// The broker refused an event, for example because a queue is full.
    Refused,
    /// The broker is away, or did not confirm the events in time.
    BrokerAway,
}

impl ExchangeFailure {
    /// The reason code.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Missing => ReasonCode::ExchangeMissing,
            Self::Forbidden => ReasonCode::ExchangeForbidden,
            Self::Refused => ReasonCode::EventsRefused,
            Self::BrokerAway => ReasonCode::BrokerAway,
        }
    }
}

impl ExchangePublisher {
    pub(super) fn new(live: watch::Receiver<Option<Arc<Live>>>, keeper: Arc<Keeper>) -> Self {
        Self { live, keeper }
    }

    /// `true` if this is the exchange for all events of the gateway.
    #[must_use]
    pub fn is_own(&self, exchange: &str) -> bool {
        self.keeper.exchange() == exchange
    }

    /// `true` if events can be published now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.live_connection().is_some()
    }

    fn live_connection(&self) -> Option<Arc<Live>> {
        let live = self.live.borrow().clone();
        live.filter(|live| !live.link.is_broken())
    }

    /// Publishes events and waits until the broker has confirmed all of them.
    ///
    /// # Errors
    /// [`ExchangeFailure`]. The exchange may have some of the events.
    pub async fn publish(
        &self,
        exchange: &str,
        events: &[Event],
    ) -> Result<ExchangeReceipt, ExchangeFailure> {
        let live = self.live_connection();
        let live = live.ok_or(ExchangeFailure::BrokerAway)?;
        // Only an event whose payload is no JSON has no message, and normalizing has ruled that out.
        let messages: Vec<Message> = events
            .iter()
            .filter_map(|event| Message::render(event).ok())
            .collect();
        let published = tokio::time::timeout(TIMEOUT, self.send(&live, exchange, &messages)).await;
        published.unwrap_or(Err(ExchangeFailure::BrokerAway))
    }

    async fn send(
        &self,
        live: &Live,
        exchange: &str,
        messages: &[Message],
    ) -> Result<ExchangeReceipt, ExchangeFailure> {
        self.establish(live, exchange).await?;
        let channel = open_channel(&live.session.connection)
            .await
            .map_err(|error| self.failure(&error))?;
        let confirms = messages
            .iter()
            .map(|message| publish(&channel, exchange, message));
        let results = join_all(confirms).await;
        let failures: Vec<ExchangeFailure> = results
            .iter()
            .filter_map(|result| self.failure_of(result))
            .collect();
        // After the broker's reason, all other events fail because the channel is closed.
        let reason = failures
            .iter()
            .find(|failure| **failure != ExchangeFailure::BrokerAway);
        if let Some(failure) = reason.or(failures.first()) {
            tracing::warn!(exchange, reason = %failure.reason(), "events for an exchange of their own were not published");
            return Err(*failure);
        }
        tokio::spawn(close(channel));
        let is_unrouted = |result: &&lapin::Result<Confirmation>| {
            matches!(result, Ok(Confirmation::Ack(Some(_))))
        };
        Ok(ExchangeReceipt {
            events: messages.len(),
            unrouted: results.iter().filter(is_unrouted).count(),
        })
    }

    fn failure_of(&self, result: &lapin::Result<Confirmation>) -> Option<ExchangeFailure> {
        match result {
            Ok(Confirmation::Ack(_)) => None,
            Ok(Confirmation::Nack(_)) => Some(ExchangeFailure::Refused),
            Ok(Confirmation::NotRequested) => Some(ExchangeFailure::BrokerAway),
            Err(error) => Some(self.failure(error)),
        }
    }

    /// Creates the exchange if it is missing and the gateway may create it. An existing one may have any type.
    async fn establish(&self, live: &Live, exchange: &str) -> Result<(), ExchangeFailure> {
        let mode = self.keeper.mode();
        if mode == TopologyMode::Leave {
            return Ok(());
        }
        let mut declarer = Declarer::new(&live.session.connection);
        let mut result = declarer.exchange(exchange, ExchangeKind::Topic, true).await;
        let is_missing = matches!(&result, Err(error) if is_soft(error, AMQPSoftError::NOTFOUND));
        if is_missing && mode == TopologyMode::Create {
            result = declarer
                .exchange(exchange, ExchangeKind::Topic, false)
                .await;
            if result.is_ok() {
                tracing::info!(exchange, "exchange declared");
            }
        }
        declarer.close().await;
        let Err(error) = result else {
            return Ok(());
        };
        let error = classify(error, format!("the exchange {exchange}"));
        tracing::warn!(error = %ErrorChain(&error), "cannot publish to an exchange of its own");
        Err(match error {
            TopologyError::Missing(_) => ExchangeFailure::Missing,
            // The broker refuses names that begin with `amq.`.
            TopologyError::Forbidden(_) | TopologyError::Conflict(_) => ExchangeFailure::Forbidden,
            TopologyError::Amqp(_) => ExchangeFailure::BrokerAway,
        })
    }

    fn failure(&self, error: &lapin::Error) -> ExchangeFailure {
        match soft_error(error) {
            Some(AMQPSoftError::NOTFOUND) => ExchangeFailure::Missing,
            Some(AMQPSoftError::ACCESSREFUSED) => ExchangeFailure::Forbidden,
            Some(_) => {
                if let Some(limit) = size_limit(error) {
                    // The next attempt sends events that are small enough.
                    self.keeper.too_large(limit);
                }
                ExchangeFailure::Refused
            }
            None => ExchangeFailure::BrokerAway,
        }
    }
}
