//! The API calls of each fetch, and its outcome for each response. The platform is scripted.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::delivery::ReasonCode;
use crate::platforms::wix::api::script::{answer, installation, path, talk};

/// Runs a fetch. Returns its outcome and, for each API call, the method and the path with its query.
fn completed(word: &str, platform: impl Fn(&ApiRequest) -> CallResult) -> (Fetched, Vec<String>) {
    let requested = std::cell::RefCell::new(Vec::new());
    let noted = |request: &ApiRequest| {
        requested
            .borrow_mut()
            .push(format!("{:?} {}", request.method, path(request)));
        platform(request)
    };
    let (reported, _) = talk(noted, |dialogue| {
        fetch(word, &installation("one"), dialogue)
    });
    (reported, requested.into_inner())
}

fn json_of(reported: &Fetched) -> Value {
    match reported {
        Fetched::Done(Enrichment::Complete(body)) => {
            serde_json::from_slice(body).expect("the text should be JSON")
        }
        Fetched::Done(Enrichment::Contradicted(_))
        | Fetched::Done(Enrichment::NotFound)
        | Fetched::Done(Enrichment::Unavailable(_))
        | Fetched::Retry { .. } => panic!("{reported:?}"),
    }
}

#[test]
fn each_fetch_requests_its_entity_and_stores_the_raw_response() {
    for (word, requested, body) in [
        (
            "product/x-1",
            "Get /stores-reader/v1/products/x-1",
            r#"{"product": {"id":"X-1", "price":1.10}}"#,
        ),
        (
            "collection/x-1",
            "Get /stores/v1/collections/x-1",
            r#"{"collection":{"id":"x-1"}}"#,
        ),
        (
            "inventory/x-1",
            "PostIdempotent /stores-reader/v2/inventoryItems/x-1/getVariants",
            r#"{"inventoryItem":{"id":"x-1"}}"#,
        ),
        (
            "inventory-item/x-1",
            "Get /stores/v3/inventory-items/x-1",
            r#"{"inventoryItem":{"id":"x-1"}}"#,
        ),
        (
            "order/x-1",
            "Get /ecom/v1/orders/x-1",
            r#"{"order":{"id":"x-1"}}"#,
        ),
        (
            "fulfillments/x-1",
            "Get /ecom/v1/fulfillments/orders/x-1",
            r#"{"orderWithFulfillments":{"orderId":"x-1"}}"#,
        ),
        (
            "contact/x-1",
            "Get /contacts/v4/contacts/x-1",
            r#"{"contact":{"id":"x-1"}}"#,
        ),
        (
            "member/x-1",
            "Get /members/v1/members/x-1",
            r#"{"member":{"id":"x-1"}}"#,
        ),
        (
            "abandoned-checkout/x-1",
            "Get /ecom/v1/abandoned-checkout/x-1",
            r#"{"abandonedCheckout":{"id":"x-1"}}"#,
        ),
        (
            "site/properties",
            "Get /site-properties/v4/properties",
            r#"{"properties":{}}"#,
        ),
    ] {
        let (reported, all) = completed(word, |_| Ok(answer(200, body)));
        assert_eq!(
            reported,
            Fetched::Done(Enrichment::Complete(body.into())),
            "{word}"
        );
        assert_eq!(all, [requested]);
    }
}

#[test]
fn response_without_the_requested_entity_is_not_stored() {
    for body in ["", "<html>"] {
        assert_eq!(
            completed("product/x-1", |_| Ok(answer(200, body))).0,
            Fetched::Retry {
                reason: ReasonCode::AnswerUnreadable,
                after: None
            },
            "{body}"
        );
    }
    for body in [
        "{}",
        r#"{"product":null}"#,
        r#"{"product":{"id":"another"}}"#,
        r#"{"order":{"id":"x-1"}}"#,
    ] {
        assert_eq!(
            completed("product/x-1", |_| Ok(answer(200, body))).0,
            Fetched::unavailable(ReasonCode::AnswerUnreadable),
            "{body}"
        );
    }
    assert_eq!(
        completed("nonsense", |_| panic!("no API call is expected")).0,
        Fetched::unavailable(ReasonCode::NotAsked)
    );
}

#[test]
fn refusal_ends_the_fetch_and_outage_is_retried() {
    let retry = |reason| Fetched::Retry {
        reason,
        after: None,
    };
    let error = r#"{"message":"no","details":{}}"#;
    for (result, reported) in [
        (
            Ok(answer(404, error)),
            Fetched::unavailable(ReasonCode::NotFound),
        ),
        (
            Ok(answer(401, error)),
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            Ok(answer(403, error)),
            Fetched::unavailable(ReasonCode::ScopeMissing),
        ),
        (
            Ok(answer(403, r#"{"message":"The app is not installed"}"#)),
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            Ok(answer(428, error)),
            Fetched::unavailable(ReasonCode::Refused),
        ),
        (Ok(answer(429, error)), retry(ReasonCode::RateLimited)),
        (Ok(answer(500, error)), retry(ReasonCode::StoreUnavailable)),
        (Err(CallFailure::CutOff), retry(ReasonCode::CutOff)),
        (
            Err(CallFailure::TokenRefused(answer(401, error))),
            Fetched::unavailable(ReasonCode::TokenRefused),
        ),
    ] {
        let (found, requested) = completed("product/x-1", |_| result.clone());
        assert_eq!((found, requested.len()), (reported, 1));
    }
    let mut busy = answer(429, error);
    busy.headers
        .push(("retry-after".to_owned(), "7".to_owned()));
    let (reported, _) = completed("order/x-1", |_| Ok(busy.clone()));
    assert_eq!(
        reported,
        Fetched::Retry {
            reason: ReasonCode::RateLimited,
            after: Some(Duration::from_secs(7))
        }
    );
}

#[test]
fn unknown_product_path_falls_back_to_the_older_path() {
    let (reported, requested) = completed("product/x-1", |request| {
        let old = path(request).starts_with("/stores/v1/");
        Ok(if old {
            answer(200, r#"{"product":{"id":"x-1"}}"#)
        } else {
            answer(404, "<html>Not Found</html>")
        })
    });
    assert!(matches!(reported, Fetched::Done(Enrichment::Complete(_))));
    assert_eq!(
        requested,
        [
            "Get /stores-reader/v1/products/x-1",
            "Get /stores/v1/products/x-1"
        ]
    );
}

#[test]
fn product_is_fetched_without_fields_after_status_400() {
    let body = r#"{"product":{"id":"x-1","variantsInfo":{}}}"#;
    let (reported, requested) = completed("product-v3/x-1", |request| {
        Ok(if path(request).contains('?') {
            answer(400, r#"{"message":"unknown field"}"#)
        } else {
            answer(200, body)
        })
    });
    assert_eq!(reported, Fetched::Done(Enrichment::Complete(body.into())));
    assert_eq!(requested[1], "Get /stores/v3/products/x-1");
    let (_, requested) = completed("product-v3/x-1", |_| Ok(answer(200, body)));
    assert_eq!(requested.len(), 1);
    assert!(
        requested[0]
            .starts_with("Get /stores/v3/products/x-1?fields=CURRENCY&fields=PLAIN_DESCRIPTION&")
    );
}

#[test]
fn payments_store_only_id_and_currency_of_their_order() {
    let order =
        r#"{"order":{"id":"x-1","currency":"EUR","buyerInfo":{"email":"kai@kunde.example"}}}"#;
    let payments = r#"{"orderTransactions":{"orderId":"x-1","payments":[{"amount":{"amount":"1.10"}}],"refunds":[],"more":1}}"#;
    let platform = |request: &ApiRequest| match path(request) {
        "/ecom/v1/orders/x-1" => Ok(answer(200, order)),
        "/ecom/v1/payments/orders/x-1" => Ok(answer(200, payments)),
        other => panic!("{other}"),
    };
    let (reported, requested) = completed("transactions/x-1", platform);
    assert_eq!(
        (json_of(&reported), requested.len()),
        (json!({"order": {"id": "x-1", "currency": "EUR"}}), 1)
    );
    let (reported, requested) = completed("payments/x-1", platform);
    let all =
        json!({"orderId": "x-1", "payments": [{"amount": {"amount": "1.10"}}], "refunds": []});
    let expected = json!({"order": {"id": "x-1", "currency": "EUR"}, "orderTransactions": all});
    assert_eq!((json_of(&reported), requested.len()), (expected, 2));
    let later = |request: &ApiRequest| {
        if path(request).contains("payments") {
            Ok(answer(503, ""))
        } else {
            platform(request)
        }
    };
    assert_eq!(
        completed("payments/x-1", later).0,
        Fetched::Retry {
            reason: ReasonCode::StoreUnavailable,
            after: None
        }
    );
}

const INSTANCE: &str = r#"{"instance":{"instanceId":"one","isFree":true,"permissions":["A"],"billing":{"packageName":"gold"}},
    "site":{"siteId":"s1","siteDisplayName":"Hafenladen","ownerEmail":"ida@hafen.example","ownerInfo":{"email":"ida@hafen.example"}}}"#;

#[test]
fn stored_installation_does_not_identify_the_owner() {
    let platform = |request: &ApiRequest| match path(request) {
        "/apps/v1/instance" => Ok(answer(200, INSTANCE)),
        "/stores/v3/provision/version" => Ok(answer(200, r#"{"catalogVersion":"V3_CATALOG"}"#)),
        other => panic!("{other}"),
    };
    let (reported, _) = completed("installation/app-1", platform);
    let expected = json!({
        "instance": {"instanceId": "one", "isFree": true, "permissions": ["A"], "billing": {"packageName": "gold"}},
        "site": {"siteId": "s1", "siteDisplayName": "Hafenladen"},
        "catalogVersion": "V3_CATALOG",
    });
    assert_eq!(json_of(&reported), expected);
    let without = |request: &ApiRequest| {
        if path(request).contains("version") {
            Ok(answer(403, ""))
        } else {
            platform(request)
        }
    };
    assert_eq!(
        json_of(&completed("installation/unnamed", without).0)["catalogVersion"],
        Value::Null
    );
}

#[test]
fn html_page_in_place_of_the_api_is_retried() {
    let order = r#"{"order":{"id":"x-1","currency":"EUR"}}"#;
    let good = |request: &ApiRequest| match path(request) {
        "/apps/v1/instance" => Ok(answer(200, INSTANCE)),
        "/ecom/v1/orders/x-1" => Ok(answer(200, order)),
        other => panic!("{other}"),
    };
    for (word, page) in [
        ("installation/app-1", "/apps/v1/instance"),
        ("installation/app-1", "/stores/v3/provision/version"),
        ("payments/x-1", "/ecom/v1/orders/x-1"),
        ("payments/x-1", "/ecom/v1/payments/orders/x-1"),
    ] {
        let with = |status, body| {
            completed(word, |request| {
                if path(request) == page {
                    Ok(answer(status, body))
                } else {
                    good(request)
                }
            })
            .0
        };
        assert_eq!(
            with(200, "<html>Sign in</html>"),
            Fetched::Retry {
                reason: ReasonCode::AnswerUnreadable,
                after: None
            },
            "{page}"
        );
        assert_eq!(
            with(503, ""),
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None
            },
            "{page}"
        );
        assert!(!matches!(with(200, "{}"), Fetched::Retry { .. }), "{page}");
    }
}

#[test]
fn only_a_sample_delivery_is_contradicted() {
    let unused = |_: &ApiRequest| -> CallResult { panic!("no API call is expected") };
    assert_eq!(
        completed("installation/another-app", unused).0,
        Fetched::contradicted(ReasonCode::SampleDelivery)
    );
    for (status, body, expected) in [
        (
            404,
            r#"{"message":"the app instance was not found"}"#,
            Fetched::contradicted(ReasonCode::SampleDelivery),
        ),
        (
            400,
            r#"{"message":"","details":{"applicationError":{"code":"INVALID_INSTANCE_ID"}}}"#,
            Fetched::contradicted(ReasonCode::SampleDelivery),
        ),
        (
            404,
            "<html>Not Found</html>",
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            404,
            r#"{"message":"Not Found"}"#,
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            403,
            r#"{"message":"","details":{}}"#,
            Fetched::unavailable(ReasonCode::CredentialsRefused),
        ),
        (
            429,
            "{}",
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None,
            },
        ),
        (
            503,
            "{}",
            Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: None,
            },
        ),
    ] {
        let refused = |_: &ApiRequest| Err(CallFailure::TokenRefused(answer(status, body)));
        assert_eq!(
            completed("installation/APP-1", refused).0,
            expected,
            "{status} {body}"
        );
    }
}

#[test]
fn app_connection_fetches_no_details() {
    let app = crate::platforms::wix::api::script::app();
    let (reported, _) = talk(
        |_| panic!("no API call is expected"),
        |dialogue| fetch("product/x-1", &app, dialogue),
    );
    assert_eq!(reported, Fetched::unavailable(ReasonCode::NotAsked));
}

#[test]
fn known_currency_of_the_site_needs_no_request() {
    let mut known = installation("one");
    known
        .settings
        .insert("currency".to_owned(), "SEK".to_owned());
    let (reported, requested) = talk(
        |_: &ApiRequest| panic!("no API call is expected"),
        |dialogue| fetch("site-currency/site", &known, dialogue),
    );
    assert_eq!(
        (
            json_of(&reported)["properties"]["paymentCurrency"].as_str(),
            requested.len()
        ),
        (Some("SEK"), 0)
    );
    let properties = r#"{"properties":{"email":"owner@shop.example","paymentCurrency":"EUR"}}"#;
    let (reported, requested) = completed("site-currency/site", |_| Ok(answer(200, properties)));
    assert_eq!(
        json_of(&reported),
        json!({"properties": {"paymentCurrency": "EUR"}})
    );
    assert_eq!(requested, ["Get /site-properties/v4/properties"]);
}
