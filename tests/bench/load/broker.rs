//! The broker of a run: a RabbitMQ node of the benchmark with the exchange and quorum queue that all servers publish
//! to. The queue has no consumer. It keeps the messages, and is purged before each row.

use std::time::{Duration, Instant};

use lapin::options::{
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::runtime::Runtime;

use super::process::Usage;
use support::consumer::{EVENTS, quorum};
use support::node::RabbitNode;

/// The benchmark fails if the queue does not grow for this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node, with a channel that reads and purges its queue.
pub(crate) struct Broker {
    runtime: Runtime,
    node: RabbitNode,
    channel: Channel,
    _connection: Connection,
}

impl Broker {
    /// Starts a node, and declares the topology as the gateway does.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("the runtime should start");
        let (node, connection, channel) = runtime.block_on(async {
            let node = RabbitNode::started().await;
            let connection = Connection::connect(&node.url(), ConnectionProperties::default())
                .await
                .expect("the broker should accept the connection");
            let channel = connection
                .create_channel()
                .await
                .expect("the channel should open");
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let (none, bind) = (FieldTable::default(), QueueBindOptions::default());
            channel
                .exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, none.clone())
                .await
                .expect("the exchange should be declared");
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            channel
                .queue_declare(EVENTS.into(), durable, quorum(&[]))
                .await
                .expect("the queue should be declared");
            channel
                .queue_bind(EVENTS.into(), EVENTS.into(), "#".into(), bind, none)
                .await
                .expect("the queue should be bound");
            (node, connection, channel)
        });
        Self {
            runtime,
            node,
            channel,
            _connection: connection,
        }
    }

    /// The AMQP URL.
    pub(crate) fn url(&self) -> String {
        self.node.url()
    }

    /// The node's resource usage so far.
    pub(crate) fn usage(&self) -> Usage {
        self.node.pid().map(Usage::of).unwrap_or_default()
    }

    /// Number of messages in the queue.
    pub(crate) fn count(&self) -> u64 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self.runtime.block_on(self.channel.queue_declare(
            EVENTS.into(),
            passive,
            FieldTable::default(),
        ));
        u64::from(declared.expect("the queue should exist").message_count())
    }

    /// Waits until the queue contains this many messages.
    pub(crate) fn wait_for(&self, many: u64) {
        let (mut seen, mut grown) = (0, Instant::now());
        loop {
            let count = self.count();
            if count >= many {
                return;
            }
            if count > seen {
                (seen, grown) = (count, Instant::now());
            }
            assert!(
                grown.elapsed() < PATIENCE,
                "the queue has {count} of {many} messages and does not grow"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn purge(&self) {
        self.runtime
            .block_on(
                self.channel
                    .queue_purge(EVENTS.into(), QueuePurgeOptions::default()),
            )
            .expect("the queue should be purged");
    }
}
