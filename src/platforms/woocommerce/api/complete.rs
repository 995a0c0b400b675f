//! Enrichment: fetches what a thin delivery lacks. Thin are `*.deleted`, whose body holds an id alone, and actions, whose
//! body holds an id whose entity the hook's name gives.
//!
//! A deletion needs a confirmation by the store. Old versions send `*.deleted` for products and coupons whenever any page
//! is trashed, because all posts share one sequence of ids; and the headers with the topic are not signed. Four answers:
//! - 200 with status `trash`: confirmed, [`Enrichment::Complete`].
//! - 200 with another status: false, [`Enrichment::Contradicted`].
//! - 404 by WooCommerce: [`Enrichment::NotFound`]; confirmed if the entity was known before. A customer has no trash, so a
//!   404 confirms a delivery of the form that WooCommerce sends for customers.
//! - no usable answer: [`Enrichment::Unavailable`] or [`Fetched::Retry`].

use super::body::json_text;
use super::client::{Keys, Mode, StoreClient, rest_error};
use super::settings::StoreSettings;
use crate::delivery::{Enrichment, JournaledDelivery};
use crate::event::data::Entity;
use crate::event::{Authority, NormalizedEvent, verbs};
use crate::platforms::api::{
    ConnectionContext, Dialogue, Fetched, Method, Unanswered, usable_answer,
};
use crate::platforms::json::{Json, Unread, parse, read};
use crate::platforms::lenient::Node;
use crate::platforms::oauth1::Placement;
use crate::platforms::text::replace_lone_surrogates;
use crate::platforms::woocommerce::normalize::entity_of;

/// What is asked for: the path below the API, and the word for it.
const RESOURCES: [(&str, &str); 5] = [
    ("order", "orders"),
    ("product", "products"),
    ("customer", "customers"),
    ("coupon", "coupons"),
    // Of the extension WooCommerce Subscriptions. Without it the store has no such route, and nothing is confirmed.
    ("subscription", "subscriptions"),
];

/// What stands behind the id in the word for a deletion.
const DELETED: &str = "deleted";
/// The same for a delivery that carries more than an id, which WooCommerce never sends as a deletion.
const DELETED_WITH_BODY: &str = "deleted_with_body";

/// `true` if the body is `{"id":N}`, the only form in which WooCommerce sends a deletion.
fn is_bare_id(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let Some(document) = parse(text) else {
        return false;
    };
    let mut members = Node::root(&document).members();
    members.next().is_some_and(|(name, _)| name == "id") && members.next().is_none()
}

/// `order/18`, `order/18/deleted` or `order/18/deleted_with_body`.
pub(in crate::platforms::woocommerce) fn lacks(
    delivery: &JournaledDelivery,
    normalized_events: &[NormalizedEvent],
) -> Option<String> {
    let normalized = normalized_events
        .first()
        .filter(|normalized| normalized.authority != Authority::Full)?;
    let is_number = !normalized.id.is_empty()
        && normalized.id.len() <= 20
        && normalized.id.bytes().all(|b| b.is_ascii_digit());
    match &normalized.entity {
        Entity::Order(_)
        | Entity::Product(_)
        | Entity::Customer(_)
        | Entity::Coupon(_)
        | Entity::Subscription(_) => {
            let is_bare = is_number
                && normalized.verb == verbs::DELETED
                && normalized.authority == Authority::Reference;
            let form = if is_bare_id(&delivery.body) {
                DELETED
            } else {
                DELETED_WITH_BODY
            };
            is_bare.then(|| format!("{}/{}/{form}", normalized.entity.name(), normalized.id))
        }
        // A hook's name can be all digits; then it is no id.
        Entity::Action(action) if is_number && action.hook.as_deref() != Some(&normalized.id) => {
            let word = entity_of(action.hook.as_deref()?)?;
            Some(format!("{word}/{}", normalized.id))
        }
        Entity::Action(_)
        | Entity::Variant(_)
        | Entity::Collection(_)
        | Entity::Inventory(_)
        | Entity::Fulfillment(_)
        | Entity::Payment(_)
        | Entity::Checkout(_)
        | Entity::App(_)
        | Entity::Site(_)
        | Entity::Connection(_)
        | Entity::Unrecognized(_) => None,
    }
}

/// `true` for a deletion in a form that WooCommerce does not send.
pub(in crate::platforms::woocommerce) fn must_be_confirmed(lacking: &str) -> bool {
    lacking.ends_with(&format!("/{DELETED_WITH_BODY}"))
}

pub(in crate::platforms::woocommerce) fn complete(
    lacking: &str,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    let mut parts = lacking.split('/');
    let (word, id, form) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next(),
    );
    let is_deleted = form.is_some();
    let resource = RESOURCES.into_iter().find(|(known, _)| *known == word);
    let (Some((_, resource)), Some(caller)) = (resource, caller(context)) else {
        return Ok(Fetched::unavailable("not_asked"));
    };
    let call = if is_deleted {
        "deletion.confirm"
    } else {
        "entity.get"
    };
    let result =
        dialogue.ask(caller.request(call, Method::Get, &format!("{resource}/{id}"), None))?;
    let answer = match usable_answer(result) {
        Ok(answer) => answer,
        Err(told) => return Ok(told),
    };
    if !answer.is_good() {
        // Only WooCommerce itself can say that there is none; a web server's 404 says nothing of the entity.
        let is_gone = rest_error(answer).is_some_and(|(code, _)| code.ends_with("invalid_id"));
        return Ok(match (is_gone, is_deleted) {
            (false, _) => Fetched::unavailable("store_refuses"),
            (true, false) => Fetched::unavailable("not_there"),
            (true, true) if word == "customer" && form == Some(DELETED) => {
                Fetched::Done(Enrichment::Complete(GONE.into()))
            }
            (true, true) => Fetched::Done(Enrichment::NotFound),
        });
    }
    let text = replace_lone_surrogates(json_text(answer));
    let document = match read(&text) {
        Ok(document @ (Json::Object(_) | Json::Array(_))) => document,
        Err(Unread::TooComplex) => return Ok(Fetched::unavailable("answer_too_complex")),
        // An HTML page in place of JSON is often temporary.
        Ok(_) | Err(Unread::Malformed) => {
            return Ok(Fetched::Retry {
                reason: "no_json",
                after: None,
            });
        }
    };
    let root = Node::root(&document);
    if root.get("id").id().as_deref() != Some(id) {
        return Ok(Fetched::unavailable("another_entity"));
    }
    let whole = || {
        Fetched::Done(Enrichment::Complete(
            json_text(answer).as_bytes().to_vec().into(),
        ))
    };
    if !is_deleted {
        return Ok(whole());
    }
    Ok(match root.get("status").str() {
        // Customers have no trash.
        _ if word == "customer" => Fetched::contradicted("still_there"),
        Some("trash") => whole(),
        // WooCommerce 6 shows no status for coupons, whether they are in the trash or not.
        None if form == Some(DELETED) => whole(),
        None => Fetched::unavailable("status_not_shown"),
        Some(_) => Fetched::contradicted("not_in_trash"),
    })
}

/// A deletion that is true, of something that has left nothing: the delivery says all there is.
const GONE: &str = r#"{"confirmed":"gone"}"#;

/// As a check found that it works, or as it works with most stores.
pub(super) fn caller(context: &ConnectionContext) -> Option<StoreClient> {
    let keys = Keys::of(context)?;
    let settings = StoreSettings::parse(&context.settings);
    if let Some(caller) = StoreClient::remembered(&settings, &keys) {
        return Some(caller);
    }
    let root = format!("{}/wp-json/", settings.url?.trim_end_matches('/'));
    let mode = if root.starts_with("https://") {
        Mode::Basic
    } else {
        Mode::OAuth {
            root: root.clone(),
            placement: Placement::Header,
        }
    };
    Some(StoreClient { root, mode, keys })
}
