//! Stores that send no webhooks are followed by reading them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use support::eventually;
use support::in_process::InProcessGateway;
use support::wix::{ACCOUNT_ID, API_KEY, SITE_ID, Wixapis, World};
use support::woocommerce::{self as shop, Shop};

use crate::reconcile::changed;

pub(crate) const SITE: &str = "polled-site";
pub(crate) const ORDERS: &str = "/ecom/v1/orders/search";
const CONTACTS: &str = "/contacts/v4/contacts/query";
const PRODUCTS_V1: &str = "/stores-reader/v1/products/query";
const INVENTORY_V1: &str = "/stores-reader/v2/inventoryItems/query";
const COLLECTIONS_V1: &str = "/stores-reader/v1/collections/query";
const PRODUCTS_V3: &str = "/stores/v3/products/query";
const INVENTORY_V3: &str = "/stores/v3/inventory-items/query";

pub(crate) fn ago(seconds: i64) -> String {
    (Timestamp::now() - SignedDuration::from_secs(seconds)).to_string()
}

pub(crate) fn order(id: &str, seconds_ago: i64, payment_status: &str) -> Value {
    json!({
        "id": id, "number": "10001", "currency": "EUR", "status": "APPROVED",
        "paymentStatus": payment_status, "fulfillmentStatus": "NOT_FULFILLED",
        "priceSummary": {"total": {"amount": "19.90"}},
        "createdDate": ago(600), "updatedDate": ago(seconds_ago),
    })
}

fn contact(id: &str) -> Value {
    json!({
        "id": id, "revision": 1, "createdDate": ago(500), "updatedDate": ago(500),
        "info": {"name": {"first": "Ida"}}, "primaryInfo": {"email": "ida@hafen.example"},
    })
}

/// A gateway that polls each second, with a site that is followed from this time on.
pub(crate) async fn polling(wix: &Wixapis, from: &str) -> InProcessGateway {
    let gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.reconcile_interval_seconds = "0".to_owned();
        args.poll_interval_seconds = "1".to_owned();
    })
    .await;
    connect_site(&gateway, wix, from).await;
    gateway
}

pub(crate) async fn connect_site(gateway: &InProcessGateway, wix: &Wixapis, from: &str) {
    let settings = [
        ("site_id", SITE_ID),
        ("account_id", ACCOUNT_ID),
        ("api_base", wix.url.as_str()),
        ("poll_from", from),
    ];
    let secrets = [("api-key", API_KEY)];
    gateway.connect("wix-site", SITE, &settings, &secrets).await;
}

pub(crate) fn world(catalog_version: &str, lists: &[(&str, Vec<Value>)]) -> World {
    let lists = lists.iter().cloned();
    World {
        catalog_version: catalog_version.to_owned(),
        lists: lists.map(|(path, rows)| (path.to_owned(), rows)).collect(),
        ..World::default()
    }
}

/// The events of a connection's entities, as type and id, in the order of their names.
pub(crate) async fn events(
    gateway: &InProcessGateway,
    connection: &str,
    count: usize,
) -> Vec<String> {
    let events = gateway
        .events(&format!("connection={connection}"), count + 1)
        .await;
    let is_of_entity = |event: &&Value| event["type"] != "cartwire.connection.connected";
    let name = |event: &Value| {
        assert_eq!(event["origin"], "poll", "{event}");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let kind = text("type").replace("cartwire.", "");
        let id = text("subject");
        let id = id.split('/').next_back().unwrap_or_default();
        format!("{kind} {id}")
    };
    let mut names: Vec<_> = events.iter().filter(is_of_entity).map(name).collect();
    names.sort();
    names
}

pub(crate) const BEGIN: &str = "1970-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn site_with_catalog_v1_is_followed() {
    let item = json!({
        "id": "i1", "productId": "p1", "numericId": "3", "trackQuantity": true, "lastUpdated": ago(300),
        "variants": [{"variantId": "00000000-0000-0000-0000-000000000000", "inStock": true, "quantity": 4}],
    });
    let product = json!({
        "id": "p1", "numericId": "9", "name": "Mug", "productType": "physical", "visible": true,
        "priceData": {"currency": "EUR", "price": 4.5, "discountedPrice": 4.5}, "lastUpdated": ago(300),
    });
    let wix = Wixapis::start(world(
        "V1_CATALOG",
        &[
            (ORDERS, vec![order("o1", 400, "NOT_PAID")]),
            (CONTACTS, vec![contact("c1")]),
            (PRODUCTS_V1, vec![product]),
            (INVENTORY_V1, vec![item.clone()]),
            (COLLECTIONS_V1, vec![json!({"id": "l1", "name": "Mugs"})]),
        ],
    ));
    let gateway = polling(&wix, BEGIN).await;
    assert_eq!(
        events(&gateway, SITE, 5).await,
        [
            "collection.updated l1",
            "customer.created c1",
            "inventory.updated i1",
            "order.created o1",
            "product.updated p1"
        ]
    );
    let subject = format!("connection={SITE}&subject=product/p1");
    let product = &gateway.events(&subject, 1).await[0];
    assert_eq!(product["authority"], "full");
    assert_eq!(
        product["data"]["product"]["price"],
        json!({"amount": "4.5", "currency": "EUR"})
    );
    let subject = format!("connection={SITE}&subject=inventory/i1");
    let stock = &gateway.events(&subject, 1).await[0];
    assert_eq!(stock["data"]["inventory"]["quantity"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn site_with_catalog_v3_is_followed() {
    let mut world = world(
        "V3_CATALOG",
        &[
            (
                PRODUCTS_V3,
                vec![json!({
                    "id": "p3", "name": "Mug", "productType": "PHYSICAL", "visible": true, "revision": "1",
                    "createdDate": ago(900), "updatedDate": ago(300),
                })],
            ),
            (
                INVENTORY_V3,
                vec![json!({
                    "id": "i3", "productId": "p3", "variantId": "v", "quantity": 2, "trackQuantity": true,
                    "availabilityStatus": "IN_STOCK", "createdDate": ago(900), "updatedDate": ago(300),
                })],
            ),
        ],
    );
    let whole = json!({"product": {
        "id": "p3", "name": "Mug", "productType": "PHYSICAL", "visible": true, "revision": "1", "currency": "EUR",
        "actualPriceRange": {"minValue": {"amount": "4.50"}, "maxValue": {"amount": "4.50"}},
        "variantsInfo": {"variants": [{"id": "v", "sku": "MUG", "price": {"actualPrice": {"amount": "4.50"}}}]},
        "createdDate": ago(900), "updatedDate": ago(300),
    }});
    world
        .answers
        .insert("GET /stores/v3/products/p3".to_owned(), whole);
    let wix = Wixapis::start(world);
    let gateway = polling(&wix, BEGIN).await;
    assert_eq!(
        events(&gateway, SITE, 2).await,
        ["inventory.updated i3", "product.created p3"]
    );
    let subject = format!("connection={SITE}&subject=product/p3");
    let product = &gateway.events(&subject, 1).await[0];
    assert_eq!(
        product["authority"], "full",
        "fetched as for a thin webhook"
    );
    assert_eq!(product["data"]["product"]["variants"][0]["sku"], "MUG");
}

#[tokio::test(flavor = "multi_thread")]
async fn order_that_is_paid_between_two_polls_has_one_paid_event() {
    let wix = Wixapis::start(world("STORES_NOT_INSTALLED", &[]));
    let gateway = polling(&wix, &ago(60)).await;
    let set = |row: Value| {
        wix.change(|world| drop(world.lists.insert(ORDERS.to_owned(), vec![row])));
    };
    let new = |payment_status: &str, total: &str| {
        let mut order = order("o1", 0, payment_status);
        order["createdDate"] = json!(ago(0));
        order["priceSummary"]["total"]["amount"] = json!(total);
        order
    };
    set(new("NOT_PAID", "19.90"));
    assert_eq!(events(&gateway, SITE, 1).await, ["order.created o1"]);
    set(new("PAID", "19.90"));
    let after_payment = events(&gateway, SITE, 3).await;
    assert_eq!(
        after_payment,
        ["order.created o1", "order.paid o1", "order.updated o1"]
    );
    set(new("PAID", "21.90"));
    assert_eq!(events(&gateway, SITE, 4).await.len(), 4);
    let paid = format!("connection={SITE}&type=cartwire.order.paid");
    assert_eq!(gateway.events(&paid, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_the_number_of_polled_changes_are_shown() {
    let wix = Wixapis::start(world(
        "STORES_NOT_INSTALLED",
        &[(ORDERS, vec![order("o1", 400, "PAID")])],
    ));
    let gateway = polling(&wix, BEGIN).await;
    events(&gateway, SITE, 1).await;
    let shown = eventually("the read is finished", async || {
        let answer = gateway.get(&format!("/api/connections/{SITE}")).await;
        let shown = answer.json();
        (shown["behind_seconds"].as_u64()? < 60).then_some(shown)
    })
    .await;
    assert_eq!(shown["followed_by"], "polling");
    let gaps = gateway
        .get(&format!("/api/connections/{SITE}/gaps"))
        .await
        .json();
    assert_eq!(gaps["days"][0]["polled"], 1);
    assert_eq!(gaps["days"][0]["missing"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn woocommerce_store_is_followed_without_webhooks() {
    let store = Shop::start(shop::Options::default());
    store.keep("orders", changed(1, 500, "processing"));
    let gateway = InProcessGateway::with(|args| {
        args.stores.allow_private_stores = true;
        args.reconcile_interval_seconds = "0".to_owned();
        args.poll_interval_seconds = "1".to_owned();
        args.public_url = Some("https://hooks.example".to_owned());
    })
    .await;
    let settings = [
        ("url", store.url.as_str()),
        ("followed_by", "polling"),
        ("poll_from", BEGIN),
    ];
    let secrets = [
        ("consumer-key", shop::KEY),
        ("consumer-secret", shop::SECRET),
    ];
    gateway
        .connect("woocommerce", "followed", &settings, &secrets)
        .await;
    let orders = events(&gateway, "followed", 1).await;
    assert_eq!(orders, ["order.created 1"]);
    store.keep("orders", changed(1, 0, "completed"));
    let orders = events(&gateway, "followed", 4).await;
    assert_eq!(
        orders,
        [
            "order.created 1",
            "order.fulfilled 1",
            "order.status_changed 1",
            "order.updated 1"
        ]
    );
    assert_eq!(store.webhooks().len(), 0);
}
