//! Products and their variants; a variant is told under the product's topics.
//!
//! Prices have no currency: it is the shop's, which the payload does not name.

use super::payload::Payload;
use crate::event::data::{
    Category, Image, OptionValue, Product, ProductInventory, ProductKind, ProductOption,
    StockStatus, Variant,
};
use crate::platforms::lenient::{Node, filled};
use crate::platforms::woocommerce::entities;

/// The second is of the extension WooCommerce Subscriptions.
const VARIATIONS: [&str; 2] = ["variation", "subscription_variation"];

/// Is it one variant of a product?
pub(super) fn is_variant(payload: Payload<'_>) -> bool {
    payload
        .get("type")
        .str()
        .is_some_and(|kind| VARIATIONS.contains(&kind))
}

pub(super) fn product(payload: Payload<'_>, id: &str) -> Product {
    Product {
        id: id.to_owned(),
        parent_id: payload
            .get("parent_id")
            .id()
            .filter(|_| is_variant(payload)),
        kind: payload.get("type").str().map(|word| kind(payload, word)),
        name: name(payload.either("name", "title")),
        slug: payload.get("slug").text(),
        sku: payload.get("sku").text(),
        gtin: payload.get("global_unique_id").text(),
        status: payload.get("status").str().map(str::to_owned),
        visible: visible(payload),
        price: payload.get("price").money(None),
        regular_price: payload.get("regular_price").money(None),
        sale_price: payload.get("sale_price").money(None),
        currency: None,
        description: payload.get("description").text(),
        short_description: payload.get("short_description").text(),
        images: images(payload),
        categories: payload.get("categories").list(category),
        tags: names(payload.get("tags")),
        options: payload.get("attributes").list(option),
        variants: variants(payload.get("variations")),
        inventory: filled(inventory(payload.node)),
        weight: payload.get("weight").amount(),
        url: payload.get("permalink").text(),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
    }
}

/// Extensions add kinds of their own (subscriptions, bookings, composites).
fn kind(payload: Payload<'_>, word: &str) -> ProductKind {
    let flag = |name: &str| payload.get(name).flag() == Some(true);
    match word {
        // Virtual alone can be a service, downloadable alone can have a box.
        "simple" if flag("virtual") && flag("downloadable") => ProductKind::Digital,
        "simple" => ProductKind::Simple,
        "variable" => ProductKind::Variable,
        "grouped" => ProductKind::Grouped,
        "external" => ProductKind::External,
        "bundle" => ProductKind::Bundle,
        _ if VARIATIONS.contains(&word) => ProductKind::Variation,
        _ => ProductKind::Unknown,
    }
}

fn visible(payload: Payload<'_>) -> Option<bool> {
    let visibility = payload.get("catalog_visibility").str()?;
    let status = payload.get("status").str()?;
    Some(visibility != "hidden" && status == "publish")
}

/// WordPress stores names escaped. Tags stay: they were typed.
fn name(node: Node<'_>) -> Option<String> {
    node.str().map(|text| entities::decode(text).into_owned())
}

fn images(payload: Payload<'_>) -> Option<Vec<Image>> {
    Some(
        payload
            .get("images")
            .list(image)?
            .into_iter()
            .flatten()
            .collect(),
    )
}

/// A picture. Up to v2 a product without one shows a placeholder, which has no id.
fn image(node: Node<'_>) -> Option<Image> {
    let id = node.get("id").id();
    let url = node.get("src").text()?;
    let file = url.rsplit('/').next().unwrap_or_default();
    if id.is_none() && file.contains("placeholder") {
        return None;
    }
    Some(Image {
        id,
        url: Some(url),
        alt: node.get("alt").text(),
    })
}

/// A category: an object, or in the legacy API its name.
fn category(node: Node<'_>) -> Category {
    if node.is_object() {
        Category {
            id: node.get("id").id(),
            name: name(node.get("name")),
        }
    } else {
        Category {
            id: None,
            name: name(node),
        }
    }
}

fn names(node: Node<'_>) -> Option<Vec<String>> {
    Some(
        node.list(|tag| category(tag).name)?
            .into_iter()
            .flatten()
            .collect(),
    )
}

/// What can be chosen; of a variant what is chosen, where an empty choice means any.
fn option(node: Node<'_>) -> ProductOption {
    let values = node.get("options").list(|value| value.text());
    let chosen = node.get("option").text().map(|value| vec![value]);
    ProductOption {
        name: node.get("name").text(),
        values: values.map(|v| v.into_iter().flatten().collect()).or(chosen),
    }
}

/// The variants: ids, or up to v1 objects.
fn variants(node: Node<'_>) -> Option<Vec<Variant>> {
    Some(node.list(variant)?.into_iter().flatten().collect())
}

fn variant(node: Node<'_>) -> Option<Variant> {
    if !node.is_object() {
        return Some(Variant {
            id: node.id()?,
            ..Variant::default()
        });
    }
    let chosen = |node: Node<'_>| OptionValue {
        name: node.get("name").text(),
        value: node.get("option").text(),
    };
    Some(Variant {
        id: node.get("id").id()?,
        sku: node.get("sku").text(),
        gtin: node.get("global_unique_id").text(),
        options: node.get("attributes").list(chosen),
        visible: node.get("visible").flag(),
        price: node.get("price").money(None),
        regular_price: node.get("regular_price").money(None),
        status: stock_status(node),
        weight: node.get("weight").amount(),
    })
}

fn inventory(node: Node<'_>) -> ProductInventory {
    let manages = node.first(&["manage_stock", "managing_stock"]);
    // A variant whose stock is counted with its product says `parent` and gives the product's quantity.
    let managed = if manages.str() == Some("parent") {
        Some(true)
    } else {
        manages.flag()
    };
    ProductInventory {
        managed,
        // The legacy API writes nought where nothing is counted.
        quantity: node
            .get("stock_quantity")
            .number()
            .filter(|_| managed != Some(false)),
        status: stock_status(node),
    }
}

/// v3 has a word for it, the others two flags.
fn stock_status(node: Node<'_>) -> Option<StockStatus> {
    if let Some(word) = node.get("stock_status").str() {
        return Some(match word {
            "instock" => StockStatus::InStock,
            "outofstock" => StockStatus::OutOfStock,
            "onbackorder" => StockStatus::Backorder,
            _ => StockStatus::Unknown,
        });
    }
    Some(
        match (node.get("in_stock").flag()?, node.get("backordered").flag()) {
            (true, Some(true)) => StockStatus::Backorder,
            (true, _) => StockStatus::InStock,
            (false, _) => StockStatus::OutOfStock,
        },
    )
}
