//! What becomes of entries that were in flight when a process ended uncleanly: the guilty one is a dead letter, all others
//! are published, and honest traffic goes on meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cartwire::connections::Directory;
use cartwire::journal::entry::DeliveryState;
use cartwire::journal::{Budget, CrashGuard, DeliveryFilter, Journal, JournalGuard, Marks};
use cartwire::platforms::PLATFORMS;
use cartwire::publisher::EventLogOnly;
use cartwire::relay::Relay;
use jiff::Timestamp;
use support::eventually;
use support::genuine::genuine;
use tokio::sync::watch;

/// A journal with one order of each store; their positions are 1, 2, ….
async fn journal(folder: &Path, stores: &[&str]) -> (Journal, JournalGuard) {
    let (journal, guard) = Journal::open(folder, Budget::default()).expect("opened");
    for (nonce, store) in (0..).zip(stores) {
        let order = genuine(
            PLATFORMS[0],
            store,
            "order.updated",
            r#"{"id":1,"total":"1.00"}"#,
            nonce,
            Timestamp::now(),
        );
        journal.append(order).await.expect("kept");
    }
    (journal, guard)
}

/// A process that ends during the trial of an entry, or outside any trial.
fn unclean_end(folder: &Path, claimed: &[i64], tried_alone: Option<i64>) {
    let (mut guard, _) = CrashGuard::open(folder);
    guard.claimed(claimed);
    if let Some(position) = tried_alone {
        guard.trying(position);
    }
}

/// The state and the reason of an entry.
async fn state(journal: &Journal, position: i64) -> (DeliveryState, Option<String>) {
    let read = journal
        .read(move |reader| reader.deliveries(&DeliveryFilter::default(), position + 1, 1))
        .await;
    let found = read.expect("read").pop().expect("an entry");
    (found.state, found.reason)
}

async fn until_settled(journal: &Journal, position: i64) -> (DeliveryState, Option<String>) {
    eventually("the entry is settled", async || {
        let found = state(journal, position).await;
        (found.0 != DeliveryState::Pending).then_some(found)
    })
    .await
}

/// Runs a relay until `work` is done, and ends it cleanly.
async fn relayed(journal: &Journal, work: impl Future<Output = ()>) {
    let marks = watch::Sender::new(Marks::default());
    let relay = Relay::new(
        journal.clone(),
        Arc::new(EventLogOnly),
        Directory::default(),
        marks.subscribe(),
    );
    let shutdown = watch::Sender::new(false);
    let running = tokio::spawn(relay.run(shutdown.subscribe(), Duration::from_secs(1)));
    work.await;
    shutdown.send_replace(true);
    running.await.expect("the relay ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn entry_that_crashes_two_trials_is_the_only_dead_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = journal(folder.path(), &["bad", "good"]).await;
    unclean_end(folder.path(), &[1, 2], None);
    unclean_end(folder.path(), &[], Some(1));
    unclean_end(folder.path(), &[], Some(1));
    relayed(&journal, async {
        let dead = (
            DeliveryState::DeadLettered,
            Some("crashed_gateway".to_owned()),
        );
        assert_eq!(until_settled(&journal, 1).await, dead);
        assert_eq!(
            until_settled(&journal, 2).await,
            (DeliveryState::Logged, None)
        );
    })
    .await;
    assert_eq!(CrashGuard::open(folder.path()).1, Default::default());
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entry_that_crashes_one_trial_waits_and_others_continue() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = journal(folder.path(), &["suspect", "good"]).await;
    unclean_end(folder.path(), &[1, 2], Some(1));
    relayed(&journal, async {
        let begun = Instant::now();
        assert_eq!(
            until_settled(&journal, 2).await,
            (DeliveryState::Logged, None)
        );
        assert!(begun.elapsed() < Duration::from_secs(3));
        assert_eq!(state(&journal, 1).await.0, DeliveryState::Pending);
        // It survives its second trial.
        assert_eq!(
            until_settled(&journal, 1).await,
            (DeliveryState::Logged, None)
        );
    })
    .await;
    assert_eq!(CrashGuard::open(folder.path()).1, Default::default());
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_in_flight_at_many_crashes_are_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = journal(folder.path(), &["one", "two", "three"]).await;
    for _ in 0..10 {
        unclean_end(folder.path(), &[1, 2, 3], None);
    }
    relayed(&journal, async {
        for position in 1..=3 {
            assert_eq!(
                until_settled(&journal, position).await,
                (DeliveryState::Logged, None)
            );
        }
    })
    .await;
    guard.close().await;
}
