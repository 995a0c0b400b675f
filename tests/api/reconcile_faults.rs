//! A store that answers wrongly while it is read loses nothing, and nothing is deleted by mistake.

use std::time::Duration;

use cartwire::reconcile::{ReconcileRequest, StoreReport};
use serde_json::{Value, json};
use support::in_process::InProcessGateway;
use support::woocommerce::{self as shop, Fault, ListFault, Shop};

use crate::reconcile::{SHOP, changed, orders, read, reading, send};

const COUNT: u64 = 230;

fn all_of_orders() -> ReconcileRequest {
    ReconcileRequest {
        entity: Some("order".to_owned()),
        ..ReconcileRequest::default()
    }
}

/// A store with orders that its webhooks did not report, and one that they did.
async fn store_with_orders() -> (Shop, InProcessGateway) {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    let known = changed(1, 65, "processing");
    send(&gateway, "order.created", &known, 1).await;
    shop.keep("orders", known);
    for id in 2..=COUNT {
        // Several orders of each second, in the window of the first read.
        let age = 65 + i64::try_from(id % 40).expect("a small number");
        shop.keep("orders", changed(id, age, "processing"));
    }
    (shop, gateway)
}

fn failures(report: &StoreReport) -> usize {
    let lists = report.entities.iter();
    lists.filter(|list| list.failure.is_some()).count()
}

/// Each order is published once, and none is deleted.
async fn assert_published_once(gateway: &InProcessGateway, fault: ListFault) {
    let count = usize::try_from(COUNT).expect("a small number");
    let mut published = orders(gateway, count).await;
    published.sort();
    published.dedup();
    assert_eq!(published.len(), count, "{fault:?}");
    assert!(
        published.iter().all(|event| event.starts_with("created ")),
        "{fault:?}"
    );
    let query = format!("connection={SHOP}&type=cartwire.order.*");
    let events: Vec<Value> = gateway.events(&query, count).await;
    assert_eq!(events.len(), count, "{fault:?}");
    let gaps = gateway.get(&format!("/api/connections/{SHOP}/gaps")).await;
    let day = &gaps.json()["days"][0];
    assert_eq!(day["missing"].as_array().map(Vec::len), Some(count - 1));
    assert_eq!((&day["late"], &day["deleted"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_that_cannot_be_read_stops_the_read_which_goes_on_there() {
    for fault in [ListFault::Captcha, ListFault::Cut, ListFault::ServerError] {
        let (shop, gateway) = store_with_orders().await;
        shop.fail(Fault::InLists(fault));
        let report = read(&gateway, all_of_orders()).await;
        assert!(failures(&report) > 0, "{fault:?}");
        assert_eq!(report.entities[0].read, 100, "{fault:?}");
        shop.fail(Fault::None);
        let report = read(&gateway, all_of_orders()).await;
        assert_eq!(failures(&report), 0, "{report:?}");
        assert_published_once(&gateway, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_order_count_and_repeated_rows_lose_and_delete_nothing() {
    for fault in [
        ListFault::Reversed,
        ListFault::Repeated,
        ListFault::CountsNone,
        ListFault::CountsTooMany,
    ] {
        let (shop, gateway) = store_with_orders().await;
        shop.fail(Fault::InLists(fault));
        let report = read(&gateway, all_of_orders()).await;
        assert_eq!(failures(&report), 0, "{fault:?} {report:?}");
        assert_published_once(&gateway, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_page_hides_are_not_deleted_and_the_list_goes_on() {
    let (shop, gateway) = store_with_orders().await;
    shop.fail(Fault::InLists(ListFault::Short));
    let report = read(&gateway, all_of_orders()).await;
    assert_eq!(failures(&report), 0, "{report:?}");
    assert!(report.entities[0].missing.count > 200, "{report:?}");
    let deleted: u64 = report.entities.iter().map(|list| list.deleted.count).sum();
    assert_eq!(deleted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_store_that_is_always_read_is_also_read_on_request() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "1").await;
    shop.keep("orders", changed(1, 90, "processing"));
    shop.fail(Fault::Slow(Duration::from_millis(700)));
    assert_eq!(orders(&gateway, 1).await, ["created 1 reconcile"]);
    let customers = ReconcileRequest {
        entity: Some("customer".to_owned()),
        ..ReconcileRequest::default()
    };
    let report = read(&gateway, customers).await;
    assert_eq!(report.entities[0].failure, None);
}
