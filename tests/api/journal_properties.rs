//! The journal behaves like its model, for generated steps.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use cartwire::delivery::{DeliveryKey, ReasonCode};
use cartwire::journal::entry::{DeliveryState, Entry, Outcome, Settlement};
use cartwire::journal::{
    Budget, DeliveryFilter, EventFilter, Excluded, Journal, JournalGuard, Want,
};
use cartwire::platforms::{VerifiedDelivery, platform};
use proptest::prelude::*;

use crate::journal_model::{Model, Step, outcome, step};
use crate::properties::{config, genuine};

/// The deliveries that are appended: all of one shop, half of them differing in the delivery id alone.
static DELIVERIES: LazyLock<Vec<VerifiedDelivery>> = LazyLock::new(|| {
    let platform = platform("woocommerce").expect("a platform");
    let delivery = |n: u64| {
        genuine(
            platform,
            "order.updated",
            format!(r#"{{"id":{}}}"#, n / 2).as_bytes(),
            n,
        )
    };
    (0..12).map(delivery).collect()
});

pub(crate) fn delivery(number: u64) -> VerifiedDelivery {
    DELIVERIES[usize::try_from(number).expect("a small number")].clone()
}

pub(crate) fn open(folder: &Path) -> (Journal, JournalGuard) {
    Journal::open(
        folder,
        Budget {
            age: Duration::from_secs(100 * 365 * 86_400),
            reserve: 1,
            ..Budget::default()
        },
    )
    .expect("the journal opens")
}

async fn claim(journal: &Journal, after: i64, limit: usize) -> Vec<Entry> {
    let found = journal.pending_connections(None).await.expect("a search");
    let wants: Vec<Want> = found
        .connections
        .into_iter()
        .map(|(connection, _)| Want {
            connection,
            from: after + 1,
            entries: limit,
            bytes: usize::MAX,
            is_paused: false,
        })
        .collect();
    let claimed = journal
        .claim(wants, Excluded::default())
        .await
        .expect("a claim");
    claimed
        .into_iter()
        .flat_map(|claimed| claimed.entries)
        .collect()
}

/// Where the journal has put the model's entries: it may leave gaps, but never goes back.
async fn positions(journal: &Journal, model: &Model) -> Vec<i64> {
    let all = journal
        .read(|reader| reader.deliveries(&DeliveryFilter::default(), i64::MAX, 1000))
        .await
        .expect("a read");
    let positions: Vec<i64> = all.iter().rev().map(|delivery| delivery.position).collect();
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert_eq!(positions.len(), model.entries.len(), "as many as arrived");
    positions
}

/// Which entry of the model stands there.
pub(crate) fn index(positions: &[i64], position: i64) -> usize {
    positions
        .iter()
        .position(|known| *known == position)
        .expect("a known position")
}

/// Compares everything that can be read.
async fn assert_like(journal: &Journal, model: &Model) {
    let positions = positions(journal, model).await;
    let claimed: Vec<(i64, DeliveryKey, bool)> = claim(journal, 0, usize::MAX)
        .await
        .iter()
        .map(|entry| (entry.position, entry.key, entry.redriven))
        .collect();
    let entries = positions
        .iter()
        .zip(&model.entries)
        .filter(|(_, entry)| entry.state == DeliveryState::Pending);
    let pending: Vec<_> = entries
        .map(|(position, entry)| (*position, entry.key, entry.redriven))
        .collect();
    assert_eq!(claimed, pending, "what can be claimed");
    let (all, log) = journal
        .read(|reader| {
            let all = reader.deliveries(&DeliveryFilter::default(), i64::MAX, 1000)?;
            Ok((all, reader.log(0, 1000, &EventFilter::default())?.rows))
        })
        .await
        .expect("a read");
    let found: Vec<_> = all
        .iter()
        .rev()
        .map(|d| (d.id.clone(), d.state, d.redriven, d.duplicates))
        .collect();
    let modelled: Vec<_> = model
        .entries
        .iter()
        .map(|e| (e.key.to_string(), e.state, e.redriven, e.duplicates))
        .collect();
    assert_eq!(found, modelled, "what is listed");
    let logged: Vec<i64> = log.iter().map(|row| row.entry.position).collect();
    assert_eq!(
        logged,
        model
            .log
            .iter()
            .map(|index| positions[*index])
            .collect::<Vec<_>>(),
        "what is in the log"
    );
    assert!(log.is_sorted_by(|a, b| a.cursor < b.cursor), "cursors grow");
    for row in &log {
        let number = model.entries[index(&positions, row.entry.position)].number;
        assert_eq!(
            row.entry.delivery.body,
            delivery(number).parts().body,
            "with its body"
        );
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut journal, mut guard) = open(folder.path());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(number) => {
                let delivery = delivery(number);
                let expected = model.append(number, delivery.parts().key);
                assert_eq!(journal.append(delivery).await.expect("room"), expected);
            }
            Step::AppendAll(numbers) => {
                let appends = numbers
                    .iter()
                    .map(|number| journal.append(delivery(*number)));
                for (number, appended) in numbers
                    .iter()
                    .zip(futures_util::future::join_all(appends).await)
                {
                    assert_eq!(
                        appended.expect("room"),
                        model.append(*number, delivery(*number).parts().key)
                    );
                }
            }
            Step::Settle {
                after,
                limit,
                outcomes,
            } => {
                let positions = positions(&journal, &model).await;
                let after = [&[0], &positions[..]].concat()[after.index(positions.len() + 1)];
                let entries = claim(&journal, after, limit).await;
                let pending = model
                    .entries
                    .iter()
                    .enumerate()
                    .filter(|(_, entry)| entry.state == DeliveryState::Pending);
                let pending = pending
                    .map(|(index, _)| positions[index])
                    .filter(|position| *position > after);
                let expected: Vec<i64> = pending.take(limit).collect();
                assert_eq!(
                    entries
                        .iter()
                        .map(|entry| entry.position)
                        .collect::<Vec<_>>(),
                    expected,
                    "claimed in order"
                );
                let mut settlements = Vec::new();
                for (entry, chosen) in entries.iter().zip(outcomes) {
                    let Some(code) = chosen else { continue };
                    let outcome = outcome(code, entry.position);
                    model.settle(index(&positions, entry.position), &outcome);
                    settlements.push(Settlement {
                        position: entry.position,
                        redriven: entry.redriven,
                        attempts: 0,
                        comparison: None,
                        outcome,
                    });
                }
                journal.settle(settlements).await.expect("settled");
            }
            Step::SettleAgain(which) => {
                let settled: Vec<usize> = (0..model.entries.len())
                    .filter(|index| model.entries[*index].state != DeliveryState::Pending)
                    .collect();
                if !settled.is_empty() {
                    let outcome = Outcome::DeadLettered(ReasonCode::TimedOut);
                    let position = positions(&journal, &model).await[*which.get(&settled)];
                    let settlement = Settlement {
                        position,
                        redriven: true,
                        attempts: 9,
                        comparison: None,
                        outcome,
                    };
                    journal
                        .settle(vec![settlement])
                        .await
                        .expect("nothing to do");
                }
            }
            Step::Redrive(code) => {
                let state = code.map(|code| outcome(code, 0).state());
                let filter = DeliveryFilter {
                    states: state.into_iter().collect(),
                    ..DeliveryFilter::default()
                };
                let progress = journal.redrive(filter, 0).await.expect("redriven");
                assert_eq!(
                    progress.changed,
                    model.reopen(|known| state.is_none_or(|state| state == known), true)
                );
            }
            Step::ReopenLogged => {
                let reopened = journal.reopen_logged().await.expect("reopened");
                assert_eq!(
                    reopened,
                    model.reopen(|state| state == DeliveryState::Logged, false)
                );
            }
            Step::Reopen => {
                guard.close().await;
                (journal, guard) = open(folder.path());
            }
        }
        assert_like(&journal, &model).await;
    }
    guard.close().await;
    let (journal, guard) = open(folder.path());
    assert_like(&journal, &model).await;
    guard.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..config(128) })]

    #[test]
    fn the_journal_does_what_its_model_does(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
