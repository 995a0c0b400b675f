//! Conversations with Wix over real HTTP, with the double of its API.
//!
//! Each request is sent once, as described. Tests of `outbound` cover retries and limits.

use std::time::Duration;

use cartwire::delivery::{ConnectionId, Enrichment, ReasonCode};
use cartwire::platforms::api::{CheckMode, CheckReport, ConnectionContext, Fetched, Severity};
use cartwire::platforms::{StoreApi, store_api};
use secrecy::SecretString;
use serde_json::Value;

use support::dialogue::StoreClient;
use support::wix::{ACCOUNT_ID, API_KEY, APP_ID, APP_SECRET, INSTANCE, SITE_ID, Wixapis, World};

pub(crate) const PRODUCT: &str = "product/9ec43d01-faa8-490f-bfc1-0dcada86d28e";

pub(crate) fn wix() -> &'static dyn StoreApi {
    store_api("wix").expect("an API")
}

/// Checks connections and fetches objects.
pub(crate) struct Caller(pub(crate) StoreClient);

impl Caller {
    pub(crate) fn new() -> Self {
        Self(StoreClient::new(Duration::from_secs(2)))
    }

    pub(crate) async fn examine(&self, subject: &ConnectionContext) -> CheckReport {
        self.0
            .converse(|dialogue| wix().check(subject, CheckMode::Check, dialogue))
            .await
    }

    pub(crate) async fn complete(&self, word: &str, subject: &ConnectionContext) -> Fetched {
        self.0
            .converse(|dialogue| wix().fetch(word, subject, dialogue))
            .await
    }
}

fn subject(
    id: &str,
    kind: &str,
    settings: &[(&str, &str)],
    secrets: &[(&str, &str)],
) -> ConnectionContext {
    ConnectionContext {
        id: ConnectionId::new(id).expect("an id"),
        kind: kind.to_owned(),
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        secrets: secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect(),
        delivery_url: None,
        parent: None,
        installations: Vec::new(),
    }
}

pub(crate) fn app(double: &Wixapis, installations: &[&str]) -> ConnectionContext {
    let installations = installations
        .iter()
        .map(|id| ConnectionId::new(id).expect("an id"))
        .collect();
    let settings = [("app_id", APP_ID), ("api_base", double.url.as_str())];
    ConnectionContext {
        installations,
        ..subject(
            "my-app",
            "wix-app",
            &settings,
            &[("app-secret", APP_SECRET)],
        )
    }
}

pub(crate) fn instance(double: &Wixapis, id: &str) -> ConnectionContext {
    ConnectionContext {
        parent: Some(Box::new(app(double, &[INSTANCE]))),
        ..subject(id, "instance", &[], &[])
    }
}

pub(crate) fn site(double: &Wixapis) -> ConnectionContext {
    let settings = [
        ("site_id", SITE_ID),
        ("account_id", ACCOUNT_ID),
        ("api_base", double.url.as_str()),
    ];
    subject("shop", "wix-site", &settings, &[("api-key", API_KEY)])
}

pub(crate) fn codes(found: &CheckReport) -> Vec<(Severity, &'static str)> {
    found
        .findings
        .iter()
        .map(|finding| (finding.severity, finding.code.as_str()))
        .collect()
}

pub(crate) fn set(subject: &mut ConnectionContext, name: &str, value: &str) {
    subject.settings.insert(name.to_owned(), value.to_owned());
}

#[tokio::test]
async fn check_requests_a_new_token_and_enrichment_reuses_it() {
    for wrapped in [false, true] {
        let double = Wixapis::start(World {
            wraps_tokens: wrapped,
            ..World::default()
        });
        let caller = Caller::new();
        let found = caller.examine(&instance(&double, INSTANCE)).await;
        assert_eq!(codes(&found), [(Severity::Note, "scopes_missing")]);
        assert_eq!(
            found.settings.get("catalog_version").map(String::as_str),
            Some("V1_CATALOG")
        );
        for _ in 0..2 {
            caller.complete(PRODUCT, &instance(&double, INSTANCE)).await;
        }
        assert_eq!(double.tokens(INSTANCE), 2);
        assert!(
            double.requests("/apps/")[0].headers["authorization"].starts_with("OauthNG.JWS."),
            "bare"
        );
        assert_eq!(codes(&caller.examine(&app(&double, &[INSTANCE])).await), []);
    }
}

#[tokio::test]
async fn every_thin_topic_is_enriched() {
    let double = Wixapis::start(World::default());
    let caller = Caller::new();
    let order = "99a233e6-7156-412c-9681-c22c78e91aaa";
    let words = [
        PRODUCT.to_owned(),
        "collection/d89e2ddb-530b-4895-bb29-0ab0793aecb0".to_owned(),
        "inventory/447b7147-e84b-4512-a08d-cc0995d67ebc".to_owned(),
        "product-v3/b28f5753-9e64-422b-ab87-7ea0356a9bd3".to_owned(),
        "inventory-item/1a6b2f34-4a0a-4b0e-8f61-1d1f0a9c0001".to_owned(),
        format!("order/{order}"),
        format!("transactions/{order}"),
        format!("payments/{order}"),
        format!("fulfillments/{order}"),
        "contact/8046df3c-7575-4098-a5ab-c91ad8f33c47".to_owned(),
        "member/e62e3011-55cf-4de3-a497-e097b52d86b7".to_owned(),
        "abandoned-checkout/b4ebb0b8-4482-4693-ae09-7b47e977484c".to_owned(),
        "site/properties".to_owned(),
        format!("installation/{APP_ID}"),
    ];
    for word in &words {
        match caller.complete(word, &instance(&double, INSTANCE)).await {
            Fetched::Done(Enrichment::Complete(body)) => {
                let text = String::from_utf8(body.to_vec()).expect("text");
                let _: Value = serde_json::from_str(&text).expect("JSON");
                assert!(
                    !word.starts_with("installation") || !text.contains("ida@"),
                    "{text}"
                );
            }
            other => panic!("{word}: {other:?}"),
        }
    }
    let reported = caller
        .complete("product/no-such-product", &instance(&double, INSTANCE))
        .await;
    assert_eq!(reported, Fetched::unavailable(ReasonCode::NotFound));
    assert_eq!(double.tokens(INSTANCE), 1);
}
