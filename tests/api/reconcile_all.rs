//! Changes that move no date are found by reading all entities: sales, and deletions that skip the trash.

use cartwire::reconcile::{EntityReport, ReconcileRequest};
use serde_json::{Value, json};
use support::in_process::InProcessGateway;
use support::woocommerce::{self as shop, Fault, Shop};

use crate::reconcile::{SHOP, changed, orders, read, reading, send};

fn of(entity: &str) -> ReconcileRequest {
    ReconcileRequest {
        entity: Some(entity.to_owned()),
        ..ReconcileRequest::default()
    }
}

/// Reads the lists of an entity, and returns the report about one of them.
async fn read_list(gateway: &InProcessGateway, entity: &str, list: &str) -> EntityReport {
    let report = read(gateway, of(entity)).await;
    let mut lists = report.entities.into_iter();
    let found = lists.find(|report| report.entity == list);
    found.expect("the list was read")
}

fn product(quantity: i32) -> Value {
    json!({
        "id": 5, "name": "Mug", "type": "simple", "status": "publish", "price": "4.00", "regular_price": "4.00",
        "manage_stock": true, "stock_quantity": quantity, "stock_status": if quantity > 0 { "instock" } else { "outofstock" },
        "date_created_gmt": "2026-01-01T10:00:00", "date_modified_gmt": "2026-01-01T10:00:00",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn sale_that_moves_no_date_is_found_once() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    send(&gateway, "product.updated", &product(2), 1).await;
    shop.keep("products", product(0));
    let found = read_list(&gateway, "product", "all_products").await;
    assert_eq!(found.late.ids, ["5"], "{found:?}");
    let query = format!("connection={SHOP}&subject=inventory/5");
    let events = gateway.events(&query, 1).await;
    assert_eq!(events[0]["type"], "cartwire.inventory.out_of_stock");
    assert_eq!(events[0]["origin"], "reconcile");
    let found = read_list(&gateway, "product", "all_products").await;
    assert_eq!((found.read, found.late.count), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_that_skips_the_trash_is_published_once() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    for (id, nonce) in [(8, 1), (9, 2), (10, 3), (120, 4)] {
        let order = changed(id, 600, "processing");
        send(&gateway, "order.created", &order, nonce).await;
        if id == 8 || id == 10 {
            shop.keep("orders", order);
        }
    }
    let found = read_list(&gateway, "order", "order_ids").await;
    assert_eq!(
        (found.read, found.deleted.ids),
        (2, vec!["9".to_owned(), "120".to_owned()])
    );
    let mut events = orders(&gateway, 6).await.split_off(4);
    events.sort();
    assert_eq!(events, ["deleted 120 reconcile", "deleted 9 reconcile"]);
    let again = read_list(&gateway, "order", "order_ids").await;
    assert_eq!(again.deleted.count, 0);
    assert_eq!(orders(&gateway, 6).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_that_a_list_lacks_is_not_deleted_if_the_store_has_it() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    for id in [8, 9] {
        let order = changed(id, 600, "processing");
        send(&gateway, "order.created", &order, id).await;
        shop.keep("orders", order);
    }
    send(
        &gateway,
        "order.created",
        &changed(10, 600, "processing"),
        10,
    )
    .await;
    shop.fail(Fault::HiddenInLists(9));
    let found = read_list(&gateway, "order", "order_ids").await;
    assert_eq!((found.read, found.deleted.ids), (1, vec!["10".to_owned()]));
    let gaps = gateway.get(&format!("/api/connections/{SHOP}/gaps")).await;
    assert_eq!(gaps.json()["days"][0]["deleted"], json!(["order/10"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_fill_more_than_a_page() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    for id in 1..=250 {
        shop.keep("coupons", json!({"id": id, "code": format!("c{id}")}));
    }
    let gone = json!({"id": 150, "code": "c150", "amount": "5.00"});
    send(&gateway, "coupon.created", &gone, 1).await;
    shop.lose("coupons", 150);
    let found = read_list(&gateway, "coupon", "coupon_ids").await;
    assert_eq!(
        (found.read, found.deleted.ids),
        (249, vec!["150".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn list_that_cannot_be_read_keeps_no_other_list_unread() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    shop.fail(Fault::HtmlFor("orders"));
    let report = read(&gateway, ReconcileRequest::default()).await;
    let result = |name: &str| {
        let list = report.entities.iter().find(|list| list.entity == name);
        list.map(|list| list.failure.as_deref())
    };
    assert_eq!(result("order"), Some(Some("no_json")));
    assert_eq!(
        (result("product"), result("coupon")),
        (Some(None), Some(None))
    );
    shop.fail(Fault::ServerError);
    let report = read(&gateway, ReconcileRequest::default()).await;
    assert_eq!(report.entities.len(), 1, "the store is away");
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_that_moves_no_date_is_found_once() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    let mut order = changed(8, 600, "completed");
    order["refunds"] = json!([]);
    send(&gateway, "order.created", &order, 1).await;
    let published = orders(&gateway, 1).await.len();
    order["refunds"] = json!([{"id": 9, "reason": "", "total": "-5.00"}]);
    shop.keep("orders", order);
    // An order from before the list, which must not count as deleted.
    let mut old = changed(7, 600, "completed");
    old["date_created_gmt"] = json!("2026-01-01T10:00:00");
    send(&gateway, "order.created", &old, 2).await;
    shop.keep("orders", old);
    let found = read_list(&gateway, "order", "recent_orders").await;
    assert_eq!((found.read, found.late.ids), (1, vec!["8".to_owned()]));
    let events = orders(&gateway, published + 3).await;
    assert!(
        events.contains(&"refunded 8 reconcile".to_owned()),
        "{events:?}"
    );
    let found = read_list(&gateway, "order", "recent_orders").await;
    assert_eq!((found.late.count, found.deleted.count), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_returns_to_an_earlier_quantity_is_found_each_time() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    send(&gateway, "product.updated", &product(5), 1).await;
    for (sales, quantity) in [(1, 4), (2, 5), (3, 4)] {
        shop.keep("products", product(quantity));
        let found = read_list(&gateway, "product", "all_products").await;
        assert_eq!(found.late.ids, ["5"], "{sales}");
        let query = format!("connection={SHOP}&type=cartwire.product.updated");
        gateway.events(&query, sales + 1).await;
    }
}
