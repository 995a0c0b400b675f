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
use crate::platforms::lenient::Node;

/// As many as WooCommerce gives at once.
const PER_PAGE: usize = 100;
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
        let path = format!("webhooks?per_page={PER_PAGE}&page={page}");
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
        let Some(items) = document
            .as_ref()
            .and_then(|document| Node::root(document).list_of(Some))
        else {
            return Err(mend::refused(answer, &url, "read the webhooks").into());
        };
        // Pages shift when a webhook is added meanwhile: one that stands on two of them is one, and none too much.
        let before = known.len();
        for webhook in items
            .iter()
            .take(MOST_WEBHOOKS)
            .filter_map(|item| Webhook::of(*item))
        {
            if known.insert(webhook.id) && own.claim(&webhook).is_some() {
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
    Ok(ours)
}
