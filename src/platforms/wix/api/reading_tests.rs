//! Reads of lists of a scripted site.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::delivery::ReasonCode;
use crate::platforms::api::{ApiRequest, CallFailure};
use crate::platforms::wix::api::script::{answer, body, installation, path, site, talk};

type Read = Result<StorePage, PageFailure>;

fn list(name: &str) -> ReadableList {
    let mut lists = READABLE.iter().copied();
    lists.find(|list| list.name == name).expect("a list")
}

/// Reads a page. Returns it with the names of the calls.
fn read(
    name: &str,
    cursor: Option<&str>,
    platform: impl Fn(&ApiRequest) -> CallResult,
) -> (Read, Vec<String>) {
    let request = PageRequest {
        list: list(name),
        after: Timestamp::UNIX_EPOCH,
        until: Timestamp::UNIX_EPOCH,
        cursor,
    };
    talk(platform, |dialogue| read_page(&request, &site(), dialogue))
}

/// A site with this catalog and one entity in each list.
fn of_catalog(version: &'static str) -> impl Fn(&ApiRequest) -> CallResult {
    move |request| {
        let rows = match path(request) {
            "/stores/v3/provision/version" => {
                return Ok(answer(200, &json!({"catalogVersion": version}).to_string()));
            }
            "/ecom/v1/orders/search" => "orders",
            "/contacts/v4/contacts/query" => "contacts",
            path if path.contains("/products/") => "products",
            path if path.contains("/collections/") => "collections",
            _ => "inventoryItems",
        };
        let page = json!({rows: [{"id": "x", "numericId": "7"}]});
        Ok(answer(200, &page.to_string()))
    }
}

#[test]
fn each_catalog_has_its_lists() {
    let resource = |name: &str, version| {
        let (page, calls) = read(name, None, of_catalog(version));
        let rows = page.expect("a page").rows;
        (rows.first().map(|row| row.resource), calls.len())
    };
    for (name, v1, v3) in [
        (
            "product",
            Some("com.wix.ecommerce.catalog.api.v1.Product"),
            Some("wix.stores.catalog.v3.product"),
        ),
        (
            "inventory",
            None,
            Some("wix.stores.catalog.v3.inventory_item"),
        ),
        (
            "all_inventory",
            Some("com.wix.ecommerce.inventory.api.v1.InventoryItem"),
            None,
        ),
        (
            "collection",
            Some("com.wix.ecommerce.catalog.api.v1.Collection"),
            None,
        ),
    ] {
        assert_eq!(resource(name, "V1_CATALOG").0, v1, "{name}");
        assert_eq!(resource(name, "V3_CATALOG").0, v3, "{name}");
        assert_eq!(resource(name, "STORES_NOT_INSTALLED"), (None, 1), "{name}");
    }
    let order = resource("order", "V1_CATALOG");
    assert_eq!(order, (Some("wix.ecom.v1.order"), 1));
    let contact = resource("customer", "V1_CATALOG");
    assert_eq!(contact, (Some("wix.contacts.v4.contact"), 1));
}

#[test]
fn refused_filter_of_catalog_v3_is_left_out() {
    let platform = |request: &ApiRequest| {
        let has_filter = request.body.is_some() && body(request)["query"].get("filter").is_some();
        if has_filter {
            return Ok(answer(400, r#"{"message":"unsupported filter"}"#));
        }
        of_catalog("V3_CATALOG")(request)
    };
    let (page, calls) = read("product", None, platform);
    assert_eq!((page.expect("a page").rows.len(), calls.len()), (1, 3));
}

#[test]
fn hidden_products_are_left_out_without_their_permission() {
    let platform = |request: &ApiRequest| {
        if request.body.is_some() && body(request)["includeHiddenProducts"] == true {
            return Ok(answer(403, r#"{"message":"permission"}"#));
        }
        of_catalog("V1_CATALOG")(request)
    };
    let (page, calls) = read("product", None, platform);
    assert_eq!((page.expect("a page").rows.len(), calls.len()), (1, 3));
}

#[test]
fn refused_cursor_begins_the_list_again() {
    let (page, _) = read("order", Some("orders.search/cursor/old"), |_| {
        Ok(answer(400, r#"{"message":"cursor"}"#))
    });
    let expected = PageFailure::new(ReasonCode::CursorExpired, FailureScope::Cursor);
    assert_eq!(page, Err(expected));
}

#[test]
fn failure_concerns_the_list_or_the_site() {
    let failure = |result: CallResult| {
        let (page, _) = read("customer", None, move |_| result.clone());
        let failure = page.expect_err("a failure");
        (failure.reason, failure.scope)
    };
    let (list, outage) = (FailureScope::List, FailureScope::Outage);
    assert_eq!(
        failure(Ok(answer(403, r#"{"message":"permission"}"#))),
        (ReasonCode::ScopeMissing, list)
    );
    assert_eq!(failure(Ok(answer(400, "{}"))), (ReasonCode::Refused, list));
    assert_eq!(
        failure(Ok(answer(401, "{}"))),
        (ReasonCode::CredentialsRefused, FailureScope::Store)
    );
    assert_eq!(
        failure(Ok(answer(503, "{}"))),
        (ReasonCode::StoreUnavailable, outage)
    );
    assert_eq!(failure(Err(CallFailure::TimedOut)).1, outage);
    for text in ["<html>", "{}", r#"{"contacts":[{"id":"a"}"#] {
        let page = FailureScope::Page;
        assert_eq!(
            failure(Ok(answer(200, text))),
            (ReasonCode::AnswerUnreadable, page)
        );
    }
}

#[test]
fn list_needs_credentials() {
    let request = PageRequest {
        list: list("order"),
        after: Timestamp::UNIX_EPOCH,
        until: Timestamp::UNIX_EPOCH,
        cursor: None,
    };
    let context = ConnectionContext {
        parent: None,
        ..installation("one")
    };
    let (page, calls) = talk(of_catalog("V1_CATALOG"), |dialogue| {
        read_page(&request, &context, dialogue)
    });
    assert_eq!(
        (page.expect_err("a failure").reason, calls.len()),
        (ReasonCode::NotReadable, 0)
    );
}
