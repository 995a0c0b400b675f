//! Products and their variants. A variant has the topics of a product.
//!
//! Prices have no currency: the payload does not have the shop's currency.

use super::options;
use super::payload::EntityPayload;
use crate::event::data::{
    Category, Image, Product, ProductInventory, ProductKind, StockStatus, Variant,
};
use crate::platforms::lenient::{Node, filled};
use crate::platforms::reading::Reading;

/// The second type is of the extension WooCommerce Subscriptions.
const VARIATIONS: [&str; 2] = ["variation", "subscription_variation"];

/// `true` for a variant of a product.
pub(super) fn is_variant(payload: EntityPayload<'_>) -> bool {
    payload
        .get("type")
        .str()
        .is_some_and(|kind| VARIATIONS.contains(&kind))
}

pub(super) fn product(payload: EntityPayload<'_>, id: &str) -> Product {
    Product {
        id: id.to_owned(),
        parent_id: payload
            .get("parent_id")
            .id()
            .filter(|_| is_variant(payload)),
        kind: payload.get("type").str().map(|word| kind(payload, word)),
        // WordPress stores names with HTML entities. Tags stay, because the merchant typed them.
        name: payload.either("name", "title").plain(),
        slug: payload.get("slug").text(),
        sku: payload.get("sku").plain(),
        gtin: payload.get("global_unique_id").plain(),
        status: payload.get("status").str().map(str::to_owned),
        visible: visible(payload),
        price: payload.get("price").money(None),
        regular_price: payload.get("regular_price").money(None),
        sale_price: payload.get("sale_price").money(None),
        currency: None,
        description: payload.get("description").text(),
        short_description: payload.get("short_description").text(),
        images: images(payload),
        categories: categories(payload.get("categories")),
        tags: names(payload.get("tags")),
        options: options::attributes(payload.get("attributes")),
        variants: variants(payload.get("variations")),
        inventory: filled(inventory(payload.node)),
        weight: payload.get("weight").amount(),
        url: payload.get("permalink").plain(),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
    }
}

/// Extensions add types of their own (subscriptions, bookings, composites).
fn kind(payload: EntityPayload<'_>, word: &str) -> ProductKind {
    let flag = |name: &str| payload.get(name).truth();
    match word {
        // A virtual product may be a service, and a downloadable product may be shipped too.
        "simple" => match (flag("virtual"), flag("downloadable")) {
            (Reading::Read(true), Reading::Read(true)) => ProductKind::Digital,
            (Reading::Read(false) | Reading::Absent, _)
            | (_, Reading::Read(false) | Reading::Absent) => ProductKind::Simple,
            (
                Reading::Read(true) | Reading::Unreadable,
                Reading::Read(true) | Reading::Unreadable,
            ) => ProductKind::Unknown,
        },
        "variable" => ProductKind::Variable,
        "grouped" => ProductKind::Grouped,
        "external" => ProductKind::External,
        "bundle" => ProductKind::Bundle,
        _ if VARIATIONS.contains(&word) => ProductKind::Variation,
        _ => ProductKind::Unknown,
    }
}

fn visible(payload: EntityPayload<'_>) -> Option<bool> {
    let visibility = payload.get("catalog_visibility").str()?;
    let status = payload.get("status").str()?;
    Some(visibility != "hidden" && status == "publish")
}

fn images(payload: EntityPayload<'_>) -> Option<Vec<Image>> {
    let entries = payload.get("images").entries().known()?;
    Some(entries.into_iter().filter_map(image).collect())
}

/// An image. Up to v2, a product without an image has a placeholder without an id.
fn image(node: Node<'_>) -> Option<Image> {
    let id = node.get("id").id();
    let url = node.get("src").plain()?;
    let file = url.rsplit('/').next().unwrap_or_default();
    if id.is_none() && file.contains("placeholder") {
        return None;
    }
    Some(Image {
        id,
        url: Some(url),
        alt: node.get("alt").plain(),
    })
}

fn categories(node: Node<'_>) -> Option<Vec<Category>> {
    let entries = node.entries().known()?;
    Some(entries.into_iter().map(category).collect())
}

/// A category: an object, or in the legacy API its name.
fn category(node: Node<'_>) -> Category {
    if node.is_object() {
        Category {
            id: node.get("id").id(),
            name: node.get("name").plain(),
        }
    } else {
        Category {
            id: None,
            name: node.plain(),
        }
    }
}

fn names(node: Node<'_>) -> Option<Vec<String>> {
    let entries = node.entries().known()?;
    Some(
        entries
            .into_iter()
            .filter_map(|tag| category(tag).name)
            .collect(),
    )
}

/// The variants: ids, or up to v1 objects.
fn variants(node: Node<'_>) -> Option<Vec<Variant>> {
    let entries = node.entries().known()?;
    Some(entries.into_iter().filter_map(variant).collect())
}

fn variant(node: Node<'_>) -> Option<Variant> {
    if !node.is_object() {
        return Some(Variant {
            id: node.id()?,
            ..Variant::default()
        });
    }
    Some(Variant {
        id: node.get("id").id()?,
        sku: node.get("sku").plain(),
        gtin: node.get("global_unique_id").plain(),
        options: options::of_variant(node.get("attributes")),
        visible: node.get("visible").truth().known(),
        price: node.get("price").money(None),
        regular_price: node.get("regular_price").money(None),
        status: stock_status(node),
        weight: node.get("weight").amount(),
    })
}

fn inventory(node: Node<'_>) -> ProductInventory {
    let manages = node.first(&["manage_stock", "managing_stock"]);
    // A variant whose stock is managed by its product has `parent` here, and the product's quantity.
    let managed = if manages.str() == Some("parent") {
        Some(true)
    } else {
        manages.truth().known()
    };
    ProductInventory {
        managed,
        // The legacy API sends zero if the stock is not managed.
        quantity: node
            .get("stock_quantity")
            .number()
            .filter(|_| managed != Some(false)),
        low_stock_threshold: node.get("low_stock_amount").number(),
        status: stock_status(node),
    }
}

/// v3 has one member for it, the others have two flags.
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
        match (
            node.get("in_stock").truth(),
            node.get("backordered").truth(),
        ) {
            (Reading::Absent, _) => return None,
            (Reading::Read(true), Reading::Read(true)) => StockStatus::Backorder,
            (Reading::Read(true), Reading::Read(false) | Reading::Absent) => StockStatus::InStock,
            (Reading::Read(false), _) => StockStatus::OutOfStock,
            (Reading::Unreadable, _) | (Reading::Read(true), Reading::Unreadable) => {
                StockStatus::Unknown
            }
        },
    )
}
