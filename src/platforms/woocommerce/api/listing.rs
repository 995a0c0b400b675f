//! Reads the list of a store's webhooks, page by page.
//!
//! A hostile store can return pages without end, so their number and size are bounded. Webhooks of others are not kept.

use std::collections::BTreeSet;

use super::body::json;
use super::client::{is_woocommerce, rest_error, wrong_role};
use super::outcome::{End, finding};
use super::refusal;
use super::session::CheckSession;
use super::webhooks::{Own, Webhook};
use crate::platforms::api::{CallFailure, Finding, FindingCode, Method, Severity, StoreResponse};
use crate::platforms::json::Json;
use crate::platforms::lenient::Node;

/// WooCommerce's maximum.
const PER_PAGE: usize = 100;
/// By default WooCommerce sorts webhooks by date. Webhooks of the same second have no stable order then: one page repeats a
/// webhook, and the next page leaves one out.
const STABLE_ORDER: &str = "orderby=id&order=asc";
/// Maximum number of pages; no real store has more.
const MAX_PAGES: usize = 10;
const MAX_WEBHOOKS: usize = PER_PAGE * MAX_PAGES;
/// Maximum size of a page in bytes. One webhook takes about a kilobyte.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Reads all webhooks of a store, and returns those that are ours.
pub(super) fn list(session: &mut CheckSession<'_, '_>, own: &Own) -> Result<Vec<Webhook>, End> {
    let (mut ours, mut known) = (Vec::new(), BTreeSet::new());
    for page in 1..=MAX_PAGES {
        let path = format!("webhooks?per_page={PER_PAGE}&{STABLE_ORDER}&page={page}");
        let request = session
            .caller
            .request("webhooks.list", Method::Get, &path, None);
        let url = request.url.clone();
        let answer = session
            .ask(request)?
            .as_ref()
            .map_err(|failure| refusal::of_failure(failure, &url))?;
        if answer.body.len() > MAX_PAGE_BYTES {
            return Err(refusal::of_failure(&CallFailure::TooLarge, &url).into());
        }
        let document = json(answer).filter(|_| answer.is_good());
        let Some(items) = document.as_ref().and_then(items) else {
            return Err(refused(answer, &url).into());
        };
        // Pages shift when a webhook is added between two requests, so one webhook can be on two pages.
        let before = known.len();
        for webhook in items
            .iter()
            .take(MAX_WEBHOOKS)
            .filter_map(|item| Webhook::of(*item))
        {
            if known.insert(webhook.id) && (own.is_for_us(&webhook) || own.is_remembered(&webhook))
            {
                ours.push(webhook);
            }
        }
        // A page with more items than requested means that the store ignores paging. A proxy may strip the header.
        let pages: Option<usize> = answer
            .header("x-wp-totalpages")
            .and_then(|pages| pages.trim().parse().ok());
        let is_last = pages.map_or(items.len() < PER_PAGE, |pages| page >= pages);
        if is_last || items.len() > PER_PAGE || known.len() == before {
            break;
        }
    }
    // Ids start again if a shop is reinstalled or restored, and the remembered ids belong to other webhooks then. If one
    // remembered webhook still delivers to us, the ids are ours, and a webhook with another URL was changed at the store.
    let are_ids_ours = ours
        .iter()
        .any(|webhook| own.is_remembered(webhook) && own.is_for_us(webhook));
    if !are_ids_ours {
        ours.retain(|webhook| own.is_for_us(webhook));
    }
    Ok(ours)
}

/// The items of a page: an array, or an object whose members are webhooks, as PHP writes a list with gaps.
fn items<'a>(document: &'a Json<'a>) -> Option<Vec<Node<'a>>> {
    let items = Node::root(document).scalars().known()?;
    let is_list = matches!(document, Json::Array(_)) || items.iter().all(|item| item.is_object());
    is_list.then_some(items)
}

/// The finding for a refused list, after the store accepted the key.
fn refused(answer: &StoreResponse, url: &str) -> Finding {
    if let Some(other) = refusal::of_answer(answer, url) {
        return other;
    }
    match rest_error(answer) {
        error
            if matches!(answer.status, 401 | 403)
                && !error.as_ref().is_some_and(|(code, _)| is_woocommerce(code)) =>
        {
            refusal::of_other(answer, url)
        }
        Some((code, _)) if answer.status == 403 => wrong_role(&code),
        error => {
            let code = error
                .map(|(code, _)| format!(" {code}"))
                .unwrap_or_default();
            finding(
                Severity::Broken,
                FindingCode::StoreRefuses,
                format!(
                    "The store refuses to let Cartwire read the webhooks ({}{code}).",
                    answer.status
                ),
                "Check whether a plugin changes WooCommerce's REST API, and update WooCommerce.",
            )
        }
    }
}
