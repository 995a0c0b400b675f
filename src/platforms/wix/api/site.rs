//! Checks a site by API key. After a refusal the check finds out whether the key, the account or the site is wrong.
//!
//! A refusal of the site's properties does not name the cause. If the account's list of sites can be read, the key and the
//! account id are right. A request has the header of the site or the header of the account, never both.

use secrecy::ExposeSecret;
use serde_json::json;

use super::caller::WixClient;
use super::refusal::{ApiOutcome, classify, unreadable, words};
use super::settings::Settings;
use crate::platforms::api::{
    CheckReport, ConnectionContext, Dialogue, FindingCode, Severity, StoreResponse, Unanswered,
};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// Number of sites per page of the account's list.
const PAGE_SIZE: u32 = 100;
/// Maximum number of pages of the list that a check reads.
const MAX_PAGES: usize = 10;
/// Maximum number of the account's sites that the remedy for an unknown site names.
const MAX_OFFERED: usize = 10;
/// The platform's page that shows the API keys and the account id.
const KEYS: &str = "https://manage.wix.com/account/api-keys";

pub(super) fn examine(
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    let mut found = CheckReport::default();
    let (Some(caller), Some(site)) = (WixClient::of(context), Settings::of(context).site_id) else {
        let remedy = format!("Remove the connection and add it again with a key from {KEYS}");
        found.add(
            Severity::Broken,
            FindingCode::ApiKeyMissing,
            "the connection has no API key",
            remedy,
        );
        return Ok(found);
    };
    if let Some(mixed) = mixed_up(context) {
        found.add(Severity::Broken, mixed.code, mixed.cause, mixed.remedy);
        return Ok(found);
    }
    let refused = match classify(
        &mut found,
        dialogue.ask(caller.get("site.properties", "/site-properties/v4/properties"))?,
    ) {
        ApiOutcome::Success(answer) => {
            learn(&mut found, answer);
            None
        }
        ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => Some(answer),
        ApiOutcome::Unavailable => return Ok(found),
    };
    if found.trouble().is_some() {
        return Ok(found);
    }
    let listed = list(&mut found, context, dialogue)?;
    match (refused, listed) {
        (None, listed) => confirm(&mut found, &listed, site),
        (Some(_), Listed::Nothing) => {}
        (Some(refusal), Listed::Refused(other)) => accuse(&mut found, refusal, other),
        (Some(refusal), Listed::Sites { sites, all }) => {
            found
                .good
                .push("the API key and the account id are right".to_owned());
            if sites.iter().any(|(id, _, _)| id.eq_ignore_ascii_case(site)) {
                site_refused(&mut found, refusal);
            } else {
                offer(&mut found, site, &sites, all);
            }
        }
    }
    Ok(found)
}

/// A finding of severity `Broken` about a value in the wrong field.
struct MixedUp {
    code: FindingCode,
    cause: &'static str,
    remedy: String,
}

/// Finds an id that was entered in the wrong field. `None` if the fields look right.
fn mixed_up(context: &ConnectionContext) -> Option<MixedUp> {
    let Settings {
        site_id,
        account_id,
        ..
    } = Settings::of(context);
    let (site, account) = (site_id?, account_id?);
    let key = context.secrets.get("api-key")?.expose_secret();
    if site == account {
        return Some(MixedUp {
            code: FindingCode::AccountRefused,
            cause: "the account id and the site id are the same: one of them was pasted twice",
            remedy: format!(
                "{KEYS} shows the account id. The site id is in the address of the site's dashboard, after /dashboard/"
            ),
        });
    }
    // The value has the length and the form of a UUID. A key is longer.
    (key.len() == account.len() && key.split('-').count() == 5).then(|| MixedUp {
        code: FindingCode::ApiKeyRefused,
        cause: "the value given as the API key is an id",
        remedy: format!("Create a key at {KEYS} and copy the whole key. The key is shown once and is much longer than an id"),
    })
}

fn learn(found: &mut CheckReport, answer: &StoreResponse) {
    let document = parse(answer.text());
    let properties = document
        .as_ref()
        .map_or_else(Node::nowhere, Node::root)
        .get("properties");
    if !properties.is_object() {
        unreadable(found);
        return;
    }
    let locale = properties.get("locale");
    let locale = [
        locale.get("languageCode").text(),
        locale.get("country").text(),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    let known = [
        (
            "site_name",
            properties
                .first(&["siteDisplayName", "businessName"])
                .text(),
        ),
        ("currency", properties.get("paymentCurrency").text()),
        ("time_zone", properties.get("timeZone").text()),
        ("language", properties.get("language").text()),
        (
            "locale",
            Some(locale.join("-")).filter(|locale| !locale.is_empty()),
        ),
    ];
    found.settings.extend(
        known
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    let name = found
        .settings
        .get("site_name")
        .map_or("a site without a name", String::as_str);
    let good = format!("the API key gives access to the site: {name}");
    found.good.push(good);
}

/// The result of reading the account's list of sites.
enum Listed<'a> {
    /// Id, name and URL of each site. `all` is `false` if the account may have more sites.
    Sites {
        sites: Vec<(String, String, Option<String>)>,
        all: bool,
    },
    /// The platform refused to list the sites.
    Refused(&'a StoreResponse),
    /// The list is unavailable or unreadable, which is already reported, or the account id is not known.
    Nothing,
}

fn list<'a>(
    found: &mut CheckReport,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'a>,
) -> Result<Listed<'a>, Unanswered> {
    let (Some(caller), Some(account)) = (
        WixClient::with_key(context),
        Settings::of(context).account_id,
    ) else {
        return Ok(Listed::Nothing);
    };
    let caller = WixClient {
        headers: vec![("wix-account-id", account.to_owned())],
        ..caller
    };
    let (mut sites, mut cursor) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let query = match &cursor {
            // The cursor contains the filter and the order of the first request.
            Some(cursor) => json!({"cursorPaging": {"limit": PAGE_SIZE, "cursor": cursor}}),
            None => {
                json!({
                    "filter": {"namespace": {"$in": ["WIX", "HEADLESS"]}},
                    // Without a stable order, pages may repeat one site and leave out another.
                    "sort": [{"fieldName": "createdDate", "order": "ASC"}],
                    "cursorPaging": {"limit": PAGE_SIZE},
                })
            }
        };
        let request = caller.search(
            "sites.query",
            "/site-list/v2/sites/query",
            &json!({"query": query}),
        );
        let answer = match classify(found, dialogue.ask(request)?) {
            ApiOutcome::Success(answer) => answer,
            // A later page was refused. An incomplete list cannot prove that the account does not have the site.
            ApiOutcome::Refused(_) | ApiOutcome::TokenRefused(_) if !sites.is_empty() => {
                return Ok(Listed::Sites { sites, all: false });
            }
            ApiOutcome::Refused(answer) | ApiOutcome::TokenRefused(answer) => {
                return Ok(Listed::Refused(answer));
            }
            ApiOutcome::Unavailable => return Ok(Listed::Nothing),
        };
        // Parsed as `Value`, because the next request sends the cursor back unchanged, whatever its type.
        let Ok(page) = serde_json::from_slice::<serde_json::Value>(&answer.body) else {
            unreadable(found);
            return Ok(Listed::Nothing);
        };
        let text = |value: &serde_json::Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        for site in page["sites"].as_array().into_iter().flatten() {
            if let Some(id) = text(&site["id"]) {
                let name = text(&site["displayName"])
                    .or_else(|| text(&site["name"]))
                    .unwrap_or_default();
                sites.push((id, name, text(&site["viewUrl"])));
            }
        }
        cursor = Some(page["cursorPaging"]["cursor"].clone()).filter(|cursor| !cursor.is_null());
        if cursor.is_none() {
            return Ok(Listed::Sites { sites, all: true });
        }
    }
    Ok(Listed::Sites { sites, all: false })
}

/// Compares a readable site with the account's list of sites.
fn confirm(found: &mut CheckReport, listed: &Listed<'_>, site: &str) {
    match listed {
        Listed::Sites { sites, .. } => {
            if let Some((_, _, url)) = sites
                .iter()
                .find(|(id, _, _)| id.eq_ignore_ascii_case(site))
            {
                found
                    .good
                    .push("the site is one of the account's".to_owned());
                found
                    .settings
                    .extend(url.clone().map(|url| ("site_url".to_owned(), url)));
            }
        }
        Listed::Refused(_) => {
            let cause = "the site can be read, but the account's list of sites cannot: the key has no permission for the list, or the \
                         account id is wrong";
            let remedy =
                format!("No action is necessary. To be sure, compare the account id with {KEYS}");
            found.add(
                Severity::Note,
                FindingCode::AccountUnconfirmed,
                cause,
                remedy,
            );
        }
        Listed::Nothing => {}
    }
}

/// Reports why neither the site (refusal `site`) nor the account's list (refusal `account`) can be read.
fn accuse(found: &mut CheckReport, site: &StoreResponse, account: &StoreResponse) {
    let (code, cause, remedy) = match (site.status, account.status) {
        (401, 401) => (
            FindingCode::ApiKeyRefused,
            "Wix does not know the API key: it was revoked, mistyped, or not copied completely",
            format!(
                "Check that the key still exists at {KEYS}. A key is shown only once: create a new key if this one is lost"
            ),
        ),
        _ if words(account).contains("account") || matches!(account.status, 400 | 401 | 404) => (
            FindingCode::AccountRefused,
            "Wix knows the API key, but it is not a key of this account",
            format!("Copy the account id from {KEYS}, the page with the key"),
        ),
        _ => (
            FindingCode::PermissionMissing,
            "Wix knows the API key, but the key can neither read this site nor list the account's sites",
            format!(
                "At {KEYS}, give the key the permissions for Wix Stores, eCommerce, contacts, business info and the list of sites, and \
                 access to this site; and compare the account id there"
            ),
        ),
    };
    found.add(Severity::Broken, code, cause, remedy);
}

/// Reports a site that belongs to the account, but whose properties cannot be read.
fn site_refused(found: &mut CheckReport, refusal: &StoreResponse) {
    let cause = format!(
        "the API key has no access to this site: Wix responds with status {}",
        refusal.status
    );
    let remedy = format!(
        "At {KEYS}, check that the key has access to this site and the permissions for its business info, orders, products and contacts"
    );
    found.add(
        Severity::Broken,
        FindingCode::PermissionMissing,
        cause,
        remedy,
    );
}

/// Reports a site that does not belong to the account, and names sites of the account.
fn offer(
    found: &mut CheckReport,
    site: &str,
    sites: &[(String, String, Option<String>)],
    all: bool,
) {
    let offered: Vec<String> = sites
        .iter()
        .take(MAX_OFFERED)
        .map(|(id, name, _)| format!("{name} ({id})"))
        .collect();
    let more = if !all || sites.len() > MAX_OFFERED {
        ", and others"
    } else {
        ""
    };
    let cause = if all {
        format!("the account has no site {site}")
    } else {
        format!(
            "the site {site} is not among the first {} of the account's sites",
            sites.len()
        )
    };
    let remedy = if offered.is_empty() {
        "This account has no sites: use the key and the id of the account that owns the site"
            .to_owned()
    } else {
        format!(
            "Add the connection with one of the account's sites: {}{more}",
            offered.join(", ")
        )
    };
    found.add(Severity::Broken, FindingCode::SiteUnknown, cause, remedy);
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
