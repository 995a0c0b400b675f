//! One gateway with its broker, network, machine and stores: what a fault injures, and what is counted afterwards.
//!
//! The gateway is always behind the same network and on the same machine, also where neither does anything wrong, so that
//! faults can be put together as one likes.

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

/// Orders whose revisions are told side by side, half of them of each platform: as many senders.
const SENDERS: u64 = 24;
/// Webhooks a second, unless a fault holds them up.
const FLOW: usize = 300;

/// All of it.
pub(crate) struct Scene {
    pub(crate) nodes: Vec<RabbitNode>,
    pub(crate) network: Proxy,
    pub(crate) machine: Shim,
    pub(crate) gateway: ProcessGateway,
    pub(crate) store: Store,
    pub(crate) load: Load,
    /// Beside an attack.
    honest: Option<HonestStore>,
    pub(crate) dice: Dice,
    /// Is there time?
    pub(crate) long: bool,
    /// Is there one fault only? Then it must be seen to have been met.
    pub(crate) alone: bool,
    /// What an attack sent and was answered 200. Its senders race, so only losses are counted, not the order.
    pub(crate) attack: Ledger,
    /// Deliveries that the fault examines when it ends.
    pub(crate) examined: Vec<String>,
    /// What the operator has to redrive when all is well again: deliveries in these states.
    pub(crate) to_redrive: Vec<&'static str>,
}

/// What a run of faults asks of its scene.
pub(crate) struct Terms {
    /// Statuses other than 200 that a webhook may get.
    pub(crate) refusals: Vec<u16>,
    pub(crate) long: bool,
    pub(crate) alone: bool,
    pub(crate) has_honest_store: bool,
    /// Run in turn before the gateway starts.
    pub(crate) preparations: Vec<fn(&mut ProcessGateway)>,
}

/// What came of it.
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
    /// Starts a gateway, and lets webhooks come.
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
        eventually("the gateway has its broker", || async {
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
            honest,
            dice,
            long: terms.long,
            alone: terms.alone,
            attack: Ledger::default(),
            examined: Vec::new(),
            to_redrive: Vec::new(),
        }
    }

    /// Starts the gateway, on what its disk holds.
    pub(crate) async fn start_gateway(&mut self) {
        self.machine.all_is_synced(self.gateway.data());
        self.gateway.start().await;
    }

    /// Lets some webhooks be answered and then a moment pass that falls anywhere in what the gateway does.
    pub(crate) async fn some_moment(&mut self) {
        self.load
            .more(20 + u32::try_from(self.dice.below(100)).unwrap_or_default())
            .await;
        tokio::time::sleep(Duration::from_micros(self.dice.below(20_000))).await;
    }

    /// Lets the fault last: up to so many milliseconds, or up to so many where there is time.
    pub(crate) async fn last(&mut self, short: u64, long: u64) {
        let most = if self.long { long } else { short };
        tokio::time::sleep(Duration::from_millis(
            most / 5 + self.dice.below(most * 4 / 5),
        ))
        .await;
    }

    /// Waits until the machine's fault was met, where it is the only one.
    pub(crate) async fn until_met(&mut self) {
        if self.alone {
            let before = self.machine.met();
            eventually("the fault is met", || async {
                (self.machine.met() > before).then_some(())
            })
            .await;
        }
    }

    /// Waits until the gateway counts more of something than that, where there is one fault only.
    pub(crate) async fn until_counted(&mut self, metric: &str, labels: &str, before: f64) {
        if self.alone {
            let now = || self.gateway.metric(metric, labels);
            eventually(metric, || async { (now().await > before).then_some(()) }).await;
        }
    }

    /// Takes the broker away: connections end, and new ones hang.
    pub(crate) fn lose_broker(&self) {
        self.network.swallow(true);
        self.network.cut();
    }

    /// Ends [`Scene::lose_broker`]. The honest store's events are late from now on, not from their answers on.
    pub(crate) async fn reach_broker(&self) {
        self.network.swallow(false);
        self.network.cut();
        eventually("the gateway has its broker again", || async {
            let connected = self.gateway.metric("cartwire_broker_connected", "").await;
            (connected == 1.0).then_some(())
        })
        .await;
        if let Some(honest) = &self.honest {
            honest.broker_is_reachable();
        }
    }

    /// As the operator, at the first node that runs.
    pub(crate) async fn consumer(&self) -> Consumer {
        let node = self
            .nodes
            .iter()
            .find(|node| node.runs())
            .expect("a node runs");
        Consumer::connect(&node.url()).await
    }

    /// When all is well again: everything must be answered, settled and in the queue.
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
            // 1: there was nothing to redrive.
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
        let mut comparison = ledger.compare(&others);
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
