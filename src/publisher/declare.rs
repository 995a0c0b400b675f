//! Declares and checks the topology at the broker.
//!
//! All parts are durable and valid from RabbitMQ 3.10 to 4.x. Under `create` a declaration is idempotent: existing parts are not
//! changed. Limits belong into policies, so that operators can change them. A queue that the gateway creates has a dead-letter
//! queue, because RabbitMQ 4 drops a message after twenty returns to a quorum queue otherwise.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

use super::topology::{Queue, Topology, TopologyMode};
use crate::report::ErrorChain;

/// The topology is incomplete or wrong.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A part is missing, and the gateway may not create it.
    #[error("{0} is missing; create it, or use --topology create")]
    Missing(String),
    /// The user lacks a permission.
    #[error(
        "the broker's user may not declare {0}: grant configure, write and read on it, or use --topology check"
    )]
    Forbidden(String),
    /// A part exists in another form.
    #[error(
        "{0} exists with another type or other properties than a durable topic exchange: delete it, or use another --exchange"
    )]
    Conflict(String),
    /// The connection failed.
    #[error("{}", ErrorChain(.0))]
    Amqp(lapin::Error),
}

/// A failed declaration closes its channel, so the next one needs a new channel.
pub(super) struct Declarer<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
}

impl<'a> Declarer<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            channel: None,
        }
    }

    async fn channel(&mut self) -> lapin::Result<Channel> {
        match &self.channel {
            Some(channel) if channel.status().connected() => Ok(channel.clone()),
            _ => {
                let channel = self.connection.create_channel().await?;
                self.channel = Some(channel.clone());
                Ok(channel)
            }
        }
    }

    pub(super) async fn close(self) {
        if let Some(channel) = self.channel
            && channel.status().connected()
        {
            let _ = channel.close(200, "done".into()).await;
        }
    }

    pub(super) async fn exchange(
        &mut self,
        name: &str,
        kind: ExchangeKind,
        passive: bool,
    ) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        self.channel()
            .await?
            .exchange_declare(name.into(), kind, options, FieldTable::default())
            .await
    }

    pub(super) async fn queue(
        &mut self,
        name: &str,
        arguments: FieldTable,
        passive: bool,
    ) -> lapin::Result<()> {
        let options = QueueDeclareOptions {
            passive,
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.channel()
            .await?
            .queue_declare(name.into(), options, arguments)
            .await
            .map(drop)
    }

    pub(super) async fn bind(
        &mut self,
        queue: &str,
        exchange: &str,
        key: &str,
    ) -> lapin::Result<()> {
        self.channel()
            .await?
            .queue_bind(
                queue.into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
    }

    async fn unbind(&mut self, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
        self.channel()
            .await?
            .queue_unbind(
                queue.into(),
                exchange.into(),
                key.into(),
                FieldTable::default(),
            )
            .await
    }

    /// Declares the dead-letter queue of a queue. After an error the queue has none.
    async fn dead_letter_queue(&mut self, exchange: &str, queue: &str) -> lapin::Result<()> {
        let (dead_exchange, dead_queue) = (dead_exchange(exchange), dead_queue(queue));
        self.exchange(&dead_exchange, ExchangeKind::Direct, false)
            .await?;
        // A dead-letter queue that exists in another form is used as it is.
        match self.queue(&dead_queue, quorum(), false).await {
            Err(error) if !is_soft(&error, AMQPSoftError::PRECONDITIONFAILED) => return Err(error),
            _ => {}
        }
        self.bind(&dead_queue, &dead_exchange, queue).await
    }

    /// Declares a missing queue, with its dead-letter queue if the user may declare that too.
    async fn new_queue(&mut self, exchange: &str, queue: &str) -> lapin::Result<()> {
        let arguments = match self.dead_letter_queue(exchange, queue).await {
            Ok(()) => with_dead_letters(exchange, queue),
            Err(error) => {
                tracing::warn!(queue, error = %ErrorChain(&error), "queue declared without a dead-letter queue");
                quorum()
            }
        };
        match self.queue(queue, arguments, false).await {
            // The broker checks the permission to write to the dead-letter exchange here.
            Err(error) if is_soft(&error, AMQPSoftError::ACCESSREFUSED) => {
                self.queue(queue, quorum(), false).await
            }
            result => result,
        }
    }
}

/// The exchange that dead letters of the queues go through.
pub(super) fn dead_exchange(exchange: &str) -> String {
    format!("{exchange}.dead")
}

/// The queue that a queue's dead letters go to.
pub(super) fn dead_queue(queue: &str) -> String {
    format!("{queue}.dead")
}

pub(super) fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// A quorum queue that moves dead letters at least once, for which it needs `reject-publish`.
pub(super) fn with_dead_letters(exchange: &str, queue: &str) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert(
        "x-dead-letter-exchange".into(),
        text(&dead_exchange(exchange)),
    );
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments
}

/// The command that gives an existing queue a dead-letter queue.
pub fn dead_letter_policy(exchange: &str, queue: &str) -> String {
    let definition = serde_json::json!({
        "dead-letter-exchange": dead_exchange(exchange),
        "dead-letter-routing-key": queue,
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
    });
    let pattern = queue.replace('.', "\\.");
    format!(
        "rabbitmqctl set_policy cartwire-dead-letters-{queue} '^{pattern}$' '{definition}' --apply-to queues"
    )
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Declares or checks the topology, depending on the mode. `is_first` removes obsolete bindings too.
pub(super) async fn establish(
    topology: &Topology,
    connection: &Connection,
    is_first: bool,
) -> Result<(), TopologyError> {
    if topology.mode == TopologyMode::Leave {
        return Ok(());
    }
    let mut declarer = Declarer::new(connection);
    let passive = topology.mode == TopologyMode::Check;
    let exchange = topology.exchange.as_str();
    declarer
        .exchange(exchange, ExchangeKind::Topic, passive)
        .await
        .map_err(|error| classify(error, format!("the exchange {exchange}")))?;
    for queue in &topology.queues {
        establish_queue(&mut declarer, exchange, queue, passive)
            .await
            .map_err(|error| classify(error, format!("the queue {}", queue.name)))?;
    }
    for old in topology.obsolete.iter().filter(|_| is_first && !passive) {
        match declarer.unbind(&old.name, exchange, &old.pattern).await {
            Ok(()) => {
                tracing::info!(queue = %old.name, pattern = %old.pattern, "binding of an earlier --queue removed")
            }
            Err(error) => {
                tracing::warn!(queue = %old.name, pattern = %old.pattern, error = %ErrorChain(&error), "binding of an earlier --queue not removed")
            }
        }
    }
    declarer.close().await;
    Ok(())
}

async fn establish_queue(
    declarer: &mut Declarer<'_>,
    exchange: &str,
    queue: &Queue,
    passive: bool,
) -> lapin::Result<()> {
    match declarer
        .queue(&queue.name, FieldTable::default(), true)
        .await
    {
        Err(error) if !passive && is_soft(&error, AMQPSoftError::NOTFOUND) => {
            declarer.new_queue(exchange, &queue.name).await?;
            tracing::info!(queue = %queue.name, pattern = %queue.pattern, "queue declared");
        }
        result => result?,
    }
    if passive {
        return Ok(());
    }
    declarer.bind(&queue.name, exchange, &queue.pattern).await
}

pub(super) fn classify(error: lapin::Error, name: String) -> TopologyError {
    if is_soft(&error, AMQPSoftError::NOTFOUND) {
        TopologyError::Missing(name)
    } else if is_soft(&error, AMQPSoftError::ACCESSREFUSED) {
        TopologyError::Forbidden(name)
    } else if is_soft(&error, AMQPSoftError::PRECONDITIONFAILED) {
        TopologyError::Conflict(name)
    } else {
        TopologyError::Amqp(error)
    }
}

pub(super) fn is_soft(error: &lapin::Error, kind: AMQPSoftError) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(found) => *found.kind() == AMQPErrorKind::Soft(kind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_queue_and_its_dead_letter_exchange() {
        let policy = dead_letter_policy("cartwire.events", "orders.eu");
        assert!(policy.contains(r"'^orders\.eu$'"), "{policy}");
        assert!(
            policy.contains(r#""dead-letter-exchange":"cartwire.events.dead""#),
            "{policy}"
        );
    }
}
