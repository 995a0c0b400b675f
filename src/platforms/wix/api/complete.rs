//! Asks for what a delivery lacks, and tells it as JSON: the platform's answer as it came, or of a large or personal one
//! only what is needed.
//!
//! What is told is not put into our words here: `completion` does, beside the other readers of payloads.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::refusal::{Blame, blame};
use super::{Caller, Lacking, What};
use crate::platforms::api::{
    Answer, ApiRequest, CallFailure, CallResult, Dialogue, Subject, Told, Unanswered, heard,
};
use crate::platforms::json::{Unread, parse, read};
use crate::platforms::lenient::Node;
use crate::platforms::wix::payload::members;

/// What the platform leaves out of a product unless it is named.
const FIELDS: [&str; 6] = [
    "CURRENCY",
    "PLAIN_DESCRIPTION",
    "URL",
    "MEDIA_ITEMS_INFO",
    "DIRECT_CATEGORIES_INFO",
    "VARIANT_OPTION_CHOICE_NAMES",
];

/// What is kept of an installation: nothing that says who owns the site.
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

pub(in crate::platforms::wix) fn complete(
    word: &str,
    subject: &Subject,
    dialogue: &mut Dialogue<'_>,
) -> Result<Told, Unanswered> {
    let (Some(lacking), Some(caller)) = (Lacking::parse(word), Caller::of(subject)) else {
        return Ok(Told::Nothing("not_asked"));
    };
    let id = lacking.id.as_str();
    let get = |call, before: &str| caller.get(call, &format!("{before}{id}"));
    let mut one = |request: ApiRequest, member| -> Result<Told, Unanswered> {
        Ok(whole(dialogue.ask(request)?, member, id))
    };
    match lacking.what {
        What::Product => {
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
        What::ProductV3 => {
            let fields = FIELDS.map(|field| format!("fields={field}")).join("&");
            let path = format!("/stores/v3/products/{id}");
            let result = dialogue.ask(caller.get("product.get", &format!("{path}?{fields}")))?;
            // A field that this site's version does not know.
            if !matches!(result, Ok(answer) if answer.status == 400) {
                return Ok(whole(result, "product", id));
            }
            Ok(whole(
                dialogue.ask(caller.get("product.get", &path))?,
                "product",
                id,
            ))
        }
        What::Collection => one(
            get("collection.get", "/stores/v1/collections/"),
            "collection",
        ),
        What::Inventory => {
            let path = format!("/stores-reader/v2/inventoryItems/{id}/getVariants");
            one(
                caller.search("inventory.get", &path, &json!({})),
                "inventoryItem",
            )
        }
        What::InventoryItem => one(
            get("inventory.get", "/stores/v3/inventory-items/"),
            "inventoryItem",
        ),
        What::Order => one(get("order.get", "/ecom/v1/orders/"), "order"),
        What::Fulfilments => one(
            get("fulfillments.list", "/ecom/v1/fulfillments/orders/"),
            "orderWithFulfillments",
        ),
        What::Contact => one(get("contact.get", "/contacts/v4/contacts/"), "contact"),
        What::Member => one(get("member.get", "/members/v1/members/"), "member"),
        What::Checkout => one(
            get("checkout.get", "/ecom/v1/abandoned-checkout/"),
            "abandonedCheckout",
        ),
        What::Site => one(
            caller.get("site.properties", "/site-properties/v4/properties"),
            "properties",
        ),
        What::SiteCurrency => site_currency(subject, &caller, dialogue),
        What::Currency | What::Payments => payments(&lacking, &caller, dialogue),
        What::Installation => installation(id, subject, &caller, dialogue),
    }
}

/// A good answer, or what to tell instead.
fn good(result: &CallResult) -> Result<&Answer, Told> {
    // The token was accepted, so a permission is missing: a check of the connection names its scope. A refusal that names
    // the installation is about the installation.
    if let Ok(answer) = result
        && answer.status == 403
        && blame(answer) != Blame::Instance
    {
        return Err(Told::Nothing("scope_missing"));
    }
    let answer = heard(result)?;
    match answer.status {
        200..=299 => Ok(answer),
        404 | 410 => Err(Told::Nothing("not_found")),
        _ => Err(Told::Nothing("refused")),
    }
}

/// A good answer as it came, where it holds the entity that was asked for.
fn whole(result: &CallResult, member: &str, id: &str) -> Told {
    match good(result) {
        Ok(answer) if holds(answer, member, id) => Told::Whole(answer.body.clone()),
        Ok(answer) => unreadable(answer),
        Err(told) => told,
    }
}

/// A good answer without what was asked for. A page in the platform's place passes.
fn unreadable(answer: &Answer) -> Told {
    let reason = "answer_unreadable";
    match read(answer.text()) {
        Ok(_) => Told::Nothing(reason),
        Err(Unread::Malformed) => Told::Later(reason, None),
        Err(Unread::TooComplex) => Told::Nothing("answer_too_complex"),
    }
}

fn holds(answer: &Answer, member: &str, id: &str) -> bool {
    let document = parse(answer.text());
    let entity = document
        .as_ref()
        .map_or_else(Node::nowhere, Node::root)
        .get(member);
    entity.is_object()
        && entity
            .get("id")
            .id()
            .is_none_or(|told| told.eq_ignore_ascii_case(id))
}

/// Does the platform not know the path, rather than the entity? Of an entity it says so in its own words.
fn is_no_route(result: &CallResult) -> bool {
    matches!(result, Ok(answer) if answer.status == 404 && !members(answer.text()).is_some_and(|told| told.contains_key("message")))
}

/// The site's currency. A known one is told without a request.
fn site_currency(
    subject: &Subject,
    caller: &Caller<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Told, Unanswered> {
    if let Some(currency) = subject.setting("currency") {
        let told = json!({"properties": {"paymentCurrency": currency}});
        return Ok(Told::Whole(told.to_string().into()));
    }
    let result = dialogue.ask(caller.get("site.properties", "/site-properties/v4/properties"))?;
    Ok(match good(result) {
        Ok(answer) => match picked(answer, "properties", &["paymentCurrency"]) {
            Some(properties) => together(vec![("properties", properties)]),
            None => unreadable(answer),
        },
        Err(told) => told,
    })
}

/// An order's currency, and its payments where they are not told.
fn payments(
    lacking: &Lacking,
    caller: &Caller<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Told, Unanswered> {
    let id = lacking.id.as_str();
    let order = match good(dialogue.ask(caller.get("order.get", &format!("/ecom/v1/orders/{id}")))?)
    {
        Ok(answer) if holds(answer, "order", id) => answer,
        Ok(answer) => return Ok(unreadable(answer)),
        Err(told) => return Ok(told),
    };
    // The rest of the order is nobody's business here.
    let Some(order) = picked(order, "order", &["id", "currency"]) else {
        return Ok(Told::Nothing("answer_unreadable"));
    };
    let mut told = vec![("order", order)];
    if lacking.what == What::Payments {
        let answer = match good(
            dialogue.ask(caller.get("payments.list", &format!("/ecom/v1/payments/orders/{id}")))?,
        ) {
            Ok(answer) => answer,
            Err(told) => return Ok(told),
        };
        let Some(payments) = picked(
            answer,
            "orderTransactions",
            &["orderId", "payments", "refunds"],
        ) else {
            return Ok(unreadable(answer));
        };
        told.push(("orderTransactions", payments));
    }
    Ok(together(told))
}

/// What the platform says of an installation. A test of the app's webhooks names a sample app, or an installation that the
/// platform does not know: that is no store. A secret that is refused says nothing about the installation.
fn installation(
    app_id: &str,
    subject: &Subject,
    caller: &Caller<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Told, Unanswered> {
    const SAMPLE: Told = Told::Untrue("sample_delivery");
    let ours = subject
        .parent
        .as_deref()
        .and_then(|app| app.setting("app_id"));
    if app_id != "unnamed" && ours.is_some_and(|ours| !ours.eq_ignore_ascii_case(app_id)) {
        return Ok(SAMPLE);
    }
    let result = dialogue.ask(caller.get("instance.get", "/apps/v1/instance"))?;
    if let Err(CallFailure::TokenRefused(answer)) = result
        && (400..500).contains(&answer.status)
        && answer.status != 429
    {
        return Ok(match blame(answer) {
            Blame::Instance => SAMPLE,
            Blame::App | Blame::Unclear | Blame::Nobody => Told::Nothing("credentials_refused"),
        });
    }
    let answer = match good(result) {
        Ok(answer) => answer,
        Err(told) => return Ok(told),
    };
    let Some(instance) = picked(answer, "instance", &OF_INSTANCE) else {
        return Ok(unreadable(answer));
    };
    let mut told = vec![("instance", instance)];
    told.extend(picked(answer, "site", &OF_SITE).map(|site| ("site", site)));
    let result = dialogue.ask(caller.get("catalog.version", "/stores/v3/provision/version"))?;
    // Who may not ask goes without; what passes is waited for.
    if let Some(later @ Told::Later(..)) =
        good(result).map_or_else(Some, |answer| Some(unreadable(answer)))
    {
        return Ok(later);
    }
    let version = super::instance::catalog_version(result);
    let version = version.and_then(|version| serde_json::value::to_raw_value(&version).ok());
    told.extend(version.map(|version| ("catalogVersion", version)));
    Ok(together(told))
}

/// Some members of a member of an answer, byte for byte.
fn picked(answer: &Answer, member: &str, names: &[&str]) -> Option<Box<RawValue>> {
    let outer = members(answer.text())?;
    let mut inner = members(outer.get(member)?.get())?;
    inner.retain(|name, _| names.contains(&name.as_str()));
    serde_json::value::to_raw_value(&inner).ok()
}

fn together(parts: Vec<(&str, Box<RawValue>)>) -> Told {
    let parts: BTreeMap<&str, Box<RawValue>> = parts.into_iter().collect();
    serde_json::to_vec(&parts).map_or(Told::Nothing("answer_unreadable"), |json| {
        Told::Whole(json.into())
    })
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
