//! Conversations with WooCommerce over real HTTP: the double of a shop checks each signature with its own code.
//!
//! Each request is sent once, as described. Tests of `outbound` cover retries, limits and the address guard.

use std::collections::BTreeMap;
use std::time::Duration;

use cartwire::delivery::{ConnectionId, Enrichment, ReasonCode};
use cartwire::platforms::api::{
    CheckMode, CheckReport, ConnectionContext, Dialogue, Fetched, Unanswered,
};
use cartwire::platforms::store_api;
use serde_json::json;
use support::dialogue::StoreClient;
use support::woocommerce::{Fault, KEY, Options, Permalinks, SECRET, Shop};

/// No server listens at this address.
const TARGET: &str = "http://127.0.0.9:80/webhooks/woocommerce/shop";

async fn converse<T>(step: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>) -> T {
    StoreClient::new(Duration::from_secs(20))
        .converse(step)
        .await
}

pub(crate) fn subject(url: &str) -> ConnectionContext {
    ConnectionContext {
        id: ConnectionId::new("shop").expect("an id"),
        kind: "woocommerce".to_owned(),
        settings: BTreeMap::from([("url".to_owned(), url.to_owned())]),
        secrets: [
            ("consumer-key", KEY),
            ("consumer-secret", SECRET),
            ("webhook-secret", "ours"),
        ]
        .map(|(name, secret)| (name.to_owned(), secret.into()))
        .into(),
        delivery_url: Some(TARGET.to_owned()),
        parent: None,
        installations: Vec::new(),
    }
}

pub(crate) async fn examine(subject: &mut ConnectionContext, mode: CheckMode) -> CheckReport {
    let api = store_api("woocommerce").expect("an API");
    let report = converse(|dialogue| api.check(subject, mode, dialogue)).await;
    subject.settings.extend(report.settings.clone());
    report
}

/// The worst that was found, without what a shop on this machine cannot help.
pub(crate) fn trouble(report: &CheckReport) -> Option<&'static str> {
    report.trouble().map(|finding| finding.code.as_str())
}

#[tokio::test]
async fn every_kind_of_shop_is_connected_checked_and_removed() {
    for options in [
        Options::default(),
        Options {
            version: "6.0.0",
            ..Options::default()
        },
        Options {
            folder: "/shop",
            ..Options::default()
        },
        Options {
            permalinks: Permalinks::Index,
            ..Options::default()
        },
        Options {
            permalinks: Permalinks::Plain,
            ..Options::default()
        },
        Options {
            link: false,
            ..Options::default()
        },
        Options {
            batch: false,
            ..Options::default()
        },
        Options {
            home: Some("http://shop.example".to_owned()),
            ..Options::default()
        },
    ] {
        let shop = Shop::start(options.clone());
        let others = shop.add_webhook("order.created", "https://others.example/hook");
        let mut subject = subject(&shop.url);
        let connected = examine(&mut subject, CheckMode::Fix).await;
        assert_eq!(trouble(&connected), None, "{options:?} {connected:?}");
        let expected = if options.version == "6.0.0" { 15 } else { 16 };
        assert_eq!(
            shop.webhooks()
                .iter()
                .filter(|webhook| webhook.secret == "ours")
                .count(),
            expected
        );
        let keyed: Vec<_> = shop
            .requests()
            .into_iter()
            .filter(|requested| requested.headers.contains_key("authorization"))
            .collect();
        assert!(
            keyed.last().is_some_and(|requested| requested.proved),
            "{keyed:?}"
        );
        shop.forget_requests();
        assert_eq!(
            trouble(&examine(&mut subject, CheckMode::Check).await),
            None
        );
        assert_eq!(
            shop.requests().len(),
            2,
            "a check of a known store costs two calls"
        );
        assert!(shop.requests().iter().all(|requested| requested.proved));
        assert_eq!(
            trouble(&examine(&mut subject, CheckMode::Remove).await),
            None
        );
        assert_eq!(
            shop.webhooks()
                .iter()
                .map(|webhook| webhook.id)
                .collect::<Vec<_>>(),
            [others]
        );
    }
}

#[tokio::test]
async fn shop_that_drops_the_header_is_connected_by_signed_queries() {
    let shop = Shop::start(Options::default());
    shop.fail(Fault::AuthorizationStripped);
    let mut subject = subject(&shop.url);
    let connected = examine(&mut subject, CheckMode::Fix).await;
    assert_eq!(trouble(&connected), None, "{connected:?}");
    assert_eq!(subject.setting("auth"), Some("oauth1_query"));
    assert_eq!(shop.webhooks().len(), 16);
    assert!(
        shop.requests()
            .iter()
            .all(|requested| !requested.query.contains(SECRET))
    );
}

#[tokio::test]
async fn more_than_a_hundred_webhooks_are_listed_in_a_stable_order() {
    let shop = Shop::start(Options::default());
    let mut subject = subject(&shop.url);
    examine(&mut subject, CheckMode::Fix).await;
    for _ in 0..98 {
        shop.add_webhook("order.created", "https://others.example/hook");
    }
    assert_eq!(
        trouble(&examine(&mut subject, CheckMode::Check).await),
        None
    );
    assert_eq!(trouble(&examine(&mut subject, CheckMode::Fix).await), None);
    assert_eq!(shop.webhooks().len(), 114, "nothing is registered twice");
}

#[tokio::test]
async fn entities_are_requested_by_id() {
    let shop = Shop::start(Options {
        folder: "/shop",
        ..Options::default()
    });
    shop.keep(
        "products",
        json!({ "id": 25, "name": "Mug", "status": "trash" }),
    );
    shop.keep("orders", json!({ "id": 18, "status": "completed" }));
    let subject = subject(&shop.url);
    let api = store_api("woocommerce").expect("an API");
    let ask = |word: &'static str| converse(|dialogue| api.fetch(word, &subject, dialogue));
    assert!(matches!(
        ask("product/25/deleted").await,
        Fetched::Done(Enrichment::Complete(_))
    ));
    assert_eq!(
        ask("order/18/deleted").await,
        Fetched::contradicted(ReasonCode::NotInTrash)
    );
    assert_eq!(
        ask("order/25/deleted").await,
        Fetched::Done(Enrichment::NotFound)
    );
    assert!(matches!(
        ask("order/18").await,
        Fetched::Done(Enrichment::Complete(_))
    ));
    assert!(matches!(
        ask("customer/7/deleted").await,
        Fetched::Done(Enrichment::Complete(_))
    ));
    shop.fail(Fault::Maintenance);
    assert!(matches!(
        ask("order/18").await,
        Fetched::Retry {
            reason: ReasonCode::StoreUnavailable,
            after: Some(_)
        }
    ));
}
