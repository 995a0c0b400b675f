//! Reads changed entities from WooCommerce's REST API, page by page.
//!
//! Orders, products and coupons have a filter by the time of change: `modified_after` in GMT without `Z`, with
//! `dates_are_gmt=true`. It is exclusive and has a resolution of one second. With `Z` the filter would be shifted by the
//! time zone of the shop (observed on 6.0 and 11.0). Customers have no such filter, so all of them are read.
//!
//! Pages begin at the last second of the page before, because a set that is read by page number shifts while it changes.
//! Only within one full second, and for lists without an order by change, pages are counted. The trash is a list of its own.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use super::body::json_text;
use super::enrichment::caller;
use crate::delivery::Enrichment;
use crate::platforms::api::{
    ChangeKind, ConnectionContext, Dialogue, Fetched, Method, PageFailure, PageRequest,
    ReadableEntity, StorePage, StoreRow, Unanswered, usable_answer,
};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::text::replace_lone_surrogates;

/// WooCommerce's maximum.
const ROWS_PER_PAGE: usize = 100;
/// Maximum number of counted pages. A store that ignores the page number returns the first page for ever.
const MAX_COUNTED_PAGES: u32 = 100_000;

const fn readable(name: &'static str, has_window: bool) -> ReadableEntity {
    ReadableEntity { name, has_window }
}

pub(in crate::platforms::woocommerce) const READABLE: &[ReadableEntity] = &[
    readable("order", true),
    readable("product", true),
    readable("coupon", true),
    readable("customer", false),
];

/// A list of the REST API.
struct List {
    path: &'static str,
    /// The parameter for the order of the rows.
    order_by: &'static str,
    has_trash: bool,
}

fn list(entity: &str) -> Option<List> {
    let list = |path, order_by, has_trash| List {
        path,
        order_by,
        has_trash,
    };
    Some(match entity {
        "order" => list("orders", "modified", true),
        "product" => list("products", "modified", true),
        "coupon" => list("coupons", "id", true),
        "customer" => list("customers", "id", false),
        _ => return None,
    })
}

/// Where a page begins: `{list}.{after}.{page}`, with the seconds of the exclusive lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    /// `true` for the trash, which is read after the other rows.
    is_trash: bool,
    after: i64,
    page: u32,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let cursor = Self {
            is_trash: parts.next()? == "trash",
            after: parts.next()?.parse().ok()?,
            page: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }

    fn text(self) -> String {
        let list = if self.is_trash { "trash" } else { "all" };
        format!("{list}.{}.{}", self.after, self.page)
    }
}

pub(in crate::platforms::woocommerce) fn read_page(
    request: &PageRequest<'_>,
    context: &ConnectionContext,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<StorePage, PageFailure>, Unanswered> {
    let (Some(list), Some(caller)) = (list(request.entity), caller(context)) else {
        return Ok(failure("not_readable"));
    };
    let first = Cursor {
        is_trash: false,
        // The filter is exclusive, and the time may be within a second.
        after: request.after.as_second() - 1,
        page: 1,
    };
    let cursor = request.cursor.and_then(Cursor::parse).unwrap_or(first);
    let path = path(&list, request, cursor);
    let answer = dialogue.ask(caller.request("entities.list", Method::Get, &path, None))?;
    let answer = match usable_answer(answer) {
        Ok(answer) if answer.status == 200 => answer,
        Ok(_) => return Ok(failure("store_refuses")),
        Err(fetched) => return Ok(Err(page_failure(fetched))),
    };
    let text = replace_lone_surrogates(json_text(answer));
    let Some(rows) = rows(&text) else {
        // A page of a firewall or a cut response is often temporary.
        return Ok(failure("no_json"));
    };
    let times: Vec<Option<i64>> = rows.iter().map(|row| modified_at(row.get())).collect();
    let next = next(&list, first, cursor, &times);
    let Ok(next) = next else {
        return Ok(failure("pages_without_end"));
    };
    let found = rows.iter().map(|row| StoreRow {
        body: row.get().as_bytes().to_vec(),
        is_in_trash: cursor.is_trash,
    });
    Ok(Ok(StorePage {
        rows: found.collect(),
        next: next.map(Cursor::text),
    }))
}

fn path(list: &List, request: &PageRequest<'_>, cursor: Cursor) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("per_page", &ROWS_PER_PAGE.to_string());
    query.append_pair("page", &cursor.page.to_string());
    query.append_pair("orderby", list.order_by);
    query.append_pair("order", "asc");
    if request.entity == "customer" {
        query.append_pair("role", "all");
    } else {
        query.append_pair("modified_after", &gmt(cursor.after));
        query.append_pair("modified_before", &gmt(request.until.as_second() + 1));
        query.append_pair("dates_are_gmt", "true");
    }
    if cursor.is_trash {
        query.append_pair("status", "trash");
    }
    format!("{}?{}", list.path, query.finish())
}

/// A time as the filter takes it: in GMT, without a zone.
fn gmt(second: i64) -> String {
    let time = Timestamp::from_second(second).unwrap_or_default();
    let time = time.to_zoned(TimeZone::UTC);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The rows of a page: an array, or an object whose members are rows, as PHP writes a list with gaps.
fn rows(text: &str) -> Option<Vec<&RawValue>> {
    if let Ok(rows) = serde_json::from_str(text) {
        return Some(rows);
    }
    let members: Vec<(String, &RawValue)> = serde_json::from_str::<RowsByKey<'_>>(text).ok()?.0;
    let is_list = members.iter().all(|(_, row)| row.get().starts_with('{'));
    is_list.then(|| members.into_iter().map(|(_, row)| row).collect())
}

/// The members of an object in their order.
struct RowsByKey<'a>(Vec<(String, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for RowsByKey<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = RowsByKey<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M>(self, mut map: M) -> Result<Self::Value, M::Error>
            where
                M: serde::de::MapAccess<'de>,
            {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RowsByKey(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The second in which a row was changed.
fn modified_at(row: &str) -> Option<i64> {
    let document = parse(row)?;
    let time = Node::root(&document).get("date_modified_gmt").utc()?;
    Some(time.as_second())
}

/// Where the next page begins: `None` after the last page, an error if there are too many.
fn next(
    list: &List,
    first: Cursor,
    cursor: Cursor,
    times: &[Option<i64>],
) -> Result<Option<Cursor>, ()> {
    if times.len() < ROWS_PER_PAGE {
        let trash = Cursor {
            is_trash: true,
            ..first
        };
        return Ok((list.has_trash && !cursor.is_trash).then_some(trash));
    }
    let is_ascending =
        list.order_by == "modified" && times.iter().all(Option::is_some) && times.is_sorted();
    if is_ascending
        && let Some(Some(last)) = times.last()
        && last - 1 > cursor.after
    {
        return Ok(Some(Cursor {
            after: last - 1,
            page: 1,
            ..cursor
        }));
    }
    if cursor.page >= MAX_COUNTED_PAGES {
        return Err(());
    }
    Ok(Some(Cursor {
        page: cursor.page + 1,
        ..cursor
    }))
}

fn failure(reason: &'static str) -> Result<StorePage, PageFailure> {
    Err(PageFailure {
        reason,
        retry_after: None,
    })
}

fn page_failure(fetched: Fetched) -> PageFailure {
    match fetched {
        Fetched::Retry { reason, after } => PageFailure {
            reason,
            retry_after: after,
        },
        Fetched::Done(Enrichment::Unavailable(std::borrow::Cow::Borrowed(reason))) => PageFailure {
            reason,
            retry_after: None,
        },
        Fetched::Done(_) => PageFailure {
            reason: "store_refuses",
            retry_after: None,
        },
    }
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

    fn orders() -> List {
        list("order").expect("a list")
    }

    const FIRST: Cursor = Cursor {
        is_trash: false,
        after: 100,
        page: 1,
    };

    fn after(cursor: Cursor, times: &[i64]) -> Result<Option<Cursor>, ()> {
        let times: Vec<_> = times.iter().map(|time| Some(*time)).collect();
        next(&orders(), FIRST, cursor, &times)
    }

    #[test]
    fn next_page_begins_with_the_last_second_of_the_page_before() {
        let times: Vec<i64> = (0..100).map(|row| 101 + row / 2).collect();
        let next = after(FIRST, &times).expect("a page").expect("a cursor");
        assert_eq!((next.after, next.page), (149, 1));
        assert_eq!(Cursor::parse(&next.text()), Some(next));
    }

    #[test]
    fn pages_within_one_second_are_counted() {
        let next = after(FIRST, &[101; 100])
            .expect("a page")
            .expect("a cursor");
        assert_eq!((next.after, next.page), (100, 2));
        let third = after(next, &[101; 100]).expect("a page").expect("a cursor");
        assert_eq!((third.after, third.page), (100, 3));
    }

    #[test]
    fn unsorted_pages_are_counted_and_end() {
        let mut times = [150; 100];
        times[0] = 170;
        let next = after(FIRST, &times).expect("a page").expect("a cursor");
        assert_eq!((next.after, next.page), (100, 2));
        let last = Cursor {
            page: MAX_COUNTED_PAGES,
            ..FIRST
        };
        assert_eq!(after(last, &times), Err(()));
    }

    #[test]
    fn trash_is_read_after_the_other_rows_and_then_the_run_ends() {
        let trash = after(FIRST, &[101; 3]).expect("a page").expect("a cursor");
        assert_eq!((trash.is_trash, trash.after, trash.page), (true, 100, 1));
        assert_eq!(after(trash, &[]), Ok(None));
        let customers = list("customer").expect("a list");
        assert_eq!(next(&customers, FIRST, FIRST, &[None; 7]), Ok(None));
    }

    #[test]
    fn rows_are_an_array_or_the_members_of_an_object() {
        let texts =
            |text| rows(text).map(|rows| rows.iter().map(|row| row.get()).collect::<Vec<_>>());
        assert_eq!(texts(r#"[{"id":1},7]"#), Some(vec![r#"{"id":1}"#, "7"]));
        assert_eq!(
            texts(r#"{"0":{"id":1},"2":{"id":2}}"#),
            Some(vec![r#"{"id":1}"#, r#"{"id":2}"#])
        );
        for other in [
            r#"{"code":"x","message":"y"}"#,
            "<html>",
            "7",
            r#"[{"id":1}"#,
        ] {
            assert_eq!(texts(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_sent_in_gmt_without_a_zone() {
        assert_eq!(gmt(0), "1970-01-01T00:00:00");
    }
}
