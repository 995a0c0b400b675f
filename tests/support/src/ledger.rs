//! The deliveries that the gateway accepted with 200, and their comparison with the published events. No event may be lost
//! or invented, and the events of a partition key must be in order. Each event counts once: duplicates are dropped by id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::task::JoinHandle;

/// A delivery that the gateway accepted with 200.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The partition key of the delivery's event.
    pub partition_key: String,
    /// The revision of the order in the payload.
    pub revision: u64,
    /// The delivery's id in the response.
    pub delivery: String,
}

/// All accepted deliveries. The deliveries of one order are in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub struct Ledger(pub Vec<Accepted>);

impl Ledger {
    pub async fn gather(senders: Vec<JoinHandle<Self>>) -> Self {
        let mut all = Self::default();
        for sender in senders {
            all.0
                .append(&mut sender.await.expect("the sender should not panic").0);
        }
        all
    }

    /// Joins two ledgers.
    pub fn and(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }

    /// The ids of the deliveries' events: one event per delivery.
    pub fn event_ids(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| format!("{}-0", accepted.delivery))
            .collect()
    }

    /// The partition keys of the deliveries' events.
    pub fn partition_keys(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| accepted.partition_key.clone())
            .collect()
    }

    pub fn deliveries(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .map(|accepted| accepted.delivery.clone())
            .collect()
    }

    /// The deliveries whose partition key has this prefix.
    pub fn of(&self, prefix: &str) -> Self {
        Self(
            self.0
                .iter()
                .filter(|accepted| accepted.partition_key.starts_with(prefix))
                .cloned()
                .collect(),
        )
    }

    /// Compares events, in the order of publication, with the accepted deliveries.
    ///
    /// A redriven event is published again after newer ones. It does not count as a duplicate, and its order is compared
    /// only with other redriven events.
    pub fn compare(&self, events: &[Value]) -> Comparison {
        let mut comparison = Comparison::default();
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<(&str, &str), (u64, &str)> = BTreeMap::new();
        let mut published: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
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
            published.insert(id, (key, this.0));
        }
        for accepted in &self.0 {
            let id = format!("{}-0", accepted.delivery);
            match published.get(id.as_str()) {
                Some(event) if *event == (accepted.partition_key.as_str(), accepted.revision) => {
                    comparison.arrived += 1
                }
                Some(event) => comparison
                    .unexpected
                    .push(format!("{id} is {event:?} instead of {accepted:?}")),
                None => comparison.lost.push(format!(
                    "{} {} ({id})",
                    accepted.partition_key, accepted.revision
                )),
            }
        }
        let accepted = self.event_ids();
        let unaccepted = published.keys().filter(|id| !accepted.contains(**id));
        comparison
            .unexpected
            .extend(unaccepted.map(|id| format!("{id} belongs to no accepted delivery")));
        comparison
    }

    /// The ids of the deliveries' events that are not among `events`.
    pub fn missing_from(&self, events: &[Value]) -> Vec<String> {
        let arrived: BTreeSet<&str> = events
            .iter()
            .filter_map(|event| event["id"].as_str())
            .collect();
        self.event_ids()
            .into_iter()
            .filter(|id| !arrived.contains(id.as_str()))
            .collect()
    }

    /// Asserts that no event is lost or unexpected, and that each partition key is in order.
    pub fn assert_told_by(&self, events: &[Value]) -> Comparison {
        let comparison = self.compare(events);
        let Comparison {
            lost,
            unexpected,
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
            unexpected.is_empty(),
            "{} events are unexpected: {unexpected:?}",
            unexpected.len()
        );
        assert!(
            disordered.is_empty(),
            "{} events are out of order: {disordered:?}",
            disordered.len()
        );
        comparison
    }

    /// As [`Ledger::assert_told_by`], and asserts that no event is a duplicate.
    pub fn assert_told_once_by(&self, events: &[Value]) {
        let repeated = self.assert_told_by(events).repeated;
        assert!(
            repeated.is_empty(),
            "{} events are duplicates: {repeated:?}",
            repeated.len()
        );
    }
}

/// The differences between the published events and the accepted deliveries.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Number of events that match their deliveries.
    pub arrived: usize,
    /// Accepted deliveries without a published event.
    pub lost: Vec<String>,
    /// Published events without an accepted delivery, or with other content.
    pub unexpected: Vec<String>,
    /// Duplicates.
    pub repeated: Vec<String>,
    /// Events published after a later event of the same partition key.
    pub disordered: Vec<String>,
}
