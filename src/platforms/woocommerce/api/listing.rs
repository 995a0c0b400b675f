//! Reads the list of a store's webhooks, page by page.
//!
//! A store may be hostile: what has no end is not read for ever, and all of it is read again with every further question. Of
//! others' webhooks nothing is kept.

use std::collections::BTreeSet;

use super::keys::Caller;
use super::talk::{End, json};
use super::webhooks::{Own, Webhook};
use super::{mend, refusal};
use crate::platforms::api::{CallFailure, Dialogue, Method};
use crate::platforms::json::Json;
use crate::platforms::lenient::Node;

/// As many as WooCommerce gives at once.
const PER_PAGE: usize = 100;
/// By default webhooks are sorted by their date. Webhooks that were made in the same second have no order of their own there:
/// one page repeats a webhook, and the next one leaves one out.
const STABLE_ORDER: &str = "orderby=id&order=asc";
/// No store has more.
const MOST_PAGES: usize = 10;
const MOST_WEBHOOKS: usize = PER_PAGE * MOST_PAGES;
/// A webhook is about a kilobyte.
const MOST_BYTES: usize = 1 << 20;

/// Reads all webhooks of a store, and returns those that are ours.
pub(super) fn list(
    caller: &Caller,
    own: &Own,
    dialogue: &mut Dialogue<'_>,
) -> Result<Vec<Webhook>, End> {
    let (mut ours, mut known) = (Vec::new(), BTreeSet::new());
    for page in 1..=MOST_PAGES {
        let path = format!("webhooks?per_page={PER_PAGE}&{STABLE_ORDER}&page={page}");
        let request = caller.request("webhooks.list", Method::Get, &path, None);
        let url = request.url.clone();
        let answer = dialogue
            .ask(request)?
            .as_ref()
            .map_err(|failure| refusal::of_failure(failure, &url))?;
        if answer.body.len() > MOST_BYTES {
            return Err(refusal::of_failure(&CallFailure::TooLarge, &url).into());
        }
        let document = json(answer).filter(|_| answer.is_good());
        let Some(items) = document.as_ref().and_then(items) else {
            return Err(mend::refused(answer, &url, "read the webhooks").into());
        };
        // Pages shift when a webhook is added meanwhile: one that stands on two of them is one, and none too much.
        let before = known.len();
        for webhook in items
            .iter()
            .take(MOST_WEBHOOKS)
            .filter_map(|item| Webhook::of(*item))
        {
            if known.insert(webhook.id) && (own.is_for_us(&webhook) || own.is_remembered(&webhook))
            {
                ours.push(webhook);
            }
        }
        // A store that gives more than it was asked for knows no pages, and a proxy may drop the header.
        let pages: Option<usize> = answer
            .header("x-wp-totalpages")
            .and_then(|pages| pages.trim().parse().ok());
        let is_last = pages.map_or(items.len() < PER_PAGE, |pages| page >= pages);
        if is_last || items.len() > PER_PAGE || known.len() == before {
            break;
        }
    }
    // Ids begin anew where a shop was set up again or came from a backup: then those that we remember are another's. If one
    // of them still delivers to us, they are ours, and one with another URL was changed at the store.
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
