//! Bodies of requests, and the place of the next page for each kind of paging.

use jiff::Timestamp;

use super::*;
use crate::platforms::wix::api::reading::READABLE;

fn request() -> PageRequest<'static> {
    PageRequest {
        list: READABLE[0],
        after: Timestamp::UNIX_EPOCH,
        until: Timestamp::UNIX_EPOCH,
        cursor: None,
    }
}

fn at(query: &'static Query, place: PageStart) -> PageCursor {
    PageCursor { query, place }
}

/// The next page after a response with this many rows, with numeric ids from 1 on.
fn next(cursor: &PageCursor, count: usize, metadata: &str) -> Result<PageStart, PageFault> {
    let ids: Vec<_> = (1..=count).collect();
    next_of(cursor, &ids, metadata)
}

fn next_of(cursor: &PageCursor, ids: &[usize], metadata: &str) -> Result<PageStart, PageFault> {
    let rows: Vec<_> = ids.iter().map(|id| json!({"numericId": id})).collect();
    let text = format!(r#"{{"{}":{}{metadata}}}"#, cursor.query.rows, json!(rows));
    cursor.next(&Page::read(cursor.query, &text).expect("a page"))
}

#[test]
fn cursor_is_read_as_it_was_written() {
    for (query, place) in [
        (&ORDERS, PageStart::Cursor("a/b=c".to_owned())),
        (&CONTACTS, PageStart::Offset(200)),
        (&INVENTORY_V1, PageStart::NumericId(7)),
    ] {
        let cursor = at(query, place);
        let text = cursor.text().expect("a place after the first page");
        assert_eq!(PageCursor::parse(&text), Some(cursor));
    }
    assert_eq!(at(&ORDERS, PageStart::First).text(), None);
    for text in [
        "",
        "orders.search",
        "other/offset/1",
        "contacts.query/offset/x",
    ] {
        assert_eq!(PageCursor::parse(text), None, "{text}");
    }
}

#[test]
fn first_request_has_the_filter_and_a_further_one_only_the_cursor() {
    let first = at(&ORDERS, PageStart::First).body(&request(), true);
    assert_eq!(
        first,
        json!({"search": {
            "filter": {"updatedDate": {"$gte": "1970-01-01T00:00:00Z"}},
            "sort": [{"fieldName": "updatedDate", "order": "ASC"}],
            "cursorPaging": {"limit": 100},
        }})
    );
    let further = at(&ORDERS, PageStart::Cursor("x".to_owned())).body(&request(), true);
    assert_eq!(
        further,
        json!({"search": {"cursorPaging": {"limit": 100, "cursor": "x"}}})
    );
}

#[test]
fn filter_and_order_of_catalog_v1_are_json_texts() {
    let body = at(&PRODUCTS_V1, PageStart::NumericId(7)).body(&request(), true);
    let filter = body["query"]["filter"].as_str().expect("a text");
    assert_eq!(
        serde_json::from_str::<Value>(filter).expect("JSON"),
        json!({"lastUpdated": {"$gte": "1970-01-01T00:00:00Z"}, "numericId": {"$gt": 7}})
    );
    assert_eq!(body["query"]["sort"], r#"[{"numericId":"asc"}]"#);
    assert_eq!(body["includeVariants"], true);
    let all = at(&PRODUCTS_V1, PageStart::First).body(&request(), false);
    assert_eq!(all["query"]["sort"], r#"[{"numericId":"asc"}]"#);
    let all = at(&INVENTORY_V1, PageStart::First).body(&request(), false);
    assert_eq!(all["query"].get("filter"), None);
    let collections = at(&COLLECTIONS_V1, PageStart::Offset(100)).body(&request(), false);
    assert_eq!(
        collections,
        json!({"query": {"sort": r#"[{"id":"asc"}]"#, "paging": {"limit": 100, "offset": 100}}})
    );
    let contacts = at(&CONTACTS, PageStart::First).body(&request(), true);
    assert_eq!(
        contacts["query"]["sort"],
        json!([{"fieldName": "createdDate", "order": "ASC"}])
    );
}

#[test]
fn pages_with_cursors_end_without_a_cursor() {
    let first = at(&ORDERS, PageStart::First);
    let with = |metadata: &str| next(&first, 1, &format!(r#","metadata":{metadata}"#));
    let second = Ok(PageStart::Cursor("x".to_owned()));
    assert_eq!(with(r#"{"cursors":{"next":"x"},"hasNext":true}"#), second);
    assert_eq!(with(r#"{"cursors":{"next":"x"}}"#), second);
    for end in [
        r#"{"cursors":{"next":"x"},"hasNext":false}"#,
        r#"{"cursors":{"next":""}}"#,
        "{}",
    ] {
        assert_eq!(with(end), Ok(PageStart::First), "{end}");
    }
    let again = at(&ORDERS, PageStart::Cursor("x".to_owned()));
    let metadata = r#","metadata":{"cursors":{"next":"x"}}"#;
    assert_eq!(next(&again, 1, metadata), Err(PageFault::Endless));
    assert_eq!(
        next(&first, 0, metadata),
        second,
        "an empty page does not end the list"
    );
    assert_eq!(next(&first, 100, ""), Err(PageFault::Incomplete));
    assert_eq!(next(&first, 99, ""), Ok(PageStart::First));
}

#[test]
fn pages_with_offsets_end_whatever_the_total_states() {
    let first = at(&CONTACTS, PageStart::First);
    assert_eq!(next(&first, 100, ""), Ok(PageStart::Offset(90)));
    let low = r#","pagingMetadata":{"total":3}"#;
    assert_eq!(next(&first, 100, low), Ok(PageStart::Offset(90)));
    // The platform may return fewer rows per page than requested.
    let high = r#","pagingMetadata":{"total":900}"#;
    assert_eq!(next(&first, 50, high), Ok(PageStart::Offset(40)));
    assert_eq!(next(&first, 10, high), Ok(PageStart::Offset(10)));
    assert_eq!(next(&first, 0, high), Ok(PageStart::First));
    assert_eq!(next(&first, 99, ""), Ok(PageStart::First));
}

#[test]
fn pages_of_catalog_v1_begin_after_the_last_numeric_id() {
    let first = at(&PRODUCTS_V1, PageStart::First);
    assert_eq!(next(&first, 100, ""), Ok(PageStart::NumericId(100)));
    assert_eq!(
        next(&first, 50, r#","totalResults":80"#),
        Ok(PageStart::NumericId(50))
    );
    let repeated = at(&PRODUCTS_V1, PageStart::NumericId(100));
    assert_eq!(next(&repeated, 100, ""), Err(PageFault::Endless));
    let descending: Vec<_> = (901..=1000).rev().collect();
    assert_eq!(next_of(&first, &descending, ""), Err(PageFault::Endless));
    let text = json!({"products": vec![json!({}); 100]}).to_string();
    let page = Page::read(&PRODUCTS_V1, &text).expect("a page");
    assert_eq!(first.next(&page), Ok(PageStart::Offset(90)));
}

#[test]
fn response_without_rows_is_a_page_only_with_metadata() {
    let rows = |text: &str| Page::read(&ORDERS, text).map(|page| page.rows.len());
    assert_eq!(rows(r#"{"orders":[{"id":"a"},{}]}"#), Some(2));
    assert_eq!(rows(r#"{"metadata":{"count":0}}"#), Some(0));
    for other in [
        "{}",
        "<html>",
        r#"{"orders":7}"#,
        r#"{"message":"x"}"#,
        "[]",
    ] {
        assert_eq!(rows(other), None, "{other}");
    }
}
