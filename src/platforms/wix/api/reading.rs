//! Reads a site's entities page by page.
//!
//! The filters of orders and contacts by the time of change are documented. For catalog V3 they are not, so a refused filter is
//! left out. The stock of catalog V1 has no such filter.

use jiff::SignedDuration;

use super::caller::WixClient;
use super::fetch::good;
use super::instance::catalog_version;
use super::query::{
    COLLECTIONS_V1, CONTACTS, INVENTORY_V1, INVENTORY_V3, ORDERS, PRODUCTS_V1, PRODUCTS_V3, Page,
    PageCursor, PageFault, PageStart, Query,
};
use super::resource::ListedResource;
use crate::delivery::{Enrichment, ReasonCode};
use crate::platforms::api::{
    CallResult, ConnectionContext, Dialogue, FailureScope, Fetched, ListKind, PageFailure,
    PageRequest, ReadableList, StorePage, StoreResponse, Unanswered,
};
use crate::platforms::text::replace_lone_surrogates;

const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// Between two reads of what changes less often than orders, of a site that is polled.
const OF_POLLED: SignedDuration = SignedDuration::from_mins(5);
/// Between two reads of lists without a filter.
const OF_UNFILTERED: SignedDuration = SignedDuration::from_hours(1);

const fn all(interval: SignedDuration) -> ListKind {
    ListKind::All { interval }
}

/// The lists, in the order of reading.
pub(in crate::platforms::wix) const READABLE: &[ReadableList] = &[
    ReadableList::changes("order", SignedDuration::ZERO),
    ReadableList::changes("product", OF_POLLED),
    ReadableList::changes("inventory", OF_POLLED),
    ReadableList::changes("customer", OF_POLLED),
    ReadableList::in_intervals("all_inventory", "inventory", all(OF_UNFILTERED))
        .polled_every(OF_POLLED),
    ReadableList::in_intervals("collection", "collection", all(DAILY)).polled_every(OF_UNFILTERED),
    ReadableList::in_intervals("all_products", "product", all(DAILY)),
];

pub(in crate::platforms::wix) fn read_page(
    request: &PageRequest<'_>,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<StorePage, PageFailure>, Unanswered> {
    let Some(caller) = WixClient::of(context) else {
        return Ok(Err(PageFailure::new(
            ReasonCode::NotReadable,
            FailureScope::Store,
        )));
    };
    let cursor = match request.cursor.and_then(PageCursor::parse) {
        Some(cursor) => cursor,
        None => match first(request, context, &caller, dialogue)? {
            Ok(Some(cursor)) => cursor,
            Ok(None) => return Ok(Ok(StorePage::default())),
            Err(failure) => return Ok(Err(failure)),
        },
    };
    let answer = match answer(request, &cursor, &caller, dialogue)? {
        Ok(answer) => answer,
        Err(failure) => return Ok(Err(failure)),
    };
    let text = replace_lone_surrogates(answer.text());
    let Some(page) = Page::read(cursor.query, &text) else {
        // A page of a proxy or a cut response is often temporary.
        return Ok(Err(PageFailure::new(
            ReasonCode::AnswerUnreadable,
            FailureScope::Page,
        )));
    };
    let place = match cursor.next(&page) {
        Ok(place) => place,
        Err(PageFault::Endless) => {
            let failure = PageFailure::new(ReasonCode::PagesWithoutEnd, FailureScope::Cursor);
            return Ok(Err(failure));
        }
        Err(PageFault::Incomplete) => {
            return Ok(Err(PageFailure::new(
                ReasonCode::AnswerUnreadable,
                FailureScope::Page,
            )));
        }
    };
    let resource = cursor.query.resource;
    let rows = page.rows.iter().map(|row| resource.row(row)).collect();
    let query = cursor.query;
    Ok(Ok(StorePage {
        rows,
        rows_left: cursor.rows_left(&page),
        next: PageCursor { query, place }.text(),
        ids: None,
    }))
}

/// The begin of a list; `None` for a site that has no such entities.
fn first(
    request: &PageRequest<'_>,
    context: &ConnectionContext,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<Option<PageCursor>, PageFailure>, Unanswered> {
    let begin = |query: &'static Query| PageCursor {
        query,
        place: PageStart::First,
    };
    let (of_v1, of_v3) = match (request.list.entity, request.list.kind) {
        ("order", _) => return Ok(Ok(Some(begin(&ORDERS)))),
        ("customer", _) => return Ok(Ok(Some(begin(&CONTACTS)))),
        ("product", _) => (Some(&PRODUCTS_V1), Some(&PRODUCTS_V3)),
        ("inventory", ListKind::Changes) => (None, Some(&INVENTORY_V3)),
        ("inventory", _) => (Some(&INVENTORY_V1), None),
        ("collection", _) => (Some(&COLLECTIONS_V1), None),
        _ => return Ok(Ok(None)),
    };
    let result = dialogue.ask(caller.get("catalog.version", "/stores/v3/provision/version"))?;
    let known = context.setting("catalog_version");
    // Without the permission for this call, a check may have stored the version.
    let version = catalog_version(result).or_else(|| known.map(str::to_owned));
    Ok(match version.as_deref() {
        Some("V1_CATALOG") => Ok(of_v1.map(begin)),
        Some("V3_CATALOG") => Ok(of_v3.map(begin)),
        Some(_) => Ok(None),
        None => match good(result) {
            Ok(_) => Err(PageFailure::new(
                ReasonCode::AnswerUnreadable,
                FailureScope::Page,
            )),
            Err(fetched) => Err(failed(fetched)),
        },
    })
}

/// The response with a page. A refused filter or permission has a second request without it.
fn answer<'a>(
    request: &PageRequest<'_>,
    cursor: &PageCursor,
    caller: &WixClient<'_>,
    dialogue: &mut Dialogue<'a>,
) -> Result<Result<&'a StoreResponse, PageFailure>, Unanswered> {
    let query = cursor.query;
    let has_window = request.list.kind == ListKind::Changes;
    let search = |body| caller.search(query.call, query.path, &body);
    let mut body = cursor.body(request, has_window);
    let mut result = dialogue.ask(search(body.clone()))?;
    let is_of_v3 = matches!(
        query.resource,
        ListedResource::ProductV3 | ListedResource::InventoryV3
    );
    if status(result) == Some(400) && is_of_v3 && has_window && cursor.place == PageStart::First {
        result = dialogue.ask(search(cursor.body(request, false)))?;
    } else if status(result) == Some(403) && query.resource == ListedResource::ProductV1 {
        // Hidden products need the permission to manage products.
        body["includeHiddenProducts"] = false.into();
        result = dialogue.ask(search(body))?;
    }
    let is_place_refused = cursor.place != PageStart::First
        && matches!(status(result), Some(400 | 404 | 410 | 422 | 428 | 501));
    Ok(match good(result) {
        Ok(answer) => Ok(answer),
        // A cursor expires, and a site may have got another catalog.
        Err(_) if is_place_refused => Err(PageFailure::new(
            ReasonCode::CursorExpired,
            FailureScope::Cursor,
        )),
        Err(fetched) => Err(failed(fetched)),
    })
}

fn status(result: &CallResult) -> Option<u16> {
    result.as_ref().ok().map(|answer| answer.status)
}

/// A missing permission or a refused query concerns one list, all else the site.
fn failed(fetched: Fetched) -> PageFailure {
    let is_of_list = matches!(
        &fetched,
        Fetched::Done(Enrichment::Unavailable(reason)) if reason.code() != Some(ReasonCode::CredentialsRefused)
    );
    let failure = PageFailure::of_store(fetched);
    if is_of_list {
        PageFailure {
            scope: FailureScope::List,
            ..failure
        }
    } else {
        failure
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
