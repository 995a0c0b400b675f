//! Looks at an app and at its installations: is the secret right, is the app still installed, what may it read, and what
//! is there to know about the site.
//!
//! A wrong secret and a removed app both end in a token that is not given. What the refusal does not say, the app's other
//! installations do: where one of them still gets a token, the secret is right. An installation is gone only where that is
//! certain. The owner's address is never kept.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::{Blame, Heard, blame, heard, strange, unreadable};
use super::scopes::{CATALOG_VERSION, INSTALLATION, missing};
use super::{Caller, token};
use crate::platforms::api::{Answer, Dialogue, Examination, Scope, Subject, Unanswered, Weight};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// Installations that are tried before a secret is called wrong.
const TRIED: usize = 3;
/// Where the app's id and secret stand.
const DASHBOARD: &str = "the app's dashboard under \"View ID & keys\"";

pub(super) fn examine_app(
    app: &Subject,
    dialogue: &mut Dialogue<'_>,
) -> Result<Examination, Unanswered> {
    let mut found = Examination::default();
    if let Some(url) = &app.delivery_url {
        found.good.push(format!(
            "webhooks are taken at {url}, the callback URL for the app's dashboard"
        ));
    }
    if token::request(app, "").is_none() {
        let cause = "without the app secret no site can be asked: what a webhook leaves out stays out, and nothing tells whether \
                     the app may read what it should";
        let step = format!("Add the app secret, which stands in {DASHBOARD}");
        found.find(Weight::Note, "app_secret_missing", cause, step);
        return Ok(found);
    }
    let (mut tried, mut accused, mut named) = (0, 0, false);
    for instance in app.installations.iter().take(TRIED) {
        let Some(request) = token::request(app, instance.as_str()) else {
            break;
        };
        match heard(&mut found, dialogue.ask(request)?) {
            Heard::Good(answer) if token::read(answer).is_some() => {
                found.good.push(
                    "the app secret is right: Wix gives access to the sites that installed the app"
                        .to_owned(),
                );
                return Ok(found);
            }
            Heard::Good(_) => {
                unreadable(&mut found);
                return Ok(found);
            }
            Heard::Refused(answer) | Heard::NoToken(answer) => {
                tried += 1;
                match blame(answer) {
                    Blame::App => named = true,
                    Blame::Unclear => accused += 1,
                    Blame::Instance => {}
                    Blame::Nobody => {
                        strange(&mut found, answer);
                        return Ok(found);
                    }
                }
            }
            Heard::Nothing => return Ok(found),
        }
    }
    if tried == 0 {
        let cause = "the app secret cannot be tried out before a site has installed the app";
        let step = "Install the app on a site with its webhooks subscribed to, and check again";
        found.find(Weight::Note, "app_secret_untried", cause, step);
    } else if named || accused > 1 {
        secret_refused(&mut found, app);
    } else if accused == 1 {
        access_refused(&mut found);
    } else {
        let cause = "the app secret could not be tried out: Wix knows none of the installations that were tried";
        found.find(
            Weight::Note,
            "app_secret_untried",
            cause,
            "Remove the connections of sites that removed the app, and check again",
        );
    }
    Ok(found)
}

pub(super) fn examine(
    instance: &Subject,
    dialogue: &mut Dialogue<'_>,
) -> Result<Examination, Unanswered> {
    let mut found = Examination::default();
    let asked_by = instance
        .parent
        .as_deref()
        .and_then(|app| Some((app, token::request(app, instance.id.as_str())?)));
    let Some((app, request)) = asked_by else {
        let cause = "this site cannot be asked: the app secret is not known, so what a webhook leaves out stays out";
        let step = format!("Add the app secret to the app's connection; it stands in {DASHBOARD}");
        found.find(Weight::Note, "app_secret_missing", cause, step);
        return Ok(found);
    };
    // A token of its own: one that was given earlier may count for hours after the app was removed.
    let token = match heard(&mut found, dialogue.ask(request)?) {
        Heard::Good(answer) => token::read(answer),
        Heard::Refused(answer) | Heard::NoToken(answer) => {
            no_token(&mut found, answer, instance, app, dialogue)?;
            return Ok(found);
        }
        Heard::Nothing => return Ok(found),
    };
    let Some(token) = token else {
        unreadable(&mut found);
        return Ok(found);
    };
    let caller = Caller::with_token(app, token);
    match heard(
        &mut found,
        dialogue.ask(caller.get("instance.get", "/apps/v1/instance"))?,
    ) {
        Heard::Good(answer) => told(&mut found, answer, &caller, dialogue)?,
        Heard::Refused(answer) | Heard::NoToken(answer) => match answer.status {
            // The token is new, so it is not the token.
            401 | 403 => permission_missing(&mut found),
            404 | 410 if blame(answer) == Blame::Instance => gone(&mut found),
            _ => strange(&mut found, answer),
        },
        Heard::Nothing => {}
    }
    Ok(found)
}

/// Takes in what the platform tells of an installation.
fn told(
    found: &mut Examination,
    answer: &Answer,
    caller: &Caller<'_>,
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
    let installed = format!("the app is installed on {name} ({url}), and access is given");
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
                .push(format!("the shop's catalogue is {version}"));
            found.settings.insert("catalog_version".to_owned(), version);
        }
        // Where the permission is among the missing ones, it is said there.
        None if missing.contains(&&CATALOG_VERSION) => {}
        None => {
            let step = format!(
                "Give the app the permission {}, and check again",
                named(&CATALOG_VERSION)
            );
            found.find(
                Weight::Note,
                "catalog_version_unknown",
                "Wix does not say which catalogue the shop has",
                step,
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
            "the app may not read everything on this site; missing: {}",
            features.join("; ")
        );
        let step = format!(
            "For what is wanted of it, add to the app's permissions {}, and let the site's owner update the app",
            scopes.join(", ")
        );
        found.find(Weight::Note, "scopes_missing", cause, step);
    }
    Ok(())
}

fn named(scope: &Scope) -> String {
    format!("\"{}\" ({})", scope.name, scope.id)
}

/// The shop's catalogue, where the platform tells.
pub(super) fn catalog_version(result: &crate::platforms::api::CallResult) -> Option<String> {
    let answer = result.as_ref().ok().filter(|answer| answer.is_good())?;
    let document = parse(answer.text())?;
    Node::root(&document).get("catalogVersion").text()
}

/// What is worth keeping of an installation, of its site and of its catalogue; nothing of its owner.
pub(in crate::platforms::wix) fn known(told: Node<'_>) -> BTreeMap<String, String> {
    let (instance, site) = (told.get("instance"), told.get("site"));
    let free = instance.get("isFree").flag() == Some(true);
    let plan = instance
        .get("billing")
        .get("packageName")
        .text()
        .or_else(|| free.then(|| "free".to_owned()));
    // The platform keeps no order, and another one is no news.
    let permissions = instance
        .get("permissions")
        .list_of(Node::text)
        .map(BTreeSet::from_iter);
    let permissions = permissions.map(|words| words.into_iter().collect::<Vec<_>>().join(" "));
    [
        ("site_name", site.get("siteDisplayName").text()),
        ("site_url", site.get("url").text()),
        ("site_id", site.get("siteId").id()),
        ("currency", site.get("paymentCurrency").text()),
        ("locale", site.get("locale").text()),
        ("plan", plan),
        ("app_name", instance.get("appName").text()),
        ("app_version", instance.get("appVersion").text()),
        ("permissions", permissions.filter(|words| !words.is_empty())),
        ("catalog_version", told.get("catalogVersion").text()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// No token is given for an installation: why? Even a refusal that names the secret is believed only where no other
/// installation gets a token: the platform does not document what it says about a removed one.
fn no_token(
    found: &mut Examination,
    refusal: &Answer,
    instance: &Subject,
    app: &Subject,
    dialogue: &mut Dialogue<'_>,
) -> Result<(), Unanswered> {
    let mut named = match blame(refusal) {
        Blame::Instance => {
            gone(found);
            return Ok(());
        }
        Blame::Nobody => {
            strange(found, refusal);
            return Ok(());
        }
        Blame::App => true,
        Blame::Unclear => false,
    };
    let mut accused = 1;
    for other in app
        .installations
        .iter()
        .filter(|other| **other != instance.id)
        .take(TRIED)
    {
        let Some(request) = token::request(app, other.as_str()) else {
            break;
        };
        match heard(found, dialogue.ask(request)?) {
            Heard::Good(answer) if token::read(answer).is_some() => {
                gone(found);
                return Ok(());
            }
            Heard::Good(_) => {
                unreadable(found);
                return Ok(());
            }
            Heard::Refused(answer) | Heard::NoToken(answer) => match blame(answer) {
                Blame::App => named = true,
                Blame::Unclear => accused += 1,
                Blame::Instance => {}
                Blame::Nobody => {
                    strange(found, answer);
                    return Ok(());
                }
            },
            Heard::Nothing => return Ok(()),
        }
    }
    if named || accused > 1 {
        secret_refused(found, app);
    } else {
        access_refused(found);
    }
    Ok(())
}

/// One installation alone does not tell which it is.
fn access_refused(found: &mut Examination) {
    let cause = "Wix gives no access: either the site removed the app, or the app secret is wrong";
    let step = format!(
        "See in the site's dashboard whether the app is installed. Where it is, compare the app id and the app secret with \
         {DASHBOARD}"
    );
    found.find(Weight::Broken, "access_refused", cause, step);
}

fn gone(found: &mut Examination) {
    found.find(
        Weight::Gone,
        "app_removed",
        "the site removed the app, or the site was deleted: Wix does not know the installation any more",
        "Install the app on the site again, or remove this connection",
    );
}

fn secret_refused(found: &mut Examination, app: &Subject) {
    let cause = "Wix refuses the app secret, or the app id: it was changed, or not copied whole";
    let id = app.id.as_str();
    let step = format!(
        "Copy both again from {DASHBOARD}, then use `connections remove {id}`, which announces all of the app's sites as \
         disconnected, and `connections add wix-app --id {id}` with them, as there is no way yet to replace a secret in place"
    );
    found.find(Weight::Broken, "app_secret_refused", cause, step);
}

fn permission_missing(found: &mut Examination) {
    let step = format!(
        "Add the permission {} to the app, and let the site's owner update it",
        named(&INSTALLATION)
    );
    found.find(
        Weight::Broken,
        "permission_missing",
        "the app may not read its own installation on this site",
        step,
    );
}

#[cfg(test)]
#[path = "instance_tests.rs"]
mod tests;
