//! A polled site that answers wrongly, and a connection that is removed and added again.

use cartwire::journal::{ConnectionChange, Reader};
use support::eventually;
use support::in_process::id;
use support::wix::{Failure, Wixapis};

use crate::polling::{BEGIN, ORDERS, SITE, connect_site, events, order, polling, world};

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_was_removed_and_added_again_is_read_again() {
    let wix = Wixapis::start(world(
        "V1_CATALOG",
        &[(ORDERS, vec![order("o1", 400, "PAID")])],
    ));
    let gateway = polling(&wix, BEGIN).await;
    assert_eq!(events(&gateway, SITE, 1).await, ["order.created o1"]);
    gateway.change(&ConnectionChange::Remove(id(SITE)));
    connect_site(&gateway, &wix, BEGIN).await;
    let query = format!("connection={SITE}&type=cartwire.order.created");
    let orders = gateway.events(&query, 2).await;
    assert_ne!(orders[0]["id"], orders[1]["id"]);
    let reader = Reader::open(gateway.folder()).expect("the data file");
    let reads = eventually("all lists are read", async || {
        let reads = reader.store_reads(&id(SITE)).expect("the reads");
        (reads.len() == 7).then_some(reads)
    })
    .await;
    assert!(reads.iter().all(|read| read.failure.is_none()), "{reads:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_cursor_and_outage_repeat_and_lose_nothing() {
    let mut world = world("STORES_NOT_INSTALLED", &[]);
    world.rows_a_page = 2;
    let rows = (0..7).map(|n| order(&format!("o{n}"), 400 - n, "PAID"));
    world.lists.insert(ORDERS.to_owned(), rows.collect());
    let wix = Wixapis::start(world);
    // The first request succeeds, and the cursor of the second one is refused.
    wix.fail_after(ORDERS, 1, Failure::Status(400), 1);
    wix.fail_after(ORDERS, 3, Failure::Html(202, "<html>captcha</html>"), 1);
    wix.fail_after(ORDERS, 5, Failure::CutOff, 1);
    let gateway = polling(&wix, BEGIN).await;
    let orders = events(&gateway, SITE, 7).await;
    let expected: Vec<_> = (0..7).map(|n| format!("order.created o{n}")).collect();
    assert_eq!(orders, expected);
}
