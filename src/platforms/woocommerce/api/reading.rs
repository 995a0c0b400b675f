//! Reads lists of WooCommerce's REST API, page by page.
//!
//! Orders, products and coupons have a filter by the time of change: `modified_after` in GMT without `Z`, with
//! `dates_are_gmt=true`. It is exclusive and has a resolution of one second. With `Z` the filter would be shifted by the
//! time zone of the shop (observed on 6.0 and 11.0). The trash is a list of its own.
//!
//! Some changes move no date: a sale changes the stock, WooCommerce 6 refunds an order, plugins write meta data, and an entity can
//! be deleted without the trash. So once a day all products with their variations, the orders of the last 30 days and all ids are read. Customers have no filter by time, so all of them are read more often.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded::Serializer;

use super::enrichment::caller;
use super::list_page::{ListPage, list_failure};
use super::pages::{Cursor, ROWS_PER_PAGE, is_last, next_by_id, next_of_changes};
use super::rows::{id, modified_at};
use super::variations;
use crate::delivery::ReasonCode;
use crate::platforms::api::{
    ChangeKind, ConnectionContext, Dialogue, ListKind, PageFailure, PageRequest, ReadableList,
    StorePage, StoreRow, Unanswered,
};
use crate::platforms::woocommerce::entity_request::EntityRequest;
use crate::platforms::woocommerce::resource::Resource;

const DAILY: SignedDuration = SignedDuration::from_hours(24);
const OF_CUSTOMERS: SignedDuration = SignedDuration::from_hours(6);
const OF_POLLED_CUSTOMERS: SignedDuration = SignedDuration::from_hours(1);

/// Between two reads of changes of a polled store that are less urgent than orders.
const OF_POLLED: SignedDuration = SignedDuration::from_mins(5);

/// The list of the variations of all products.
const VARIATIONS: &str = "variations";

const fn all(interval: SignedDuration) -> ListKind {
    ListKind::All { interval }
}

const RECENT: ListKind = ListKind::Recent {
    interval: DAILY,
    age: SignedDuration::from_hours(30 * 24),
};
const IDS: ListKind = ListKind::Ids { interval: DAILY };

/// The lists, in the order of reading.
pub(in crate::platforms::woocommerce) const READABLE: &[ReadableList] = &[
    ReadableList::changes("order", SignedDuration::ZERO),
    ReadableList::changes("product", OF_POLLED),
    ReadableList::changes("coupon", OF_POLLED),
    ReadableList::in_intervals("customer", "customer", all(OF_CUSTOMERS))
        .polled_every(OF_POLLED_CUSTOMERS),
    ReadableList::in_intervals("all_products", "product", all(DAILY)),
    ReadableList::in_intervals(VARIATIONS, "product", all(DAILY)).polled_every(OF_CUSTOMERS),
    ReadableList::in_intervals("recent_orders", "order", RECENT),
    ReadableList::in_intervals("order_ids", "order", IDS),
    ReadableList::in_intervals("coupon_ids", "coupon", IDS),
];

pub(in crate::platforms::woocommerce) fn read_page(
    request: &PageRequest<'_>,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<StorePage, PageFailure>, Unanswered> {
    let (Some(resource), Some(caller)) = (Resource::parse(request.list.entity), caller(context))
    else {
        return Ok(Err(list_failure(ReasonCode::NotReadable)));
    };
    let has_window = request.list.kind == ListKind::Changes;
    let first = Cursor {
        is_trash: false,
        // The filter is exclusive, and the time may be within a second.
        after: if has_window {
            request.after.as_second() - 1
        } else {
            0
        },
        page: 1,
    };
    let cursor = request.cursor.and_then(Cursor::parse).unwrap_or(first);
    if request.list.name == VARIATIONS {
        return variations::read_page(cursor, &caller, dialogue);
    }
    let path = path(resource, request, cursor);
    let list_page = match ListPage::request(&caller, &path, dialogue)? {
        Ok(list_page) => list_page,
        Err(failure) => return Ok(Err(failure)),
    };
    let rows = match list_page.rows() {
        Ok(rows) => rows,
        Err(failure) => return Ok(Err(failure)),
    };
    let rows_before = u64::from(cursor.page.saturating_sub(1)) * ROWS_PER_PAGE as u64;
    let count = list_page.count;
    let rows_left = count.map(|rows| u64::from(rows).saturating_sub(rows_before));
    let is_last = is_last(rows.len(), cursor, list_page.pages);
    let next = if has_window {
        let times: Vec<Option<i64>> = rows.iter().map(|row| modified_at(row.get())).collect();
        next_of_changes(first, cursor, &times, is_last).map(|next| (next, None))
    } else {
        let ids: Vec<Option<u64>> = rows.iter().map(|row| id(row.get())).collect();
        next_by_id(cursor, &ids, is_last)
    };
    let Ok((next, ids)) = next else {
        return Ok(Err(list_failure(ReasonCode::PagesWithoutEnd)));
    };
    let has_entities = !matches!(request.list.kind, ListKind::Ids { .. });
    let found = rows.iter().filter(|_| has_entities).map(|row| StoreRow {
        resource: request.list.entity,
        body: row.get().as_bytes().to_vec(),
        details: None,
        is_in_trash: cursor.is_trash,
        whole: None,
    });
    Ok(Ok(StorePage {
        rows: found.collect(),
        rows_left,
        next: next.map(Cursor::text),
        // An old entity is not deleted because a list of recent ones lacks it.
        ids: ids.filter(|_| !matches!(request.list.kind, ListKind::Recent { .. })),
    }))
}

fn path(resource: Resource, request: &PageRequest<'_>, cursor: Cursor) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("per_page", &ROWS_PER_PAGE.to_string());
    query.append_pair("page", &cursor.page.to_string());
    query.append_pair("order", "asc");
    let order_by = match (request.list.kind, resource) {
        // Coupons of WooCommerce 6 cannot be sorted by change.
        (ListKind::Changes, Resource::Order | Resource::Product) => "modified",
        _ => "id",
    };
    query.append_pair("orderby", order_by);
    match request.list.kind {
        ListKind::Changes => {
            query.append_pair("modified_after", &gmt(cursor.after));
            query.append_pair("modified_before", &gmt(request.until.as_second() + 1));
            query.append_pair("dates_are_gmt", "true");
        }
        ListKind::All { .. } => {}
        ListKind::Recent { age, .. } => {
            query.append_pair("after", &gmt((request.until - age).as_second()));
            query.append_pair("dates_are_gmt", "true");
        }
        ListKind::Ids { .. } => drop(query.append_pair("_fields", "id")),
    }
    if resource == Resource::Customer {
        query.append_pair("role", "all");
    }
    if cursor.is_trash {
        query.append_pair("status", "trash");
    }
    format!("{}?{}", resource.path(), query.finish())
}

/// The request that confirms the deletion of an entity, as it is stored.
pub(in crate::platforms::woocommerce) fn deletion_request(
    entity: &str,
    id: &str,
) -> Option<String> {
    let request = EntityRequest::Deletion {
        resource: Resource::parse(entity)?,
        id: id.to_owned(),
        has_body: false,
    };
    Some(request.to_string())
}

/// A time as the filter takes it: in GMT, without a zone.
fn gmt(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or_default();
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The topic of the webhook that would report a change.
pub(in crate::platforms::woocommerce) fn topic(entity: &str, change: ChangeKind) -> String {
    let event = match change {
        ChangeKind::Created => "created",
        ChangeKind::Updated => "updated",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Restored => "restored",
    };
    format!("{entity}.{event}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sent_in_gmt_without_a_zone() {
        assert_eq!(gmt(0), "1970-01-01T00:00:00");
    }
}
