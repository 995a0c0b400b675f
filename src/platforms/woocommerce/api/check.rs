//! A check of a store: find it, authenticate, then check, fix or remove its webhooks.

use std::collections::BTreeMap;

use super::address::{Api, StoreAddress};
use super::body::json;
use super::client::{ApiKey, StoreClient};
use super::learn::learn;
use super::outcome::{End, NOT_WOOCOMMERCE, SET_CREDENTIALS, WOOCOMMERCE_TOO_OLD, add, finding};
use super::session::CheckSession;
use super::settings::StoreSettings;
use super::{address, authenticate, mode, reachable, refusal};
use crate::platforms::api::{
    CallFailure, CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue, Finding,
    FindingCode, Pace, Scope, Severity, StoreResponse, Unanswered,
};
use crate::platforms::registered::RegisteredWebhooks;

/// A low rate, because shared hosting limits requests.
pub(in crate::platforms::woocommerce) const PACE: Pace = Pace {
    per_minute: 120,
    burst: 10,
};

/// A key has the rights of its user. No single permission is granted.
pub(in crate::platforms::woocommerce) const SCOPES: &[Scope] = &[];

pub(in crate::platforms::woocommerce) fn can_request(fields: &ConfiguredFields) -> bool {
    fields.has("consumer-key") && fields.has("consumer-secret")
}

pub(in crate::platforms::woocommerce) fn check(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    let mut report = CheckReport::default();
    match run(context, mode, dialogue, &mut report) {
        Ok(()) => Ok(report),
        Err(End::Found(found)) => {
            add(&mut report, found);
            Ok(report)
        }
        Err(End::Unanswered(unanswered)) => Err(unanswered),
    }
}

pub(in crate::platforms::woocommerce) fn registered_webhooks(
    settings: &BTreeMap<String, String>,
) -> RegisteredWebhooks {
    let settings = StoreSettings::parse(settings);
    let mut registered = RegisteredWebhooks::default();
    for webhook in &settings.known_webhooks.0 {
        registered.add(&webhook.id, &webhook.topic);
    }
    registered.are_ours = !settings.webhook_ids.is_empty();
    registered
}

pub(in crate::platforms::woocommerce) fn delivery_url_findings(
    context: &ConnectionContext,
) -> Vec<Finding> {
    let mut report = CheckReport::default();
    if let Some(target) = &context.delivery_url {
        let store = StoreSettings::parse(&context.settings).url;
        reachable::judge(target, &store.unwrap_or_default(), &mut report);
    }
    report.shown().findings
}

fn run(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
    report: &mut CheckReport,
) -> Result<(), End> {
    let Some(keys) = ApiKey::of(context) else {
        report.add(
            Severity::Note,
            FindingCode::NoKeys,
            "There is no REST API key for this store, so its webhooks can be neither checked nor repaired.",
            format!(
                "Add a key with Read/Write under WooCommerce > Settings > Advanced > REST API. To give this connection both \
                 halves of the key, {SET_CREDENTIALS}. Until then check the webhooks by hand under WooCommerce > Settings > \
                 Advanced > Webhooks."
            ),
        );
        return Ok(());
    };
    let settings = StoreSettings::parse(&context.settings);
    let Reached {
        caller,
        address,
        status,
    } = reach(&settings, &keys, dialogue, report)?;
    let mut session = CheckSession {
        context,
        settings: &settings,
        caller,
        dialogue,
        report,
    };
    let description = learn(&mut session, address.as_ref(), status);
    mode::run(&mut session, mode, &description)
}

/// A store that accepted the key.
struct Reached<'a> {
    caller: StoreClient,
    /// Where the store was found; `None` if the address that an earlier check stored still works.
    address: Option<StoreAddress>,
    /// The store's status; `None` if the store is too slow for it.
    status: Option<&'a StoreResponse>,
}

/// Reaches the store by the address and the authentication that an earlier check stored, or else by the operator's URL.
fn reach<'a>(
    settings: &StoreSettings,
    keys: &ApiKey,
    dialogue: &mut Dialogue<'a>,
    report: &mut CheckReport,
) -> Result<Reached<'a>, End> {
    if let Some(caller) = StoreClient::remembered(settings, keys) {
        match caller.status(dialogue)? {
            Ok(answer) if answer.is_good() && json(answer).is_some() => {
                return Ok(Reached {
                    caller,
                    address: None,
                    status: Some(answer),
                });
            }
            // Further requests would not help.
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                if let Some(found) = refusal::of_answer(answer, &caller.api_url()) {
                    return Err(found.into());
                }
            }
            Err(failure @ (CallFailure::HostUnknown | CallFailure::Unreachable)) => {
                return Err(refusal::of_failure(failure, &caller.root).into());
            }
            // Something at the store changed, so the search starts again from the operator's URL.
            Ok(_) | Err(_) => {}
        }
    }
    let address = address::discover(settings.url.as_deref().unwrap_or_default(), dialogue)?;
    judge_address(&address, report)?;
    let (caller, status) =
        authenticate::choose(&address.root, address.home.as_ref(), keys, dialogue)?;
    Ok(Reached {
        caller,
        address: Some(address),
        status,
    })
}

/// Checks what the REST root shows without a key.
fn judge_address(address: &StoreAddress, report: &mut CheckReport) -> Result<(), End> {
    if address.is_plain {
        report.add(
            Severity::Note,
            FindingCode::PermalinksPlain,
            format!("The permalinks of {} are plain, so its REST API is reachable only through index.php.", address.url),
            "In WordPress, open Settings > Permalinks, choose \"Post name\" and save. The connection works without this change, but not with every host.",
        );
    }
    match address.version {
        Api::Current => Ok(()),
        Api::Old => Err(finding(
            Severity::Broken,
            WOOCOMMERCE_TOO_OLD,
            format!(
                "The WooCommerce at {} is too old: it has no REST API v3. Cartwire needs WooCommerce 6.0 or newer.",
                address.url
            ),
            "Update WooCommerce under Dashboard > Updates in WordPress.",
        )
        .into()),
        Api::Missing => Err(finding(
            Severity::Broken,
            NOT_WOOCOMMERCE,
            format!("{} is a WordPress site, but WooCommerce's REST API is not there.", address.url),
            "Activate WooCommerce under Plugins in WordPress. If the shop is in a folder or on another host of this site, use \
             that URL.",
        )
        .into()),
    }
}
