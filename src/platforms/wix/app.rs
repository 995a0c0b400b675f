//! The app on a site (installed, removed, plans), and the properties of the site.
//!
//! Each installation is its own connection. A delivery that names no installation changes no connection, because such a
//! delivery belongs to the connection of the app itself.

use std::collections::BTreeMap;

use super::legacy::Legacy;
use super::shapes::instant;
use crate::event::data::{App, ConnectionHealth, Plan, Site};
use crate::event::{Authority, Entity, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};
use crate::platforms::normalized::ConnectionSignal;

type Change = (Option<Vec<NormalizedEvent>>, Option<ConnectionSignal>);

pub(super) fn installed(event: &Legacy<'_>) -> Change {
    let known: BTreeMap<String, String> = [
        ("app_id", "appId"),
        ("origin_instance_id", "originInstanceId"),
    ]
    .into_iter()
    .filter_map(|(name, member)| Some((name.to_owned(), event.root.get(member).id()?)))
    .collect();
    let settings = (!known.is_empty()).then(|| known.clone());
    change(
        event,
        verbs::INSTALLED,
        verbs::CONNECTED,
        settings,
        ConnectionSignal::Installed {
            settings: known,
            signed_at: event.issued_at,
        },
    )
}

pub(super) fn removed(event: &Legacy<'_>) -> Change {
    change(
        event,
        verbs::REMOVED,
        verbs::DISCONNECTED,
        None,
        ConnectionSignal::Removed {
            signed_at: event.issued_at,
        },
    )
}

fn change(
    event: &Legacy<'_>,
    app_verb: &str,
    verb: &str,
    settings: Option<BTreeMap<String, String>>,
    signal: ConnectionSignal,
) -> Change {
    let app = app(event, None);
    let mut normalized_events = vec![event.event(
        app_verb,
        app.id.clone(),
        Authority::Partial,
        Entity::App(Box::new(app)),
    )];
    if !event.installation {
        return (Some(normalized_events), None);
    }
    let (connection, endpoint) = (
        event.delivery.connection.as_str(),
        event.delivery.endpoint.as_str(),
    );
    let health = ConnectionHealth {
        id: connection.to_owned(),
        status: Some(verb.to_owned()),
        parent_id: (connection != endpoint).then(|| endpoint.to_owned()),
        settings,
        ..ConnectionHealth::default()
    };
    normalized_events.push(event.event(
        verb,
        connection.to_owned(),
        Authority::Full,
        Entity::Connection(Box::new(health)),
    ));
    (Some(normalized_events), Some(signal))
}

fn app(event: &Legacy<'_>, plan: Option<Plan>) -> App {
    App {
        id: event.delivery.connection.as_str().to_owned(),
        app_id: event.root.get("appId").id(),
        origin_instance_id: event.root.get("originInstanceId").id(),
        plan,
    }
}

pub(super) fn plan(event: &Legacy<'_>, verb: &str) -> Option<NormalizedEvent> {
    let source = event.root;
    let plan = Plan {
        product_id: source.get("vendorProductId").id(),
        cycle: source.get("cycle").text(),
        previous_product_id: source.get("previousVendorProductId").id(),
        previous_cycle: source.get("previousCycle").text(),
        coupon: source.get("couponName").text(),
        invoice_id: source.get("invoiceId").id(),
        reason: source.first(&["cancelReason", "reason"]).text(),
        expires_at: instant(source.get("expiresOn")),
    };
    let app = app(event, filled(plan));
    let normalized = event.event(
        verb,
        app.id.clone(),
        Authority::Partial,
        Entity::App(Box::new(app)),
    );
    Some(NormalizedEvent {
        time: instant(source.get("operationTimeStamp")).or(event.issued_at),
        ..normalized
    })
}

pub(super) fn site(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let source = event.root.get("event");
    let properties = source.get("properties");
    let id = event
        .root
        .get("metasiteId")
        .id()
        .unwrap_or_else(|| event.delivery.connection.as_str().to_owned());
    let normalized = event.event(
        verbs::UPDATED,
        id.clone(),
        Authority::Partial,
        Entity::Site(Box::new(properties_of(properties, id))),
    );
    Some(NormalizedEvent {
        changed: paths(source.get("fields")),
        ..normalized
    })
}

/// Normalizes a site from all its properties, or from the changed properties only.
pub(super) fn properties_of(properties: Node<'_>, id: String) -> Site {
    let locale = properties.get("locale");
    let (language, region) = (locale.get("languageCode"), locale.get("country"));
    Site {
        id,
        name: properties
            .first(&["siteDisplayName", "businessName"])
            .text(),
        url: properties.get("externalSiteUrl").text(),
        language: properties
            .get("language")
            .text()
            .or_else(|| language.text()),
        locale: match (language.str(), region.str()) {
            (Some(language), Some(region)) => Some(format!("{language}-{region}")),
            (Some(language), None) => Some(language.to_owned()),
            (None, _) => locale.text(),
        },
        country: properties
            .get("address")
            .get("country")
            .text()
            .or_else(|| region.text()),
        currency: properties
            .get("paymentCurrency")
            .currency()
            .map(str::to_owned),
        time_zone: properties.get("timeZone").text(),
        email: properties.get("email").text(),
        phone: properties.get("phone").text(),
    }
}

/// The app plan that the merchant pays for, from the member `instance` of an installation.
pub(super) fn plan_of(instance: Node<'_>) -> Option<Plan> {
    let billing = instance.get("billing");
    filled(Plan {
        product_id: billing.get("packageName").id(),
        cycle: billing.get("billingCycle").text(),
        expires_at: billing.get("expirationDate").utc(),
        ..Plan::default()
    })
}

/// Maximum number of paths that are read from one string. The platform's masks have fewer than 100.
const MAX_PATHS: usize = 1000;

/// The paths of a field mask: a list, an object with the list in its member `paths`, or one string with commas. `None` if
/// the mask has no paths.
pub(super) fn paths(mask: Node<'_>) -> Option<Vec<String>> {
    let list = if mask.is_object() {
        mask.get("paths")
    } else {
        mask
    };
    match list.str() {
        Some(joined) => Some(
            joined
                .split(',')
                .map(str::trim)
                .filter(|path| !path.is_empty())
                .take(MAX_PATHS)
                .map(str::to_owned)
                .collect(),
        ),
        None => list.list_of(Node::text),
    }
    .filter(|paths| !paths.is_empty())
}
