//! A simple model of the journal, and the steps that are applied to both.

use cartwire::delivery::{DeliveryKey, ReasonCode};
use cartwire::journal::Appended;
use cartwire::journal::entry::{DeliveryState, LoggedEvent, Outcome};
use proptest::prelude::*;

/// What is done to the journal.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Appends the delivery of that number, for the first time or again.
    Append(u64),
    /// Appends these at once, so that they share commits.
    AppendAll(Vec<u64>),
    /// Claims after a position, at most so many, and settles those that are chosen with what they get.
    Settle {
        after: prop::sample::Index,
        limit: usize,
        outcomes: Vec<Option<u8>>,
    },
    /// Settles again what is settled already: nothing may change.
    SettleAgain(prop::sample::Index),
    /// Re-opens what stands in a state, or everything that is settled.
    Redrive(Option<u8>),
    /// Re-opens what was logged, as with a new broker.
    ReopenLogged,
    /// Closes and opens the file again.
    Reopen,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let number = 0_u64..12;
    prop_oneof![
        4 => number.clone().prop_map(Step::Append),
        2 => prop::collection::vec(number, 1..10).prop_map(Step::AppendAll),
        5 => (any::<prop::sample::Index>(), 1_usize..8, prop::collection::vec(prop::option::weighted(0.8, 0_u8..5), 8))
            .prop_map(|(after, limit, outcomes)| Step::Settle { after, limit, outcomes }),
        1 => any::<prop::sample::Index>().prop_map(Step::SettleAgain),
        2 => prop::option::of(0_u8..5).prop_map(Step::Redrive),
        1 => Just(Step::ReopenLogged),
        1 => Just(Step::Reopen),
    ]
}

/// An entry of the model.
#[derive(Clone, Debug)]
pub(crate) struct Modelled {
    pub(crate) number: u64,
    pub(crate) key: DeliveryKey,
    pub(crate) state: DeliveryState,
    pub(crate) redriven: bool,
    pub(crate) duplicates: u64,
}

/// The journal as a list.
#[derive(Default)]
pub(crate) struct Model {
    /// In the order of arrival.
    pub(crate) entries: Vec<Modelled>,
    /// The event log: which entry, in the order of settling.
    pub(crate) log: Vec<usize>,
}

impl Model {
    pub(crate) fn append(&mut self, number: u64, key: DeliveryKey) -> Appended {
        match self.entries.iter_mut().find(|entry| entry.number == number) {
            Some(known) => {
                known.duplicates += 1;
                Appended::Duplicate(key)
            }
            None => {
                self.entries.push(Modelled {
                    number,
                    key,
                    state: DeliveryState::Pending,
                    redriven: false,
                    duplicates: 0,
                });
                Appended::New(key)
            }
        }
    }

    pub(crate) fn settle(&mut self, index: usize, outcome: &Outcome) {
        let entry = &mut self.entries[index];
        if entry.state != DeliveryState::Pending {
            return;
        }
        entry.state = outcome.state();
        if matches!(
            outcome,
            Outcome::Logged(_)
                | Outcome::Published(_)
                | Outcome::Unrouted(_)
                | Outcome::Unsubscribed(_)
        ) {
            let logged = self.log.contains(&index);
            if logged && entry.redriven {
                self.log.retain(|known| *known != index);
            }
            if !logged || entry.redriven {
                self.log.push(index);
            }
        }
    }

    pub(crate) fn reopen(&mut self, which: impl Fn(DeliveryState) -> bool, on_demand: bool) -> u64 {
        let mut reopened = 0;
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.state != DeliveryState::Pending && which(entry.state))
        {
            entry.state = DeliveryState::Pending;
            entry.redriven |= on_demand;
            reopened += 1;
        }
        reopened
    }
}

pub(crate) fn outcome(code: u8, position: i64) -> Outcome {
    let event = LoggedEvent {
        index: 0,
        event_type: "cartwire.order.updated".to_owned(),
        subject: format!("order/{position}"),
        omits_raw: false,
    };
    match code {
        0 => Outcome::Logged(vec![event]),
        1 => Outcome::Published(vec![event]),
        2 => Outcome::Unrouted(vec![event]),
        3 => Outcome::Ignored(ReasonCode::Stale.into()),
        _ => Outcome::DeadLettered(ReasonCode::TooDeep),
    }
}
