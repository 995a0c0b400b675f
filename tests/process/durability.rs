//! The real program, killed at random moments under load: what it answered 200 must be there afterwards, once and in order.
//!
//! `CARTWIRE_KILL_ROUNDS` says how often (6), `CARTWIRE_SEED` repeats a run's choices. It does without a broker and reads the
//! event log; with one, and with power cuts that take what was not synced, it goes on in `tests/faults`.

use std::path::Path;
use std::time::Duration;

use support::process::ProcessGateway;
use support::store::{Load, Order};
use support::{Dice, number};

/// Lets some webhooks be answered and then a moment pass that falls anywhere in what the gateway does.
async fn some_moment(load: &Load, dice: &mut Dice) {
    load.more(20 + u32::try_from(dice.below(120)).unwrap_or_default())
        .await;
    tokio::time::sleep(Duration::from_micros(dice.below(20_000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateway_keeps_accepted_deliveries_once_and_in_order() {
    let mut dice = Dice::from_environment();
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let load = gateway.store().load(&Order::some(24));
    for _ in 0..number("CARTWIRE_KILL_ROUNDS").unwrap_or(6) {
        some_moment(&load, &mut dice).await;
        gateway.kill();
        gateway.start().await;
    }
    load.more(50).await;
    let ledger = load.stop().await;
    gateway.settled().await;
    let exported = gateway.exported_events();
    ledger.assert_told_once_by(&exported);
    assert_eq!(
        gateway.events_by_api().await,
        exported,
        "the admin API tells the same as the command"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_repeated_after_a_kill_is_published_once() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let store = gateway.store();
    let first = store.send_all(&Order::some(10), 0, 5).await;
    gateway.kill();
    gateway.start().await;
    let again = store.send_all(&Order::some(10), 0, 5).await;
    assert_eq!(
        first.deliveries(),
        again.deliveries(),
        "the same delivery has the same id, whatever crashed"
    );
    gateway.settled().await;
    first.assert_told_once_by(&gateway.exported_events());
}

/// Copies the data file and its log while they are written, as a snapshot of the file system would hold them: an open
/// reader keeps the log from being restarted between the two.
fn copy_while_written(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder for the copy");
    let file = cartwire::database::DATA_FILE;
    let reader = rusqlite::Connection::open(from.join(file)).expect("the data file opens");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")
        .expect("it can be read");
    for name in [
        file.to_owned(),
        format!("{file}-wal"),
        "master.key".to_owned(),
    ] {
        std::fs::copy(from.join(&name), to.join(&name)).expect("a file is copied");
    }
    reader.execute_batch("COMMIT").expect("the reader ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_of_the_data_folder_made_under_load_is_complete() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    let store = gateway.store();
    // What was answered before the copy must be in it.
    let before = store.send_all(&Order::some(10), 0, 20).await;
    let busy: Vec<Order> = (1..17).map(Order::Shop).collect();
    let load = store.load(&busy);
    load.more(100).await;
    let folder = tempfile::tempdir().expect("a folder");
    copy_while_written(gateway.data(), &folder.path().join("data"));
    load.more(50).await;
    let during = load.stop().await;
    gateway.settled().await;
    before
        .clone()
        .and(during)
        .assert_told_once_by(&gateway.exported_events());
    drop(gateway);

    let data = rusqlite::Connection::open(
        folder
            .path()
            .join("data")
            .join(cartwire::database::DATA_FILE),
    )
    .expect("the copy opens");
    let check: String = data
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("it can be checked");
    assert_eq!(check, "ok");
    drop(data);
    let mut copy = ProcessGateway::on_copy(folder);
    copy.start().await;
    copy.settled().await;
    let events = copy.exported_events();
    let wanted = before.partition_keys();
    let (reported, busy): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| {
        event["partitionkey"]
            .as_str()
            .is_some_and(|key| wanted.contains(key))
    });
    before.assert_told_once_by(&reported);
    assert!(
        busy.len() >= 100,
        "what was answered under load before the copy is there, too"
    );
    // And it goes on: what comes again is known, what is new is taken.
    let after = copy.store().send_all(&Order::some(10), 19, 22).await;
    copy.settled().await;
    let reported: Vec<_> = copy
        .exported_events()
        .into_iter()
        .filter(|event| wanted.contains(event["partitionkey"].as_str().unwrap_or_default()))
        .collect();
    before.and(after).assert_told_once_by(&reported);
}
