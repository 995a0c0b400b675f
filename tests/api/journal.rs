//! The journal's promises about room and keys, on a real file through a running writer.

use std::time::Duration;

use cartwire::connections::Seal;
use cartwire::delivery::ConnectionId;
use cartwire::journal::entry::{DeliveryState, LoggedEvent, Outcome, Settlement};
use cartwire::journal::{
    Appended, Budget, DataFile, DeliveryFilter, EventFilter, Journal, JournalError, Reader,
    UnlockError,
};
use cartwire::platforms::{PLATFORMS, VerifiedDelivery};
use jiff::Timestamp;
use support::eventually;
use support::genuine::genuine;

fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

fn order(number: u64, bytes: usize, at: Timestamp) -> VerifiedDelivery {
    order_of("store", number, bytes, at)
}

fn order_of(store: &str, number: u64, bytes: usize, at: Timestamp) -> VerifiedDelivery {
    let payload = format!(r#"{{"id":{number},"note":"{}"}}"#, "x".repeat(bytes));
    genuine(PLATFORMS[0], store, "order.updated", &payload, number, at)
}

/// Waits until `is` returns `true`.
async fn until<F: Future<Output = bool>>(condition: &str, mut is: impl FnMut() -> F) {
    eventually(condition, || {
        let met = is();
        async move { met.await.then_some(()) }
    })
    .await;
}

async fn positions(journal: &Journal) -> Vec<(i64, DeliveryState)> {
    let all = |reader: &Reader| reader.deliveries(&DeliveryFilter::default(), i64::MAX, 10_000);
    let mut all: Vec<_> = journal
        .read(all)
        .await
        .expect("read")
        .iter()
        .map(|d| (d.position, d.state))
        .collect();
    all.reverse();
    all
}

/// The positions of a connection's deliveries, oldest first.
async fn positions_of(journal: &Journal, store: &'static str) -> Vec<i64> {
    let filter = DeliveryFilter {
        connection: Some(ConnectionId::new(store).expect("an id")),
        ..DeliveryFilter::default()
    };
    let read = move |reader: &Reader| reader.deliveries(&filter, i64::MAX, 10_000);
    let found = journal.read(read).await.expect("read");
    found.iter().rev().map(|found| found.position).collect()
}

/// Settles deliveries as `Logged`, each with one event.
async fn log(journal: &Journal, positions: &[i64]) {
    let settlement = |position: &i64| Settlement {
        position: *position,
        redriven: false,
        attempts: 0,
        comparison: None,
        outcome: Outcome::Logged(vec![LoggedEvent {
            index: 0,
            event_type: "cartwire.order.updated".to_owned(),
            subject: format!("order/{position}"),
            omits_raw: false,
        }]),
    };
    let settlements = positions.iter().map(settlement).collect();
    journal.settle(settlements).await.expect("settled");
}

async fn settle(journal: &Journal, positions: impl IntoIterator<Item = i64>) {
    let settlement = |position| Settlement {
        position,
        redriven: false,
        attempts: 0,
        comparison: None,
        outcome: Outcome::Ignored("test".into()),
    };
    journal
        .settle(positions.into_iter().map(settlement).collect())
        .await
        .expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_and_old_goes_what_is_pending_stays_and_webhooks_are_taken_all_the_while() {
    let folder = tempfile::tempdir().expect("a folder");
    let budget = Budget {
        age: Duration::from_secs(86_400),
        ..Budget::default()
    };
    let (journal, guard) = Journal::open(folder.path(), budget).expect("opened");
    let long_ago = instant("2020-01-01T00:00:00Z");
    for number in 0..20 {
        journal
            .append(order(number, 100, long_ago))
            .await
            .expect("kept");
    }
    journal
        .append(order(99, 100, Timestamp::now()))
        .await
        .expect("kept");
    let all = positions(&journal).await;
    let old: Vec<i64> = all.iter().map(|(position, _)| *position).take(20).collect();
    settle(
        &journal,
        old[5..]
            .iter()
            .copied()
            .chain(all.last().map(|(position, _)| *position)),
    )
    .await;
    until("old settled deliveries are removed", async || {
        assert_eq!(journal.unwritable(), None, "removing is no failure");
        positions(&journal).await.len() == 6
    })
    .await;
    let left = positions(&journal).await;
    assert_eq!(
        left.iter()
            .filter(|(_, state)| *state == DeliveryState::Pending)
            .count(),
        5
    );
    assert_eq!(
        left.last().map(|(_, state)| *state),
        Some(DeliveryState::Ignored),
        "the young one stays"
    );
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_size_the_oldest_go_and_no_more_of_them_than_need_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let size = 4 << 20;
    let (journal, guard) = Journal::open(
        folder.path(),
        Budget {
            size,
            ..Budget::default()
        },
    )
    .expect("opened");
    for number in 0..60 {
        journal
            .append(order(number, 100_000, Timestamp::now()))
            .await
            .expect("kept");
    }
    let all = positions(&journal).await;
    settle(&journal, all.iter().map(|(position, _)| *position)).await;
    until("the oldest are removed", async || {
        positions(&journal).await.len() < 60
    })
    .await;
    until("removing comes to an end", async || {
        let before = positions(&journal).await.len();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        before == positions(&journal).await.len()
    })
    .await;
    let left = positions(&journal).await;
    assert!(
        (30..=42).contains(&left.len()),
        "{} of 60 are left in 4 MiB",
        left.len()
    );
    assert_eq!(
        left,
        all[all.len() - left.len()..]
            .iter()
            .map(|(p, _)| (*p, DeliveryState::Ignored))
            .collect::<Vec<_>>()
    );
    guard.close().await;
    let bytes = std::fs::metadata(folder.path().join("cartwire.db"))
        .expect("the file")
        .len();
    assert!(
        bytes < 5 << 20,
        "what was freed goes back to the disk: {bytes} bytes are left of six million"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_removes_events_of_the_flooding_store_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let (size, budget) = (16 << 20, 64 << 20);
    let (journal, guard) = Journal::open(
        folder.path(),
        Budget {
            size,
            budget,
            ..Budget::default()
        },
    )
    .expect("opened");
    for number in 0..200 {
        let small = order_of("quiet", number, 200, Timestamp::now());
        journal.append(small).await.expect("kept");
    }
    log(&journal, &positions_of(&journal, "quiet").await).await;
    let mut answered = 0;
    for number in 0..60 {
        let large = order_of("loud", number, 1 << 20, Timestamp::now());
        if journal.append(large).await.is_ok() {
            answered += 1;
            let all = positions_of(&journal, "loud").await;
            log(&journal, &all[all.len() - 1..]).await;
        }
    }
    until("the flood is removed", async || {
        positions_of(&journal, "loud").await.len() <= 16
    })
    .await;
    assert!(answered > 20, "{answered} of the flood were taken");
    assert_eq!(positions_of(&journal, "quiet").await.len(), 200);
    let gaps = |reader: &Reader| {
        Ok((
            reader.log_gap(10, None)?,
            reader.log_gap(10, Some("quiet"))?,
            reader.log_gap(10, Some("loud"))?,
            reader.log(10, 1_000, &EventFilter::default())?.rows.len(),
        ))
    };
    let (any, quiet, loud, kept) = journal.read(gaps).await.expect("read");
    assert_eq!(quiet, None, "a reader of the quiet store missed nothing");
    let gap = any.expect("a reader of all missed events");
    assert_eq!(any, loud);
    assert!(gap.removed_through > 200 && gap.oldest_kept == Some(11));
    assert!(kept >= 190, "{kept} events are left behind cursor 10");
    let later = journal.read(move |reader| reader.log_gap(gap.removed_through, None));
    assert_eq!(later.await.expect("read"), None);
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_cannot_be_published_is_refused_and_other_stores_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (size, budget) = (32 << 20, 32 << 20);
    let (journal, guard) = Journal::open(
        folder.path(),
        Budget {
            size,
            budget,
            ..Budget::default()
        },
    )
    .expect("opened");
    let mut refused = 0;
    for number in 0..60 {
        let large = order_of("loud", number, 1 << 20, Timestamp::now());
        match journal.append(large).await {
            Ok(_) => {}
            Err(JournalError::ShareUsed { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        let small = order_of("quiet", number, 1_000, Timestamp::now());
        journal.append(small).await.expect("kept");
    }
    let kept = positions_of(&journal, "loud").await.len();
    assert!(refused > 20 && kept > 12, "{refused} refused, {kept} kept");
    assert_eq!(journal.unwritable(), None);
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_something_else_fills_costs_no_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    for number in 0..50 {
        let delivery = order(number, 10_000, Timestamp::now());
        journal.append(delivery).await.expect("kept");
    }
    let all: Vec<i64> = positions(&journal).await.iter().map(|at| at.0).collect();
    log(&journal, &all).await;
    guard.close().await;
    // More than removal could ever give back.
    let budget = Budget {
        reserve: 1 << 60,
        ..Budget::default()
    };
    let (journal, guard) = Journal::open(folder.path(), budget).expect("opened");
    let refused = async || {
        journal
            .append(order(99, 9, Timestamp::now()))
            .await
            .is_err()
    };
    until("the disk counts as full", refused).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(positions_of(&journal, "store").await.len(), 50);
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_clock_a_month_ahead_removes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    for number in 0..300 {
        let delivery = order(number, 100, Timestamp::now());
        journal.append(delivery).await.expect("kept");
    }
    let all = positions(&journal).await;
    settle(&journal, all.iter().map(|(position, _)| *position)).await;
    guard.close().await;
    // The same as a clock that is ahead: everything that was stored is of a month ago.
    let file = rusqlite::Connection::open(folder.path().join("cartwire.db")).expect("opened");
    let month = 31 * 86_400_000_i64;
    file.execute(
        "UPDATE deliveries SET received_at = received_at - ?1",
        [month],
    )
    .expect("changed");
    let changed = file.execute(
        "UPDATE marks SET version = version - ?1 WHERE name = 'clock'",
        [month],
    );
    assert_eq!(changed.expect("changed"), 1, "the journal keeps its time");
    drop(file);
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(positions(&journal).await.len(), 300);
    guard.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_signed_at_another_time_is_a_fact_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    let topic = "com.wix.ecommerce.catalog.api.v1.ProductChanged";
    let append = async |at: &str| {
        let payload = r#"{"productId":"p1","changedFields":["priceData"]}"#;
        let delivery = genuine(PLATFORMS[1], "store", topic, payload, 1, instant(at));
        journal.append(delivery).await.expect("kept")
    };
    let mut keys = Vec::new();
    for at in [
        "2026-11-01T00:00:00Z",
        "2026-11-01T00:00:01Z",
        "2026-12-01T00:00:00Z",
    ] {
        let Appended::New(key) = append(at).await else {
            panic!("{at} is a duplicate")
        };
        assert_eq!(append(at).await, Appended::Duplicate(key));
        keys.push(key);
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
    guard.close().await;
}

#[test]
fn another_master_key_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = tempfile::tempdir().expect("a folder");
    let seal = Seal::load(folder.path(), None).expect("a key");
    let file = DataFile::open(folder.path()).expect("opened");
    file.unlock(&seal).expect("the first key is the key");
    file.unlock(&Seal::load(folder.path(), None).expect("the same"))
        .expect("and stays it");
    let another = Seal::load(other.path(), None).expect("another key");
    assert!(matches!(file.unlock(&another), Err(UnlockError::Seal(_))));
}

#[test]
fn the_data_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("set");
    drop(DataFile::open(folder.path()).expect("opened"));
    let mode = std::fs::metadata(folder.path().join("cartwire.db"))
        .expect("the file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_stays_locked_against_programs_that_would_remove_its_log() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("a folder");
    let (journal, guard) = Journal::open(folder.path(), Budget::default()).expect("opened");
    let inode = std::fs::metadata(folder.path().join("cartwire.db"))
        .expect("the file")
        .ino();
    for number in 0..5 {
        journal
            .append(order(number, 100, Timestamp::now()))
            .await
            .expect("kept");
        // Other connections come and go meanwhile, as the commands' and the checkpoints' do.
        drop(DataFile::open(folder.path()).expect("opened"));
    }
    let locks = std::fs::read_to_string("/proc/locks").expect("the system tells its locks");
    let ours = format!(" {} ", std::process::id());
    assert!(
        locks
            .lines()
            .any(|line| line.contains(&ours) && line.contains(&format!(":{inode} "))),
        "no lock on {inode} in\n{locks}"
    );
    guard.close().await;
}
