//! The app on a site: installed, removed, paid for; and the site's own properties.
//!
//! An installation appears and vanishes as a connection of its own, but only where the delivery names it: without a name it
//! would be the app's endpoint that is declared gone.

use std::collections::BTreeMap;

use super::normalize::Legacy;
use super::shapes::instant;
use crate::event::data::{App, ConnectionHealth, Plan, Site};
use crate::event::{Authority, Draft, Entity, verbs};
use crate::platforms::ConnectionSignal;
use crate::platforms::lenient::{Node, filled};

type Told = (Option<Vec<Draft>>, Option<ConnectionSignal>);

pub(super) fn installed(event: &Legacy<'_>) -> Told {
    let known: BTreeMap<String, String> = [
        ("app_id", "appId"),
        ("origin_instance_id", "originInstanceId"),
    ]
    .into_iter()
    .filter_map(|(name, member)| Some((name.to_owned(), event.root.get(member).id()?)))
    .collect();
    let settings = (!known.is_empty()).then(|| known.clone());
    told(
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

pub(super) fn removed(event: &Legacy<'_>) -> Told {
    told(
        event,
        verbs::REMOVED,
        verbs::DISCONNECTED,
        None,
        ConnectionSignal::Removed {
            signed_at: event.issued_at,
        },
    )
}

fn told(
    event: &Legacy<'_>,
    app_verb: &str,
    verb: &str,
    settings: Option<BTreeMap<String, String>>,
    signal: ConnectionSignal,
) -> Told {
    let app = app(event, None);
    let mut drafts = vec![event.draft(
        app_verb,
        app.id.clone(),
        Authority::Partial,
        Entity::App(Box::new(app)),
    )];
    if !event.installation {
        return (Some(drafts), None);
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
    drafts.push(event.draft(
        verb,
        connection.to_owned(),
        Authority::Full,
        Entity::Connection(Box::new(health)),
    ));
    (Some(drafts), Some(signal))
}

fn app(event: &Legacy<'_>, plan: Option<Plan>) -> App {
    App {
        id: event.delivery.connection.as_str().to_owned(),
        app_id: event.root.get("appId").id(),
        origin_instance_id: event.root.get("originInstanceId").id(),
        plan,
    }
}

pub(super) fn plan(event: &Legacy<'_>, verb: &str) -> Option<Draft> {
    let told = event.root;
    let plan = Plan {
        product_id: told.get("vendorProductId").id(),
        cycle: told.get("cycle").text(),
        previous_product_id: told.get("previousVendorProductId").id(),
        previous_cycle: told.get("previousCycle").text(),
        coupon: told.get("couponName").text(),
        invoice_id: told.get("invoiceId").id(),
        reason: told.first(&["cancelReason", "reason"]).text(),
        expires_at: instant(told.get("expiresOn")),
    };
    let app = app(event, filled(plan));
    let draft = event.draft(
        verb,
        app.id.clone(),
        Authority::Partial,
        Entity::App(Box::new(app)),
    );
    Some(Draft {
        time: instant(told.get("operationTimeStamp")).or(event.issued_at),
        ..draft
    })
}

pub(super) fn site(event: &Legacy<'_>) -> Option<Draft> {
    let told = event.root.get("event");
    let properties = told.get("properties");
    let id = event
        .root
        .get("metasiteId")
        .id()
        .unwrap_or_else(|| event.delivery.connection.as_str().to_owned());
    let draft = event.draft(
        verbs::UPDATED,
        id.clone(),
        Authority::Partial,
        Entity::Site(Box::new(properties_of(properties, id))),
    );
    Some(Draft {
        changed: paths(told.get("fields")),
        ..draft
    })
}

/// A site by its properties, or by those that have changed.
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

/// What the merchant pays, by what the installation says of it.
pub(super) fn plan_of(instance: Node<'_>) -> Option<Plan> {
    let billing = instance.get("billing");
    filled(Plan {
        product_id: billing.get("packageName").id(),
        cycle: billing.get("billingCycle").text(),
        expires_at: billing.get("expirationDate").utc(),
        ..Plan::default()
    })
}

/// Maximum number of paths that are read from one text. The platform's masks have fewer than 100.
const MAX_PATHS: usize = 1000;

/// A field mask: a list of paths, or an object that holds one, or the paths in one string.
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
