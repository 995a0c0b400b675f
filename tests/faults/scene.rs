//! One gateway with its broker, network, machine and stores. Faults act on a scene, and the events are counted at its
//! end.
//!
//! The gateway always uses the same proxy and shim, even if they inject no error, so that any faults can be combined.

use std::time::Duration;

use crate::shim::Shim;
use support::consumer::{Consumer, EVENTS, events};
use support::ledger::{Comparison, Ledger};
use support::node::{RabbitNode, url_at};
use support::process::ProcessGateway;
use support::store::{Load, Order, Store};
use support::{Dice, eventually};

use crate::honest::{Delays, HONEST, HONEST_SECRET, HonestStore};
use crate::proxy::Proxy;
use crate::reading::{self, READ_STORE, ReadStore};

/// Orders that are updated concurrently, half of them on each platform. Each order has its own sender.
const SENDERS: u64 = 24;
/// Webhooks a second, unless a fault delays them.
const FLOW: usize = 300;

/// All parts of a run.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<RabbitNode>,
    pub(crate) network: Proxy,
    pub(crate) machine: Shim,
    pub(crate) gateway: ProcessGateway,
    pub(crate) store: Store,
    pub(crate) load: Load,
    /// Set only for faults of a store that is read.
    pub(crate) read_store: Option<ReadStore>,
    /// Set only during an attack.
    honest: Option<HonestStore>,
    pub(crate) dice: Dice,
    /// `true` in the long version.
    pub(crate) long: bool,
    /// `true` if the run has one fault only. The run then waits until the fault took effect.
    pub(crate) alone: bool,
    /// Attack deliveries that were answered 200. Their senders race, so only losses are counted, not the order.
    pub(crate) attack: Ledger,
    /// Deliveries that the fault checks when it ends.
    pub(crate) examined: Vec<String>,
    /// States whose deliveries the operator redrives after the faults ended.
    pub(crate) to_redrive: Vec<&'static str>,
}

/// The requirements of a run's faults.
pub(crate) struct Terms {
    /// Statuses other than 200 that a webhook may get.
    pub(crate) refusals: Vec<u16>,
    pub(crate) long: bool,
    pub(crate) alone: bool,
    pub(crate) has_honest_store: bool,
    /// Called in order before the gateway starts.
    pub(crate) preparations: Vec<fn(&mut ProcessGateway)>,
}

/// The counts of a completed run.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) answered: usize,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) comparison: Comparison,
    pub(crate) worst: Duration,
    pub(crate) honest: Option<Delays>,
    /// Of the last gateway process, in MiB.
    pub(crate) peak_memory: u64,
}

impl Scene {
    /// Starts the gateway and the load.
    pub(crate) async fn set(nodes: Vec<RabbitNode>, terms: Terms, dice: Dice) -> Self {
        let network = Proxy::to(nodes.iter().map(RabbitNode::port).collect()).await;
        let machine = Shim::new();
        let mut gateway = ProcessGateway::with_broker(&url_at(network.port()));
        gateway.add_shop(HONEST, HONEST_SECRET);
        gateway.set_environment(machine.environment(gateway.data()));
        for prepare in terms.preparations {
            prepare(&mut gateway);
        }
        machine.all_is_synced(gateway.data());
        gateway.start().await;
        let connected = || gateway.metric("cartwire_broker_connected", "");
        eventually("the gateway connects to the broker", || async {
            (connected().await == 1.0).then_some(())
        })
        .await;
        let store = gateway.store().with_refusals(terms.refusals);
        let load = store.load(&Order::some(SENDERS));
        load.flow(FLOW);
        let honest = if terms.has_honest_store {
            Some(HonestStore::open(&gateway, &nodes[0].url()).await)
        } else {
            None
        };
        Self {
            nodes,
            network,
            machine,
            gateway,
            store,
            load,
            read_store: None,
            honest,
            dice,
            long: terms.long,
            alone: terms.alone,
            attack: Ledger::default(),
            examined: Vec::new(),
            to_redrive: Vec::new(),
        }
    }

    /// Starts the gateway on the current content of its disk.
    pub(crate) async fn start_gateway(&mut self) {
        self.machine.all_is_synced(self.gateway.data());
        self.gateway.start().await;
    }

    /// Waits for some answered webhooks and a random time, so that a fault can begin at any point of the gateway's
    /// work.
    pub(crate) async fn some_moment(&mut self) {
        self.load
            .more(20 + u32::try_from(self.dice.below(100)).unwrap_or_default())
            .await;
        tokio::time::sleep(Duration::from_micros(self.dice.below(20_000))).await;
    }

    /// Waits a random time of at most `short` milliseconds, or of at most `long` in the long version.
    pub(crate) async fn last(&mut self, short: u64, long: u64) {
        let most = if self.long { long } else { short };
        tokio::time::sleep(Duration::from_millis(
            most / 5 + self.dice.below(most * 4 / 5),
        ))
        .await;
    }

    /// Waits until the process met the machine's fault. Returns at once in a combination.
    pub(crate) async fn until_met(&mut self) {
        if self.alone {
            let before = self.machine.met();
            eventually("the fault is met", || async {
                (self.machine.met() > before).then_some(())
            })
            .await;
        }
    }

    /// Waits until the metric exceeds `before`. Returns at once in a combination.
    pub(crate) async fn until_counted(&mut self, metric: &str, labels: &str, before: f64) {
        if self.alone {
            let now = || self.gateway.metric(metric, labels);
            eventually(metric, || async { (now().await > before).then_some(()) }).await;
        }
    }

    /// Makes the broker unreachable: connections end, and new ones hang.
    pub(crate) fn lose_broker(&self) {
        self.network.swallow(true);
        self.network.cut();
    }

    /// Ends [`Scene::lose_broker`]. From now on, the honest store's delays start here instead of at the response.
    pub(crate) async fn reach_broker(&self) {
        self.network.swallow(false);
        self.network.cut();
        eventually("the gateway reconnects to the broker", || async {
            let connected = self.gateway.metric("cartwire_broker_connected", "").await;
            (connected == 1.0).then_some(())
        })
        .await;
        if let Some(honest) = &self.honest {
            honest.broker_is_reachable();
        }
    }

    /// A consumer at the first running node.
    pub(crate) async fn consumer(&self) -> Consumer {
        let node = self
            .nodes
            .iter()
            .find(|node| node.runs())
            .expect("at least one node should be running");
        Consumer::connect(&node.url()).await
    }

    /// Waits until every webhook is answered and every delivery is settled, stops the gateway, and compares the events.
    pub(crate) async fn count(mut self) -> (Vec<RabbitNode>, Counted) {
        self.load.more(50).await;
        eventually("the gateway is ready", || async {
            self.gateway.is_ready().await.then_some(())
        })
        .await;
        let consumer = self.consumer().await;
        let mut ledger = self.load.stop().await;
        let mut delays = None;
        if let Some(honest) = self.honest {
            let (accepted, measured) = honest.close().await;
            ledger = ledger.and(accepted);
            delays = Some(measured);
        }
        self.gateway.settled().await;
        let peak_memory = self.gateway.peak_memory();
        for state in self.to_redrive {
            // Exit code 1 means that there was nothing to redrive.
            let code = self
                .gateway
                .cli(&["deliveries", "redrive", "--state", state])
                .status
                .code();
            assert!(matches!(code, Some(0 | 1)), "redriving ended with {code:?}");
            self.gateway.settled().await;
        }
        let arrived = consumer.drain(EVENTS).await;
        let ended = self.gateway.terminate().await;
        assert!(ended.success(), "the gateway ended with {ended}");
        let seen = self.store.seen();
        let count = |counter: &std::sync::atomic::AtomicU64| {
            counter.load(std::sync::atomic::Ordering::Relaxed)
        };
        let attack_keys = self.attack.partition_keys();
        let (of_attack, others): (Vec<_>, Vec<_>) =
            events(&arrived).into_iter().partition(|event| {
                event["partitionkey"]
                    .as_str()
                    .is_some_and(|key| attack_keys.contains(key))
            });
        let (of_read_store, others): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|event| event["connection"] == READ_STORE);
        let mut comparison = ledger.compare(&others);
        if self.read_store.is_some() {
            reading::compare(&of_read_store, &mut comparison);
        }
        comparison.lost.extend(self.attack.missing_from(&of_attack));
        let counted = Counted {
            answered: ledger.0.len(),
            refused: count(&seen.refused),
            unanswered: count(&seen.unanswered),
            comparison,
            worst: seen.worst(),
            honest: delays,
            peak_memory,
        };
        (self.nodes, counted)
    }
}
