//! Products, collections and stock of catalog V1. Most events carry only ids; `api::fetch` fetches the details.

use std::collections::HashMap;

use super::app::paths;
use super::catalog_v3::{in_stock, stock};
use super::legacy::{Legacy, MAX_DRAFTS, is_id};
use super::shapes::is_same;
use crate::event::data::{
    Category, Collection, Image, Inventory, InventoryVariant, OptionValue, Product,
    ProductInventory, ProductKind, ProductOption, StockStatus, Variant,
};
use crate::event::{Authority, Entity, Money, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

/// Limit in bytes for the payload size of a delivery times its number of events, because each event carries the payload. A
/// delivery over the limit becomes one event of its product.
const MAX_TOTAL_BYTES: usize = 16 << 20;

pub(super) fn product_created(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let id = event.root.get("productId").id()?;
    let product = product(event.root, id.clone());
    Some(event.event(
        verbs::CREATED,
        id,
        Authority::Partial,
        Entity::Product(Box::new(product)),
    ))
}

/// Normalizes a product. A member that the payload does not have stays absent.
pub(super) fn product(source: Node<'_>, id: String) -> Product {
    let currency = source
        .first(&["priceData", "price"])
        .get("currency")
        .currency()
        .map(str::to_owned);
    let prices = Prices::of(source, currency.as_deref());
    let page = source.get("productPageUrl");
    let range = source.get("weightRange");
    let options = source.get("productOptions");
    let stock = source.get("stock");
    Product {
        id,
        kind: source.get("productType").str().map(|word| match word {
            "digital" => ProductKind::Digital,
            "physical" if options.items().next().is_some() => ProductKind::Variable,
            "physical" => ProductKind::Simple,
            _ => ProductKind::Unknown,
        }),
        name: source.get("name").text(),
        slug: source.get("slug").text(),
        sku: source.get("sku").text(),
        visible: source.get("visible").flag(),
        price: prices.current,
        sale_price: prices.reduced,
        regular_price: prices.regular,
        description: source.get("description").text(),
        images: images(source.get("media")),
        categories: source.get("collectionIds").list_of(|id| {
            filled(Category {
                id: id.id(),
                name: None,
            })
        }),
        options: options.list(|option| ProductOption {
            name: option.get("name").text(),
            // The `value` of a color is its color code. Buyers see the `description`.
            values: option
                .get("choices")
                .list_of(|choice| choice.first(&["description", "value"]).text()),
        }),
        variants: source
            .get("variants")
            .list_of(|variant| listed_variant(variant, currency.as_deref())),
        inventory: filled(ProductInventory {
            managed: stock.first(&["trackInventory", "trackQuantity"]).flag(),
            quantity: stock.get("quantity").number(),
            status: stock
                .get("inventoryStatus")
                .str()
                .map(self::stock)
                .or_else(|| in_stock(stock)),
            ..ProductInventory::default()
        }),
        weight: source.get("weight").amount().or_else(|| {
            range
                .get("minValue")
                .amount()
                .filter(|least| range.get("maxValue").amount().as_ref() == Some(least))
        }),
        url: page
            .get("base")
            .str()
            .zip(page.get("path").str())
            .map(|(base, path)| {
                format!(
                    "{}/{}",
                    base.trim_end_matches('/'),
                    path.trim_start_matches('/')
                )
            }),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("lastUpdated").utc(),
        currency,
        ..Product::default()
    }
}

/// The prices of a product or a variant.
struct Prices {
    /// The price that buyers pay. `None` if the discounted price exists but is unreadable.
    current: Option<Money>,
    /// The price without a discount.
    regular: Option<Money>,
    /// The discounted price; `None` if it equals the regular price. Without a discount the platform sends the same price twice.
    reduced: Option<Money>,
}

impl Prices {
    fn of(source: Node<'_>, currency: Option<&str>) -> Self {
        let prices = source.first(&["priceData", "price"]);
        let regular = prices
            .get("price")
            .money(currency)
            .or_else(|| prices.money(currency));
        let discounted = prices.get("discountedPrice");
        let reduced = discounted.money(currency);
        Self {
            current: if discounted.exists() {
                reduced.clone()
            } else {
                regular.clone()
            },
            reduced: reduced.filter(|reduced| {
                regular
                    .as_ref()
                    .is_none_or(|regular| !is_same(regular, reduced))
            }),
            regular,
        }
    }
}

/// A variant as a member of its product.
fn listed_variant(listed: Node<'_>, currency: Option<&str>) -> Option<Variant> {
    let source = listed.get("variant");
    let prices = Prices::of(source, currency);
    Some(Variant {
        id: listed.get("id").id()?,
        sku: source.get("sku").text(),
        options: chosen(listed).map(|choices| {
            choices
                .into_iter()
                .map(|(name, value)| OptionValue {
                    name: Some(name),
                    value,
                })
                .collect()
        }),
        visible: source.get("visible").flag(),
        price: prices.current,
        regular_price: prices.regular,
        status: in_stock(variant_stock(listed)),
        weight: source.get("weight").amount(),
        ..Variant::default()
    })
}

/// A variant as its own entity, from the variants of its product. `None` if the product has no variant with this id.
pub(super) fn variant_of(product: Node<'_>, id: &str, parent: Option<String>) -> Option<Product> {
    let listed = product
        .get("variants")
        .items()
        .find(|variant| variant.get("id").str() == Some(id))?;
    let source = listed.get("variant");
    let own = source
        .first(&["priceData", "price"])
        .get("currency")
        .currency()
        .map(str::to_owned);
    let currency = own.or_else(|| {
        product
            .first(&["priceData", "price"])
            .get("currency")
            .currency()
            .map(str::to_owned)
    });
    let prices = Prices::of(source, currency.as_deref());
    let stock = variant_stock(listed);
    Some(Product {
        id: id.to_owned(),
        parent_id: parent,
        kind: Some(ProductKind::Variation),
        sku: source.get("sku").text(),
        visible: source.get("visible").flag(),
        price: prices.current,
        sale_price: prices.reduced,
        regular_price: prices.regular,
        options: options(listed),
        inventory: filled(ProductInventory {
            managed: stock.first(&["trackQuantity", "trackInventory"]).flag(),
            quantity: stock.get("quantity").number(),
            status: in_stock(stock),
            ..ProductInventory::default()
        }),
        weight: source.get("weight").amount(),
        currency,
        ..Product::default()
    })
}

/// The stock of a variant. The platform sends the member `stock` beside or inside the member `variant`.
fn variant_stock(listed: Node<'_>) -> Node<'_> {
    let beside = listed.get("stock");
    if beside.exists() {
        beside
    } else {
        listed.get("variant").get("stock")
    }
}

/// The choices of a variant by option name.
fn chosen(variant: Node<'_>) -> Option<Vec<(String, Option<String>)>> {
    let choices = variant.get("choices");
    choices.is_object().then(|| {
        choices
            .members()
            .map(|(name, value)| (name.to_owned(), value.text()))
            .collect()
    })
}

/// The choices of a variant as product options.
fn options(variant: Node<'_>) -> Option<Vec<ProductOption>> {
    let option = |(name, value): (String, Option<String>)| ProductOption {
        name: Some(name),
        values: value.map(|v| vec![v]),
    };
    chosen(variant).map(|choices| choices.into_iter().map(option).collect())
}

pub(super) fn product_reference(event: &Legacy<'_>, verb: &str) -> Option<NormalizedEvent> {
    let id = event.root.get("productId").id()?;
    let product = Product {
        id: id.clone(),
        ..Product::default()
    };
    let normalized = event.event(
        verb,
        id,
        Authority::Reference,
        Entity::Product(Box::new(product)),
    );
    Some(NormalizedEvent {
        changed: paths(event.root.get("changedFields")),
        ..normalized
    })
}

/// One event for each variant, because each variant is its own partition.
pub(super) fn variants_changed(event: &Legacy<'_>) -> Option<Vec<NormalizedEvent>> {
    // The id is copied into each variant event, so the length of the id is limited.
    let parent = event.root.get("productId").id().filter(|id| is_id(id));
    let variants = || event.root.get("variants").items();
    // Each event carries the complete payload as `raw`, so the number of events is limited.
    let count = variants().take(MAX_DRAFTS + 1).count();
    let few =
        (1..=MAX_DRAFTS).contains(&count) && count * event.delivery.body.len() <= MAX_TOTAL_BYTES;
    let each = || {
        variants()
            .map(|source| variant(event, source, parent.as_deref()))
            .collect()
    };
    if let Some(normalized_events) = few.then(each).flatten() {
        return Some(normalized_events);
    }
    let normalized = product_reference(event, verbs::UPDATED)?;
    Some(vec![NormalizedEvent {
        changed: Some(vec!["variants".to_owned()]),
        ..normalized
    }])
}

fn variant(event: &Legacy<'_>, source: Node<'_>, parent: Option<&str>) -> Option<NormalizedEvent> {
    let id = source.get("variantId").id()?;
    let product = Product {
        id: id.clone(),
        parent_id: parent.map(str::to_owned),
        kind: Some(ProductKind::Variation),
        options: options(source),
        ..Product::default()
    };
    let normalized = event.event(
        verbs::UPDATED,
        id,
        Authority::Reference,
        Entity::Variant(Box::new(product)),
    );
    Some(NormalizedEvent {
        changed: paths(source.get("changedFields")),
        ..normalized
    })
}

pub(super) fn collection_created(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let collection = collection(event.root, collection_id(event)?);
    Some(event.event(
        verbs::CREATED,
        collection.id.clone(),
        Authority::Partial,
        Entity::Collection(Box::new(collection)),
    ))
}

/// Normalizes a collection. A member that the payload does not have stays absent.
pub(super) fn collection(source: Node<'_>, id: String) -> Collection {
    Collection {
        id,
        name: source.get("name").text(),
        slug: source.get("slug").text(),
        description: source.get("description").text(),
        visible: source.get("visible").flag(),
        images: images(source.get("media")),
        item_count: source
            .first(&["numberOfProducts", "numOfProducts"])
            .number(),
        ..Collection::default()
    }
}

pub(super) fn collection_reference(event: &Legacy<'_>, verb: &str) -> Option<NormalizedEvent> {
    let collection = Collection {
        id: collection_id(event)?,
        ..Collection::default()
    };
    let normalized = event.event(
        verb,
        collection.id.clone(),
        Authority::Reference,
        Entity::Collection(Box::new(collection)),
    );
    Some(NormalizedEvent {
        changed: paths(event.root.get("changedFields")),
        ..normalized
    })
}

fn collection_id(event: &Legacy<'_>) -> Option<String> {
    event.root.first(&["collectionId", "collection_Id"]).id()
}

pub(super) fn inventory_item(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let item = inventory(event)?;
    let normalized = event.event(
        verbs::UPDATED,
        item.id.clone(),
        Authority::Reference,
        Entity::Inventory(Box::new(item)),
    );
    Some(NormalizedEvent {
        changed: paths(event.root.get("fieldMask")),
        ..normalized
    })
}

pub(super) fn inventory_variants(event: &Legacy<'_>) -> Option<NormalizedEvent> {
    let variants = event.root.get("variants").list_of(|variant| {
        let (new, old) = (variant.get("newValue"), variant.get("oldValue"));
        Some(InventoryVariant {
            id: variant.get("id").id()?,
            quantity: new.get("quantity").number(),
            previous_quantity: old.get("quantity").number(),
            status: in_stock(new),
            previous_status: in_stock(old),
        })
    });
    let item = Inventory {
        variants,
        ..inventory(event)?
    };
    Some(event.event(
        verbs::UPDATED,
        item.id.clone(),
        Authority::Partial,
        Entity::Inventory(Box::new(item)),
    ))
}

fn inventory(event: &Legacy<'_>) -> Option<Inventory> {
    let source = event.root;
    Some(Inventory {
        id: source.get("inventoryItemId").id()?,
        product_id: source.get("productId").id(),
        managed: source.get("trackInventory").flag(),
        updated_at: source.get("updatedDate").utc(),
        ..Inventory::default()
    })
}

/// The stock of a product with all its variants, from the fetched `source`. Only the event (`known`) has previous values.
pub(super) fn stock_of(source: Node<'_>, known: &Inventory) -> Inventory {
    let before: HashMap<&str, &InventoryVariant> = known
        .variants
        .iter()
        .flatten()
        .map(|variant| (variant.id.as_str(), variant))
        .collect();
    let variants = source.get("variants").list_of(|variant| {
        let id = variant.first(&["variantId", "id"]).id()?;
        let before = before.get(id.as_str());
        Some(InventoryVariant {
            quantity: variant.get("quantity").number(),
            previous_quantity: before.and_then(|before| before.previous_quantity.clone()),
            status: buyable(variant),
            previous_status: before.and_then(|before| before.previous_status),
            id,
        })
    });
    // The platform lists a product without variants as one variant. Its stock is the stock of the product.
    let only = variants.as_deref().and_then(|all| {
        if let [only] = all {
            Some(only.clone())
        } else {
            None
        }
    });
    Inventory {
        id: known.id.clone(),
        product_id: source
            .get("productId")
            .id()
            .or_else(|| known.product_id.clone()),
        managed: source
            .first(&["trackQuantity", "trackInventory"])
            .flag()
            .or(known.managed),
        quantity: only.as_ref().and_then(|only| only.quantity.clone()),
        status: only.as_ref().and_then(|only| only.status),
        variants,
        updated_at: source.get("lastUpdated").utc().or(known.updated_at),
        ..Inventory::default()
    }
}

/// As [`in_stock`], but a variant that is out of stock and can be preordered is `backorder`.
fn buyable(source: Node<'_>) -> Option<StockStatus> {
    match (in_stock(source), source.get("availableForPreorder").flag()) {
        (Some(StockStatus::OutOfStock), Some(true)) => Some(StockStatus::Backorder),
        (status, _) => status,
    }
}

/// The main image first, then the other images without a copy of the main image.
fn images(media: Node<'_>) -> Option<Vec<Image>> {
    let image = |item: Node<'_>| {
        filled(Image {
            id: item.get("id").id(),
            url: item.get("image").get("url").text(),
            alt: item.get("title").text(),
        })
    };
    let main = image(media.get("mainMedia"));
    let rest = media.get("items").list_of(image);
    if main.is_none() && rest.is_none() {
        return None;
    }
    let others = rest
        .unwrap_or_default()
        .into_iter()
        .filter(|other| main.as_ref() != Some(other));
    Some(main.iter().cloned().chain(others).collect())
}
