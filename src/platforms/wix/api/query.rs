//! The queries that return a site's entities page by page: their paths, their bodies, and where the next page begins. Pure.
//!
//! The platform has three kinds of paging. Orders and catalog V3 have cursors: the first request has the filter, and each
//! further one only the cursor. Contacts have offsets. Catalog V1 has filters as JSON text and a numeric id in ascending order,
//! so that its pages begin after an id: its offsets end at 10,000.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::resource::ListedResource;
use crate::platforms::api::PageRequest;
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::wix::payload::{Members, members};

/// Number of entities per page: the platform's maximum for most queries.
pub(super) const ROWS_PER_PAGE: usize = 100;
/// Number of rows that a page with an offset has in common with the page before.
const OVERLAP: usize = 10;

/// A query that returns a list of entities.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The name in cursors and metrics.
    pub(super) call: &'static str,
    pub(super) path: &'static str,
    /// The member of the request that has filter, order and paging.
    pub(super) envelope: &'static str,
    /// The member of the response that has the rows.
    pub(super) rows: &'static str,
    pub(super) paging: Paging,
    /// The member by which the rows are sorted.
    pub(super) sorted_by: &'static str,
    /// The member with the time of the last change, if the query can filter by it.
    pub(super) changed_at: Option<&'static str>,
    pub(super) resource: ListedResource,
}

impl Query {
    /// The order of the rows, ascending.
    fn order(&self) -> Value {
        if self.resource.is_of_v1() {
            json!([{self.sorted_by: "asc"}])
        } else {
            json!([{"fieldName": self.sorted_by, "order": "ASC"}])
        }
    }
}

/// How a query returns the pages after the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    Cursor,
    Offset,
    NumericId,
}

/// Where a page begins: `{call}/{place}/{value}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageCursor {
    pub(super) query: &'static Query,
    pub(super) place: PageStart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageStart {
    First,
    /// After the page with this cursor of the platform.
    Cursor(String),
    /// After this number of entities.
    Offset(usize),
    /// After the entity with this numeric id.
    NumericId(u64),
}

impl PageCursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let (call, place, value) = (parts.next()?, parts.next()?, parts.next()?);
        let query = QUERIES.iter().copied().find(|query| query.call == call)?;
        let place = match place {
            "cursor" => PageStart::Cursor(value.to_owned()),
            "offset" => PageStart::Offset(value.parse().ok()?),
            "id" => PageStart::NumericId(value.parse().ok()?),
            _ => return None,
        };
        Some(Self { query, place })
    }

    pub(super) fn text(&self) -> Option<String> {
        let call = self.query.call;
        match &self.place {
            PageStart::First => None,
            PageStart::Cursor(cursor) => Some(format!("{call}/cursor/{cursor}")),
            PageStart::Offset(offset) => Some(format!("{call}/offset/{offset}")),
            PageStart::NumericId(id) => Some(format!("{call}/id/{id}")),
        }
    }

    /// The body of the request for the page. `has_filter` is `false` for a query whose filter the platform refused.
    pub(super) fn body(&self, request: &PageRequest<'_>, has_filter: bool) -> Value {
        let query = self.query;
        if let PageStart::Cursor(cursor) = &self.place {
            // The cursor contains the filter and the order of the first request.
            let paging = json!({"limit": ROWS_PER_PAGE, "cursor": cursor});
            return json!({query.envelope: {"cursorPaging": paging}});
        }
        let mut filter = serde_json::Map::new();
        if let Some(name) = query.changed_at.filter(|_| has_filter) {
            let after = request.after.to_string();
            filter.insert(name.to_owned(), json!({"$gte": after}));
        }
        if let PageStart::NumericId(id) = self.place {
            filter.insert("numericId".to_owned(), json!({"$gt": id}));
        }
        let mut members = serde_json::Map::new();
        let is_text = query.resource.is_of_v1();
        let mut add = |name: &str, value: Value| {
            let value = if is_text {
                Value::from(value.to_string())
            } else {
                value
            };
            members.insert(name.to_owned(), value);
        };
        // Only a refused filter of a query with cursors is left out together with its order.
        if query.paging != Paging::Cursor || has_filter {
            add("sort", query.order());
        }
        if !filter.is_empty() {
            add("filter", filter.into());
        }
        let (name, paging) = match query.paging {
            Paging::Cursor => ("cursorPaging", json!({"limit": ROWS_PER_PAGE})),
            Paging::Offset | Paging::NumericId => {
                let offset = offset(&self.place);
                ("paging", json!({"limit": ROWS_PER_PAGE, "offset": offset}))
            }
        };
        members.insert(name.to_owned(), paging);
        let mut body = json!({query.envelope: members});
        if query.resource == ListedResource::ProductV1 {
            body["includeVariants"] = json!(true);
            // Hidden products are entities too.
            body["includeHiddenProducts"] = json!(true);
        }
        body
    }

    /// The place of the next page.
    ///
    /// # Errors
    /// [`PageFault`] if the response cannot be a page of this list.
    pub(super) fn next(&self, page: &Page<'_>) -> Result<PageStart, PageFault> {
        match self.query.paging {
            Paging::Cursor => self.next_by_cursor(page),
            Paging::Offset => Ok(self.next_by_offset(page)),
            Paging::NumericId => self.next_by_id(page),
        }
    }

    fn next_by_cursor(&self, page: &Page<'_>) -> Result<PageStart, PageFault> {
        match page.next_cursor() {
            NextCursor::At(cursor) if self.place == PageStart::Cursor(cursor.clone()) => {
                Err(PageFault::Endless)
            }
            NextCursor::At(cursor) => Ok(PageStart::Cursor(cursor)),
            NextCursor::End => Ok(PageStart::First),
            // A full page without a word about the next one is cut.
            NextCursor::Unknown if page.rows.len() >= ROWS_PER_PAGE => Err(PageFault::Incomplete),
            NextCursor::Unknown => Ok(PageStart::First),
        }
    }

    /// Pages overlap, because the rows move up when an entity before them is deleted.
    fn next_by_offset(&self, page: &Page<'_>) -> PageStart {
        if !self.has_more(page) {
            return PageStart::First;
        }
        let rows = page.rows.len();
        let overlap = if rows > OVERLAP { OVERLAP } else { 0 };
        PageStart::Offset(offset(&self.place) + rows - overlap)
    }

    fn next_by_id(&self, page: &Page<'_>) -> Result<PageStart, PageFault> {
        if !self.has_more(page) {
            return Ok(PageStart::First);
        }
        let ids: Option<Vec<u64>> = page.rows.iter().map(|row| numeric_id(row.get())).collect();
        let before = match self.place {
            PageStart::NumericId(before) => before,
            // Entities without numeric ids are counted.
            _ if ids.is_none() => return Ok(self.next_by_offset(page)),
            _ => 0,
        };
        let ids = ids.ok_or(PageFault::Endless)?;
        let is_ascending = ids.is_sorted_by(|left, right| left < right)
            && ids.first().is_some_and(|first| *first > before);
        match ids.last() {
            Some(last) if is_ascending => Ok(PageStart::NumericId(*last)),
            _ => Err(PageFault::Endless),
        }
    }

    /// Number of rows from the begin of the page on, if the platform counts them.
    pub(super) fn rows_left(&self, page: &Page<'_>) -> Option<u64> {
        let left = page.total()?.saturating_sub(offset(&self.place));
        u64::try_from(left).ok()
    }

    /// A total that is too low does not end the list, and one that is too high ends it with an empty page.
    fn has_more(&self, page: &Page<'_>) -> bool {
        let rows = page.rows.len();
        let total = page.total().unwrap_or_default();
        rows > 0 && (rows >= ROWS_PER_PAGE || offset(&self.place) + rows < total)
    }
}

fn offset(place: &PageStart) -> usize {
    match place {
        PageStart::Offset(offset) => *offset,
        PageStart::First | PageStart::Cursor(_) | PageStart::NumericId(_) => 0,
    }
}

fn numeric_id(row: &str) -> Option<u64> {
    let document = parse(row)?;
    Node::root(&document).get("numericId").id()?.parse().ok()
}

/// Why a response cannot be a page of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageFault {
    /// It repeats rows, or its rows are not in order: the pages may have no end.
    Endless,
    /// It does not state whether another page follows.
    Incomplete,
}

/// What a response states about the next page.
enum NextCursor {
    At(String),
    End,
    Unknown,
}

/// The response with a page.
pub(super) struct Page<'a> {
    pub(super) rows: Vec<&'a RawValue>,
    members: Members<'a>,
}

impl<'a> Page<'a> {
    /// `None` if the response is no page. The platform leaves out an empty list.
    pub(super) fn read(query: &Query, text: &'a str) -> Option<Self> {
        let members = members(text)?;
        let rows = match members.get(query.rows) {
            Some(rows) => serde_json::from_str(rows.get()).ok()?,
            None if ["metadata", "pagingMetadata", "totalResults"]
                .iter()
                .any(|name| members.contains_key(*name)) =>
            {
                Vec::new()
            }
            None => return None,
        };
        Some(Self { rows, members })
    }

    fn metadata(&self) -> Value {
        let metadata = ["pagingMetadata", "metadata"]
            .iter()
            .find_map(|name| self.members.get(*name));
        metadata
            .and_then(|metadata| serde_json::from_str(metadata.get()).ok())
            .unwrap_or_default()
    }

    fn next_cursor(&self) -> NextCursor {
        let metadata = self.metadata();
        let next = metadata["cursors"]["next"].as_str().unwrap_or_default();
        if metadata["hasNext"] == json!(false) {
            NextCursor::End
        } else if !next.is_empty() {
            NextCursor::At(next.to_owned())
        } else if metadata.is_object() && metadata["hasNext"] != json!(true) {
            NextCursor::End
        } else {
            NextCursor::Unknown
        }
    }

    fn total(&self) -> Option<usize> {
        let total = self.metadata()["total"].as_u64();
        let results = || {
            let results = self.members.get("totalResults")?;
            results.get().parse().ok()
        };
        usize::try_from(total.or_else(results)?).ok()
    }
}

pub(super) static ORDERS: Query = Query {
    call: "orders.search",
    path: "/ecom/v1/orders/search",
    envelope: "search",
    rows: "orders",
    paging: Paging::Cursor,
    sorted_by: "updatedDate",
    changed_at: Some("updatedDate"),
    resource: ListedResource::Order,
};

pub(super) static CONTACTS: Query = Query {
    call: "contacts.query",
    path: "/contacts/v4/contacts/query",
    envelope: "query",
    rows: "contacts",
    paging: Paging::Offset,
    sorted_by: "createdDate",
    changed_at: Some("updatedDate"),
    resource: ListedResource::Contact,
};

pub(super) static PRODUCTS_V3: Query = Query {
    call: "products_v3.query",
    path: "/stores/v3/products/query",
    envelope: "query",
    rows: "products",
    paging: Paging::Cursor,
    sorted_by: "updatedDate",
    changed_at: Some("updatedDate"),
    resource: ListedResource::ProductV3,
};

pub(super) static INVENTORY_V3: Query = Query {
    call: "inventory_v3.query",
    path: "/stores/v3/inventory-items/query",
    envelope: "query",
    rows: "inventoryItems",
    paging: Paging::Cursor,
    sorted_by: "updatedDate",
    changed_at: Some("updatedDate"),
    resource: ListedResource::InventoryV3,
};

pub(super) static PRODUCTS_V1: Query = Query {
    call: "products_v1.query",
    path: "/stores-reader/v1/products/query",
    envelope: "query",
    rows: "products",
    paging: Paging::NumericId,
    sorted_by: "numericId",
    changed_at: Some("lastUpdated"),
    resource: ListedResource::ProductV1,
};

pub(super) static INVENTORY_V1: Query = Query {
    call: "inventory_v1.query",
    path: "/stores-reader/v2/inventoryItems/query",
    envelope: "query",
    rows: "inventoryItems",
    paging: Paging::NumericId,
    sorted_by: "numericId",
    changed_at: None,
    resource: ListedResource::InventoryV1,
};

pub(super) static COLLECTIONS_V1: Query = Query {
    call: "collections_v1.query",
    path: "/stores-reader/v1/collections/query",
    envelope: "query",
    rows: "collections",
    paging: Paging::Offset,
    sorted_by: "id",
    changed_at: None,
    resource: ListedResource::CollectionV1,
};

static QUERIES: [&Query; 7] = [
    &ORDERS,
    &CONTACTS,
    &PRODUCTS_V3,
    &INVENTORY_V3,
    &PRODUCTS_V1,
    &INVENTORY_V1,
    &COLLECTIONS_V1,
];

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
