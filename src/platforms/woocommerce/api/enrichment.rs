//! Enrichment: fetches the data that a thin delivery lacks, or the confirmation of a deletion.
//!
//! A deletion needs a confirmation by the store. Old versions send `*.deleted` for products and coupons whenever any page
//! is trashed, because all posts share one sequence of ids; and the headers with the topic are not signed. Four results:
//! - 200 with status `trash`: confirmed, [`Enrichment::Complete`].
//! - 200 with another status: false, [`Enrichment::Contradicted`].
//! - 404 by WooCommerce: [`Enrichment::NotFound`]; confirmed if the entity was known before. A customer has no trash, so a
//!   404 confirms a delivery of the form that WooCommerce sends for customers.
//! - no usable response: [`Enrichment::Unavailable`] or [`Fetched::Retry`].

use super::body::json_text;
use super::client::{ApiKey, AuthMethod, StoreClient, rest_error};
use super::settings::StoreSettings;
use crate::delivery::{Enrichment, ReasonCode};
use crate::platforms::api::{
    ConnectionContext, Dialogue, Fetched, Method, StoreResponse, Unanswered, usable_response,
};
use crate::platforms::json::{Json, Unread, read};
use crate::platforms::lenient::Node;
use crate::platforms::oauth1::Placement;
use crate::platforms::text::replace_lone_surrogates;
use crate::platforms::woocommerce::entity_request::EntityRequest;
use crate::platforms::woocommerce::resource::Resource;

pub(in crate::platforms::woocommerce) fn fetch(
    request: &EntityRequest,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Fetched, Unanswered> {
    let Some(caller) = caller(context) else {
        return Ok(Fetched::unavailable(ReasonCode::NotAsked));
    };
    let (EntityRequest::Entity { resource, id } | EntityRequest::Deletion { resource, id, .. }) =
        request;
    let call = match request {
        EntityRequest::Entity { .. } => "entity.get",
        EntityRequest::Deletion { .. } => "deletion.confirm",
    };
    let path = format!("{}/{id}", resource.path());
    let result = dialogue.ask(caller.request(call, Method::Get, &path, None))?;
    let answer = match usable_response(result) {
        Ok(answer) => answer,
        Err(fetched) => return Ok(fetched),
    };
    if !answer.is_good() {
        return Ok(refused(request, answer));
    }
    let text = replace_lone_surrogates(json_text(answer));
    let document = match read(&text) {
        Ok(document @ (Json::Object(_) | Json::Array(_))) => document,
        Err(Unread::TooComplex) => return Ok(Fetched::unavailable(ReasonCode::AnswerTooComplex)),
        // An HTML page in place of JSON is often temporary.
        Ok(_) | Err(Unread::Malformed) => {
            return Ok(Fetched::Retry {
                reason: ReasonCode::NoJson,
                after: None,
            });
        }
    };
    let root = Node::root(&document);
    if root.get("id").id().as_ref() != Some(id) {
        return Ok(Fetched::unavailable(ReasonCode::AnotherEntity));
    }
    Ok(found(request, root, answer))
}

/// The result of a response without the entity.
fn refused(request: &EntityRequest, answer: &StoreResponse) -> Fetched {
    // Only WooCommerce itself can state that an entity does not exist; a web server's 404 says nothing about it.
    let is_gone = rest_error(answer).is_some_and(|(code, _)| code.ends_with("invalid_id"));
    match request {
        _ if !is_gone => Fetched::unavailable(ReasonCode::StoreRefuses),
        EntityRequest::Entity { .. } => Fetched::unavailable(ReasonCode::NotThere),
        EntityRequest::Deletion {
            resource: Resource::Customer,
            has_body: false,
            ..
        } => Fetched::Done(Enrichment::Complete(GONE.into())),
        EntityRequest::Deletion { .. } => Fetched::Done(Enrichment::NotFound),
    }
}

/// The result of a response with the entity.
fn found(request: &EntityRequest, entity: Node<'_>, answer: &StoreResponse) -> Fetched {
    let complete = || {
        let body = json_text(answer).as_bytes().to_vec();
        Fetched::Done(Enrichment::Complete(body.into()))
    };
    let EntityRequest::Deletion {
        resource, has_body, ..
    } = request
    else {
        return complete();
    };
    match (resource, entity.get("status").str()) {
        // Customers have no trash.
        (Resource::Customer, _) => Fetched::contradicted(ReasonCode::StillThere),
        (_, Some("trash")) => complete(),
        // WooCommerce 6 shows no status for coupons, whether they are in the trash or not.
        (_, None) if !has_body => complete(),
        (_, None) => Fetched::unavailable(ReasonCode::StatusNotShown),
        (_, Some(_)) => Fetched::contradicted(ReasonCode::NotInTrash),
    }
}

/// The response for a confirmed deletion of an entity of which the store has nothing left.
const GONE: &str = r#"{"confirmed":"gone"}"#;

/// The client that a check found to work, else the one that works with most stores.
pub(super) fn caller(context: &ConnectionContext) -> Option<StoreClient> {
    let keys = ApiKey::of(context)?;
    let settings = StoreSettings::parse(&context.settings);
    if let Some(caller) = StoreClient::remembered(&settings, &keys) {
        return Some(caller);
    }
    let root = format!("{}/wp-json/", settings.url?.trim_end_matches('/'));
    let mode = if root.starts_with("https://") {
        AuthMethod::Basic
    } else {
        AuthMethod::OAuth {
            root: root.clone(),
            placement: Placement::Header,
        }
    };
    Some(StoreClient { root, mode, keys })
}
