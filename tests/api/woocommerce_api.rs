//! What WooCommerce is asked, against a shop over real HTTP: every signature is checked by somebody else's code.
//!
//! Requests are sent here as they are described, once each; retries, limits and the address guard are tried where they are.

use std::collections::BTreeMap;
use std::time::Duration;

use cartwire::delivery::{ConnectionId, Enrichment};
use cartwire::platforms::api::{
    CheckMode, CheckReport, ConnectionContext, Dialogue, Fetched, Unanswered,
};
use cartwire::platforms::store_api;
use serde_json::json;
use support::dialogue::StoreClient;
use support::woocommerce::{Fault, KEY, Options, Permalinks, Permission, SECRET, Shop};

/// Nobody listens there.
const TARGET: &str = "http://127.0.0.9:80/webhooks/woocommerce/shop";

async fn converse<T>(step: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>) -> T {
    StoreClient::new(Duration::from_secs(20))
        .converse(step)
        .await
}

fn subject(url: &str) -> ConnectionContext {
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

async fn examine(subject: &mut ConnectionContext, mode: CheckMode) -> CheckReport {
    let api = store_api("woocommerce").expect("an API");
    let report = converse(|dialogue| api.check(subject, mode, dialogue)).await;
    subject.settings.extend(report.settings.clone());
    report
}

/// The worst that was found, without what a shop on this machine cannot help.
fn trouble(report: &CheckReport) -> Option<&'static str> {
    report.trouble().map(|finding| finding.code)
}

#[tokio::test]
async fn a_shop_of_every_sort_is_connected_checked_and_left() {
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
            .asked()
            .into_iter()
            .filter(|asked| asked.headers.contains_key("authorization"))
            .collect();
        assert!(keyed.last().is_some_and(|asked| asked.proved), "{keyed:?}");
        shop.forget_asked();
        assert_eq!(
            trouble(&examine(&mut subject, CheckMode::Check).await),
            None
        );
        assert_eq!(
            shop.asked().len(),
            2,
            "a check of a known store costs two calls"
        );
        assert!(shop.asked().iter().all(|asked| asked.proved));
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
async fn what_goes_wrong_in_shops_is_told_apart() {
    let elsewhere = || Fault::RedirectTo("http://10.0.0.1".to_owned());
    for (fault, code) in [
        (Fault::Html, "rest_html"),
        (Fault::Forbidden, "rest_blocked"),
        (Fault::Cloudflare, "cloudflare_blocked"),
        (Fault::BasicAuth, "basic_auth_in_front"),
        (Fault::RestDisabled, "rest_disabled"),
        (Fault::Maintenance, "maintenance"),
        (Fault::CutOff, "cut_off"),
        (elsewhere(), "redirect_elsewhere"),
        (Fault::RateLimited(7), "rate_limited"),
        (Fault::NotWordPress, "not_wordpress"),
        (Fault::WithoutWooCommerce, "not_woocommerce"),
        (Fault::ServerError, "store_error"),
    ] {
        let shop = Shop::start(Options::default());
        shop.fail(fault.clone());
        assert_eq!(
            trouble(&examine(&mut subject(&shop.url), CheckMode::Fix).await),
            Some(code),
            "{fault:?}"
        );
        assert!(shop.webhooks().is_empty());
    }
    for (options, code) in [
        (
            Options {
                consumer_key: KEY.replace('0', "1"),
                ..Options::default()
            },
            "key_unknown",
        ),
        (
            Options {
                consumer_secret: SECRET.replace('0', "1"),
                ..Options::default()
            },
            "key_secret_wrong",
        ),
        (
            Options {
                manager: false,
                ..Options::default()
            },
            "key_role",
        ),
        (
            Options {
                permission: Permission::Read,
                ..Options::default()
            },
            "key_read_only",
        ),
        (
            Options {
                permission: Permission::Write,
                ..Options::default()
            },
            "key_write_only",
        ),
        (
            Options {
                permalinks: Permalinks::PlainOnly,
                ..Options::default()
            },
            "permalinks_plain",
        ),
        (
            Options {
                version: "5.9.0",
                ..Options::default()
            },
            "woocommerce_too_old",
        ),
        (
            Options {
                refused_topics: &["order.created"],
                ..Options::default()
            },
            "webhook_refused",
        ),
    ] {
        let shop = Shop::start(options);
        assert_eq!(
            trouble(&examine(&mut subject(&shop.url), CheckMode::Fix).await),
            Some(code)
        );
        let writes = shop
            .asked()
            .iter()
            .filter(|asked| asked.method != "GET")
            .count();
        assert!(
            code != "key_read_only" || writes == 1,
            "a key that may only read tries to write once"
        );
    }
    let mut closed = subject("http://127.0.0.1:9");
    assert_eq!(
        trouble(&examine(&mut closed, CheckMode::Check).await),
        Some("unreachable")
    );
}

#[tokio::test]
async fn a_shop_whose_server_drops_the_header_is_connected_by_signed_queries() {
    let shop = Shop::start(Options::default());
    shop.fail(Fault::AuthorizationStripped);
    let mut subject = subject(&shop.url);
    let connected = examine(&mut subject, CheckMode::Fix).await;
    assert_eq!(trouble(&connected), None, "{connected:?}");
    assert_eq!(subject.setting("auth"), Some("oauth1_query"));
    assert_eq!(shop.webhooks().len(), 16);
    assert!(
        shop.asked()
            .iter()
            .all(|asked| !asked.query.contains(SECRET))
    );
}

#[tokio::test]
async fn a_shop_in_another_language_gets_the_same_diagnoses() {
    for german in [false, true] {
        let base = Options {
            german,
            ..Options::default()
        };
        for (options, code) in [
            (
                Options {
                    consumer_key: KEY.replace('0', "1"),
                    ..base.clone()
                },
                "key_unknown",
            ),
            (
                Options {
                    consumer_secret: SECRET.replace('0', "1"),
                    ..base.clone()
                },
                "key_secret_wrong",
            ),
            (
                Options {
                    permission: Permission::Write,
                    ..base.clone()
                },
                "key_write_only",
            ),
        ] {
            let shop = Shop::start(options);
            let found = examine(&mut subject(&shop.url), CheckMode::Check).await;
            assert_eq!(trouble(&found), Some(code), "german: {german}");
            assert!(shop.webhooks().is_empty(), "the probe writes nothing");
        }
    }
}

#[tokio::test]
async fn more_than_a_hundred_webhooks_are_read_in_a_stable_order() {
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
async fn writes_that_nobody_heard_of_are_not_done_twice() {
    let shop = Shop::start(Options::default());
    shop.fail(Fault::WritesUnheard);
    let mut subject = subject(&shop.url);
    assert_eq!(
        trouble(&examine(&mut subject, CheckMode::Fix).await),
        Some("webhook_missing")
    );
    shop.fail(Fault::None);
    assert_eq!(trouble(&examine(&mut subject, CheckMode::Fix).await), None);
    assert_eq!(shop.webhooks().len(), 16);
}

#[tokio::test]
async fn a_webhook_that_the_shop_disabled_is_told_and_mended() {
    let shop = Shop::start(Options::default());
    let mut subject = subject(&shop.url);
    examine(&mut subject, CheckMode::Fix).await;
    // Nobody listens at our address: the seventh delivery in a row disables it.
    for _ in 0..7 {
        let fired = shop.fire("order.updated", &json!({ "id": 18 }));
        assert_eq!(
            fired.iter().map(|(_, status)| *status).collect::<Vec<_>>(),
            [0]
        );
    }
    assert!(shop.fire("order.updated", &json!({ "id": 18 })).is_empty());
    assert_eq!(
        trouble(&examine(&mut subject, CheckMode::Check).await),
        Some("webhook_disabled")
    );
    assert_eq!(trouble(&examine(&mut subject, CheckMode::Fix).await), None);
    assert!(
        subject
            .setting("webhooks_watched")
            .is_some_and(|watched| watched.starts_with("order.updated="))
    );
    shop.fire("order.updated", &json!({ "id": 18 }));
    assert_eq!(
        trouble(&examine(&mut subject, CheckMode::Check).await),
        Some("webhook_disabled")
    );
}

#[tokio::test]
async fn entities_are_asked_for_by_their_ids() {
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
        Fetched::contradicted("not_in_trash")
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
            reason: "store_unavailable",
            after: Some(_)
        }
    ));
}
