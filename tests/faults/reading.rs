//! Faults of a store while the gateway reads it. The store's webhooks reported none of its orders: each one must arrive once.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use support::eventually;
use support::ledger::Comparison;
use support::process::ProcessGateway;
use support::woocommerce::{self as shop, Fault as ShopFault, ListFault, Shop};

use crate::fault::{Fault, Step, UNANSWERED, UNAVAILABLE};
use crate::scene::Scene;

/// The connection of the store.
pub(crate) const READ_STORE: &str = "read-store";
/// Number of orders: three pages.
const ORDERS: u64 = 230;
/// The number of an order that the gateway cannot read.
const UNREADABLE: u64 = 999;

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "read-html",
        says: "A store answers each read with a page of a web site.",
        begin: |scene| Box::pin(begin(scene, ShopFault::Html)),
        ..FAULT
    },
    in_lists(
        "read-captcha",
        "From the second page on, a store answers 202 with a captcha.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::Captcha))),
    ),
    in_lists(
        "read-cut",
        "From the second page on, the answers of a store are cut off.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::Cut))),
    ),
    in_lists(
        "read-server-error",
        "From the second page on, a store answers 500.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::ServerError))),
    ),
    in_lists(
        "read-reversed",
        "A store returns the rows of each page in reverse order.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::Reversed))),
    ),
    in_lists(
        "read-repeated",
        "A store returns each row twice.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::Repeated))),
    ),
    in_lists(
        "read-counts-none",
        "A store counts no rows and no pages.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::CountsNone))),
    ),
    in_lists(
        "read-counts-too-many",
        "A store counts a thousand pages.",
        |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::CountsTooMany))),
    ),
    Fault {
        name: "read-short",
        says: "Each page of a store lacks a row; then an operator reads the last hour.",
        begin: |scene| Box::pin(begin(scene, ShopFault::InLists(ListFault::Short))),
        end: |scene| {
            Box::pin(async {
                read_store(scene).shop.fail(ShopFault::None);
                let hour = [
                    "reconcile",
                    READ_STORE,
                    "--since",
                    "1h",
                    "--entity",
                    "order",
                ];
                scene.gateway.cli(&hour);
                all_are_known(scene).await;
            })
        },
        ..FAULT
    },
    in_lists(
        "read-clock-off",
        "The clock of a store is ten minutes late.",
        |scene| {
            Box::pin(async {
                open(scene, -600);
                until_read(scene).await;
            })
        },
    ),
    in_lists(
        "read-unreadable",
        "The gateway cannot read one of a store's orders.",
        |scene| {
            Box::pin(async {
                open(scene, 0);
                let mut order = order(UNREADABLE, 90, 0);
                order["line_items"] = json!(vec![json!({}); 60_000]);
                read_store(scene).shop.keep("orders", order);
                until_read(scene).await;
            })
        },
    ),
    Fault {
        name: "read-killed",
        says: "SIGKILL of the gateway while it reads a store.",
        turned_away: &[UNANSWERED, UNAVAILABLE],
        may_repeat: true,
        begin: |scene| {
            Box::pin(async {
                open(scene, 0);
                until_read(scene).await;
                scene.gateway.kill();
            })
        },
        end: |scene| {
            Box::pin(async {
                scene.start_gateway().await;
                all_are_known(scene).await;
            })
        },
        ..FAULT
    },
];

const FAULT: Fault = Fault {
    name: "",
    says: "",
    turned_away: &[],
    may_repeat: false,
    nodes: 1,
    only_long: false,
    has_honest_store: false,
    prepare: Some(read_often),
    begin: crate::fault::nothing,
    end: |scene| {
        Box::pin(async {
            read_store(scene).shop.fail(ShopFault::None);
            all_are_known(scene).await;
        })
    },
};

const fn in_lists(name: &'static str, says: &'static str, begin: Step) -> Fault {
    Fault {
        name,
        says,
        begin,
        ..FAULT
    }
}

/// A store that the gateway reads.
pub(crate) struct ReadStore {
    shop: Shop,
}

fn read_often(gateway: &mut ProcessGateway) {
    gateway.add_environment("CARTWIRE_RECONCILE_INTERVAL_SECONDS", "1");
    gateway.add_environment("CARTWIRE_ALLOW_PRIVATE_STORES", "true");
}

/// An order that the store created this many seconds ago.
fn order(id: u64, age: i64, clock_lead: i64) -> Value {
    let time = Timestamp::now() - SignedDuration::from_secs(age - clock_lead);
    let time = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    json!({
        "id": id, "number": id.to_string(), "status": "processing", "currency": "EUR", "total": "19.90",
        "date_created_gmt": time, "date_modified_gmt": time,
    })
}

/// Connects a store with orders, in the long version only once.
fn open(scene: &mut Scene, clock_lead: i64) {
    if scene.read_store.is_some() {
        return;
    }
    let shop = Shop::start(shop::Options {
        clock_lead,
        hooks_at: Some(scene.gateway.public()),
        ..shop::Options::default()
    });
    for id in 1..=ORDERS {
        // Several orders of each second. The first read begins two minutes before the connection was made, and ends a minute
        // before now.
        let age = 70 + i64::try_from(id % 30).unwrap_or_default();
        shop.keep("orders", order(id, age, clock_lead));
    }
    let (url, key) = (shop.url.clone(), [shop::KEY, shop::SECRET]);
    let public_url = "https://hooks.example.com";
    scene
        .gateway
        .add_shop_by_key(READ_STORE, &url, key, public_url);
    scene.read_store = Some(ReadStore { shop });
}

async fn begin(scene: &mut Scene, fault: ShopFault) {
    open(scene, 0);
    read_store(scene).shop.fail(fault);
    until_read(scene).await;
}

fn read_store(scene: &Scene) -> &ReadStore {
    scene.read_store.as_ref().expect("the store is open")
}

/// Waits until the orders were requested.
async fn until_read(scene: &Scene) {
    let shop = &read_store(scene).shop;
    let is_of_orders = |path: &str| path.ends_with("/orders");
    let requests = || {
        let requested = shop.requests();
        requested
            .iter()
            .filter(|requested| is_of_orders(&requested.path))
            .count()
    };
    let before = requests();
    eventually("the orders are requested", async || {
        (requests() > before).then_some(())
    })
    .await;
}

async fn all_are_known(scene: &Scene) {
    let path = format!("/api/entities/order?connection={READ_STORE}&limit=1000");
    eventually("all orders are known", async || {
        let listed = scene.gateway.admin_json(&path).await;
        let count = listed["entities"].as_array().map_or(0, Vec::len);
        (count as u64 >= ORDERS).then_some(())
    })
    .await;
}

/// Adds the orders of the store that did not arrive, or arrived more than once, to the comparison of the webhooks.
pub(crate) fn compare(events: &[Value], comparison: &mut Comparison) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        let subject = event["subject"].as_str().unwrap_or_default();
        if subject.starts_with("order/") {
            *counts.entry(subject).or_default() += 1;
        }
    }
    for id in 1..=ORDERS {
        match counts.get(format!("order/{id}").as_str()) {
            None => comparison.lost.push(format!("order {id} of {READ_STORE}")),
            Some(1) => comparison.arrived += 1,
            Some(_) => comparison
                .repeated
                .push(format!("order {id} of {READ_STORE}")),
        }
    }
}
