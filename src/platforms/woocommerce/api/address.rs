//! Finds a store's REST API: from the URL that the operator typed to the root that answers.
//!
//! No keys are sent here. What a store says of itself decides the path only: the host stays the one that was typed, because
//! a store behind a proxy may know itself by a name that is not reachable from outside.

use std::fmt::Write as _;

use url::Url;

use super::body::json;
use super::outcome::{End, finding};
use super::redirect::{follow, redirect};
use super::refusal;
use super::urls::{is_same_store, named, show};
use crate::platforms::api::{Answer, ApiRequest, Dialogue, Finding, Severity, Unanswered};
use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::entities;

/// A store that was found.
#[derive(Debug)]
pub(super) struct Place {
    /// The REST root, with a slash at its end.
    pub(super) root: Url,
    /// The store's address, without one.
    pub(super) url: String,
    /// How WordPress knows itself.
    pub(super) home: Option<Url>,
    /// What it is called.
    pub(super) name: Option<String>,
    /// The zone's name, or its offset.
    pub(super) time_zone: Option<String>,
    /// Are the permalinks plain, although the API can be reached?
    pub(super) is_plain: bool,
    /// Does it have the API that we speak?
    pub(super) version: Api,
}

/// What there is of WooCommerce's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// v3.
    Current,
    /// An older one alone.
    Old,
    /// Nothing.
    Missing,
}

/// Where the relation to the REST root is named.
const RELATION: &str = "https://api.w.org/";
/// The root's description is long with all routes.
const FIELDS: &str = "_fields=name,url,home,gmt_offset,timezone_string,namespaces";

/// Finds the REST root.
pub(super) fn discover(typed: &str, dialogue: &mut Dialogue<'_>) -> Result<Place, End> {
    let start = Url::parse(&format!("{}/", typed.trim_end_matches('/'))).map_err(|_| {
        let remedy = "Give the store's URL, as in https://shop.example.";
        finding(
            Severity::Broken,
            "url_invalid",
            format!("{typed} is no address."),
            remedy,
        )
    })?;
    let mut troubles: Vec<Finding> = Vec::new();
    // WordPress sends visitors to the address that it knows itself by, which behind a proxy may be none that can be called;
    // its REST API does not redirect, so the root is tried nevertheless.
    let (home, page) = match follow(dialogue, "home", &start) {
        Ok((home, page)) => (home, Some(page)),
        Err(End::Found(trouble)) if trouble.code.starts_with("redirect_") => {
            troubles.push(trouble);
            (start.clone(), None)
        }
        Err(End::Found(trouble)) => return Err(perhaps_plain(trouble, &start, dialogue)?.into()),
        Err(end) => return Err(end),
    };
    let told = page.and_then(|page| told_root(page, &home));
    let is_plain = told.as_ref().is_some_and(is_query_root);
    for candidate in candidates(told.as_ref(), &home) {
        let mut asked = candidate.clone();
        let query = candidate.query().map(|query| format!("{query}&{FIELDS}"));
        asked.set_query(Some(query.as_deref().unwrap_or(FIELDS)));
        match follow(dialogue, "rest.root", &asked) {
            Err(End::Found(trouble)) => troubles.push(trouble),
            Err(unanswered) => return Err(unanswered),
            Ok((at, answer)) => match place(&at, answer, is_plain) {
                Some(place) if is_query_root(&at) => return Err(only_plain(&place).into()),
                Some(place) => return Ok(place),
                None => troubles.extend(refusal::of_answer(answer, at.as_str())),
            },
        }
    }
    Err(nothing_found(&start, page, troubles).into())
}

/// A URL that was typed without a scheme is taken for `https`: a store that answers only by `http` is told so.
fn perhaps_plain(
    trouble: Finding,
    start: &Url,
    dialogue: &mut Dialogue<'_>,
) -> Result<Finding, Unanswered> {
    let mut plain = start.clone();
    let silent = matches!(
        trouble.code,
        "unreachable" | "tls_missing" | "cut_off" | "timed_out"
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

/// The root that the page names in its head or its headers, at the host that was asked.
fn told_root(page: &Answer, home: &Url) -> Option<Url> {
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
    let told = link
        .map(str::to_owned)
        .or_else(|| link_element(page.text()))?;
    let told = named(home, &told)?;
    let mut here = home.clone();
    here.set_path(told.path());
    here.set_query(told.query());
    // A store that is asked by http and knows itself by https is better asked by https.
    if home.scheme() == "http" && told.scheme() == "https" && is_same_store(home, &told) {
        return Some(told);
    }
    Some(here)
}

/// The same in HTML: a cache may have dropped the headers.
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

/// Is it the root of a store with plain permalinks, where WooCommerce takes no keys?
fn is_query_root(url: &Url) -> bool {
    url.query_pairs().any(|(name, _)| name == "rest_route")
}

/// No store lies in a deeper folder; what is deeper is a page of it.
const DEEPEST: usize = 6;

/// The addresses where the root may be, the likeliest first.
fn candidates(told: Option<&Url>, home: &Url) -> Vec<Url> {
    let mut candidates: Vec<Url> = Vec::new();
    let mut add = |url: Option<Url>| {
        if let Some(url) = url.filter(|url| !candidates.contains(url)) {
            candidates.push(url);
        }
    };
    let query_root = told.filter(|told| is_query_root(told));
    if let Some(told) = told.filter(|_| query_root.is_none()) {
        add(Some(told.clone()));
        // Where https was only told of and does not work.
        let mut same_scheme = told.clone();
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
    // What was typed may be a page of the shop: the store is there or in a folder above it.
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

/// The store, where an answer is that of a REST root.
fn place(at: &Url, answer: &Answer, is_plain: bool) -> Option<Place> {
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
    Some(Place {
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

/// The hours of an offset, which are a number or a text, as `-03:30`.
fn offset(hours: Node<'_>) -> Option<String> {
    let minutes = hours
        .text()?
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|hours| hours.abs() <= 24.0)?
        * 60.0;
    let sign = if minutes < 0.0 { '-' } else { '+' };
    // Whole minutes below a day and a half: nothing is cut off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let minutes = minutes.abs().round() as u32;
    let mut text = String::new();
    write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()?;
    Some(text)
}

fn only_plain(place: &Place) -> Finding {
    finding(
        Severity::Broken,
        "permalinks_plain",
        format!(
            "The permalinks of {} are plain: its REST API is only at ?rest_route=/, where WooCommerce takes no keys.",
            place.url
        ),
        "In WordPress, open Settings > Permalinks, choose \"Post name\" (anything but \"Plain\") and save.",
    )
}

/// What is the matter where no root was found.
fn nothing_found(start: &Url, page: Option<&Answer>, troubles: Vec<Finding>) -> Finding {
    // What blocks says more than what is missing.
    if let Some(position) = troubles
        .iter()
        .position(|trouble| trouble.code != "rest_not_found")
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
            "url_wrong",
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
        "not_wordpress",
        format!(
            "{} is no WordPress site: it names no REST API and has none at /wp-json/.",
            show(start)
        ),
        "Give the URL at which WordPress itself answers; a shop of another system cannot be connected as WooCommerce.",
    )
}
