//! Diagnoses of shops with faults, over real HTTP with the double of a shop.

use cartwire::platforms::api::CheckMode;
use serde_json::json;
use support::woocommerce::{Fault, KEY, Options, Permalinks, Permission, SECRET, Shop};

use crate::woocommerce_api::{examine, subject, trouble};

#[tokio::test]
async fn every_shop_fault_has_its_own_diagnosis() {
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
            .requests()
            .iter()
            .filter(|requested| requested.method != "GET")
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
async fn shop_in_another_language_gets_the_same_diagnoses() {
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
async fn writes_without_a_response_are_not_repeated() {
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
async fn webhook_disabled_by_the_shop_is_reported_and_repaired() {
    let shop = Shop::start(Options::default());
    let mut subject = subject(&shop.url);
    examine(&mut subject, CheckMode::Fix).await;
    // No server listens at the delivery URL: the seventh failed delivery disables the webhook.
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
