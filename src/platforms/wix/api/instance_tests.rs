//! Checks of apps and installations. The platform is scripted.

use secrecy::ExposeSecret;

use super::*;
use crate::platforms::api::{ApiRequest, Auth, CallFailure, CallResult, CheckMode, Finding};
use crate::platforms::wix::api::check as examined;
use crate::platforms::wix::api::script::{
    answer, app, app_on, body, installation, path, settings, talk,
};

const TOKEN: &str = r#"{"access_token":"t","expires_in":14400}"#;
const INSTANCE: &str = r#"{
    "instance": {"instanceId": "one", "appName": "Kielwasser", "appVersion": "1.4.0", "isFree": false,
        "billing": {"packageName": "gold", "billingCycle": "MONTHLY"},
        "permissions": ["SITE_SETTINGS.VIEW", "ECOM.READ_ORDERS", "WIX_STORES.READ_PRODUCTS", "WIX_STORES.CATALOG_VERSION_READ"]},
    "site": {"siteDisplayName": "Hafenladen", "locale": "de", "paymentCurrency": "EUR", "siteId": "site-1",
        "url": "https://www.hafen.example", "ownerEmail": "ida@hafen.example", "ownerInfo": {"email": "ida@hafen.example"}}
}"#;

fn code(report: &CheckReport) -> Vec<(Severity, &'static str)> {
    report
        .findings
        .iter()
        .map(|finding| (finding.severity, finding.code.as_str()))
        .collect()
}

fn only(report: &CheckReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    &report.findings[0]
}

/// A platform with only a token endpoint. `given` maps the id of an installation to status and body of the response.
fn tokens(given: impl Fn(&str) -> (u16, &'static str)) -> impl Fn(&ApiRequest) -> CallResult {
    move |request| {
        assert_eq!(path(request), "/oauth2/token");
        let (status, text) = given(
            body(request)["instance_id"]
                .as_str()
                .expect("the request should name an installation"),
        );
        Ok(answer(status, text))
    }
}

/// Checks an installation that gets no token: `first` is the response for it, `given` that for the app's other
/// installations.
fn refused(
    first: impl Fn() -> CallResult,
    given: impl Fn(&str) -> (u16, &'static str),
    context: &ConnectionContext,
) -> (CheckReport, Vec<String>) {
    let tokens = tokens(given);
    let own = context.id.as_str();
    let platform = |request: &ApiRequest| {
        if body(request)["instance_id"] == own {
            first()
        } else {
            tokens(request)
        }
    };
    talk(platform, |dialogue| examine(context, dialogue))
}

fn no_token(status: u16, body: &'static str) -> impl Fn() -> CallResult {
    move || Ok(answer(status, body))
}

/// A platform that grants the token `t`. `given` maps the path of each request with this token to a response.
fn with_token(given: impl Fn(&str) -> CallResult) -> impl Fn(&ApiRequest) -> CallResult {
    move |request| {
        if path(request) == "/oauth2/token" {
            return Ok(answer(200, TOKEN));
        }
        assert!(
            matches!(&request.auth, Auth::Header("Authorization", token) if token.expose_secret() == "t")
        );
        given(path(request))
    }
}

fn with_others(others: &[&str]) -> ConnectionContext {
    let mut context = installation("one");
    context.parent = Some(Box::new(app_on(others)));
    context
}

#[test]
fn app_without_a_secret_or_an_installation_is_reported_as_unchecked() {
    let unused = |_: &ApiRequest| -> CallResult { panic!("no request is expected") };
    let mut poor = app_on(&["one"]);
    poor.secrets.clear();
    let (found, _) = talk(unused, |dialogue| examine_app(&poor, dialogue));
    assert_eq!(
        (only(&found).severity, only(&found).code.as_str()),
        (Severity::Note, "app_secret_missing")
    );
    assert!(found.good[0].contains("https://hooks.example/webhooks/wix/my-app"));
    let (found, _) = talk(unused, |dialogue| examine_app(&app(), dialogue));
    assert_eq!(
        (only(&found).severity, only(&found).code.as_str()),
        (Severity::Note, "app_secret_untried")
    );
}

#[test]
fn app_secret_is_right_if_one_installation_gets_a_token() {
    let platform = tokens(|instance| {
        if instance == "two" {
            (200, TOKEN)
        } else {
            (404, r#"{"message":"no instance"}"#)
        }
    });
    let context = app_on(&["one", "two", "three"]);
    let (found, requested) = talk(platform, |dialogue| examine_app(&context, dialogue));
    assert_eq!((code(&found), requested.len()), (vec![], 2));
    assert!(found.good[1].contains("secret is right"));
}

#[test]
fn app_secret_is_wrong_if_several_installations_are_refused() {
    for refusal in [
        (401, r#"{"error":"invalid_client"}"#),
        (403, r#"{"message":"","details":{}}"#),
    ] {
        let context = app_on(&["one", "two", "three", "four"]);
        let (found, requested) = talk(tokens(|_| refusal), |dialogue| {
            examine_app(&context, dialogue)
        });
        assert_eq!(
            (only(&found).severity, only(&found).code.as_str()),
            (Severity::Broken, "app_secret_refused")
        );
        let remedy = &only(&found).remedy;
        assert!(
            remedy.contains("View ID & keys")
                && remedy.contains("`connections add wix-app --id my-app`"),
            "{remedy}"
        );
        assert!(remedy.contains("`connections remove my-app`, which announces all of the app's sites as disconnected"), "{remedy}");
        assert_eq!(requested.len(), MAX_TRIED);
    }
    let unclear = tokens(|_| (403, r#"{"message":"","details":{}}"#));
    let (found, _) = talk(unclear, |dialogue| examine_app(&app_on(&["one"]), dialogue));
    assert_eq!(
        (only(&found).severity, only(&found).code.as_str()),
        (Severity::Broken, "access_refused"),
        "the only installation may have removed the app"
    );
    let unknown = tokens(|_| (404, r#"{"message":"app instance not found"}"#));
    let (found, _) = talk(unknown, |dialogue| {
        examine_app(&app_on(&["one", "two"]), dialogue)
    });
    assert_eq!(
        only(&found).code.as_str(),
        "app_secret_untried",
        "removed installations prove nothing"
    );
}

#[test]
fn outage_is_not_reported_as_wrong_credentials() {
    for (result, expected) in [
        (Ok(answer(429, "")), "rate_limited"),
        (Ok(answer(503, "")), "store_unreachable"),
        (Err(CallFailure::TimedOut), "store_unreachable"),
        (Ok(answer(200, "<html>")), "answer_unreadable"),
    ] {
        let (found, _) = talk(
            |_| result.clone(),
            |dialogue| examine_app(&app_on(&["one"]), dialogue),
        );
        assert_eq!(
            (only(&found).severity, only(&found).code.as_str()),
            (Severity::Unavailable, expected)
        );
        let (found, _) = talk(
            |_| result.clone(),
            |dialogue| examine(&installation("one"), dialogue),
        );
        assert_eq!(
            (only(&found).severity, only(&found).code.as_str()),
            (Severity::Unavailable, expected)
        );
    }
    let (found, _) = refused(
        no_token(429, ""),
        |_| panic!("no other request is expected"),
        &installation("one"),
    );
    assert_eq!(only(&found).code.as_str(), "rate_limited");
}

#[test]
fn facts_about_an_installation_are_stored_without_its_owner() {
    let platform = with_token(|path| match path {
        "/apps/v1/instance" => Ok(answer(200, INSTANCE)),
        "/stores/v3/provision/version" => Ok(answer(200, r#"{"catalogVersion":"V1_CATALOG"}"#)),
        other => panic!("{other}"),
    });
    let (found, _) = talk(platform, |dialogue| examine(&installation("one"), dialogue));
    let expected = settings(&[
        ("site_name", "Hafenladen"),
        ("site_url", "https://www.hafen.example"),
        ("site_id", "site-1"),
        ("currency", "EUR"),
        ("locale", "de"),
        ("plan", "gold"),
        ("app_name", "Kielwasser"),
        ("app_version", "1.4.0"),
        (
            "permissions",
            "ECOM.READ_ORDERS SITE_SETTINGS.VIEW WIX_STORES.CATALOG_VERSION_READ WIX_STORES.READ_PRODUCTS",
        ),
        ("catalog_version", "V1_CATALOG"),
    ]);
    assert_eq!(found.settings, expected);
    assert!(!format!("{found:?}").contains("ida@"));
    assert_eq!(code(&found), [(Severity::Note, "scopes_missing")]);
    let finding = only(&found);
    assert!(finding.cause.contains(
        "payments and refunds; abandoned checkouts; stock, catalog V1; contacts; members"
    ));
    assert_eq!(
        finding
            .remedy
            .matches("SCOPE.DC-STORES.READ-ORDERS")
            .count(),
        1,
        "{}",
        finding.remedy
    );
    assert!(found.trouble().is_none());
}

#[test]
fn order_of_permissions_does_not_change_the_settings() {
    let known_of = |permissions: &str| {
        let text = format!(r#"{{"instance":{{"permissions":{permissions}}}}}"#);
        known(Node::root(&parse(&text).expect("the text should be JSON")))
    };
    assert_eq!(
        known_of(r#"["B","A","C"]"#),
        known_of(r#"["C","B","A","B"]"#)
    );
    assert_eq!(
        known_of(r#"["B","A"]"#),
        settings(&[("permissions", "A B")])
    );
    assert_eq!(known_of("[]"), settings(&[]));
}

#[test]
fn free_and_unpublished_site_is_checked_without_an_error() {
    let platform = with_token(|path| match path {
        "/apps/v1/instance" => Ok(answer(
            200,
            r#"{"instance":{"isFree":true},"site":{"siteDisplayName":"Neu"}}"#,
        )),
        _ => Ok(answer(403, r#"{"message":"no permission"}"#)),
    });
    let (found, _) = talk(platform, |dialogue| examine(&installation("one"), dialogue));
    assert_eq!(
        found.settings,
        settings(&[("site_name", "Neu"), ("plan", "free")])
    );
    assert_eq!(
        (only(&found).severity, only(&found).code.as_str()),
        (Severity::Note, "catalog_version_unknown")
    );
}

#[test]
fn installation_is_reported_as_removed_only_if_that_is_certain() {
    let unclear = r#"{"message":"","details":{}}"#;
    let works = |_: &str| (200, TOKEN);
    let fails = |_: &str| (403, r#"{"message":"","details":{}}"#);
    let never = |_: &str| -> (u16, &'static str) { panic!("no other request is expected") };
    let alone = installation("one");
    let found = |(found, _): (CheckReport, Vec<String>)| {
        (only(&found).severity, only(&found).code.as_str())
    };

    let named = no_token(400, r#"{"message":"The app instance does not exist"}"#);
    assert_eq!(
        found(refused(named, never, &alone)),
        (Severity::Gone, "app_removed")
    );
    let client = no_token(401, r#"{"error":"invalid_client"}"#);
    assert_eq!(
        found(refused(client, never, &alone)),
        (Severity::Broken, "app_secret_refused")
    );
    assert_eq!(
        found(refused(no_token(403, unclear), never, &alone)),
        (Severity::Broken, "access_refused")
    );
    let others = with_others(&["one", "two", "three"]);
    assert_eq!(
        found(refused(no_token(403, unclear), works, &others)),
        (Severity::Gone, "app_removed")
    );
    assert_eq!(
        found(refused(no_token(403, unclear), fails, &others)),
        (Severity::Broken, "app_secret_refused")
    );
    let client = no_token(401, r#"{"error":"invalid_client"}"#);
    assert_eq!(
        found(refused(client, works, &others)),
        (Severity::Gone, "app_removed"),
        "another installation gets a token with the secret"
    );
    let removed = |_: &str| (404, r#"{"message":"app instance not found"}"#);
    let both = refused(no_token(403, unclear), removed, &others);
    assert_eq!(
        found(both),
        (Severity::Broken, "access_refused"),
        "removed installations prove nothing"
    );
    let front = no_token(404, r#"{"message":"Not Found"}"#);
    assert_eq!(
        found(refused(front, works, &others)),
        (Severity::Unavailable, "store_unreachable"),
        "a response without a cause proves nothing"
    );
    assert_eq!(
        found(refused(
            no_token(403, unclear),
            |_| (200, "<html>"),
            &others
        )),
        (Severity::Unavailable, "answer_unreadable")
    );
}

#[test]
fn check_requests_a_new_token() {
    let old_tokens_work = |request: &ApiRequest| match path(request) {
        "/oauth2/token" => Ok(answer(404, r#"{"message":"no such instance"}"#)),
        _ => Ok(answer(200, INSTANCE)),
    };
    let (found, requested) = talk(old_tokens_work, |dialogue| {
        examine(&installation("one"), dialogue)
    });
    assert_eq!(
        (
            only(&found).severity,
            only(&found).code.as_str(),
            requested.len()
        ),
        (Severity::Gone, "app_removed", 1)
    );
}

#[test]
fn refusal_with_a_new_token_is_a_missing_permission() {
    let found = |status, body: &'static str| {
        let platform = with_token(move |_| Ok(answer(status, body)));
        let (found, requested) = talk(platform, |dialogue| examine(&installation("one"), dialogue));
        assert_eq!(requested, ["token.create", "instance.get"]);
        found
    };
    let bare = r#"{"message":"","details":{}}"#;
    for status in [401, 403] {
        let found = found(status, bare);
        assert_eq!(
            (only(&found).severity, only(&found).code.as_str()),
            (Severity::Broken, "permission_missing")
        );
        assert!(only(&found).remedy.contains("SCOPE.DC.MANAGE-YOUR-APP"));
    }
    let unexpected = (Severity::Unavailable, "store_unreachable");
    assert_eq!(code(&found(400, bare)), [unexpected]);
    assert_eq!(
        code(&found(404, r#"{"message":"Not Found"}"#)),
        [unexpected]
    );
    assert_eq!(code(&found(404, "<html>Not Found</html>")), [unexpected]);
    assert_eq!(
        code(&found(
            404,
            r#"{"message":"The app instance does not exist"}"#
        )),
        [(Severity::Gone, "app_removed")]
    );
}

#[test]
fn installation_without_the_app_secret_makes_no_request() {
    let mut poor = installation("one");
    poor.parent
        .as_mut()
        .expect("the installation should have an app")
        .secrets
        .clear();
    let (found, requested) = talk(
        |_| panic!("no request is expected"),
        |dialogue| examine(&poor, dialogue),
    );
    assert_eq!(
        (
            only(&found).severity,
            only(&found).code.as_str(),
            requested.len()
        ),
        (Severity::Note, "app_secret_missing", 0)
    );
}

#[test]
fn removal_of_an_app_or_installation_makes_no_request() {
    let remove = |context: &ConnectionContext| {
        let found = talk(
            |_| panic!("no request is expected"),
            |dialogue| examined(context, CheckMode::Remove, dialogue),
        )
        .0;
        assert_eq!(found, CheckReport::default());
    };
    remove(&app_on(&["one"]));
    remove(&installation("one"));
}
