//! The queries of the double that return lists of entities page by page.

use serde_json::{Value, json};

/// The response to a query; `None` if the cursor is unknown or the filter is no filter.
pub(super) fn page(rows: &[Value], path: &str, body: &Value, most: usize) -> Option<Value> {
    let query = body.get("search").or_else(|| body.get("query"))?;
    let member = match path.split('/').rev().nth(1)? {
        "inventory-items" | "inventoryItems" => "inventoryItems",
        other => other,
    };
    let page = if query.get("cursorPaging").is_some() {
        by_cursor(rows, query, member, most)?
    } else if path.starts_with("/stores-reader/") {
        of_catalog_v1(rows, query, member, most)?
    } else {
        by_offset(rows, query, member, most)
    };
    Some(page)
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn since<'a>(rows: &'a [Value], since: &str) -> Vec<&'a Value> {
    let is_new = |row: &&Value| text(row, "updatedDate") >= since;
    rows.iter().filter(is_new).collect()
}

/// The cursor has the filter of the first request, and the number of rows that were returned.
fn by_cursor(rows: &[Value], query: &Value, member: &str, most: usize) -> Option<Value> {
    let paging = &query["cursorPaging"];
    let (from, after) = match paging["cursor"].as_str() {
        Some(cursor) => cursor
            .split_once('|')
            .and_then(|(from, after)| Some((from.parse::<usize>().ok()?, after.to_owned())))?,
        None => {
            let after = query["filter"]["updatedDate"]["$gte"].as_str();
            (0, after.unwrap_or_default().to_owned())
        }
    };
    let mut found = since(rows, &after);
    found.sort_by_key(|row| text(row, "updatedDate").to_owned());
    let limit = limit(&paging["limit"], most);
    let page: Vec<_> = found.iter().skip(from).take(limit).collect();
    let to = from + page.len();
    let next = (to < found.len()).then(|| format!("{to}|{after}"));
    let metadata =
        json!({"count": page.len(), "cursors": {"next": next}, "hasNext": next.is_some()});
    let name = if member == "orders" {
        "metadata"
    } else {
        "pagingMetadata"
    };
    Some(json!({member: page, name: metadata}))
}

fn by_offset(rows: &[Value], query: &Value, member: &str, most: usize) -> Value {
    let after = query["filter"]["updatedDate"]["$gte"].as_str();
    let mut found = since(rows, after.unwrap_or_default());
    found.sort_by_key(|row| text(row, "createdDate").to_owned());
    let offset = query["paging"]["offset"].as_u64().unwrap_or_default() as usize;
    let limit = limit(&query["paging"]["limit"], most);
    let page: Vec<_> = found.iter().skip(offset).take(limit).collect();
    let metadata = json!({"count": page.len(), "offset": offset, "total": found.len()});
    json!({member: page, "pagingMetadata": metadata})
}

/// Filter and order are JSON texts.
fn of_catalog_v1(rows: &[Value], query: &Value, member: &str, most: usize) -> Option<Value> {
    let filter: Value = match query.get("filter") {
        Some(filter) => serde_json::from_str(filter.as_str()?).ok()?,
        None => json!({}),
    };
    let after = filter["numericId"]["$gt"].as_u64().unwrap_or_default();
    let since = filter["lastUpdated"]["$gte"].as_str().unwrap_or_default();
    let id = |row: &Value| text(row, "numericId").parse::<u64>().unwrap_or_default();
    let mut found: Vec<_> = rows
        .iter()
        .filter(|row| (after == 0 || id(row) > after) && text(row, "lastUpdated") >= since)
        .collect();
    found.sort_by_key(|row| id(row));
    let limit = limit(&query["paging"]["limit"], most);
    let offset = query["paging"]["offset"].as_u64().unwrap_or_default() as usize;
    let page: Vec<_> = found.iter().skip(offset).take(limit).collect();
    // Order and filter are texts, as the platform wants.
    query["sort"].as_str()?;
    Some(json!({member: page, "totalResults": found.len()}))
}

fn limit(requested: &Value, most: usize) -> usize {
    requested
        .as_u64()
        .map_or(50, |limit| limit as usize)
        .min(most)
}
