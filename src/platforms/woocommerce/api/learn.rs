//! Stores what a check learned about a store: how it is reached, and what it says about itself.

use super::address::Place;
use super::client::Mode;
use super::facts::{self, Facts};
use super::session::CheckSession;
use super::settings::{AuthScheme, name};
use crate::platforms::api::{Answer, FindingCode, Severity};
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
    place: Option<&Place>,
    status: Option<&Answer>,
) -> Facts {
    let facts = status.map(Facts::of).unwrap_or_default();
    store_settings(session, place, &facts);
    report_authentication(session);
    match status {
        Some(status) => {
            facts.judge(session.report);
            facts::clock(status, &session.caller.mode, session.report);
        }
        None => session.report.add(
            Severity::Note,
            FindingCode::StatusUnknown,
            "The store does not send its status, or takes too long for it, so its version is unknown.",
            "Open WooCommerce > Status in the store and find out why it is slow.",
        ),
    }
    facts
}

fn store_settings(session: &mut CheckSession<'_, '_>, place: Option<&Place>, facts: &Facts) {
    let (context, caller) = (session.context, &session.caller);
    let address = match &caller.mode {
        Mode::OAuth { root, .. } if *root != caller.root => root.as_str(),
        Mode::Basic | Mode::OAuth { .. } => "",
    };
    let new = [
        (name::URL, place.map(|place| place.url.clone())),
        (name::REST_ROOT, Some(caller.root.clone())),
        (name::AUTH, Some(caller.mode.scheme().as_str().to_owned())),
        (name::OAUTH_ADDRESS, Some(address.to_owned())),
        (name::STORE_NAME, place.and_then(|place| place.name.clone())),
        (
            name::TIME_ZONE,
            place.and_then(|place| place.time_zone.clone()),
        ),
        (name::CURRENCY, facts.currency.clone()),
        (name::WOOCOMMERCE_VERSION, facts.woocommerce_version.clone()),
        (name::WORDPRESS_VERSION, facts.wordpress_version.clone()),
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
        Mode::Basic => "Basic over https",
        Mode::OAuth { placement, .. } => match placement {
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
