//! Finds the REST API of a store, from the URL that the operator entered to the root that responds.
//!
//! No keys are sent. The store's own description decides only the path. The host stays the entered one, because a store behind a
//! proxy may know only a name that is not reachable from outside.

use std::fmt::Write as _;

use url::Url;

use super::body::json;
use super::outcome::{End, finding};
use super::redirect::{follow, is_refused_redirect, redirect};
use super::refusal;
use super::urls::{is_same_store, named, show};
use crate::platforms::api::{
    ApiRequest, Dialogue, Finding, FindingCode, Severity, StoreResponse, Unanswered,
};
use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::entities;

/// A store with a REST API.
#[derive(Debug)]
pub(super) struct StoreAddress {
    /// The REST root, with a slash at its end.
    pub(super) root: Url,
    /// The store's address, without a slash at its end.
    pub(super) url: String,
    /// The address that WordPress has in its settings.
    pub(super) home: Option<Url>,
    /// The name of the shop.
    pub(super) name: Option<String>,
    /// The name of the time zone, or its offset.
    pub(super) time_zone: Option<String>,
    /// `true` if the permalinks are plain. The API is reachable in spite of it.
    pub(super) is_plain: bool,
    /// The version of WooCommerce's API.
    pub(super) version: Api,
}

/// The versions of WooCommerce's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// Version 3, which this module uses.
    Current,
    /// Only an older version.
    Old,
    /// None.
    Missing,
}

/// The link relation of the REST root.
const RELATION: &str = "https://api.w.org/";
/// The members of the description to request. The whole description lists all routes of the store.
const FIELDS: &str = "_fields=name,url,home,gmt_offset,timezone_string,namespaces";

/// Finds the REST root.
pub(super) fn discover(typed: &str, dialogue: &mut Dialogue<'_>) -> Result<StoreAddress, End> {
    let start = Url::parse(&format!("{}/", typed.trim_end_matches('/'))).map_err(|_| {
        let remedy = "Give the store's URL, as in https://shop.example.";
        finding(
            Severity::Broken,
            FindingCode::UrlInvalid,
            format!("{typed} is no address."),
            remedy,
        )
    })?;
    let mut troubles: Vec<Finding> = Vec::new();
    // WordPress redirects visitors to the address in its settings. Behind a proxy that address may not be reachable. The REST API
    // does not redirect, so the root is requested in spite of it.
    let (home, page) = match follow(dialogue, "home", &start) {
        Ok((home, page)) => (home, Some(page)),
        Err(End::Found(trouble)) if is_refused_redirect(trouble.code) => {
            troubles.push(trouble);
            (start.clone(), None)
        }
        Err(End::Found(trouble)) => return Err(perhaps_plain(trouble, &start, dialogue)?.into()),
        Err(end) => return Err(end),
    };
    let reported = page.and_then(|page| told_root(page, &home));
    let is_plain = reported.as_ref().is_some_and(is_query_root);
    for candidate in candidates(reported.as_ref(), &home) {
        let mut requested = candidate.clone();
        let query = candidate.query().map(|query| format!("{query}&{FIELDS}"));
        requested.set_query(Some(query.as_deref().unwrap_or(FIELDS)));
        match follow(dialogue, "rest.root", &requested) {
            Err(End::Found(trouble)) => troubles.push(trouble),
            Err(unanswered) => return Err(unanswered),
            Ok((at, answer)) => match store_address(&at, answer, is_plain) {
                Some(store_address) if is_query_root(&at) => {
                    return Err(only_plain(&store_address).into());
                }
                Some(store_address) => return Ok(store_address),
                None => troubles.extend(refusal::of_answer(answer, at.as_str())),
            },
        }
    }
    Err(nothing_found(&start, page, troubles).into())
}

/// The entered URL. Without a scheme it counts as `https`; for a store that supports only `http` the finding says so.
fn perhaps_plain(
    trouble: Finding,
    start: &Url,
    dialogue: &mut Dialogue<'_>,
) -> Result<Finding, Unanswered> {
    let mut plain = start.clone();
    let silent = matches!(
        trouble.code,
        FindingCode::Unreachable
            | FindingCode::TlsMissing
            | FindingCode::CutOff
            | FindingCode::TimedOut
    );
    if !silent || start.scheme() != "https" || plain.set_scheme("http").is_err() {
        return Ok(trouble);
    }
    let answers = match dialogue.ask(ApiRequest::get("home", plain.as_str()))? {
        Ok(answer) => redirect(answer).is_none_or(|to| !to.starts_with("https:")),
        Err(_) => false,
    };
    if !answers {
        return Ok(trouble);
    }
    let hint = format!(
        "{} answers, without encryption: if the store has no TLS, give that as its URL (it works, but what is sent can be read on \
         the way).",
        show(&plain)
    );
    Ok(Finding {
        remedy: format!("{hint} {}", trouble.remedy),
        ..trouble
    })
}

/// The root that the page names in its head or in its headers, at the requested host.
fn told_root(page: &StoreResponse, home: &Url) -> Option<Url> {
    let link = page.all("link").find_map(|value| {
        let links = value
            .split('<')
            .skip(1)
            .filter_map(|link| link.split_once('>'));
        links
            .filter(|(_, rest)| rest.contains(RELATION))
            .map(|(address, _)| address)
            .next()
    });
    let reported = link
        .map(str::to_owned)
        .or_else(|| link_element(page.text()))?;
    let reported = named(home, &reported)?;
    let mut here = home.clone();
    here.set_path(reported.path());
    here.set_query(reported.query());
    // A store that responds over http and has an https address in its settings is better requested over https.
    if home.scheme() == "http" && reported.scheme() == "https" && is_same_store(home, &reported) {
        return Some(reported);
    }
    Some(here)
}

/// The root in the HTML, because a cache may have removed the headers.
fn link_element(html: &str) -> Option<String> {
    let relation = html.find(RELATION)?;
    let start = html[..relation].rfind('<')?;
    let element = &html[start..start + html[start..].find('>')?];
    let (_, address) = element.split_once("href=")?;
    let quote = address
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    Some(entities::decode(address[1..].split(quote).next()?).into_owned())
}

/// `true` for the root of a store with plain permalinks. WooCommerce accepts no keys there.
fn is_query_root(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| name == "rest_route")
}

/// Maximum depth of the folder of a store. Deeper paths are pages of the store.
const DEEPEST: usize = 6;

/// The possible addresses of the root, the most probable first.
fn candidates(reported: Option<&Url>, home: &Url) -> Vec<Url> {
    let mut candidates: Vec<Url> = Vec::new();
    let mut add = |url: Option<Url>| {
        if let Some(url) = url.filter(|url| !candidates.contains(url)) {
            candidates.push(url);
        }
    };
    let query_root = reported.filter(|reported| is_query_root(reported));
    if let Some(reported) = reported.filter(|_| query_root.is_none()) {
        add(Some(reported.clone()));
        // For a store that links to https, which does not work.
        let mut same_scheme = reported.clone();
        if same_scheme.set_scheme(home.scheme()).is_ok() {
            add(Some(same_scheme));
        }
    }
    let mut base = home.clone();
    base.set_query(None);
    let folders: Vec<&str> = home.path().split('/').skip(1).take(DEEPEST + 1).collect();
    if folders.len() > DEEPEST {
        base.set_path(&format!("/{}/", folders[..DEEPEST].join("/")));
    }
    // The entered URL may be a page of the shop: the store is there, or in a folder above it.
    loop {
        let paths = if query_root.is_some() {
            ["index.php/wp-json/", "wp-json/"]
        } else {
            ["wp-json/", "index.php/wp-json/"]
        };
        for path in paths {
            add(base.join(path).ok());
        }
        match base.join("../").ok().filter(|above| *above != base) {
            Some(above) => base = above,
            None => break,
        }
    }
    add(query_root.cloned());
    candidates
}

/// The store, if the response is that of a REST root.
fn store_address(at: &Url, answer: &StoreResponse, is_plain: bool) -> Option<StoreAddress> {
    let document = json(answer).filter(|_| answer.is_good())?;
    let root = Node::root(&document);
    let namespaces = root.get("namespaces").scalars().known()?;
    let namespaces: Vec<&str> = namespaces.into_iter().filter_map(Node::str).collect();
    let mut rest = at.clone();
    if !is_query_root(at) {
        rest.set_query(None);
        if !rest.path().ends_with('/') {
            rest.set_path(&format!("{}/", at.path()));
        }
    }
    let path = rest.path().trim_end_matches('/');
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = folder.strip_suffix("/index.php").unwrap_or(folder);
    let mut store = rest.clone();
    store.set_query(None);
    store.set_path(folder);
    let version = match namespaces {
        found if found.contains(&"wc/v3") => Api::Current,
        found if found.iter().any(|name| name.starts_with("wc/")) => Api::Old,
        _ => Api::Missing,
    };
    Some(StoreAddress {
        root: rest,
        url: show(&store),
        home: root
            .get("home")
            .str()
            .and_then(|home| Url::parse(home).ok()),
        name: root
            .get("name")
            .str()
            .map(|name| entities::decode(name).into_owned()),
        time_zone: root
            .get("timezone_string")
            .str()
            .map(str::to_owned)
            .or_else(|| offset(root.get("gmt_offset"))),
        is_plain,
        version,
    })
}

/// The hours of an offset. The offset is a number or a text, such as `-03:30`.
fn offset(hours: Node<'_>) -> Option<String> {
    let minutes = hours
        .text()?
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|hours| hours.abs() <= 24.0)?
        * 60.0;
    let sign = if minutes < 0.0 { '-' } else { '+' };
    // Whole minutes below a day and a half: the conversion cuts nothing off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let minutes = minutes.abs().round() as u32;
    let mut text = String::new();
    write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()?;
    Some(text)
}

fn only_plain(address: &StoreAddress) -> Finding {
    finding(
        Severity::Broken,
        FindingCode::PermalinksPlain,
        format!(
            "The permalinks of {} are plain: its REST API is only at ?rest_route=/, where WooCommerce takes no keys.",
            address.url
        ),
        "In WordPress, open Settings > Permalinks, choose \"Post name\" (anything but \"Plain\") and save.",
    )
}

/// The finding if no root was found.
fn nothing_found(start: &Url, page: Option<&StoreResponse>, troubles: Vec<Finding>) -> Finding {
    // A block says more about the cause than a missing page.
    if let Some(position) = troubles
        .iter()
        .position(|trouble| trouble.code != FindingCode::RestNotFound)
    {
        return troubles
            .into_iter()
            .nth(position)
            .unwrap_or_else(|| not_wordpress(start));
    }
    let Some(page) = page else {
        return not_wordpress(start);
    };
    if let Some(refused) =
        refusal::of_answer(page, start.as_str()).filter(|_| !page.is_good() && page.status != 404)
    {
        return refused;
    }
    let text = page.text();
    let is_wordpress = page.all("link").any(|link| link.contains(RELATION))
        || [RELATION, "/wp-content/", "/wp-includes/"]
            .iter()
            .any(|trace| text.contains(trace));
    match troubles.into_iter().next() {
        Some(not_found) if is_wordpress => not_found,
        _ if page.status == 404 => finding(
            Severity::Broken,
            FindingCode::UrlWrong,
            format!(
                "There is nothing at {} (status 404), and no REST API at or above it.",
                show(start)
            ),
            "Look for a typing mistake; the URL is that of the shop's front page, as in https://shop.example.",
        ),
        _ => not_wordpress(start),
    }
}

fn not_wordpress(start: &Url) -> Finding {
    finding(
        Severity::Broken,
        FindingCode::NotWordpress,
        format!(
            "{} is no WordPress site: it names no REST API and has none at /wp-json/.",
            show(start)
        ),
        "Give the URL at which WordPress itself answers; a shop of another system cannot be connected as WooCommerce.",
    )
}
