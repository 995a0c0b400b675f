//! Reads the variations of all products. They are in no list of products, and a change of one moves no date of its product.
//!
//! The list of a product's variations has another form than their webhooks: other names, one image, and in WooCommerce 6 neither
//! type nor parent. So a row has only the members that both forms have, with the request for the whole variation.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use url::form_urlencoded::Serializer;

use super::client::StoreClient;
use super::list_page::{ListPage, list_failure};
use super::pages::{Cursor, ROWS_PER_PAGE, WithoutEnd, is_last};
use super::rows::id;
use crate::delivery::ReasonCode;
use crate::platforms::api::{Dialogue, PageFailure, StorePage, StoreRow, Unanswered};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::entity_request::EntityRequest;
use crate::platforms::woocommerce::resource::Resource;

/// Maximum number of products whose variations are read at once. Each one needs at least one request.
const MAX_PRODUCTS: usize = 10;
/// Maximum number of pages of the variations of one product.
const MAX_PAGES: usize = 50;
/// The members that have the same form in the list and in the webhook.
const SHARED_MEMBERS: &[&str] = &[
    "id",
    "sku",
    "global_unique_id",
    "status",
    "price",
    "regular_price",
    "sale_price",
    "manage_stock",
    "stock_quantity",
    "stock_status",
    "low_stock_amount",
    "weight",
    "date_created",
    "date_created_gmt",
    "date_modified",
    "date_modified_gmt",
];

/// Reads the variations of some products on a page of products. `after` of the cursor is the number of products with variations
/// on the page that were read before.
pub(super) fn read_page(
    cursor: Cursor,
    caller: &StoreClient,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<StorePage, PageFailure>, Unanswered> {
    let path = path("products", ROWS_PER_PAGE, cursor.page, "id,variations");
    let list_page = match ListPage::request(caller, &path, dialogue)? {
        Ok(list_page) => list_page,
        Err(failure) => return Ok(Err(failure)),
    };
    let products = match list_page.rows() {
        Ok(products) => products,
        Err(failure) => return Ok(Err(failure)),
    };
    let is_last = is_last(products.len(), cursor, list_page.pages);
    let variable: Vec<u64> = products
        .iter()
        .filter(|product| has_variations(product.get()))
        .filter_map(|product| id(product.get()))
        .collect();
    let before = usize::try_from(cursor.after).unwrap_or_default();
    let mut page = StorePage::default();
    for product in variable.iter().copied().skip(before).take(MAX_PRODUCTS) {
        match of_product(product, caller, dialogue)? {
            Ok(rows) => page.rows.extend(rows),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    let read = before + MAX_PRODUCTS;
    if read < variable.len() {
        page.next = Some(cursor.within_page(read).text());
        return Ok(Ok(page));
    }
    page.next = match cursor.within_page(0).next_page(is_last) {
        Ok(next) => next.map(Cursor::text),
        Err(WithoutEnd) => return Ok(Err(list_failure(ReasonCode::PagesWithoutEnd))),
    };
    Ok(Ok(page))
}

fn of_product(
    product: u64,
    caller: &StoreClient,
    dialogue: &mut Dialogue<'_>,
) -> Result<Result<Vec<StoreRow>, PageFailure>, Unanswered> {
    let list = format!("products/{product}/variations");
    let fields = SHARED_MEMBERS.join(",");
    let mut found = Vec::new();
    for page in (1..).take(MAX_PAGES) {
        let path = path(&list, ROWS_PER_PAGE, page, &fields);
        let list_page = match ListPage::request_existing(caller, &path, dialogue)? {
            Ok(Some(list_page)) => list_page,
            // The product was deleted meanwhile.
            Ok(None) => return Ok(Ok(found)),
            Err(failure) => return Ok(Err(failure)),
        };
        let variations = match list_page.rows() {
            Ok(variations) => variations,
            Err(failure) => return Ok(Err(failure)),
        };
        let count = variations.len();
        found.extend(variations.iter().filter_map(|row| store_row(row, product)));
        let has_more = list_page.pages.is_some_and(|pages| pages > page);
        if count == 0 || count < ROWS_PER_PAGE && !has_more {
            return Ok(Ok(found));
        }
    }
    Ok(Err(list_failure(ReasonCode::PagesWithoutEnd)))
}

fn path(list: &str, per_page: usize, page: u32, fields: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("per_page", &per_page.to_string());
    query.append_pair("page", &page.to_string());
    query.append_pair("order", "asc");
    query.append_pair("orderby", "id");
    query.append_pair("_fields", fields);
    format!("{list}?{}", query.finish())
}

fn has_variations(product: &str) -> bool {
    let Some(document) = parse(product) else {
        return false;
    };
    Node::root(&document)
        .get("variations")
        .items()
        .next()
        .is_some()
}

/// The row in the form of a webhook. `None` for a row that is no object with an id.
fn store_row(row: &RawValue, product: u64) -> Option<StoreRow> {
    let id = id(row.get())?.to_string();
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(row.get()).ok()?;
    members.retain(|name, _| SHARED_MEMBERS.contains(&name.as_str()));
    let parent = RawValue::from_string(product.to_string()).ok()?;
    let kind = RawValue::from_string(r#""variation""#.to_owned()).ok()?;
    members.insert("parent_id".to_owned(), &parent);
    members.insert("type".to_owned(), &kind);
    let whole = EntityRequest::Entity {
        resource: Resource::Product,
        id,
    };
    Some(StoreRow {
        resource: Resource::Product.word(),
        body: serde_json::to_vec(&members).ok()?,
        details: None,
        is_in_trash: false,
        whole: Some(whole.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_has_the_shared_members_with_type_and_parent() {
        let row = r#"{"id":13,"name":"Red","price":"40","stock_quantity":2.50,"image":null}"#;
        let row = RawValue::from_string(row.to_owned()).expect("JSON");
        let found = store_row(&row, 12).expect("a row");
        assert_eq!(
            String::from_utf8_lossy(&found.body),
            r#"{"id":13,"parent_id":12,"price":"40","stock_quantity":2.50,"type":"variation"}"#
        );
        assert_eq!(found.whole.as_deref(), Some("product/13"));
    }
}
