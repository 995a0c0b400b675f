//! Errors that WooCommerce signs and sends in place of an entity. WooCommerce requests the entity from its own REST API as the
//! webhook's owner, and sends the response, also if it is an error.
//!
//! The messages are in the store's language, so only codes and statuses are read.

use serde_json::value::RawValue;

use crate::delivery::{JournaledDelivery, ReasonCode};
use crate::event::data::ConnectionHealth;
use crate::event::{Authority, Entity, NormalizedEvent, verbs};
use crate::platforms::api::FindingCode;
use crate::platforms::json::Json;
use crate::platforms::lenient::Node;
use crate::platforms::normalized::{ConnectionSignal, Normalized, ReportedProblem};

/// Error codes of API versions that cannot read the entity: v1 orders of a store with order tables, v1 variations, legacy
/// orders.
const OF_OLD_VERSIONS: [&str; 3] = [
    "woocommerce_rest_invalid_shop_order_id",
    "woocommerce_rest_invalid_product_id",
    "woocommerce_api_invalid_order",
];

/// Error codes of the REST API for a user without permission. They decide for errors without a status.
const OF_LOST_RIGHTS: [&str; 4] = [
    "woocommerce_rest_cannot_view",
    "woocommerce_rest_authentication_error",
    "rest_forbidden",
    "rest_not_logged_in",
];

/// `true` for an error body. The caller has checked that there is no id.
///
/// The REST API's errors have a code, a message and data. The data is an object with the status, or any value that a plugin put
/// there: null or a list.
pub(super) fn is_error(root: Node<'_>) -> bool {
    let has_status = root.get("data").get("status").number().is_some();
    let has_message = matches!(root.get("message").value(), Some(Json::Text(_)));
    let current = root.get("code").text().is_some() && (has_status || has_message);
    let legacy = root.get("errors").is_object() && root.get("error_data").value().is_some();
    current || legacy
}

/// The code, and the HTTP status of the error.
fn code_and_status(root: Node<'_>) -> (&str, Option<u64>) {
    let status = |node: Node<'_>| {
        node.get("status")
            .number()
            .and_then(|number| number.as_u64())
    };
    match root.get("code").value() {
        Some(Json::Text(code)) => (code, status(root.get("data"))),
        Some(Json::Number(code)) => (code, status(root.get("data"))),
        _ => {
            let code = root
                .get("errors")
                .members()
                .map(|(code, _)| code)
                .next()
                .unwrap_or_default();
            (code, status(root.get("error_data").get(code)))
        }
    }
}

pub(super) fn normalize(
    root: Node<'_>,
    delivery: &JournaledDelivery,
    raw: Box<RawValue>,
) -> Normalized {
    let reason = match code_and_status(root) {
        (_, Some(401 | 403)) => return degraded(delivery, raw),
        (code, None) if OF_LOST_RIGHTS.contains(&code) => return degraded(delivery, raw),
        (code, _) if OF_OLD_VERSIONS.contains(&code) => ReasonCode::WebhookApiVersionUnsupported,
        // The entity was deleted before the delivery, or it never existed: old versions report trashed pages as products.
        (_, Some(404 | 410)) => ReasonCode::EntityVanished,
        (code, _) if code.ends_with("invalid_id") => ReasonCode::EntityVanished,
        _ => ReasonCode::ErrorBody,
    };
    Normalized::Ignored { reason }
}

/// A delivery contains a signed error in place of an entity.
pub(crate) const OWNER_LOST_RIGHTS: ReportedProblem = ReportedProblem {
    code: FindingCode::WebhookOwnerLostRights,
    cause: "the store signs errors in place of entities: the user who owns its webhooks may no longer read them",
    remedy: "give that user the earlier role again (for webhooks that the gateway registered, the owner of the REST API key), \
             or create the webhooks again as another user; then run `cartwire connections resume {id}`, because only \
             deliveries show whether the problem is solved",
};

/// The webhook's owner was deleted or lost permissions. From now on every delivery of the webhook is this error.
fn degraded(delivery: &JournaledDelivery, raw: Box<RawValue>) -> Normalized {
    let id = delivery.connection.as_str().to_owned();
    let health = ConnectionHealth {
        id: id.clone(),
        status: Some("degraded".to_owned()),
        reason: Some(OWNER_LOST_RIGHTS.code.to_string()),
        ..ConnectionHealth::default()
    };
    let normalized = NormalizedEvent {
        verb: verbs::DEGRADED.to_owned(),
        id,
        time: None,
        authority: Authority::Full,
        entity: Entity::Connection(Box::new(health)),
        changed: None,
        anonymized: false,
    };
    Normalized::Events {
        normalized_events: vec![normalized],
        raw,
        signal: Some(ConnectionSignal::Degraded(OWNER_LOST_RIGHTS.code)),
        content: None,
    }
}
