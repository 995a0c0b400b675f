//! The exchange and the queues that must exist before the first event.
//!
//! Everything is durable and legal from RabbitMQ 3.10 to 4.x; limits belong into policies, so that operators can change
//! them. A user without the right to declare uses `check` or `none`.

use std::str::FromStr;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};

/// What to do about the topology when a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Declare what is missing.
    Create,
    /// Fail where something is missing.
    Check,
    /// Leave it alone.
    Leave,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "create" => Ok(Mode::Create),
            "check" => Ok(Mode::Check),
            "none" => Ok(Mode::Leave),
            _ => Err("one of create, check, none".to_owned()),
        }
    }
}

/// A queue and the routing keys it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// A topic pattern: `*` is one word, `#` any number.
    pub pattern: String,
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = || "NAME=PATTERN, for example orders=*.order.*.*".to_owned();
        let (name, pattern) = text.split_once('=').ok_or_else(right)?;
        let (name, pattern) = (name.trim(), pattern.trim());
        if name.is_empty() || pattern.is_empty() || name.len() > 255 || pattern.len() > 255 {
            return Err(right());
        }
        Ok(Self {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        })
    }
}

/// The exchange, the queues, and what to do about them.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The topic exchange that everything is published to.
    pub exchange: String,
    /// The queues bound to it.
    pub queues: Vec<Queue>,
    /// What to do about them.
    pub mode: Mode,
}

impl Topology {
    /// Brings the broker to it, or checks.
    pub(super) async fn establish(&self, connection: &Connection) -> lapin::Result<()> {
        if self.mode == Mode::Leave {
            return Ok(());
        }
        let passive = self.mode == Mode::Check;
        let mut channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(
                self.exchange.as_str().into(),
                ExchangeKind::Topic,
                options,
                FieldTable::default(),
            )
            .await?;
        for queue in &self.queues {
            channel = self
                .establish_queue(connection, channel, queue, passive)
                .await?;
        }
        channel.close(200, "done".into()).await
    }

    /// What of it the broker lacks: nothing is made.
    pub(super) async fn missing(&self, connection: &Connection) -> lapin::Result<Vec<String>> {
        let mut missing = Vec::new();
        // A no ends its channel, so each question has its own.
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            passive: true,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let found = channel.exchange_declare(
            self.exchange.as_str().into(),
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        );
        if let Err(error) = found.await {
            missing.push(format!("exchange {}", absent(error, &self.exchange)?));
        }
        for queue in &self.queues {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions {
                passive: true,
                durable: true,
                ..QueueDeclareOptions::default()
            };
            if let Err(error) = channel
                .queue_declare(queue.name.as_str().into(), options, FieldTable::default())
                .await
            {
                missing.push(format!("queue {}", absent(error, &queue.name)?));
            }
        }
        Ok(missing)
    }

    async fn establish_queue(
        &self,
        connection: &Connection,
        mut channel: Channel,
        queue: &Queue,
        passive: bool,
    ) -> lapin::Result<Channel> {
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-queue-type".into(),
            AMQPValue::LongString("quorum".into()),
        );
        let options = QueueDeclareOptions {
            passive,
            durable: true,
            ..QueueDeclareOptions::default()
        };
        if let Err(error) = channel
            .queue_declare(queue.name.as_str().into(), options, arguments)
            .await
        {
            if passive || !is_precondition_failed(&error) {
                return Err(error);
            }
            // It is there, declared by somebody with other arguments. That is his business; ours is that it gets its events.
            tracing::warn!(queue = %queue.name, "the queue exists with other arguments than a plain quorum queue; it is used as it is");
            channel = connection.create_channel().await?;
        }
        if !passive {
            channel
                .queue_bind(
                    queue.name.as_str().into(),
                    self.exchange.as_str().into(),
                    queue.pattern.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        Ok(channel)
    }
}

/// The name of what is not there; any other error goes on.
fn absent(error: lapin::Error, name: &str) -> lapin::Result<&str> {
    use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
    match error.kind() {
        lapin::ErrorKind::ProtocolError(found)
            if *found.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) =>
        {
            Ok(name)
        }
        _ => Err(error),
    }
}

/// Did the broker close the channel because something about the request was not as it should be (406)?
fn is_precondition_failed(error: &lapin::Error) -> bool {
    use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_written_as_name_and_pattern() {
        let queue: Queue = "orders=*.order.*.*".parse().expect("a queue");
        assert_eq!(
            queue,
            Queue {
                name: "orders".to_owned(),
                pattern: "*.order.*.*".to_owned()
            }
        );
        for wrong in ["orders", "=x", "orders=", ""] {
            assert!(wrong.parse::<Queue>().is_err(), "{wrong}");
        }
    }
}
