//! Stores what a check learned about a store: how it is reached, and what it says about itself.

use super::address::StoreAddress;
use super::client::AuthMethod;
use super::description::{self, StoreDescription};
use super::session::CheckSession;
use super::settings::{AuthScheme, name};
use crate::platforms::api::{FindingCode, Severity, StoreResponse};
use crate::platforms::oauth1::Placement;

/// Settings that a check keeps as they are, unless a later step changes them.
const KEPT: [&str; 5] = [
    name::KEY_PERMISSION,
    name::WEBHOOK_IDS,
    name::WEBHOOKS_KNOWN,
    name::WEBHOOKS_WATCHED,
    name::DELIVERY_URL,
];

/// Adds the settings to the report, and findings about version, clock and authentication.
pub(super) fn learn(
    session: &mut CheckSession<'_, '_>,
    address: Option<&StoreAddress>,
    status: Option<&StoreResponse>,
) -> StoreDescription {
    let description = status.map(StoreDescription::of).unwrap_or_default();
    store_settings(session, address, &description);
    report_authentication(session);
    match status {
        Some(status) => {
            description.judge(session.report);
            description::clock(status, &session.caller.mode, session.report);
        }
        None => session.report.add(
            Severity::Note,
            FindingCode::StatusUnknown,
            "The store does not send its status, or takes too long for it, so its version is unknown.",
            "Open WooCommerce > Status in the store and find out why it is slow.",
        ),
    }
    description
}

fn store_settings(
    session: &mut CheckSession<'_, '_>,
    store: Option<&StoreAddress>,
    description: &StoreDescription,
) {
    let (context, caller) = (session.context, &session.caller);
    let address = match &caller.mode {
        AuthMethod::OAuth { root, .. } if *root != caller.root => root.as_str(),
        AuthMethod::Basic | AuthMethod::OAuth { .. } => "",
    };
    let new = [
        (name::URL, store.map(|store| store.url.clone())),
        (name::REST_ROOT, Some(caller.root.clone())),
        (name::AUTH, Some(caller.mode.scheme().as_str().to_owned())),
        (name::OAUTH_ADDRESS, Some(address.to_owned())),
        (name::STORE_NAME, store.and_then(|store| store.name.clone())),
        (
            name::TIME_ZONE,
            store.and_then(|store| store.time_zone.clone()),
        ),
        (name::CURRENCY, description.currency.clone()),
        (
            name::WOOCOMMERCE_VERSION,
            description.woocommerce_version.clone(),
        ),
        (
            name::WORDPRESS_VERSION,
            description.wordpress_version.clone(),
        ),
    ];
    let kept = KEPT.map(|setting| (setting, None));
    for (setting, value) in new.into_iter().chain(kept) {
        if let Some(value) = value.or_else(|| context.setting(setting).map(str::to_owned)) {
            session.report.settings.insert(setting.to_owned(), value);
        }
    }
}

fn report_authentication(session: &mut CheckSession<'_, '_>) {
    let how = match &session.caller.mode {
        AuthMethod::Basic => "Basic over https",
        AuthMethod::OAuth { placement, .. } => match placement {
            Placement::Header => "OAuth 1.0a",
            Placement::Query => "OAuth 1.0a in the query",
        },
    };
    if session.caller.mode.scheme() == AuthScheme::OAuth1(Placement::Query) {
        session.report.add(
            Severity::Note,
            FindingCode::AuthorizationDropped,
            "The store's web server drops the Authorization header, so each request has its signature in the query. The consumer \
             secret is not sent.",
            "Nothing needs to be done. To use the header, let the web server pass it on: \"CGIPassAuth On\" in .htaccess for \
             Apache, `fastcgi_param HTTP_AUTHORIZATION $http_authorization` for nginx.",
        );
    }
    let good = format!(
        "the store's REST API at {} accepts the key ({how})",
        session.caller.root
    );
    session.report.good.push(good);
}
