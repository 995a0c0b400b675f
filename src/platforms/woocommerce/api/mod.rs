//! What the store's API is asked, and what its answers mean. Pure: `outbound` executes it.
//!
//! This file is the order of things: find the store, prove the keys, then see to the webhooks. Each step is a file of its own.
//! What an earlier check learned is tried first, so that a healthy store is looked at with two calls.

mod address;
mod complete;
mod diagnosis;
mod facts;
mod keys;
mod listing;
mod mode;
mod reachable;
mod refusal;
mod repair;
mod talk;
mod webhooks;
mod write;

pub(super) use self::complete::{complete, lacks, must_be_confirmed};

use std::collections::BTreeMap;

use self::address::{Api, Place};
use self::facts::Facts;
use self::keys::{Caller, Keys, Mode};
use self::talk::{End, json};
use crate::platforms::api::{
    Answer, CallFailure, CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue,
    Finding, Pace, Scope, Severity, Unanswered,
};
use crate::platforms::oauth1::Placement;
use crate::platforms::registered::RegisteredWebhooks;

/// Shared hosting counts requests.
pub(super) const PACE: Pace = Pace {
    per_minute: 120,
    burst: 10,
};

/// A key may do what its user may; nothing is granted one by one.
pub(super) const SCOPES: &[Scope] = &[];

/// What a check learns, by the names of the settings that keep it.
mod setting {
    pub(super) const URL: &str = "url";
    pub(super) const REST_ROOT: &str = "rest_root";
    /// `basic`, `oauth1` or `oauth1_query`.
    pub(super) const AUTH: &str = "auth";
    /// The REST root as the store knows itself, where that is another.
    pub(super) const OAUTH_ADDRESS: &str = "oauth_address";
    pub(super) const STORE_NAME: &str = "store_name";
    pub(super) const CURRENCY: &str = "currency";
    pub(super) const TIME_ZONE: &str = "time_zone";
    pub(super) const WOOCOMMERCE_VERSION: &str = "woocommerce_version";
    pub(super) const WORDPRESS_VERSION: &str = "wordpress_version";
    /// `read` or `read_write`, once something was written.
    pub(super) const KEY_PERMISSION: &str = "key_permission";
    pub(super) const WEBHOOK_IDS: &str = "webhook_ids";
    /// All webhooks for us that the store has ever shown, as `id=topic`.
    pub(super) const WEBHOOKS_KNOWN: &str = "webhooks_known";
    pub(super) const WEBHOOKS_WATCHED: &str = "webhooks_watched";
    pub(super) const DELIVERY_URL: &str = "delivery_url";
}

pub(super) fn can_request(fields: &ConfiguredFields) -> bool {
    fields.has("consumer-key") && fields.has("consumer-secret")
}

pub(super) fn examine(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    let mut report = CheckReport::default();
    match look(context, mode, dialogue, &mut report) {
        Ok(()) => Ok(report),
        Err(End::Found(found)) => {
            add(&mut report, found);
            Ok(report)
        }
        Err(End::Unanswered(unanswered)) => Err(unanswered),
    }
}

pub(super) fn registered_webhooks(settings: &BTreeMap<String, String>) -> RegisteredWebhooks {
    let setting = |name: &str| settings.get(name).map(String::as_str).unwrap_or_default();
    let mut registered = RegisteredWebhooks::default();
    for (id, topic) in webhooks::known(setting(setting::WEBHOOKS_KNOWN)) {
        registered.add(id, topic);
    }
    registered.are_ours = !setting(setting::WEBHOOK_IDS).is_empty();
    registered
}

pub(super) fn delivery_url_findings(context: &ConnectionContext) -> Vec<Finding> {
    let mut report = CheckReport::default();
    if let Some(target) = &context.delivery_url {
        let store = context.setting(setting::URL).unwrap_or_default();
        reachable::judge(target, store, &mut report);
    }
    report.shown().findings
}

fn add(report: &mut CheckReport, found: Finding) {
    report.add(found.severity, found.code, found.cause, found.remedy);
}

fn look(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    let Some(keys) = Keys::of(context) else {
        report.add(
            Severity::Note,
            "no_keys",
            "There is no REST API key for this store, so it cannot be asked: webhooks are neither seen nor mended.",
            format!(
                "Add a key with Read/Write under WooCommerce > Settings > Advanced > REST API and, to give this connection both \
                 halves of it, {}; until then see to the webhooks by hand, under WooCommerce > Settings > Advanced > Webhooks.",
                talk::CONNECT_ANEW
            ),
        );
        return Ok(());
    };
    let (caller, facts) = reach(context, &keys, dialogue, report)?;
    mode::carry_out(mode, context, &caller, &facts, dialogue, report)
}

/// Gets at the store: as it worked before, else from the address that was typed.
fn reach(
    context: &ConnectionContext,
    keys: &Keys,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(Caller, Facts), End> {
    if let Some(caller) = Caller::remembered(context, keys) {
        match caller.status(dialogue)? {
            Ok(answer) if answer.is_good() && json(answer).is_some() => {
                let facts = learn(context, &caller, None, Some(answer), report);
                return Ok((caller, facts));
            }
            // Asking more would not help.
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                if let Some(found) = refusal::of_answer(answer, &caller.api_url()) {
                    return Err(found.into());
                }
            }
            Err(failure @ (CallFailure::HostUnknown | CallFailure::Unreachable)) => {
                return Err(refusal::of_failure(failure, &caller.root).into());
            }
            // Something is different: it is looked for anew, from the beginning.
            Ok(_) | Err(_) => {}
        }
    }
    let place = address::discover(context.setting(setting::URL).unwrap_or_default(), dialogue)?;
    judge_place(&place, report)?;
    let (caller, status) = keys::choose(&place.root, place.home.as_ref(), keys, dialogue)?;
    let facts = learn(context, &caller, Some(&place), status, report);
    Ok((caller, facts))
}

/// What the REST root shows without any key.
fn judge_place(place: &Place, report: &mut CheckReport) -> Result<(), End> {
    if place.is_plain {
        report.add(
            Severity::Note,
            "permalinks_plain",
            format!("The permalinks of {} are plain, so its REST API is only reached by way of index.php.", place.url),
            "In WordPress, open Settings > Permalinks, choose \"Post name\" and save; it works as it is, but not with every host.",
        );
    }
    match place.version {
        Api::Current => Ok(()),
        Api::Old => Err(talk::finding(
            Severity::Broken,
            "woocommerce_too_old",
            format!(
                "The WooCommerce at {} is too old: it has no REST API v3. Cartwire needs WooCommerce 6.0 or newer.",
                place.url
            ),
            "Update WooCommerce under Dashboard > Updates in WordPress.",
        )
        .into()),
        Api::Missing => Err(talk::finding(
            Severity::Broken,
            "not_woocommerce",
            format!("{} is a WordPress site, but WooCommerce's REST API is not there.", place.url),
            "Activate WooCommerce under Plugins in WordPress; if the shop is in a folder or on another host of this site, give \
             that URL.",
        )
        .into()),
    }
}

/// Keeps what is known of the store now.
fn learn(
    context: &ConnectionContext,
    caller: &Caller,
    place: Option<&Place>,
    status: Option<&Answer>,
    report: &mut CheckReport,
) -> Facts {
    let facts = status.map(Facts::of).unwrap_or_default();
    let mut keep = |name: &str, value: Option<String>| {
        if let Some(value) = value.or_else(|| context.setting(name).map(str::to_owned)) {
            report.settings.insert(name.to_owned(), value);
        }
    };
    keep(setting::URL, place.map(|place| place.url.clone()));
    keep(setting::REST_ROOT, Some(caller.root.clone()));
    let address = match &caller.mode {
        Mode::OAuth { root, .. } if *root != caller.root => root.as_str(),
        Mode::Basic | Mode::OAuth { .. } => "",
    };
    keep(setting::AUTH, Some(caller.mode.name().to_owned()));
    keep(setting::OAUTH_ADDRESS, Some(address.to_owned()));
    keep(
        setting::STORE_NAME,
        place.and_then(|place| place.name.clone()),
    );
    keep(
        setting::TIME_ZONE,
        place.and_then(|place| place.time_zone.clone()),
    );
    keep(setting::CURRENCY, facts.currency.clone());
    keep(
        setting::WOOCOMMERCE_VERSION,
        facts.woocommerce_version.clone(),
    );
    keep(setting::WORDPRESS_VERSION, facts.wordpress_version.clone());
    keep(setting::KEY_PERMISSION, None);
    keep(setting::WEBHOOK_IDS, None);
    keep(setting::WEBHOOKS_KNOWN, None);
    keep(setting::WEBHOOKS_WATCHED, None);
    keep(setting::DELIVERY_URL, None);
    let how = match &caller.mode {
        Mode::Basic => "Basic over https",
        Mode::OAuth { placement, .. } => match placement {
            Placement::Header => "OAuth 1.0a",
            Placement::Query => "OAuth 1.0a in the query",
        },
    };
    if caller.mode.name() == "oauth1_query" {
        report.add(
            Severity::Note,
            "authorization_dropped",
            "The store's web server drops the Authorization header, so each request carries its signature in the query; the \
             consumer secret is not sent.",
            "Nothing needs to be done. To use the header, let the web server hand it on: \"CGIPassAuth On\" in .htaccess for \
             Apache, `fastcgi_param HTTP_AUTHORIZATION $http_authorization` for nginx.",
        );
    }
    report.good.push(format!(
        "the store's REST API at {} takes the key ({how})",
        caller.root
    ));
    match status {
        Some(status) => {
            facts.judge(report);
            facts::clock(status, &caller.mode, report);
        }
        None => report.add(
            Severity::Note,
            "status_unknown",
            "The store is too slow to tell its status, or fails at it; its version is not known.",
            "Open WooCommerce > Status in the store and see why it is slow.",
        ),
    }
    facts
}

#[cfg(test)]
mod tests;
