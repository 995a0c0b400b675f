//! The journal's limits, keys and files, on a real file with a running writer.

use std::time::Duration;

use cartwire::connections::Seal;
use cartwire::delivery::{ConnectionId, ReasonCode};
use cartwire::journal::entry::{DeliveryState, LoggedEvent, Outcome, Settlement};
use cartwire::journal::{
    Appended, Budget, DataFile, DeliveryFilter, Journal, JournalError, Reader, UnlockError,
};
use cartwire::platforms::{PLATFORMS, VerifiedDelivery};
use jiff::Timestamp;
use support::eventually;
use support::genuine::genuine;

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

pub(crate) fn order(number: u64, bytes: usize, at: Timestamp) -> VerifiedDelivery {
    order_of("store", number, bytes, at)
}

pub(crate) fn order_of(store: &str, number: u64, bytes: usize, at: Timestamp) -> VerifiedDelivery {
    let payload = format!(r#"{{"id":{number},"note":"{}"}}"#, "x".repeat(bytes));
    genuine(PLATFORMS[0], store, "order.updated", &payload, number, at)
}

/// Waits until `is` returns `true`.
pub(crate) async fn until<F: Future<Output = bool>>(condition: &str, mut is: impl FnMut() -> F) {
    eventually(condition, || {
        let met = is();
        async move { met.await.then_some(()) }
    })
    .await;
}

pub(crate) async fn positions(journal: &Journal) -> Vec<(i64, DeliveryState)> {
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
pub(crate) async fn positions_of(journal: &Journal, store: &'static str) -> Vec<i64> {
    let filter = DeliveryFilter {
        connection: Some(ConnectionId::new(store).expect("an id")),
        ..DeliveryFilter::default()
    };
    let read = move |reader: &Reader| reader.deliveries(&filter, i64::MAX, 10_000);
    let found = journal.read(read).await.expect("read");
    found.iter().rev().map(|found| found.position).collect()
}

/// Settles deliveries as `Logged`, each with one event.
pub(crate) async fn log(journal: &Journal, positions: &[i64]) {
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

pub(crate) async fn settle(journal: &Journal, positions: impl IntoIterator<Item = i64>) {
    let settlement = |position| Settlement {
        position,
        redriven: false,
        attempts: 0,
        comparison: None,
        outcome: Outcome::Ignored(ReasonCode::NoEvents.into()),
    };
    journal
        .settle(positions.into_iter().map(settlement).collect())
        .await
        .expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn unpublishable_flood_is_refused_and_other_stores_are_accepted() {
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
async fn restart_with_a_clock_a_month_ahead_removes_nothing() {
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
async fn same_content_signed_at_another_time_is_a_new_delivery() {
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
fn different_master_key_is_detected() {
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
fn data_file_is_readable_by_its_owner_only() {
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
async fn data_file_stays_locked_so_that_no_program_removes_its_wal() {
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
