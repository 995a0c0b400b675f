//! What the gateway answered 200 to, and the comparison with what came out: nothing lost, nothing made up, in order per
//! partition key, each event once after repetitions are dropped by id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::task::JoinHandle;

/// A delivery that was answered 200.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    /// Of its event.
    pub(crate) partition_key: String,
    /// Which revision of the order it tells.
    pub(crate) revision: u64,
    /// The delivery's id, as it was answered.
    pub(crate) delivery: String,
}

/// All deliveries that were answered 200; of each order in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(pub(crate) Vec<Accepted>);

impl Ledger {
    pub(crate) async fn gather(senders: Vec<JoinHandle<Self>>) -> Self {
        let mut all = Self::default();
        for sender in senders {
            all.0.append(&mut sender.await.expect("a sender").0);
        }
        all
    }

    /// Both.
    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// The ids of the deliveries' events: each tells one.
    pub(crate) fn event_ids(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| format!("{}-0", accepted.delivery))
            .collect()
    }

    /// The partition keys of their events.
    pub(crate) fn partition_keys(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| accepted.partition_key.clone())
            .collect()
    }

    /// The deliveries' ids.
    pub(crate) fn deliveries(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| accepted.delivery.clone())
            .collect()
    }

    /// Those of partition keys that begin so.
    pub(crate) fn of(&self, prefix: &str) -> Self {
        Self(
            self.0
                .iter()
                .filter(|accepted| accepted.partition_key.starts_with(prefix))
                .cloned()
                .collect(),
        )
    }

    /// Holds events, in the order in which they came out, against what was answered.
    ///
    /// A redriven event is published once more because somebody asked for it, behind newer ones: it is no repetition, and
    /// has its place in the order of what was redriven.
    pub(crate) fn compare(&self, events: &[Value]) -> Comparison {
        let mut comparison = Comparison::default();
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<(&str, &str), (u64, &str)> = BTreeMap::new();
        let mut told: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
        for event in events
            .iter()
            .filter(|event| event["type"] == "cartwire.order.updated")
        {
            let text = |name: &str| {
                event[name]
                    .as_str()
                    .unwrap_or_else(|| panic!("an event without {name}: {event}"))
            };
            let (id, origin, key) = (text("id"), text("origin"), text("partitionkey"));
            if !seen.insert((id, origin)) {
                comparison.repeated.push(id.to_owned());
                continue;
            }
            let this = (
                event["data"]["raw"]["revision"]
                    .as_u64()
                    .expect("the payload's revision"),
                text("sequence"),
            );
            let before = last.insert((key, origin), this);
            if let Some(before) = before.filter(|before| before.0 >= this.0 || before.1 >= this.1) {
                comparison
                    .disordered
                    .push(format!("{key}: {before:?} before {this:?}"));
            }
            told.insert(id, (key, this.0));
        }
        for accepted in &self.0 {
            let id = format!("{}-0", accepted.delivery);
            match told.get(id.as_str()) {
                Some(told) if *told == (accepted.partition_key.as_str(), accepted.revision) => {
                    comparison.arrived += 1
                }
                Some(told) => comparison
                    .strange
                    .push(format!("{id} tells {told:?} and not {accepted:?}")),
                None => comparison.lost.push(format!(
                    "{} {} ({id})",
                    accepted.partition_key, accepted.revision
                )),
            }
        }
        let answered = self.event_ids();
        let unanswered = told.keys().filter(|id| !answered.contains(**id));
        comparison
            .strange
            .extend(unanswered.map(|id| format!("{id} was never answered")));
        comparison
    }

    /// The ids of the events of these deliveries that are not among those.
    pub(crate) fn missing_from(&self, events: &[Value]) -> Vec<String> {
        let arrived: BTreeSet<&str> = events
            .iter()
            .filter_map(|event| event["id"].as_str())
            .collect();
        self.event_ids()
            .into_iter()
            .filter(|id| !arrived.contains(id.as_str()))
            .collect()
    }

    /// Nothing is lost, nothing made up, and each order's order is kept.
    pub(crate) fn assert_told_by(&self, events: &[Value]) -> Comparison {
        let comparison = self.compare(events);
        let Comparison {
            lost,
            strange,
            disordered,
            ..
        } = &comparison;
        assert!(
            lost.is_empty(),
            "{} of {} events are lost: {lost:?}",
            lost.len(),
            self.0.len()
        );
        assert!(
            strange.is_empty(),
            "{} events are not what was sent: {strange:?}",
            strange.len()
        );
        assert!(
            disordered.is_empty(),
            "{} events are out of order: {disordered:?}",
            disordered.len()
        );
        comparison
    }

    /// The same, and nothing is there twice to begin with.
    pub(crate) fn assert_told_once_by(&self, events: &[Value]) {
        let repeated = self.assert_told_by(events).repeated;
        assert!(
            repeated.is_empty(),
            "{} events are there twice: {repeated:?}",
            repeated.len()
        );
    }
}

/// How what came out differs from what was answered.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// So many came out as they were sent.
    pub(crate) arrived: usize,
    /// Answered 200, and never came out.
    pub(crate) lost: Vec<String>,
    /// Came out, and nobody was answered 200 to it, or it is another's.
    pub(crate) strange: Vec<String>,
    /// Came out again.
    pub(crate) repeated: Vec<String>,
    /// Came out after a later one of the same partition key.
    pub(crate) disordered: Vec<String>,
}
