//! Changes of variations are found by reading the variations of each product: they are in no list of products.

use cartwire::reconcile::{EntityReport, ReconcileRequest};
use serde_json::{Value, json};
use support::in_process::InProcessGateway;
use support::woocommerce::{self as shop, Shop};

use crate::reconcile::{SHOP, read, reading, send};

/// A variation in the form of its webhook.
fn variation(id: u64, quantity: i32, price: &str) -> Value {
    json!({
        "id": id, "name": "Hoodie - Red", "type": "variation", "parent_id": 12, "status": "publish", "sku": format!("H-{id}"),
        "price": price, "regular_price": price, "sale_price": "", "manage_stock": true, "stock_quantity": quantity,
        "stock_status": if quantity > 0 { "instock" } else { "outofstock" }, "low_stock_amount": null, "weight": "",
        "attributes": [{"id": 0, "name": "Color", "option": "Red"}], "images": [], "categories": [],
        "date_created_gmt": "2026-01-01T10:00:00", "date_modified_gmt": "2026-01-01T10:00:00",
    })
}

fn hoodie(variations: &[u64]) -> Value {
    json!({
        "id": 12, "name": "Hoodie", "type": "variable", "status": "publish", "variations": variations,
        "date_created_gmt": "2026-01-01T10:00:00", "date_modified_gmt": "2026-01-01T10:00:00",
    })
}

async fn read_variations(gateway: &InProcessGateway) -> EntityReport {
    let products = ReconcileRequest {
        entity: Some("product".to_owned()),
        ..ReconcileRequest::default()
    };
    let report = read(gateway, products).await;
    let mut lists = report.entities.into_iter();
    let found = lists.find(|report| report.entity == "variations");
    found.expect("the list was read")
}

/// The requests for single entities.
fn fetched(shop: &Shop) -> Vec<String> {
    let requested = shop.requests().into_iter().map(|requested| requested.path);
    requested
        .filter(|path| path.ends_with("products/13"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sale_of_a_variation_is_found_once_with_the_whole_variation() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    shop.keep("products", hoodie(&[13, 14]));
    for id in [13, 14] {
        send(&gateway, "product.updated", &variation(id, 2, "40"), id).await;
        shop.keep("products", variation(id, 2, "40"));
    }
    let found = read_variations(&gateway).await;
    assert_eq!((found.read, found.failure), (2, None));
    assert_eq!((found.missing.count, found.late.count), (0, 0));
    assert!(fetched(&shop).is_empty());

    shop.keep("products", variation(13, 0, "35"));
    let found = read_variations(&gateway).await;
    assert_eq!((found.read, found.late.ids), (2, vec!["13".to_owned()]));
    let query = format!("connection={SHOP}&type=cartwire.variant.updated");
    let events = gateway.events(&query, 3).await;
    let variant = &events[2]["data"]["variant"];
    assert_eq!(variant["name"], "Hoodie - Red");
    assert_eq!(variant["inventory"]["quantity"], 0);
    let query = format!("connection={SHOP}&subject=inventory/13");
    let stock = gateway.events(&query, 1).await;
    assert_eq!(stock[0]["type"], "cartwire.inventory.out_of_stock");

    let found = read_variations(&gateway).await;
    assert_eq!((found.read, found.late.count), (2, 0));
    assert_eq!(fetched(&shop).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_variation_is_found_and_one_that_vanishes_meanwhile_is_not() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S");
    let mut new = variation(13, 2, "40");
    new["date_created_gmt"] = json!(now.to_string());
    shop.keep("products", hoodie(&[13, 99]));
    shop.keep("products", new);
    let found = read_variations(&gateway).await;
    assert_eq!((found.read, found.missing.ids), (1, vec!["13".to_owned()]));
    let query = format!("connection={SHOP}&type=cartwire.variant.created");
    assert_eq!(gateway.events(&query, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn variations_of_many_products_are_read_in_parts() {
    let shop = Shop::start(shop::Options::default());
    let gateway = reading(&shop, "0").await;
    for product in 1..=25 {
        let id = 1000 + product;
        let mut own = variation(id, 2, "40");
        own["parent_id"] = json!(product);
        shop.keep("products", own);
        let mut parent = hoodie(&[id]);
        parent["id"] = json!(product);
        shop.keep("products", parent);
    }
    for simple in 2001..=2130 {
        let mut product = hoodie(&[]);
        product["id"] = json!(simple);
        shop.keep("products", product);
    }
    shop.forget_requests();
    let found = read_variations(&gateway).await;
    assert_eq!((found.read, found.failure), (25, None));
    let requests = shop.requests().into_iter();
    let pages = requests.filter(|request| request.query.contains("id%2Cvariations"));
    // The first page in three parts, and the second one.
    assert_eq!(pages.count(), 4);
}
