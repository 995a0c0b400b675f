//! Failures of Wix's API and their diagnoses, over real HTTP with the double of the API.

use std::time::Duration;

use cartwire::delivery::{Enrichment, ReasonCode};
use cartwire::platforms::api::{CheckReport, Fetched, Severity};

use support::wix::{
    APP_ID, Failure, INSTANCE, OTHER_SITE_ID, RefusalShape, SITE_ID, Wixapis, World,
};

use crate::wix_api::{Caller, PRODUCT, app, codes, instance, set, site};

#[tokio::test]
async fn temporary_failures_have_a_retry_delay() {
    let double = Wixapis::start(World::default());
    let caller = Caller::new();
    for (failure, reported) in [
        (
            Failure::TooMany(Some(7)),
            Fetched::Retry {
                reason: ReasonCode::RateLimited,
                after: Some(Duration::from_secs(7)),
            },
        ),
        (
            Failure::TooMany(None),
            Fetched::Retry {
                reason: ReasonCode::RateLimited,
                after: None,
            },
        ),
        (
            Failure::Status(500),
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None,
            },
        ),
        (
            Failure::Html(502, "<html>Bad gateway</html>"),
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None,
            },
        ),
        (
            Failure::Html(200, "<html>Sign in to the network</html>"),
            Fetched::Retry {
                reason: ReasonCode::AnswerUnreadable,
                after: None,
            },
        ),
        (
            Failure::Slow(Duration::from_secs(3)),
            Fetched::Retry {
                reason: ReasonCode::TimedOut,
                after: None,
            },
        ),
        (
            Failure::CutOff,
            Fetched::Retry {
                reason: ReasonCode::CutOff,
                after: None,
            },
        ),
        (
            Failure::Redirect("http://169.254.169.254/".to_owned()),
            Fetched::unavailable(ReasonCode::Refused),
        ),
    ] {
        double.fail("/stores-reader/", failure.clone(), 1);
        assert_eq!(
            caller.complete(PRODUCT, &instance(&double, INSTANCE)).await,
            reported,
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
    let other_app = Caller::new();
    assert_eq!(
        other_app
            .complete(PRODUCT, &instance(&double, INSTANCE))
            .await,
        Fetched::Retry {
            reason: ReasonCode::StoreUnavailable,
            after: None
        }
    );
    assert_eq!(
        codes(&other_app.examine(&instance(&double, INSTANCE)).await),
        [(Severity::Unavailable, "store_unreachable")]
    );
    double.heal();
    assert_eq!(
        codes(&other_app.examine(&instance(&double, INSTANCE)).await),
        [(Severity::Note, "scopes_missing")]
    );
}

#[tokio::test]
async fn rejected_credentials_are_recognized_in_every_form() {
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
        let reported = Caller::new()
            .complete(
                &format!("installation/{APP_ID}"),
                &instance(&double, unknown),
            )
            .await;
        let silent = shape == RefusalShape::Bare;
        let expected = if silent {
            Fetched::unavailable(ReasonCode::CredentialsRefused)
        } else {
            Fetched::contradicted(ReasonCode::SampleDelivery)
        };
        assert_eq!(reported, expected, "{shape:?}");
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
        let reported = Caller::new()
            .complete(
                &format!("installation/{APP_ID}"),
                &instance(&double, INSTANCE),
            )
            .await;
        assert_eq!(
            reported,
            Fetched::unavailable(ReasonCode::CredentialsRefused),
            "a real installation never vanishes"
        );
    }
    let double = Wixapis::start(World::default());
    let reported = Caller::new()
        .complete(
            &format!("installation/{unknown}"),
            &instance(&double, INSTANCE),
        )
        .await;
    assert_eq!(
        (reported, double.requests("/").len()),
        (Fetched::contradicted(ReasonCode::SampleDelivery), 0)
    );
}

#[tokio::test]
async fn old_token_of_a_removed_app_is_detected() {
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
async fn missing_permission_is_named() {
    let double = Wixapis::start(World {
        forbidden: vec!["/apps/".to_owned()],
        ..World::default()
    });
    let found = Caller::new().examine(&instance(&double, INSTANCE)).await;
    assert_eq!(codes(&found), [(Severity::Broken, "permission_missing")]);
    assert!(found.findings[0].remedy.contains("Manage Your App"));
}

#[tokio::test]
async fn site_failures_name_key_account_site_or_permission() {
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
