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
        self.0.iter().map(|accepted| format!("{}-0", accepted.delivery)).collect()
    }

    /// The partition keys of their events.
    pub(crate) fn partition_keys(&self) -> BTreeSet<String> {
        self.0.iter().map(|accepted| accepted.partition_key.clone()).collect()
    }

    /// The deliveries' ids.
    pub(crate) fn deliveries(&self) -> BTreeSet<String> {
        self.0.iter().map(|accepted| accepted.delivery.clone()).collect()
    }

    /// Those of partition keys that begin so.
    pub(crate) fn of(&self, prefix: &str) -> Self {
        Self(self.0.iter().filter(|accepted| accepted.partition_key.starts_with(prefix)).cloned().collect())
    }

    /// Holds events, in the order in which they came out, against what was answered.
    pub(crate) fn assert_told_by(&self, events: &[Value]) {
        let mut seen = BTreeSet::new();
        let mut told: BTreeMap<&str, Vec<(u64, &str, &str)>> = BTreeMap::new();
        for event in events.iter().filter(|event| event["type"] == "cartwire.order.updated") {
            let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("an event without {name}: {event}"));
            if seen.insert(text("id")) {
                let revision = event["data"]["raw"]["revision"].as_u64().expect("the payload's revision");
                told.entry(text("partitionkey")).or_default().push((revision, text("sequence"), text("id")));
            }
        }
        let ids: BTreeSet<String> = seen.iter().map(|id| (*id).to_owned()).collect();
        let answered = self.event_ids();
        let lost: Vec<_> = answered.difference(&ids).collect();
        assert!(lost.is_empty(), "{} of {} events are lost: {lost:?}", lost.len(), answered.len());
        let strange: Vec<_> = ids.difference(&answered).collect();
        assert!(strange.is_empty(), "{} events of deliveries that were never answered: {strange:?}", strange.len());
        for (key, told) in &told {
            for pair in told.windows(2) {
                assert!(pair[0].0 < pair[1].0, "{key}: revision {} before {}", pair[0].0, pair[1].0);
                assert!(pair[0].1 < pair[1].1, "{key}: sequence {} before {}", pair[0].1, pair[1].1);
            }
        }
        for accepted in &self.0 {
            let id = format!("{}-0", accepted.delivery);
            let told = told.get(accepted.partition_key.as_str()).and_then(|told| told.iter().find(|told| told.2 == id));
            assert_eq!(told.map(|told| told.0), Some(accepted.revision), "the event {id} tells another revision");
        }
    }

    /// The same, and nothing is there twice to begin with.
    pub(crate) fn assert_told_once_by(&self, events: &[Value]) {
        self.assert_told_by(events);
        let ids: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "an event is there twice");
    }
}
