//! The journal's retention: what is removed by age, by size and for a full disk.

use std::time::Duration;

use cartwire::journal::entry::DeliveryState;
use cartwire::journal::{Budget, EventFilter, Journal, Reader};
use jiff::Timestamp;

use crate::journal::{instant, log, order, order_of, positions, positions_of, settle, until};

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_old_settled_entries_and_keeps_pending_ones() {
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
async fn retention_by_size_removes_the_oldest_until_the_size_fits() {
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
async fn disk_filled_by_other_files_loses_no_event() {
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
