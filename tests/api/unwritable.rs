//! A journal that takes nothing: 503 with `Retry-After`, not ready, and well again by itself.

use cartwire::config::ServeArgs;
use cartwire::connections::{Connection, Seal, SealedSecret};
use cartwire::journal::ConnectionChange;
use cartwire::platforms::connection_kind;
use jiff::Timestamp;
use serde_json::json;

use support::eventually;
use support::in_process::{InProcessGateway, SHOP, id, key, order};

const ORDER: &str = r#"{"id":17}"#;

/// Waits until the gateway says that it is not ready, and why.
async fn reason(gateway: &InProcessGateway) -> String {
    eventually("it is not ready", async || {
        let answer = gateway.get("/readyz").await;
        (answer.status == 503).then(|| {
            answer.json()["reason"]
                .as_str()
                .expect("a reason")
                .to_owned()
        })
    })
    .await
}

async fn assert_refused(gateway: &InProcessGateway) {
    let answer = gateway.post(SHOP, &order("order.updated", ORDER, 1)).await;
    assert_eq!(
        (answer.status, answer.text()),
        (503, r#"{"error":"unavailable"}"#)
    );
    let seconds = answer
        .header("retry-after")
        .and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(
        seconds.is_some_and(|seconds| seconds > 0),
        "it says when to come again"
    );
}

async fn assert_full(expected: &str, change: impl FnOnce(&mut ServeArgs)) {
    let mut gateway = InProcessGateway::with(change).await;
    gateway.leaves_pending = true;
    assert_eq!(reason(&gateway).await, expected);
    assert_refused(&gateway).await;
    assert!(
        gateway.kept().await.is_empty(),
        "what was refused is not stored"
    );
    assert_eq!(gateway.get("/healthz").await.status, 200, "it lives");
    // What is there is still published.
    gateway
        .events("type=cartwire.connection.connected", 3)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_deliveries_are_503_while_the_disk_is_almost_full() {
    assert_full("disk_almost_full", |args| {
        args.disk_reserve = "1000000GiB".to_owned()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_deliveries_are_503_while_the_journal_exceeds_its_budget() {
    let small = |args: &mut ServeArgs| {
        args.retain_size = "4KiB".to_owned();
        args.disk_budget = "4KiB".to_owned();
    };
    let gateway = InProcessGateway::with(small).await;
    assert_eq!(reason(&gateway).await, "journal_over_budget");
    assert_refused(&gateway).await;
    assert!(
        gateway.kept().await.is_empty(),
        "what was refused is not stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unwritable_journal_is_503_and_recovers_without_a_restart() {
    let gateway = InProcessGateway::start().await;
    gateway.order("order.updated", r#"{"id":1}"#, 1).await;
    gateway.events("subject=order/1", 1).await;
    assert_eq!(
        gateway.get("/readyz").await.json(),
        json!({"status": "ready"})
    );

    // Another process locks the file for longer than the journal waits for the lock.
    let intruder = rusqlite::Connection::open(gateway.folder().join(cartwire::database::DATA_FILE))
        .expect("the data file");
    intruder.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    assert_refused(&gateway).await;
    assert_eq!(reason(&gateway).await, "journal_failing");
    assert_refused(&gateway).await;
    assert_eq!(
        gateway.events("subject=order/1", 1).await.len(),
        1,
        "what is there can be read"
    );
    assert_eq!(
        gateway.kept().await.len(),
        1,
        "what was refused is not stored"
    );

    intruder
        .execute_batch("ROLLBACK")
        .expect("the lock is gone");
    drop(intruder);
    eventually("it is ready again", async || {
        (gateway.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(
        gateway
            .post(SHOP, &order("order.updated", ORDER, 1))
            .await
            .word(),
        "accepted"
    );
    gateway.events("subject=order/17", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn undecryptable_key_is_503_and_never_401() {
    let gateway = InProcessGateway::start().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let another = Seal::load(elsewhere.path(), None).expect("another master key");
    let (platform, kind) = connection_kind("woocommerce").expect("a kind");
    let broken = Connection::new(id("broken"), platform.name(), kind.name, Timestamp::now());
    let secret = SealedSecret::new(
        &another,
        &broken.id,
        "webhook-secret",
        &key("woocommerce", "signing").into(),
    )
    .expect("sealed");
    gateway.change(&ConnectionChange::Add(broken, vec![secret]));
    let answer = eventually("the connection is known", async || {
        let answer = gateway
            .post(
                "/webhooks/woocommerce/broken",
                &order("order.updated", ORDER, 1),
            )
            .await;
        (answer.status != 404).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.header("retry-after").is_some(),
        "it says when to come again"
    );
    assert!(
        gateway.kept().await.is_empty(),
        "nothing is stored unproved"
    );
    assert_eq!(
        gateway
            .post(SHOP, &order("order.updated", ORDER, 1))
            .await
            .word(),
        "accepted",
        "the others go on"
    );
}
