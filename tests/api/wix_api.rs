//! Conversations with Wix over real HTTP, with the double of its API at the other end: that what is asked can be sent and
//! understood, and that every answer of the double, wrong ones too, leads where it must.
//!
//! Requests are executed here in the plainest way, one after another. What the gateway's own executor adds, such as retries
//! and limits, is not looked at.

use std::time::Duration;

use cartwire::delivery::{ConnectionId, Enrichment};
use cartwire::platforms::api::{CheckMode, CheckReport, ConnectionContext, Fetched, Severity};
use cartwire::platforms::{StoreApi, store_api};
use secrecy::SecretString;
use serde_json::Value;

use support::dialogue::StoreClient;
use support::wix::{
    ACCOUNT_ID, API_KEY, APP_ID, APP_SECRET, Failure, INSTANCE, OTHER_SITE_ID, RefusalShape,
    SITE_ID, Wixapis, World,
};

const PRODUCT: &str = "product/9ec43d01-faa8-490f-bfc1-0dcada86d28e";

fn wix() -> &'static dyn StoreApi {
    store_api("wix").expect("an API")
}

/// Checks connections and fetches objects.
struct Caller(StoreClient);

impl Caller {
    fn new() -> Self {
        Self(StoreClient::new(Duration::from_secs(2)))
    }

    async fn examine(&self, subject: &ConnectionContext) -> CheckReport {
        self.0
            .converse(|dialogue| wix().check(subject, CheckMode::Check, dialogue))
            .await
    }

    async fn complete(&self, word: &str, subject: &ConnectionContext) -> Fetched {
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

fn app(double: &Wixapis, installations: &[&str]) -> ConnectionContext {
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

fn instance(double: &Wixapis, id: &str) -> ConnectionContext {
    ConnectionContext {
        parent: Some(Box::new(app(double, &[INSTANCE]))),
        ..subject(id, "instance", &[], &[])
    }
}

fn site(double: &Wixapis) -> ConnectionContext {
    let settings = [
        ("site_id", SITE_ID),
        ("account_id", ACCOUNT_ID),
        ("api_base", double.url.as_str()),
    ];
    subject("shop", "wix-site", &settings, &[("api-key", API_KEY)])
}

fn codes(found: &CheckReport) -> Vec<(Severity, &'static str)> {
    found
        .findings
        .iter()
        .map(|finding| (finding.severity, finding.code))
        .collect()
}

fn set(subject: &mut ConnectionContext, name: &str, value: &str) {
    subject.settings.insert(name.to_owned(), value.to_owned());
}

#[tokio::test]
async fn an_installation_is_examined_with_a_new_token_and_completed_with_a_kept_one() {
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
            double.asked("/apps/")[0].headers["authorization"].starts_with("OauthNG.JWS."),
            "bare"
        );
        assert_eq!(codes(&caller.examine(&app(&double, &[INSTANCE])).await), []);
    }
}

#[tokio::test]
async fn every_word_is_completed() {
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
    let told = caller
        .complete("product/no-such-product", &instance(&double, INSTANCE))
        .await;
    assert_eq!(told, Fetched::unavailable("not_found"));
    assert_eq!(double.tokens(INSTANCE), 1);
}

#[tokio::test]
async fn failures_pass_and_say_when_to_come_again() {
    let double = Wixapis::start(World::default());
    let caller = Caller::new();
    for (failure, told) in [
        (
            Failure::TooMany(Some(7)),
            Fetched::Retry {
                reason: "rate_limited",
                after: Some(Duration::from_secs(7)),
            },
        ),
        (
            Failure::TooMany(None),
            Fetched::Retry {
                reason: "rate_limited",
                after: None,
            },
        ),
        (
            Failure::Status(500),
            Fetched::Retry {
                reason: "store_unavailable",
                after: None,
            },
        ),
        (
            Failure::Html(502, "<html>Bad gateway</html>"),
            Fetched::Retry {
                reason: "store_unavailable",
                after: None,
            },
        ),
        (
            Failure::Html(200, "<html>Sign in to the network</html>"),
            Fetched::Retry {
                reason: "answer_unreadable",
                after: None,
            },
        ),
        (
            Failure::Slow(Duration::from_secs(3)),
            Fetched::Retry {
                reason: "timed_out",
                after: None,
            },
        ),
        (
            Failure::CutOff,
            Fetched::Retry {
                reason: "cut_off",
                after: None,
            },
        ),
        (
            Failure::Redirect("http://169.254.169.254/".to_owned()),
            Fetched::unavailable("refused"),
        ),
    ] {
        double.fail("/stores-reader/", failure.clone(), 1);
        assert_eq!(
            caller.complete(PRODUCT, &instance(&double, INSTANCE)).await,
            told,
            "{failure:?}"
        );
    }
    assert!(
        matches!(
            caller.complete(PRODUCT, &instance(&double, INSTANCE)).await,
            Fetched::Done(Enrichment::Complete(_))
        ),
        "it has passed"
    );
    double.fail("/oauth2/token", Failure::Status(503), usize::MAX);
    let stranger = Caller::new();
    assert_eq!(
        stranger
            .complete(PRODUCT, &instance(&double, INSTANCE))
            .await,
        Fetched::Retry {
            reason: "store_unavailable",
            after: None
        }
    );
    assert_eq!(
        codes(&stranger.examine(&instance(&double, INSTANCE)).await),
        [(Severity::Unavailable, "store_unreachable")]
    );
    double.heal();
    assert_eq!(
        codes(&stranger.examine(&instance(&double, INSTANCE)).await),
        [(Severity::Note, "scopes_missing")]
    );
}

#[tokio::test]
async fn refused_credentials_are_understood_in_every_shape() {
    let unknown = "3bbcabc7-ebb7-4fc8-8829-13ea0e142123";
    for shape in [
        RefusalShape::OAuth,
        RefusalShape::Application,
        RefusalShape::Bare,
    ] {
        let double = Wixapis::start(World {
            shape,
            ..World::default()
        });
        // Another installation still gets a token, so the secret is right.
        let found = Caller::new().examine(&instance(&double, unknown)).await;
        assert_eq!(
            codes(&found),
            [(Severity::Gone, "app_removed")],
            "{shape:?}"
        );
        let told = Caller::new()
            .complete(
                &format!("installation/{APP_ID}"),
                &instance(&double, unknown),
            )
            .await;
        let silent = shape == RefusalShape::Bare;
        let expected = if silent {
            Fetched::unavailable("credentials_refused")
        } else {
            Fetched::contradicted("sample_delivery")
        };
        assert_eq!(told, expected, "{shape:?}");
        double.change(|world| world.app_secret = "rotated".to_owned());
        let found = Caller::new().examine(&instance(&double, INSTANCE)).await;
        let expected = if silent {
            "access_refused"
        } else {
            "app_secret_refused"
        };
        assert_eq!(codes(&found), [(Severity::Broken, expected)], "{shape:?}");
        let found = Caller::new().examine(&app(&double, &[INSTANCE])).await;
        assert_eq!(codes(&found), [(Severity::Broken, expected)], "{shape:?}");
        let found = Caller::new()
            .examine(&app(&double, &[INSTANCE, unknown]))
            .await;
        assert_eq!(
            codes(&found),
            [(Severity::Broken, "app_secret_refused")],
            "{shape:?}"
        );
        let told = Caller::new()
            .complete(
                &format!("installation/{APP_ID}"),
                &instance(&double, INSTANCE),
            )
            .await;
        assert_eq!(
            told,
            Fetched::unavailable("credentials_refused"),
            "a real installation never vanishes"
        );
    }
    let double = Wixapis::start(World::default());
    let told = Caller::new()
        .complete(
            &format!("installation/{unknown}"),
            &instance(&double, INSTANCE),
        )
        .await;
    assert_eq!(
        (told, double.asked("/").len()),
        (Fetched::contradicted("sample_delivery"), 0)
    );
}

#[tokio::test]
async fn an_old_token_of_a_removed_app_is_noticed() {
    let double = Wixapis::start(World::default());
    let caller = Caller::new();
    caller.examine(&instance(&double, INSTANCE)).await;
    double.change(|world| world.installations.clear());
    assert_eq!(
        codes(&caller.examine(&instance(&double, INSTANCE)).await),
        [(Severity::Gone, "app_removed")]
    );
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let double = Wixapis::start(World {
        forbidden: vec!["/apps/".to_owned()],
        ..World::default()
    });
    let found = Caller::new().examine(&instance(&double, INSTANCE)).await;
    assert_eq!(codes(&found), [(Severity::Broken, "permission_missing")]);
    assert!(found.findings[0].remedy.contains("Manage Your App"));
}

#[tokio::test]
async fn key_account_site_and_permission_of_a_site_are_told_apart() {
    let double = Wixapis::start(World::default());
    let caller = Caller::new();
    let found = caller.examine(&site(&double)).await;
    assert_eq!(codes(&found), []);
    assert_eq!(
        found.settings.get("site_url").map(String::as_str),
        Some("https://www.hafenladen.example")
    );
    let one = |found: &CheckReport| (codes(found)[0].1, found.findings[0].remedy.clone());

    let mut wrong = site(&double);
    set(
        &mut wrong,
        "site_id",
        "11111111-2222-3333-4444-555555555555",
    );
    let (code, remedy) = one(&caller.examine(&wrong).await);
    assert_eq!(code, "site_unknown");
    assert!(
        remedy.contains(&format!(
            "Probeseite ({OTHER_SITE_ID}), Hafenladen ({SITE_ID})"
        )),
        "{remedy}"
    );
    set(
        &mut wrong,
        "account_id",
        "99999999-2222-3333-4444-555555555555",
    );
    assert_eq!(one(&caller.examine(&wrong).await).0, "account_refused");
    let mut note = site(&double);
    set(
        &mut note,
        "account_id",
        "99999999-2222-3333-4444-555555555555",
    );
    assert_eq!(
        codes(&caller.examine(&note).await),
        [(Severity::Note, "account_unconfirmed")]
    );
    double.change(|world| world.forbidden = vec!["/site-properties/".to_owned()]);
    assert_eq!(
        one(&caller.examine(&site(&double)).await).0,
        "permission_missing"
    );
    double.change(|world| world.api_key = "IST.revoked".to_owned());
    let (code, remedy) = one(&caller.examine(&site(&double)).await);
    assert_eq!(code, "api_key_refused");
    assert!(remedy.contains("https://manage.wix.com/account/api-keys"));
}
