//! The one broker of a run: a RabbitMQ node of the benchmark's own, with the exchange and the quorum queue that everybody
//! publishes to. There is no consumer: the queue keeps the messages, and is purged before each row.

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

/// A queue that does not grow for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node with a channel to look at its queue.
pub(crate) struct Broker {
    runtime: Runtime,
    node: RabbitNode,
    channel: Channel,
    _connection: Connection,
}

impl Broker {
    /// Starts a node, with the topology as the gateway declares it.
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (node, connection, channel) = runtime.block_on(async {
            let node = RabbitNode::started().await;
            let connection = Connection::connect(&node.url(), ConnectionProperties::default())
                .await
                .expect("connected");
            let channel = connection.create_channel().await.expect("a channel");
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let (none, bind) = (FieldTable::default(), QueueBindOptions::default());
            channel
                .exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, none.clone())
                .await
                .expect("declared");
            let durable = QueueDeclareOptions {
                durable: true,
                ..QueueDeclareOptions::default()
            };
            channel
                .queue_declare(EVENTS.into(), durable, quorum(&[]))
                .await
                .expect("declared");
            channel
                .queue_bind(EVENTS.into(), EVENTS.into(), "#".into(), bind, none)
                .await
                .expect("bound");
            (node, connection, channel)
        });
        Self {
            runtime,
            node,
            channel,
            _connection: connection,
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.node.url()
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.node.pid().map(Usage::of).unwrap_or_default()
    }

    /// Messages in the queue: confirmed and not consumed.
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
        u64::from(declared.expect("the queue is there").message_count())
    }

    /// Waits until so many messages are in the queue.
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
                "{count} of {many} messages came into the queue"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Empties the queue.
    pub(crate) fn purge(&self) {
        self.runtime
            .block_on(
                self.channel
                    .queue_purge(EVENTS.into(), QueuePurgeOptions::default()),
            )
            .expect("emptied");
    }
}
