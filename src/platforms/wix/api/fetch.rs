//! Fetches the details that a delivery leaves out, as JSON. The JSON is the platform's response, or only the necessary
//! members of a response that is large or has personal data.
//!
//! This module does not normalize the response. `enrichment` does so, with the same functions as for payloads.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::caller::WixClient;
use super::fetch_request::{FetchKind, FetchRequest};
use super::refusal::{RefusalCause, refusal_cause};
use super::settings::Settings;
use crate::delivery::{Enrichment, ReasonCode};
use crate::platforms::api::{
    ApiRequest, CallFailure, CallResult, ConnectionContext, Dialogue, Fetched, StoreResponse,
    Unanswered, usable_response,
};
use crate::platforms::json::{Unread, parse, read};
use crate::platforms::lenient::Node;
use crate::platforms::wix::payload::members;

/// The members of a V3 product that the platform sends only if the parameter `fields` names them.
const FIELDS: [&str; 6] = [
    "CURRENCY",
    "PLAIN_DESCRIPTION",
    "URL",
    "MEDIA_ITEMS_INFO",
    "DIRECT_CATEGORIES_INFO",
    "VARIANT_OPTION_CHOICE_NAMES",
];

/// The members of an installation and its site that are stored. They do not identify the owner of the site.
const OF_INSTANCE: [&str; 7] = [
    "instanceId",
    "appName",
    "appVersion",
    "isFree",
    "billing",
    "permissions",
    "originInstanceId",
];
const OF_SITE: [&str; 5] = [
    "siteId",
    "siteDisplayName",
    "url",
    "locale",
    "paymentCurrency",
];

pub(in crate::platforms::wix) fn fetch(
    request: &str,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    let (Some(request), Some(caller)) = (FetchRequest::parse(request), WixClient::of(context))
    else {
        return Ok(Fetched::unavailable(ReasonCode::NotAsked));
    };
    let id = request.id.as_str();
    let get = |call, before: &str| caller.get(call, &format!("{before}{id}"));
    let mut one = |request: ApiRequest, member| -> Result<Fetched, Unanswered> {
        Ok(whole(dialogue.ask(request)?, member, id))
    };
    match request.kind {
        FetchKind::Product => {
            let result = dialogue.ask(get("product.get", "/stores-reader/v1/products/"))?;
            if !is_no_route(result) {
                return Ok(whole(result, "product", id));
            }
            Ok(whole(
                dialogue.ask(get("product.get", "/stores/v1/products/"))?,
                "product",
                id,
            ))
        }
        FetchKind::ProductV3 => {
            let fields = FIELDS.map(|field| format!("fields={field}")).join("&");
            let path = format!("/stores/v3/products/{id}");
            let result = dialogue.ask(caller.get("product.get", &format!("{path}?{fields}")))?;
            // Status 400 may mean that the site does not support one of the fields.
            if !matches!(result, Ok(answer) if answer.status == 400) {
                return Ok(whole(result, "product", id));
            }
            Ok(whole(
                dialogue.ask(caller.get("product.get", &path))?,
                "product",
                id,
            ))
        }
        FetchKind::Collection => one(
            get("collection.get", "/stores/v1/collections/"),
            "collection",
        ),
        FetchKind::Inventory => {
            let path = format!("/stores-reader/v2/inventoryItems/{id}/getVariants");
            one(
                caller.search("inventory.get", &path, &json!({})),
                "inventoryItem",
            )
        }
        FetchKind::InventoryItem => one(
            get("inventory.get", "/stores/v3/inventory-items/"),
            "inventoryItem",
        ),
        FetchKind::Order => one(get("order.get", "/ecom/v1/orders/"), "order"),
        FetchKind::Fulfillments => one(
            get("fulfillments.list", "/ecom/v1/fulfillments/orders/"),
            "orderWithFulfillments",
        ),
        FetchKind::Contact => one(get("contact.get", "/contacts/v4/contacts/"), "contact"),
        FetchKind::Member => one(get("member.get", "/members/v1/members/"), "member"),
        FetchKind::Checkout => one(
            get("checkout.get", "/ecom/v1/abandoned-checkout/"),
            "abandonedCheckout",
        ),
        FetchKind::Site => one(
            caller.get("site.properties", "/site-properties/v4/properties"),
            "properties",
        ),
        FetchKind::SiteCurrency => site_currency(context, &caller, dialogue),
        FetchKind::Currency | FetchKind::Payments => payments(&request, &caller, dialogue),
        FetchKind::Installation => installation(id, context, &caller, dialogue),
    }
}

/// The response if it is successful, or else the outcome of the fetch.
pub(super) fn good(result: &CallResult) -> Result<&StoreResponse, Fetched> {
    // The platform accepted the token, so status 403 means a missing permission, unless the refusal names the installation.
    // A check of the connection reports the missing scope.
    if let Ok(answer) = result
        && answer.status == 403
        && refusal_cause(answer) != RefusalCause::Instance
    {
        return Err(Fetched::unavailable(ReasonCode::ScopeMissing));
    }
    let answer = usable_response(result)?;
    match answer.status {
        200..=299 => Ok(answer),
        404 | 410 => Err(Fetched::unavailable(ReasonCode::NotFound)),
        _ => Err(Fetched::unavailable(ReasonCode::Refused)),
    }
}

/// The response as received, if its member `member` is an object and has no other id than `id`.
fn whole(result: &CallResult, member: &str, id: &str) -> Fetched {
    match good(result) {
        Ok(answer) if holds(answer, member, id) => {
            Fetched::Done(Enrichment::Complete(answer.body.clone()))
        }
        Ok(answer) => unreadable(answer),
        Err(outcome) => outcome,
    }
}

/// The outcome of a successful response without the requested entity. A response that is not JSON comes from a proxy or an
/// outage, so the request is retried.
fn unreadable(answer: &StoreResponse) -> Fetched {
    let reason = ReasonCode::AnswerUnreadable;
    match read(answer.text()) {
        Ok(_) => Fetched::unavailable(reason),
        Err(Unread::Malformed) => Fetched::Retry {
            reason,
            after: None,
        },
        Err(Unread::TooComplex) => Fetched::unavailable(ReasonCode::AnswerTooComplex),
    }
}

fn holds(answer: &StoreResponse, member: &str, id: &str) -> bool {
    let document = parse(answer.text());
    let entity = document
        .as_ref()
        .map_or_else(Node::nowhere, Node::root)
        .get(member);
    entity.is_object()
        && entity
            .get("id")
            .id()
            .is_none_or(|found| found.eq_ignore_ascii_case(id))
}

/// `true` if the platform does not know the path. The response about an unknown entity also has status 404, but it has a
/// `message`.
fn is_no_route(result: &CallResult) -> bool {
    matches!(result, Ok(answer) if answer.status == 404 && !members(answer.text()).is_some_and(|error| error.contains_key("message")))
}

/// The currency of the site. No request is necessary if a check has stored the currency in the settings.
fn site_currency(
    context: &ConnectionContext,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    if let Some(currency) = Settings::of(context).currency {
        let properties = json!({"properties": {"paymentCurrency": currency}});
        return Ok(Fetched::Done(Enrichment::Complete(
            properties.to_string().into(),
        )));
    }
    let result = dialogue.ask(caller.get("site.properties", "/site-properties/v4/properties"))?;
    Ok(match good(result) {
        Ok(answer) => match picked(answer, "properties", &["paymentCurrency"]) {
            Some(properties) => together(vec![("properties", properties)]),
            None => unreadable(answer),
        },
        Err(outcome) => outcome,
    })
}

/// The currency of an order. For [`FetchKind::Payments`] also its payments and refunds.
fn payments(
    request: &FetchRequest,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    let id = request.id.as_str();
    let order = match good(dialogue.ask(caller.get("order.get", &format!("/ecom/v1/orders/{id}")))?)
    {
        Ok(answer) if holds(answer, "order", id) => answer,
        Ok(answer) => return Ok(unreadable(answer)),
        Err(outcome) => return Ok(outcome),
    };
    // The other members of the order are not stored, because they include personal data that the event does not need.
    let Some(order) = picked(order, "order", &["id", "currency"]) else {
        return Ok(Fetched::unavailable(ReasonCode::AnswerUnreadable));
    };
    let mut parts = vec![("order", order)];
    if request.kind == FetchKind::Payments {
        let answer = match good(
            dialogue.ask(caller.get("payments.list", &format!("/ecom/v1/payments/orders/{id}")))?,
        ) {
            Ok(answer) => answer,
            Err(outcome) => return Ok(outcome),
        };
        let Some(payments) = picked(
            answer,
            "orderTransactions",
            &["orderId", "payments", "refunds"],
        ) else {
            return Ok(unreadable(answer));
        };
        parts.push(("orderTransactions", payments));
    }
    Ok(together(parts))
}

/// The details of an installation. A test webhook from the app's dashboard names a sample app or an unknown installation. Such
/// an installation must not become a connection, so the delivery is contradicted. A refused secret does not contradict the
/// delivery, because it proves nothing about the installation.
fn installation(
    app_id: &str,
    context: &ConnectionContext,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    let sample = || Fetched::contradicted(ReasonCode::SampleDelivery);
    let ours = context
        .parent
        .as_deref()
        .and_then(|app| Settings::of(app).app_id);
    if app_id != "unnamed" && ours.is_some_and(|ours| !ours.eq_ignore_ascii_case(app_id)) {
        return Ok(sample());
    }
    let result = dialogue.ask(caller.get("instance.get", "/apps/v1/instance"))?;
    if let Err(CallFailure::TokenRefused(answer)) = result
        && (400..500).contains(&answer.status)
        && answer.status != 429
    {
        return Ok(match refusal_cause(answer) {
            RefusalCause::Instance => sample(),
            RefusalCause::App | RefusalCause::Unclear | RefusalCause::UnknownPath => {
                Fetched::unavailable(ReasonCode::CredentialsRefused)
            }
        });
    }
    let answer = match good(result) {
        Ok(answer) => answer,
        Err(outcome) => return Ok(outcome),
    };
    let Some(instance) = picked(answer, "instance", &OF_INSTANCE) else {
        return Ok(unreadable(answer));
    };
    let mut parts = vec![("instance", instance)];
    parts.extend(picked(answer, "site", &OF_SITE).map(|site| ("site", site)));
    let result = dialogue.ask(caller.get("catalog.version", "/stores/v3/provision/version"))?;
    // Without the permission the catalog version stays unknown. Only a temporary failure is retried.
    if let Some(later @ Fetched::Retry { .. }) =
        good(result).map_or_else(Some, |answer| Some(unreadable(answer)))
    {
        return Ok(later);
    }
    let version = super::instance::catalog_version(result);
    let version = version.and_then(|version| serde_json::value::to_raw_value(&version).ok());
    parts.extend(version.map(|version| ("catalogVersion", version)));
    Ok(together(parts))
}

/// The members `names` of the response's member `member`, as raw JSON. `None` if `member` is not an object.
fn picked(answer: &StoreResponse, member: &str, names: &[&str]) -> Option<Box<RawValue>> {
    let outer = members(answer.text())?;
    let mut inner = members(outer.get(member)?.get())?;
    inner.retain(|name, _| names.contains(&name.as_str()));
    serde_json::value::to_raw_value(&inner).ok()
}

fn together(parts: Vec<(&str, Box<RawValue>)>) -> Fetched {
    let parts: BTreeMap<&str, Box<RawValue>> = parts.into_iter().collect();
    serde_json::to_vec(&parts).map_or(Fetched::unavailable(ReasonCode::AnswerUnreadable), |json| {
        Fetched::Done(Enrichment::Complete(json.into()))
    })
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
