//! Normalizes a delivery. Entity type and slug select the normalizer of a domain event, the last part of the event type
//! selects that of a flat event.
//!
//! A verified event of an unknown type becomes `unrecognized.received`. No event is dropped.

use serde_json::value::RawValue;

use super::api::{FetchKind, FetchRequest};
use super::domain::Domain;
use super::legacy::{Legacy, is_id};
use super::payload::Kept;
use super::{
    app, catalog_v1, catalog_v3, category, checkout, enrichment, legacy_order, order, payment,
    people, unrecognized,
};
use crate::delivery::{JournaledDelivery, ReasonCode};
use crate::event::{NormalizedEvent, verbs};
use crate::platforms::content::Content;
use crate::platforms::json::{Unread, parse, read};
use crate::platforms::lenient::Node;
use crate::platforms::normalized::{ConnectionSignal, Normalized};

pub(super) fn normalize(delivery: &JournaledDelivery) -> Normalized {
    let Kept {
        issued_at,
        installation,
        payload,
    } = match Kept::read(delivery) {
        Ok(kept) => kept,
        Err(reason) => return Normalized::Unreadable { reason },
    };
    let unreadable = |reason| Normalized::Unreadable { reason };
    let Ok(raw) = RawValue::from_string(payload) else {
        return unreadable(ReasonCode::PayloadUnreadable);
    };
    let value = match read(raw.get()) {
        Ok(value) => value,
        Err(Unread::Malformed) => return unreadable(ReasonCode::PayloadUnreadable),
        Err(Unread::TooComplex) => return unreadable(ReasonCode::TooComplex),
    };
    let root = Node::root(&value);
    let legacy = Legacy {
        delivery,
        root,
        issued_at,
        installation,
    };
    if let Some(reason) = Domain::broken(root) {
        return unreadable(reason);
    }
    let domain = Domain::read(root, &delivery.topic, issued_at);
    let sequence = root.get("entityEventSequence").id();
    let sequence = sequence.and_then(|sequence| sequence.parse().ok());
    let mut content = content(domain.as_ref().map_or(root, Domain::content), sequence);
    let (normalized_events, mut signal) = match &domain {
        Some(domain) => (
            domain_event(domain).map(|normalized| vec![normalized]),
            None,
        ),
        None => legacy_event(&legacy),
    };
    let normalized_events = normalized_events.filter(|normalized_events| {
        normalized_events
            .iter()
            .all(|normalized| is_id(&normalized.id))
    });
    let mut normalized_events =
        normalized_events.unwrap_or_else(|| vec![unrecognized::normalized(&legacy)]);
    if root.get("triggeredByAnonymizeRequest").flag() == Some(true) {
        for normalized in &mut normalized_events {
            normalized.anonymized = true;
        }
    }
    if let Some(answer) = delivery.response()
        && let Some(request) = FetchRequest::of(delivery, &normalized_events)
    {
        enrichment::enrich(&mut normalized_events, &mut signal, &request, answer);
        let has_entity = !matches!(request.kind, FetchKind::Currency | FetchKind::SiteCurrency);
        if has_entity {
            let response = std::str::from_utf8(answer).ok().and_then(parse);
            content = response.and_then(|response| self::content(Node::root(&response), sequence));
        }
    }
    Normalized::Events {
        normalized_events,
        raw,
        signal,
        content,
    }
}

/// Members that may change although the entity does not. The comparison of contents ignores them.
const VOLATILE: &[&str] = &["updatedDate", "lastUpdated", "updatedAt"];

fn content(entity: Node<'_>, sequence: Option<u64>) -> Option<Content> {
    let content = Content::of(entity.value()?, VOLATILE);
    Some(Content {
        sequence,
        ..content
    })
}

fn domain_event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    match event.fqdn() {
        "wix.ecom.v1.order" => order::event(event),
        "wix.ecom.v1.fulfillments" => payment::fulfillments(event),
        "wix.ecom.v1.order_transactions" => payment::transactions(event),
        "wix.ecom.v1.abandoned_checkout" => checkout::event(event),
        "wix.stores.catalog.v3.product" => catalog_v3::product_event(event),
        "wix.stores.catalog.v3.inventory_item" => catalog_v3::inventory_event(event),
        "wix.categories.v1.category" => category::event(event),
        "wix.contacts.v4.contact" => people::contact_event(event),
        "wix.members.v1.member" => people::member_event(event),
        _ => None,
    }
}

fn legacy_event(event: &Legacy<'_>) -> (Option<Vec<NormalizedEvent>>, Option<ConnectionSignal>) {
    let topic = event.delivery.topic.as_str();
    // Event types of Wix Stores begin with `com.wix.ecommerce.`. Another app may use the same last part for another event.
    let name = match topic.rsplit_once('.') {
        Some((family, name)) if family.starts_with("com.wix.ecommerce.") => name,
        Some(_) => return (None, None),
        None => topic,
    };
    let normalized = match name {
        "AppInstalled" => return app::installed(event),
        "AppRemoved" => return app::removed(event),
        "VariantsChanged" => return (catalog_v1::variants_changed(event), None),
        "PaidPlanPurchased" => app::plan(event, verbs::PLAN_PURCHASED),
        "PaidPlanChanged" => app::plan(event, verbs::PLAN_CHANGED),
        "PaidPlanAutoRenewalCancelled" => app::plan(event, verbs::PLAN_CANCELLED),
        "PlanConvertedToPaid" => app::plan(event, verbs::PLAN_CONVERTED),
        "PlanReactivated" => app::plan(event, verbs::PLAN_REACTIVATED),
        "PlanTransferred" => app::plan(event, verbs::PLAN_TRANSFERRED),
        "SitePropertiesUpdated" => app::site(event),
        "ProductCreated" => catalog_v1::product_created(event),
        "ProductChanged" => catalog_v1::product_reference(event, verbs::UPDATED),
        "ProductDeleted" => catalog_v1::product_reference(event, verbs::DELETED),
        "CollectionCreated" => catalog_v1::collection_created(event),
        "CollectionChanged" => catalog_v1::collection_reference(event, verbs::UPDATED),
        "CollectionDeleted" => catalog_v1::collection_reference(event, verbs::DELETED),
        "InventoryItemChanged" => catalog_v1::inventory_item(event),
        "InventoryVariantsChanged" => catalog_v1::inventory_variants(event),
        "OrderEvent" | "OrderCreated" => legacy_order::event(event, verbs::CREATED),
        "OrderPaid" => legacy_order::event(event, verbs::PAYMENT_UPDATED),
        "OrderCanceled" => legacy_order::event(event, verbs::CANCELLED),
        "OrderRefunded" => legacy_order::refunded(event),
        "FulfillmentCreated" | "FulfillmentUpdated" | "FulfillmentDeleted" => {
            legacy_order::fulfillment(event)
        }
        "CartAbandoned" => legacy_order::cart(event, verbs::ABANDONED),
        "CartRecovered" => legacy_order::cart(event, verbs::RECOVERED),
        _ => None,
    };
    (normalized.map(|normalized| vec![normalized]), None)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::delivery::ConnectionId;
    use crate::platforms::wix::legacy::MAX_DRAFTS;

    fn normalized(topic: &str, claims: &str) -> Normalized {
        let id = |name| ConnectionId::new(name).expect("the connection id should be valid");
        normalize(&JournaledDelivery {
            platform: "wix".to_owned(),
            endpoint: id("my-app"),
            connection: id("instance"),
            topic: topic.to_owned(),
            headers: Vec::new(),
            body: Bytes::copy_from_slice(claims.as_bytes()),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            enriched: None,
        })
    }

    fn claims(payload: &str) -> String {
        json!({"data": json!({"data": payload, "instanceId": "instance"}).to_string()}).to_string()
    }

    #[test]
    fn stored_parts_and_complete_claims_give_the_same_events() {
        let payload = r#"{"productId":"p1","changedFields":["price"]}"#;
        let claims = format!(r#"{{"iat":1640788554,{}"#, &claims(payload)[1..]);
        let opened = crate::platforms::wix::payload::Claims::parse(claims.as_bytes())
            .expect("the claims should be an object")
            .open();
        let (headers, body) = Kept::parts(opened, claims.clone().into_bytes());
        assert_eq!(body, payload.as_bytes());
        let id = |name| ConnectionId::new(name).expect("the connection id should be valid");
        let delivery = |headers: Vec<(String, String)>, body: Vec<u8>| JournaledDelivery {
            platform: "wix".to_owned(),
            endpoint: id("my-app"),
            connection: id("instance"),
            topic: "com.wix.ecommerce.catalog.api.v1.ProductChanged".to_owned(),
            headers,
            body: Bytes::from(body),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            enriched: None,
        };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let normalized_events = |delivery| match normalize(&delivery) {
            Normalized::Events {
                normalized_events, ..
            } => normalized_events,
            Normalized::Ignored { reason } | Normalized::Unreadable { reason } => {
                panic!("{reason}")
            }
        };
        let kept = normalized_events(delivery(headers, body));
        assert_eq!(
            kept,
            normalized_events(delivery(Vec::new(), claims.into_bytes()))
        );
        assert_eq!(
            kept[0].time.map(|time| time.as_second()),
            Some(1_640_788_554)
        );
    }

    fn normalized_events(topic: &str, payload: &str) -> Vec<NormalizedEvent> {
        match normalized(topic, &claims(payload)) {
            Normalized::Events {
                normalized_events, ..
            } => normalized_events,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn installation_and_removal_give_a_connection_signal() {
        let signal = |claims: &str, topic| match normalized(topic, claims) {
            Normalized::Events { signal, .. } => signal,
            other => panic!("{other:?}"),
        };
        let known = [("app_id".to_owned(), "a".to_owned())].into();
        assert_eq!(
            signal(&claims(r#"{"appId":"a"}"#), "AppInstalled"),
            Some(ConnectionSignal::Installed {
                settings: known,
                signed_at: None
            })
        );
        assert_eq!(
            signal(&claims(r#"{"appId":"a"}"#), "AppRemoved"),
            Some(ConnectionSignal::Removed { signed_at: None })
        );
        assert_eq!(
            signal(r#"{"data":{"data":{"appId":"a"}}}"#, "AppRemoved"),
            None,
            "the envelope names no installation"
        );
    }

    #[test]
    fn unreadable_delivery_has_a_reason_code() {
        for (claims, expected) in [
            ("", "claims_unreadable"),
            ("\u{1}", "claims_unreadable"),
            ("{}", "envelope_unreadable"),
            (r#"{"data":"{}"}"#, "payload_missing"),
            (r#"{"data":{"data":"nothing"}}"#, "payload_unreadable"),
        ] {
            match normalized("AppInstalled", claims) {
                Normalized::Unreadable { reason } => {
                    assert_eq!(reason.as_str(), expected, "{claims}")
                }
                other => panic!("{claims}: {other:?}"),
            }
        }
    }

    #[test]
    fn event_without_a_stated_time_and_iat_has_no_time() {
        assert_eq!(normalized_events("AppRemoved", "{}")[0].time, None);
    }

    #[test]
    fn event_with_an_invalid_id_is_unrecognized() {
        let long = "x".repeat(201);
        for id in [long.as_str(), "a\\nb"] {
            let payload = format!(
                r#"{{"entityFqdn":"wix.members.v1.member","slug":"deleted","entityId":"{id}"}}"#
            );
            let normalized_events = normalized_events("wix.members.v1.member_deleted", &payload);
            assert_eq!(
                (
                    normalized_events[0].verb.as_str(),
                    normalized_events[0].id.as_str()
                ),
                ("received", "wix.members.v1.member_deleted")
            );
        }
        assert_eq!(normalized_events("", "{}")[0].id, "untitled");
    }

    #[test]
    fn too_many_variants_become_one_event() {
        const TOPIC: &str = "com.wix.ecommerce.catalog.api.v1.VariantsChanged";
        let changed = |count: usize, note: &str| {
            let variants: Vec<_> = (0..count)
                .map(|n| json!({"variantId": n + 1, "note": note}))
                .collect();
            normalized_events(
                TOPIC,
                &json!({"productId": "p", "variants": variants}).to_string(),
            )
            .len()
        };
        assert_eq!(changed(300, ""), 300);
        assert_eq!(changed(MAX_DRAFTS + 1, ""), 1);
        // Each event carries the complete payload, so the size of the variants counts too.
        assert_eq!(changed(300, &"x".repeat(1000)), 1);
    }

    #[test]
    fn slug_is_read_from_the_event_type_if_the_payload_has_none() {
        let payload = r#"{"entityFqdn":"wix.members.v1.member","entityId":"m"}"#;
        assert_eq!(
            normalized_events("wix.members.v1.member_deleted", payload)[0].verb,
            "deleted"
        );
    }
}
