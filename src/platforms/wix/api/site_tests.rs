//! Checks of sites by API key. The platform is scripted.

use serde_json::Value;

use super::*;
use crate::platforms::api::{ApiRequest, Auth, CallFailure, CallResult, CheckMode, Finding};
use crate::platforms::wix::api::script::{answer, body, header, path, settings, site, talk};
use crate::platforms::wix::api::{can_request, check as examined};

const PROPERTIES: &str = r#"{"version":"207","properties":{"siteDisplayName":"Hafenladen","paymentCurrency":"EUR",
    "timeZone":"Europe/Berlin","language":"de","locale":{"languageCode":"de","country":"DE"},"email":"post@hafen.example"}}"#;

fn sites(ids: &[&str]) -> Value {
    ids.iter()
        .map(|id| json!({"id": id, "displayName": format!("Name of {id}"), "viewUrl": format!("https://{id}.example")}))
        .collect()
}

/// A platform with one response for the site's properties and one for the list of sites. Asserts the headers of each
/// request.
fn platform(properties: (u16, String), list: (u16, String)) -> impl Fn(&ApiRequest) -> CallResult {
    move |request| {
        assert!(
            matches!(&request.auth, Auth::Header("Authorization", key) if key.expose_secret() == "IST.key")
        );
        let (site, account) = (
            header(request, "wix-site-id"),
            header(request, "wix-account-id"),
        );
        let (status, body) = match path(request) {
            "/site-properties/v4/properties" => {
                assert_eq!((site, account), (Some("site-1"), None));
                &properties
            }
            "/site-list/v2/sites/query" => {
                assert_eq!((site, account), (None, Some("account-1")));
                &list
            }
            other => panic!("{other}"),
        };
        Ok(answer(*status, body))
    }
}

fn found(properties: (u16, &str), list: (u16, &str)) -> CheckReport {
    let platform = platform(
        (properties.0, properties.1.to_owned()),
        (list.0, list.1.to_owned()),
    );
    talk(platform, |dialogue| examine(&site(), dialogue)).0
}

fn only(report: &CheckReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    &report.findings[0]
}

#[test]
fn settings_of_a_readable_site_are_stored() {
    let list = json!({"sites": sites(&["other", "SITE-1"]), "cursorPaging": {}}).to_string();
    let found = found((200, PROPERTIES), (200, &list));
    assert_eq!(found.findings, []);
    let expected = settings(&[
        ("site_name", "Hafenladen"),
        ("currency", "EUR"),
        ("time_zone", "Europe/Berlin"),
        ("language", "de"),
        ("locale", "de-DE"),
        ("site_url", "https://SITE-1.example"),
    ]);
    assert_eq!(found.settings, expected);
    assert!(can_request(&site().configured()));
}

#[test]
fn refused_site_list_of_a_readable_site_is_a_note() {
    let found = found((200, PROPERTIES), (403, r#"{"message":"no"}"#));
    assert_eq!(
        (only(&found).severity, only(&found).code.as_str()),
        (Severity::Note, "account_unconfirmed")
    );
    assert_eq!(
        found.settings.get("currency").map(String::as_str),
        Some("EUR")
    );
}

#[test]
fn wrong_key_account_permission_and_site_are_distinguished() {
    let listed = json!({"sites": sites(&["site-1"])}).to_string();
    let others = json!({"sites": sites(&["two", "three"])}).to_string();
    let denied = r#"{"message":"","details":{}}"#;
    let not_mine = r#"{"message":"this key belongs to another account"}"#;
    for (properties, list, code, reported) in [
        (
            (401, denied),
            (401, denied),
            "api_key_refused",
            "revoked, mistyped",
        ),
        (
            (403, denied),
            (401, denied),
            "account_refused",
            "not a key of this account",
        ),
        (
            (403, denied),
            (403, not_mine),
            "account_refused",
            "not a key of this account",
        ),
        (
            (403, denied),
            (400, denied),
            "account_refused",
            "not a key of this account",
        ),
        (
            (403, denied),
            (403, denied),
            "permission_missing",
            "neither read this site nor list",
        ),
        (
            (401, denied),
            (403, denied),
            "permission_missing",
            "neither read this site nor list",
        ),
        (
            (403, denied),
            (200, &listed),
            "permission_missing",
            "has no access to this site",
        ),
        (
            (401, "No Metasite Context in identity"),
            (200, &others),
            "site_unknown",
            "the account has no site site-1",
        ),
    ] {
        let found = found(properties, list);
        assert_eq!(
            (only(&found).severity, only(&found).code.as_str()),
            (Severity::Broken, code),
            "{properties:?} {list:?}"
        );
        assert!(
            only(&found).cause.contains(reported),
            "{}",
            only(&found).cause
        );
        assert!(!only(&found).remedy.is_empty() && !format!("{found:?}").contains("IST.key"));
    }
    let remedy = found((403, denied), (200, &others)).findings[0]
        .remedy
        .clone();
    assert!(
        remedy.contains("Name of two (two), Name of three (three)"),
        "{remedy}"
    );
}

#[test]
fn site_list_is_read_to_its_end_or_to_the_page_limit() {
    let pages = |last: usize| {
        move |request: &ApiRequest| {
            if path(request) == "/site-properties/v4/properties" {
                return Ok(answer(403, "{}"));
            }
            let query = body(request)["query"].clone();
            let number = query["cursorPaging"]["cursor"]["n"].as_u64().unwrap_or(0);
            assert_eq!(
                query["filter"].is_null(),
                number > 0,
                "only the first page has a filter"
            );
            assert_eq!(query["sort"].is_null(), number > 0, "sort on page 1 only");
            let next = number + 1;
            let cursor = if next as usize == last {
                Value::Null
            } else {
                json!({"n": next})
            };
            let page = json!({"sites": sites(&[&format!("site-of-page-{number}")]), "cursorPaging": {"cursor": cursor}});
            Ok(answer(200, &page.to_string()))
        }
    };
    let (all, requested) = talk(pages(3), |dialogue| examine(&site(), dialogue));
    assert_eq!(
        (only(&all).code.as_str(), requested.len()),
        ("site_unknown", 4)
    );
    assert!(
        only(&all).cause.contains("has no site") && only(&all).remedy.ends_with("(site-of-page-2)")
    );
    let (some, requested) = talk(pages(1000), |dialogue| examine(&site(), dialogue));
    assert_eq!(requested.len(), 1 + MAX_PAGES);
    assert!(only(&some).cause.contains("not among the first 10"));
    assert_eq!(only(&some).remedy.matches("Name of").count(), MAX_OFFERED);
}

#[test]
fn outage_is_reported_as_unavailable() {
    for result in [
        Ok(answer(503, "")),
        Err(CallFailure::TimedOut),
        Ok(answer(429, "")),
    ] {
        let first = talk(|_| result.clone(), |dialogue| examine(&site(), dialogue)).0;
        assert_eq!(only(&first).severity, Severity::Unavailable);
        let second = |request: &ApiRequest| {
            if path(request).starts_with("/site-list") {
                result.clone()
            } else {
                Ok(answer(403, "{}"))
            }
        };
        let second = talk(second, |dialogue| examine(&site(), dialogue)).0;
        assert_eq!(only(&second).severity, Severity::Unavailable);
    }
    assert_eq!(
        only(&found((200, "<html>"), (200, "{}"))).code.as_str(),
        "answer_unreadable"
    );
}

#[test]
fn swapped_ids_are_reported_without_a_request() {
    let unused = |_: &ApiRequest| -> CallResult { panic!("no request is expected") };
    let mut same = site();
    same.settings
        .insert("account_id".to_owned(), "site-1".to_owned());
    assert_eq!(
        only(&talk(unused, |dialogue| examine(&same, dialogue)).0)
            .code
            .as_str(),
        "account_refused"
    );
    let mut id = site();
    let uuid = "64fc2d7e-1585-45ef-b1c3-6081185108c1";
    id.settings
        .insert("account_id".to_owned(), uuid.replace('6', "7"));
    id.secrets
        .insert("api-key".to_owned(), uuid.to_owned().into());
    assert_eq!(
        only(&talk(unused, |dialogue| examine(&id, dialogue)).0)
            .code
            .as_str(),
        "api_key_refused"
    );
    let mut without = site();
    without.secrets.clear();
    assert_eq!(
        only(&talk(unused, |dialogue| examine(&without, dialogue)).0)
            .code
            .as_str(),
        "api_key_missing"
    );
    assert!(!can_request(&without.configured()));
    let removed = talk(unused, |dialogue| {
        examined(&site(), CheckMode::Remove, dialogue)
    })
    .0;
    assert_eq!(removed, CheckReport::default());
}

#[test]
fn configured_api_base_replaces_the_default() {
    let mut moved = site();
    moved
        .settings
        .insert("api_base".to_owned(), "http://127.0.0.1:9".to_owned());
    let platform = |request: &ApiRequest| {
        assert!(
            request.url.starts_with("http://127.0.0.1:9/site-"),
            "{}",
            request.url
        );
        Ok(answer(503, ""))
    };
    assert_eq!(
        talk(platform, |dialogue| examine(&moved, dialogue)).1.len(),
        1
    );
}
