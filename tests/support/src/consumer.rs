//! A consumer of the broker, and changes of the topology as an operator makes them.

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;

/// The exchange that the gateway publishes to, and its queue of the same name.
pub const EVENTS: &str = "cartwire.events";

/// A received message.
#[derive(Debug)]
pub struct Arrived {
    /// The AMQP property `message_id`.
    pub id: String,
    /// The parsed body.
    pub event: Value,
    /// The whole message.
    pub message: Delivery,
}

impl Arrived {
    fn read(message: Delivery) -> Self {
        let id = message
            .properties
            .message_id()
            .as_ref()
            .expect("the message should have a message_id")
            .to_string();
        let event: Value = serde_json::from_slice(&message.data).expect("the body is JSON");
        assert_eq!(event["id"], id.as_str(), "message_id is the event's id");
        Self { id, event, message }
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = self.message.properties.headers().as_ref()?;
        match headers.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            _ => None,
        }
    }

    /// `true` for an `order.updated` event.
    pub fn is_order(&self) -> bool {
        self.event["type"] == "cartwire.order.updated"
    }
}

/// The events of messages, in the order of arrival.
pub fn events(arrived: &[Arrived]) -> Vec<Value> {
    arrived
        .iter()
        .map(|arrived| arrived.event.clone())
        .collect()
}

/// An AMQP connection of the test.
pub struct Consumer {
    connection: Connection,
    channel: Channel,
}

impl Consumer {
    pub async fn connect(url: &str) -> Self {
        let connect = || async {
            Connection::connect(url, ConnectionProperties::default())
                .await
                .ok()
        };
        let connection = crate::eventually("a connection to the broker", connect).await;
        let channel = connection
            .create_channel()
            .await
            .expect("the channel should open");
        Self {
            connection,
            channel,
        }
    }

    /// Receives and acknowledges all current messages of a queue.
    pub async fn drain(&self, queue: &str) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        let mut last = None;
        while let Some(got) = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("the queue should exist")
        {
            last = Some(got.delivery.delivery_tag);
            arrived.push(Arrived::read(got.delivery));
        }
        if let Some(last) = last {
            self.channel
                .basic_ack(last, BasicAckOptions { multiple: true })
                .await
                .expect("the message should be acknowledged");
        }
        arrived
    }

    /// Receives all messages of a queue, requeues them, and returns their number.
    pub async fn requeue_all(&self, queue: &str) -> usize {
        let mut tags = Vec::new();
        while let Some(got) = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("the queue should exist")
        {
            tags.push(got.delivery.delivery_tag);
        }
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        for tag in &tags {
            self.channel
                .basic_nack(*tag, options)
                .await
                .expect("the messages should be requeued");
        }
        tags.len()
    }

    /// `true` if the durable queue could be declared. A failed declare closes the channel, so each call opens a new one.
    pub async fn declares(&self, queue: &str, arguments: FieldTable) -> bool {
        let channel = self
            .connection
            .create_channel()
            .await
            .expect("the channel should open");
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.into(), options, arguments)
            .await
            .is_ok()
    }

    /// `true` if the exchange could be declared with this kind and durability.
    pub async fn declares_exchange(&self, kind: ExchangeKind, durable: bool) -> bool {
        let channel = self
            .connection
            .create_channel()
            .await
            .expect("the channel should open");
        let options = ExchangeDeclareOptions {
            durable,
            ..ExchangeDeclareOptions::default()
        };
        channel
            .exchange_declare(EVENTS.into(), kind, options, FieldTable::default())
            .await
            .is_ok()
    }

    /// `true` if a queue of this name exists.
    pub async fn has_queue(&self, queue: &str) -> bool {
        let channel = self
            .connection
            .create_channel()
            .await
            .expect("the channel should open");
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .is_ok()
    }

    /// Declares a durable quorum queue and binds it.
    pub async fn declare_and_bind(&self, queue: &str, pattern: &str) {
        assert!(self.declares(queue, quorum(&[])).await, "no queue {queue}");
        self.bind(queue, pattern).await;
    }

    /// Receives messages until the connection closes, and passes their ids to `note`.
    pub async fn follow(&self, queue: &str, mut note: impl FnMut(String)) {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = self
            .channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default())
            .await;
        let Ok(mut consumer) = consumer else { return };
        while let Some(Ok(message)) = consumer.next().await {
            note(Arrived::read(message).id);
        }
    }

    pub async fn bind(&self, queue: &str, pattern: &str) {
        let (queue, options) = (queue.into(), QueueBindOptions::default());
        self.channel
            .queue_bind(
                queue,
                EVENTS.into(),
                pattern.into(),
                options,
                FieldTable::default(),
            )
            .await
            .expect("the queue should be bound");
    }

    /// Declares a topic exchange with a queue of the same name that gets all its events.
    pub async fn declare_exchange_with_queue(&self, name: &str) {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let (topic, none) = (ExchangeKind::Topic, FieldTable::default());
        self.channel
            .exchange_declare(name.into(), topic, options, none.clone())
            .await
            .expect("the exchange should be declared");
        assert!(self.declares(name, quorum(&[])).await, "no queue {name}");
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(name.into(), name.into(), "#".into(), options, none)
            .await
            .expect("the queue should be bound");
    }

    pub async fn unbind(&self, queue: &str, pattern: &str) {
        let queue = queue.into();
        self.channel
            .queue_unbind(queue, EVENTS.into(), pattern.into(), FieldTable::default())
            .await
            .expect("the queue should be unbound");
    }

    pub async fn delete_queue(&self, queue: &str) {
        self.channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await
            .expect("the queue is deleted");
    }

    pub async fn delete_exchange(&self) {
        let options = ExchangeDeleteOptions::default();
        self.channel
            .exchange_delete(EVENTS.into(), options)
            .await
            .expect("the exchange is deleted");
    }
}

/// The arguments of a quorum queue, with further ones.
pub fn quorum(more: &[(&str, AMQPValue)]) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    for (name, value) in more {
        arguments.insert((*name).into(), value.clone());
    }
    arguments
}

/// A queue's arguments.
pub fn arguments(these: &[(&str, AMQPValue)]) -> FieldTable {
    let mut arguments = FieldTable::default();
    for (name, value) in these {
        arguments.insert((*name).into(), value.clone());
    }
    arguments
}

/// The arguments of a queue as the gateway declares it.
pub fn declared(queue: &str) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    quorum(&[
        ("x-dead-letter-exchange", text("cartwire.events.dead")),
        ("x-dead-letter-routing-key", text(queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ])
}
