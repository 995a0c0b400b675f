//! Checks an app and its installations: the secret, the installation, the permissions, and the facts about the site.
//!
//! The platform grants no token if the secret is wrong or if the site removed the app. If another installation of the app
//! still gets a token, the secret is right and this installation was removed. An installation is reported as removed only
//! if the removal is certain. The owner's e-mail address is never stored.

use std::collections::BTreeMap;

use super::caller::WixClient;
use super::refusal::{
    ApiOutcome, RefusalCause, classify, refusal_cause, report_unexpected_status, unreadable,
};
use super::scopes::{CATALOG_VERSION, INSTALLATION, missing};
use super::{settings, token};
use crate::platforms::api::{
    CheckReport, ConnectionContext, Dialogue, FindingCode, Scope, Severity, StoreResponse,
    Unanswered,
};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// Maximum number of installations that a check tries in search of one that gets a token.
const MAX_TRIED: usize = 3;
/// Where an operator finds the app's id and secret.
const DASHBOARD: &str = "the app's dashboard under \"View ID & keys\"";

pub(super) fn examine_app(
    app: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    let mut found = CheckReport::default();
    if let Some(url) = &app.delivery_url {
        found.good.push(format!(
            "webhooks are received at {url}: use it as callback URL in the app's dashboard"
        ));
    }
    if token::request(app, "").is_none() {
        let cause = "the app secret is not known, so details that a webhook leaves out cannot be fetched, and the app's \
                     permissions cannot be checked";
        let remedy = format!("Add the app secret from {DASHBOARD}");
        found.add(Severity::Note, FindingCode::AppSecretMissing, cause, remedy);
        return Ok(found);
    }
    let (mut tried, mut accused, mut named) = (0, 0, false);
    for instance in app.installations.iter().take(MAX_TRIED) {
        let Some(request) = token::request(app, instance.as_str()) else {
            break;
        };
        match classify(&mut found, dialogue.ask(request)?) {
            ApiOutcome::Success(answer) if token::read(answer).is_some() => {
                found.good.push(
                    "the app secret is right: Wix gives access to the sites that installed the app"
                        .to_owned(),
                );
                return Ok(found);
            }
            ApiOutcome::Success(_) => {
                unreadable(&mut found);
                return Ok(found);
            }
            ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => {
                tried += 1;
                match refusal_cause(answer) {
                    RefusalCause::App => named = true,
                    RefusalCause::Unclear => accused += 1,
                    RefusalCause::Instance => {}
                    RefusalCause::UnknownPath => {
                        report_unexpected_status(&mut found, answer);
                        return Ok(found);
                    }
                }
            }
            ApiOutcome::Unavailable => return Ok(found),
        }
    }
    if tried == 0 {
        let cause = "the app secret cannot be checked before a site has installed the app";
        let remedy = "Subscribe to the webhooks, install the app on a site, and check again";
        found.add(Severity::Note, FindingCode::AppSecretUntried, cause, remedy);
    } else if named || accused > 1 {
        secret_refused(&mut found, app);
    } else if accused == 1 {
        access_refused(&mut found);
    } else {
        let cause =
            "the app secret cannot be checked: Wix knows none of the installations that were tried";
        found.add(
            Severity::Note,
            FindingCode::AppSecretUntried,
            cause,
            "Remove the connections of sites that removed the app, and check again",
        );
    }
    Ok(found)
}

pub(super) fn examine(
    instance: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    let mut found = CheckReport::default();
    let asked_by = instance
        .parent
        .as_deref()
        .and_then(|app| Some((app, token::request(app, instance.id.as_str())?)));
    let Some((app, request)) = asked_by else {
        let cause = "the app secret is not known, so details that a webhook leaves out cannot be fetched for this site";
        let remedy = format!("Add the app secret from {DASHBOARD} to the app's connection");
        found.add(Severity::Note, FindingCode::AppSecretMissing, cause, remedy);
        return Ok(found);
    };
    // The check requests a new token, because an older token may stay valid for hours after the site removed the app.
    let token = match classify(&mut found, dialogue.ask(request)?) {
        ApiOutcome::Success(answer) => token::read(answer),
        ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => {
            no_token(&mut found, answer, instance, app, dialogue)?;
            return Ok(found);
        }
        ApiOutcome::Unavailable => return Ok(found),
    };
    let Some(token) = token else {
        unreadable(&mut found);
        return Ok(found);
    };
    let caller = WixClient::with_token(app, token);
    match classify(
        &mut found,
        dialogue.ask(caller.get("instance.get", "/apps/v1/instance"))?,
    ) {
        ApiOutcome::Success(answer) => report_installation(&mut found, answer, &caller, dialogue)?,
        ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => match answer.status {
            // The platform has just granted the token, so a permission is missing.
            401 | 403 => permission_missing(&mut found),
            404 | 410 if refusal_cause(answer) == RefusalCause::Instance => gone(&mut found),
            _ => report_unexpected_status(&mut found, answer),
        },
        ApiOutcome::Unavailable => {}
    }
    Ok(found)
}

/// Adds the settings of an installation, and a finding if permissions are missing.
fn report_installation(
    found: &mut CheckReport,
    answer: &StoreResponse,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<(), Unanswered> {
    let document = parse(answer.text());
    let root = document.as_ref().map_or_else(Node::nowhere, Node::root);
    if !root.get("instance").is_object() {
        unreadable(found);
        return Ok(());
    }
    found.settings = known(root);
    let name = found
        .settings
        .get("site_name")
        .map_or("a site without a name", String::as_str);
    let url = found
        .settings
        .get("site_url")
        .map_or("not published yet", String::as_str);
    let installed = format!("the app is installed on {name} ({url}) and has access");
    found.good.push(installed);
    let version = catalog_version(
        dialogue.ask(caller.get("catalog.version", "/stores/v3/provision/version"))?,
    );
    let granted = root.get("instance").get("permissions").list_of(Node::text);
    let missing = granted
        .as_deref()
        .map(|granted| missing(granted, version.as_deref()))
        .unwrap_or_default();
    match version {
        Some(version) => {
            found
                .good
                .push(format!("the shop's catalog version is {version}"));
            found.settings.insert("catalog_version".to_owned(), version);
        }
        // The finding about missing permissions names this permission.
        None if missing.contains(&&CATALOG_VERSION) => {}
        None => {
            let remedy = format!(
                "Give the app the permission {}, and check again",
                named(&CATALOG_VERSION)
            );
            found.add(
                Severity::Note,
                FindingCode::CatalogVersionUnknown,
                "Wix does not return the catalog version of the shop",
                remedy,
            );
        }
    }
    if !missing.is_empty() {
        let features: Vec<&str> = missing.iter().map(|scope| scope.feature).collect();
        let mut scopes: Vec<String> = Vec::new();
        for name in missing.iter().map(|scope| named(scope)) {
            if !scopes.contains(&name) {
                scopes.push(name);
            }
        }
        let cause = format!(
            "the app lacks permissions on this site for: {}",
            features.join("; ")
        );
        let remedy = format!(
            "Add the permissions that you need to the app: {}. Then the site's owner has to update the app",
            scopes.join(", ")
        );
        found.add(Severity::Note, FindingCode::ScopesMissing, cause, remedy);
    }
    Ok(())
}

fn named(scope: &Scope) -> String {
    format!("\"{}\" ({})", scope.name, scope.id)
}

/// The catalog version of the shop; `None` if the response failed or has no version.
pub(super) fn catalog_version(result: &crate::platforms::api::CallResult) -> Option<String> {
    let answer = result.as_ref().ok().filter(|answer| answer.is_good())?;
    let document = parse(answer.text())?;
    Node::root(&document).get("catalogVersion").text()
}

/// The settings of an installation, its site and its catalog that are stored. They do not identify the owner.
pub(in crate::platforms::wix) fn known(answer: Node<'_>) -> BTreeMap<String, String> {
    let (instance, site) = (answer.get("instance"), answer.get("site"));
    let free = instance.get("isFree").flag() == Some(true);
    let plan = instance
        .get("billing")
        .get("packageName")
        .text()
        .or_else(|| free.then(|| "free".to_owned()));
    let permissions = instance.get("permissions").list_of(Node::text);
    [
        ("site_name", site.get("siteDisplayName").text()),
        ("site_url", site.get("url").text()),
        ("site_id", site.get("siteId").id()),
        ("currency", site.get("paymentCurrency").text()),
        ("locale", site.get("locale").text()),
        ("plan", plan),
        ("app_name", instance.get("appName").text()),
        ("app_version", instance.get("appVersion").text()),
        (
            settings::PERMISSIONS,
            permissions.and_then(settings::stored_permissions),
        ),
        ("catalog_version", answer.get("catalogVersion").text()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// Reports why the platform grants no token for an installation. If another installation gets a token, this installation was
/// removed, even if the refusal names the secret: the platform does not document its response for a removed installation.
fn no_token(
    found: &mut CheckReport,
    refusal: &StoreResponse,
    instance: &ConnectionContext,
    app: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<(), Unanswered> {
    let mut named = match refusal_cause(refusal) {
        RefusalCause::Instance => {
            gone(found);
            return Ok(());
        }
        RefusalCause::UnknownPath => {
            report_unexpected_status(found, refusal);
            return Ok(());
        }
        RefusalCause::App => true,
        RefusalCause::Unclear => false,
    };
    let mut accused = 1;
    for other in app
        .installations
        .iter()
        .filter(|other| **other != instance.id)
        .take(MAX_TRIED)
    {
        let Some(request) = token::request(app, other.as_str()) else {
            break;
        };
        match classify(found, dialogue.ask(request)?) {
            ApiOutcome::Success(answer) if token::read(answer).is_some() => {
                gone(found);
                return Ok(());
            }
            ApiOutcome::Success(_) => {
                unreadable(found);
                return Ok(());
            }
            ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => {
                match refusal_cause(answer) {
                    RefusalCause::App => named = true,
                    RefusalCause::Unclear => accused += 1,
                    RefusalCause::Instance => {}
                    RefusalCause::UnknownPath => {
                        report_unexpected_status(found, answer);
                        return Ok(());
                    }
                }
            }
            ApiOutcome::Unavailable => return Ok(()),
        }
    }
    if named || accused > 1 {
        secret_refused(found, app);
    } else {
        access_refused(found);
    }
    Ok(())
}

/// Reports both possible causes, because one refused installation cannot distinguish them.
fn access_refused(found: &mut CheckReport) {
    let cause = "Wix refuses access: the site removed the app, or the app secret is wrong";
    let remedy = format!(
        "Check in the site's dashboard that the app is installed. If so, compare the app id and the app secret with \
         {DASHBOARD}"
    );
    found.add(Severity::Broken, FindingCode::AccessRefused, cause, remedy);
}

fn gone(found: &mut CheckReport) {
    found.add(
        Severity::Gone,
        FindingCode::AppRemoved,
        "the site removed the app, or the site was deleted: Wix no longer knows the installation",
        "Install the app on the site again, or remove this connection",
    );
}

fn secret_refused(found: &mut CheckReport, app: &ConnectionContext) {
    let cause = "Wix refuses the app id or the app secret: one of them was changed or not copied completely";
    let id = app.id.as_str();
    let remedy = format!(
        "Copy both again from {DASHBOARD}, then use `connections remove {id}`, which announces all of the app's sites as \
         disconnected, and `connections add wix-app --id {id}` with them, as there is no way yet to replace a secret in place"
    );
    found.add(
        Severity::Broken,
        FindingCode::AppSecretRefused,
        cause,
        remedy,
    );
}

fn permission_missing(found: &mut CheckReport) {
    let remedy = format!(
        "Add the permission {} to the app. Then the site's owner has to update the app",
        named(&INSTALLATION)
    );
    found.add(
        Severity::Broken,
        FindingCode::PermissionMissing,
        "the app has no permission to read its own installation on this site",
        remedy,
    );
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
