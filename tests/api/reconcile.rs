//! What a store failed to send is found by reading it, and published once.

use cartwire::journal::{DataFile, Reader};
use cartwire::reconcile::{EntityReport, ReconcileRequest, StoreReport};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use support::eventually;
use support::in_process::{InProcessGateway, key, order};
use support::woocommerce::{self as shop, Fault, Shop};

pub(crate) const SHOP: &str = "read-shop";

pub(crate) async fn reading(store: &Shop, interval_seconds: &str) -> InProcessGateway {
    let gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.reconcile_interval_seconds = interval_seconds.to_owned();
    })
    .await;
    let secret = key("woocommerce", "verification");
    let secrets = [
        ("webhook-secret", secret.as_str()),
        ("consumer-key", shop::KEY),
        ("consumer-secret", shop::SECRET),
    ];
    let url = [("url", store.url.as_str())];
    gateway.connect("woocommerce", SHOP, &url, &secrets).await;
    gateway
}

/// An order that was changed this long ago.
pub(crate) fn changed(id: u64, seconds_ago: i64, status: &str) -> Value {
    let time = |seconds| {
        let time = Timestamp::now() - SignedDuration::from_secs(seconds);
        time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
    };
    json!({
        "id": id, "number": id.to_string(), "status": status, "currency": "EUR", "total": "19.90",
        "date_created_gmt": time(seconds_ago), "date_modified_gmt": time(seconds_ago),
    })
}

pub(crate) async fn send(gateway: &InProcessGateway, topic: &str, payload: &Value, nonce: u64) {
    let request = order(topic, &payload.to_string(), nonce);
    let path = format!("/webhooks/woocommerce/{SHOP}");
    let answer = gateway.post(&path, &request).await;
    gateway.settled(&answer.delivery()).await;
}

/// Reads the shop as the command does, and returns its report.
pub(crate) async fn read(gateway: &InProcessGateway, request: ReconcileRequest) -> StoreReport {
    let text = serde_json::to_string(&request).expect("JSON");
    let mut file = DataFile::open(gateway.folder()).expect("the data file");
    let id = file.request_reconcile(&text).expect("a request");
    let reader = Reader::open(gateway.folder()).expect("the data file");
    eventually("the shop is read", async || {
        let report = reader.reconcile_report(id).expect("the data file")?;
        let reports: Vec<StoreReport> = serde_json::from_str(&report).expect("a report");
        reports.into_iter().find(|report| report.connection == SHOP)
    })
    .await
}

fn since_an_hour() -> ReconcileRequest {
    ReconcileRequest {
        since: Some(Timestamp::now() - SignedDuration::from_hours(1)),
        entity: Some("order".to_owned()),
        ..ReconcileRequest::default()
    }
}

/// The events of orders, as verb and number.
pub(crate) async fn orders(gateway: &InProcessGateway, count: usize) -> Vec<String> {
    let query = format!("connection={SHOP}&type=cartwire.order.*");
    let events = gateway.events(&query, count).await;
    let name = |event: &Value| {
        let verb = event["type"].as_str().unwrap_or_default();
        let verb = verb.trim_start_matches("cartwire.order.");
        let id = &event["data"]["order"]["id"];
        format!(
            "{verb} {} {}",
            id.as_str().unwrap_or_default(),
            event["origin"].as_str().unwrap_or_default()
        )
    };
    events.iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_late_and_deleted_orders_are_found_and_published_once() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    let equal = changed(1, 600, "processing");
    send(&gateway, "order.created", &equal, 1).await;
    send(&gateway, "order.created", &changed(3, 900, "pending"), 2).await;
    send(&gateway, "order.created", &changed(4, 900, "processing"), 3).await;
    shop.keep("orders", equal);
    let missing = changed(2, 500, "processing");
    shop.keep("orders", missing.clone());
    shop.keep("orders", changed(3, 400, "completed"));
    shop.keep("orders", changed(4, 300, "trash"));
    // Changed before the time of the request.
    shop.keep("orders", changed(5, 7200, "processing"));

    let dry_run = ReconcileRequest {
        dry_run: true,
        ..since_an_hour()
    };
    let report = read(&gateway, dry_run).await;
    assert_eq!(report.skipped, None);
    let found = &report.entities[0];
    assert_eq!((found.read, found.failure.as_deref()), (4, None));
    assert_eq!(found.missing.ids, ["2"]);
    assert_eq!(found.late.ids, ["3"]);
    assert_eq!(found.deleted.ids, ["4"]);
    assert_eq!(
        orders(&gateway, 3).await.len(),
        3,
        "a dry run publishes nothing"
    );

    read(&gateway, since_an_hour()).await;
    let mut events = orders(&gateway, 8).await.split_off(3);
    events.sort();
    assert_eq!(
        events,
        [
            "created 2 reconcile",
            "deleted 4 reconcile",
            "fulfilled 3 reconcile",
            "status_changed 3 reconcile",
            "updated 3 reconcile"
        ]
    );
    let report = read(&gateway, since_an_hour()).await;
    let again = &report.entities[0];
    assert!(again.missing.count + again.late.count + again.deleted.count == 0);
    // The webhook arrives after all.
    send(&gateway, "order.created", &missing, 9).await;
    assert_eq!(orders(&gateway, 8).await.len(), 8);

    let gaps = gateway.get(&format!("/api/connections/{SHOP}/gaps")).await;
    let gaps = gaps.json();
    let all = |gap: &str| -> Vec<Value> {
        let days = gaps["days"].as_array().expect("days").iter();
        days.flat_map(|day| day[gap].as_array().expect("ids").clone())
            .collect()
    };
    assert_eq!(all("missing"), [json!("order/2")]);
    assert_eq!(all("late"), [json!("order/3")]);
    assert_eq!(all("deleted"), [json!("order/4")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_one_second_fill_more_than_a_page() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    for id in 1..=250 {
        shop.keep("orders", changed(id, 600, "processing"));
    }
    let report = read(&gateway, since_an_hour()).await;
    assert_eq!(report.entities[0].missing.count, 250);
    assert_eq!(orders(&gateway, 250).await.len(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_gateway_reads_stores_by_itself_and_continues_after_faults() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "1").await;
    for fault in [Fault::Html, Fault::ServerError, Fault::CutOff] {
        shop.fail(fault);
        let requested = shop.requests().len();
        eventually("the shop gets a request", async || {
            (shop.requests().len() > requested).then_some(())
        })
        .await;
    }
    shop.keep("orders", changed(8, 90, "processing"));
    shop.keep(
        "customers",
        json!({"id": 3, "email": "old@b.example", "date_modified_gmt": "2020-01-01T00:00:00"}),
    );
    shop.fail(Fault::None);
    assert_eq!(orders(&gateway, 1).await, ["created 8 reconcile"]);
    let reader = Reader::open(gateway.folder()).expect("the data file");
    let id = cartwire::delivery::ConnectionId::new(SHOP).expect("an id");
    eventually("all entities are read", async || {
        let reads = reader.store_reads(&id).expect("the data file");
        let is_finished = |read: &cartwire::journal::StoreRead| read.finished_at.is_some();
        (reads.len() == 3 && reads.iter().all(is_finished)).then_some(())
    })
    .await;
    // A customer from before the store was connected is no gap.
    let customers = ReconcileRequest {
        entity: Some("customer".to_owned()),
        ..ReconcileRequest::default()
    };
    let report = read(&gateway, customers).await;
    assert_eq!(report.entities[0].read, 1);
    let query = format!("connection={SHOP}&type=cartwire.customer.*");
    assert!(gateway.events(&query, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_row_is_a_dead_letter_and_the_read_goes_on() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    let mut unreadable = changed(1, 600, "processing");
    unreadable["line_items"] = json!(vec![json!({}); 60_000]);
    shop.keep("orders", unreadable);
    shop.keep("orders", changed(2, 500, "processing"));
    let report = read(&gateway, since_an_hour()).await;
    let found = &report.entities[0];
    assert_eq!((found.unreadable, found.failure.as_deref()), (1, None));
    assert_eq!(found.missing.ids, ["2"]);
    eventually("a dead letter", async || {
        let page = gateway
            .get("/api/deliveries?state=dead_lettered")
            .await
            .json();
        (page["deliveries"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_with_a_time_of_its_own_leaves_the_scheduled_read_as_it_is() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    shop.keep("orders", changed(2, 500, "processing"));
    let reader = Reader::open(gateway.folder()).expect("the data file");
    let connection = support::in_process::id(SHOP);
    let progress = || reader.store_reads(&connection).expect("the data file");
    let found = read(&gateway, since_an_hour()).await;
    assert_eq!(found.entities[0].missing.count, 1);
    assert_eq!(progress(), []);
    read(&gateway, ReconcileRequest::default()).await;
    let before = progress();
    assert!(before.iter().any(|read| read.entity == "order"));
    read(&gateway, since_an_hour()).await;
    assert_eq!(progress(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_store_with_a_wrong_clock_are_found() {
    for lead in [-3600, 3600] {
        let shop = Shop::start(shop::Options {
            clock_lead: lead,
            ..shop::Options::default()
        });
        let gateway = reading(&shop, "0").await;
        // Changed 90 seconds ago, in the time of the store.
        shop.keep("orders", changed(2, 90 - lead, "processing"));
        let found = read(&gateway, ReconcileRequest::default()).await;
        assert_eq!(found.entities[0].missing.ids, ["2"], "{lead}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_publishes_the_past_and_reports_no_gap() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    send(&gateway, "order.created", &changed(1, 600, "processing"), 1).await;
    for (id, age) in [(1, 600), (2, 7200), (3, 400_000)] {
        shop.keep("orders", changed(id, age, "processing"));
    }
    let backfill = || ReconcileRequest {
        is_backfill: true,
        since: Some(Timestamp::now() - SignedDuration::from_hours(24)),
        ..ReconcileRequest::default()
    };
    let report = read(&gateway, backfill()).await;
    let of_orders = &report.entities[0];
    assert_eq!((of_orders.read, of_orders.failure.as_deref()), (2, None));
    assert_eq!(of_orders.missing.ids, ["2"]);
    let is_of_ids = |report: &EntityReport| report.entity.ends_with("_ids");
    assert!(!report.entities.iter().any(is_of_ids));
    assert_eq!(
        orders(&gateway, 2).await,
        ["created 1 webhook", "created 2 poll"]
    );
    let gaps = gateway.get(&format!("/api/connections/{SHOP}/gaps")).await;
    let day = &gaps.json()["days"][0];
    assert_eq!((&day["polled"], &day["missing"]), (&json!(1), &json!([])));
}
