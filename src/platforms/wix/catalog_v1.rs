//! Products, collections and stock of the first catalogue: events that mostly say "something changed, ask", and what the
//! store tells when it is asked.

use std::collections::HashMap;

use super::app::paths;
use super::catalog_v3::{in_stock, stock};
use super::normalize::{Legacy, MOST_DRAFTS, is_id};
use super::shapes::is_same;
use crate::event::data::{
    Category, Collection, Image, Inventory, InventoryVariant, OptionValue, Product,
    ProductInventory, ProductKind, ProductOption, StockStatus, Variant,
};
use crate::event::{Authority, Draft, Entity, Money, verbs};
use crate::platforms::lenient::{Node, filled};

/// Beyond so many bytes of payloads in all events of a delivery, the product is named once instead.
const MOST_BYTES: usize = 16 << 20;

pub(super) fn product_created(event: &Legacy<'_>) -> Option<Draft> {
    let id = event.root.get("productId").id()?;
    let product = product(event.root, id.clone());
    Some(event.draft(
        verbs::CREATED,
        id,
        Authority::Partial,
        Entity::Product(Box::new(product)),
    ))
}

/// A product, or as much of it as an event tells.
pub(super) fn product(told: Node<'_>, id: String) -> Product {
    let currency = told
        .first(&["priceData", "price"])
        .get("currency")
        .currency()
        .map(str::to_owned);
    let prices = Prices::of(told, currency.as_deref());
    let page = told.get("productPageUrl");
    let range = told.get("weightRange");
    let options = told.get("productOptions");
    let stock = told.get("stock");
    Product {
        id,
        kind: told.get("productType").str().map(|word| match word {
            "digital" => ProductKind::Digital,
            "physical" if options.items().next().is_some() => ProductKind::Variable,
            "physical" => ProductKind::Simple,
            _ => ProductKind::Unknown,
        }),
        name: told.get("name").text(),
        slug: told.get("slug").text(),
        sku: told.get("sku").text(),
        visible: told.get("visible").flag(),
        price: prices.current,
        sale_price: prices.reduced,
        regular_price: prices.regular,
        description: told.get("description").text(),
        images: images(told.get("media")),
        categories: told.get("collectionIds").list_of(|id| {
            filled(Category {
                id: id.id(),
                name: None,
            })
        }),
        options: options.list(|option| ProductOption {
            name: option.get("name").text(),
            // A color's value is its code; what buyers read is the description.
            values: option
                .get("choices")
                .list_of(|choice| choice.first(&["description", "value"]).text()),
        }),
        variants: told
            .get("variants")
            .list_of(|variant| one_of(variant, currency.as_deref())),
        inventory: filled(ProductInventory {
            managed: stock.first(&["trackInventory", "trackQuantity"]).flag(),
            quantity: stock.get("quantity").number(),
            status: stock
                .get("inventoryStatus")
                .str()
                .map(self::stock)
                .or_else(|| in_stock(stock)),
        }),
        weight: told.get("weight").amount().or_else(|| {
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
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("lastUpdated").utc(),
        currency,
        ..Product::default()
    }
}

/// What a product or a variant costs.
struct Prices {
    /// Now. If a discounted price was sent and cannot be read, it is not known.
    current: Option<Money>,
    /// Without a discount.
    regular: Option<Money>,
    /// With a discount. The platform sends the same price again where there is none.
    reduced: Option<Money>,
}

impl Prices {
    fn of(told: Node<'_>, currency: Option<&str>) -> Self {
        let prices = told.first(&["priceData", "price"]);
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

/// A variant in its product's list.
fn one_of(listed: Node<'_>, currency: Option<&str>) -> Option<Variant> {
    let told = listed.get("variant");
    let prices = Prices::of(told, currency);
    Some(Variant {
        id: listed.get("id").id()?,
        sku: told.get("sku").text(),
        options: chosen(listed).map(|choices| {
            choices
                .into_iter()
                .map(|(name, value)| OptionValue {
                    name: Some(name),
                    value,
                })
                .collect()
        }),
        visible: told.get("visible").flag(),
        price: prices.current,
        regular_price: prices.regular,
        status: in_stock(variant_stock(listed)),
        weight: told.get("weight").amount(),
        ..Variant::default()
    })
}

/// A variant as a thing of its own, out of its product's list; `None` where it is not there.
pub(super) fn variant_of(product: Node<'_>, id: &str, parent: Option<String>) -> Option<Product> {
    let listed = product
        .get("variants")
        .items()
        .find(|variant| variant.get("id").str() == Some(id))?;
    let told = listed.get("variant");
    let own = told
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
    let prices = Prices::of(told, currency.as_deref());
    let stock = variant_stock(listed);
    Some(Product {
        id: id.to_owned(),
        parent_id: parent,
        kind: Some(ProductKind::Variation),
        sku: told.get("sku").text(),
        visible: told.get("visible").flag(),
        price: prices.current,
        sale_price: prices.reduced,
        regular_price: prices.regular,
        options: options(listed),
        inventory: filled(ProductInventory {
            managed: stock.first(&["trackQuantity", "trackInventory"]).flag(),
            quantity: stock.get("quantity").number(),
            status: in_stock(stock),
        }),
        weight: told.get("weight").amount(),
        currency,
        ..Product::default()
    })
}

/// Where a variant's stock stands, in one place or the other.
fn variant_stock(listed: Node<'_>) -> Node<'_> {
    let beside = listed.get("stock");
    if beside.exists() {
        beside
    } else {
        listed.get("variant").get("stock")
    }
}

/// What is chosen, by name.
fn chosen(variant: Node<'_>) -> Option<Vec<(String, Option<String>)>> {
    let choices = variant.get("choices");
    choices.is_object().then(|| {
        choices
            .members()
            .map(|(name, value)| (name.to_owned(), value.text()))
            .collect()
    })
}

/// What is chosen, as a product's options.
fn options(variant: Node<'_>) -> Option<Vec<ProductOption>> {
    let option = |(name, value): (String, Option<String>)| ProductOption {
        name: Some(name),
        values: value.map(|v| vec![v]),
    };
    chosen(variant).map(|choices| choices.into_iter().map(option).collect())
}

pub(super) fn product_reference(event: &Legacy<'_>, verb: &str) -> Option<Draft> {
    let id = event.root.get("productId").id()?;
    let product = Product {
        id: id.clone(),
        ..Product::default()
    };
    let draft = event.draft(
        verb,
        id,
        Authority::Reference,
        Entity::Product(Box::new(product)),
    );
    Some(Draft {
        changed: paths(event.root.get("changedFields")),
        ..draft
    })
}

/// One event for each variant: a consumer follows variants, not lists of them.
pub(super) fn variants_changed(event: &Legacy<'_>) -> Option<Vec<Draft>> {
    // Copied into each variant.
    let parent = event.root.get("productId").id().filter(|id| is_id(id));
    let told = || event.root.get("variants").items();
    // Each event carries the whole payload as `raw`, so what one delivery can grow to has to have an end.
    let count = told().take(MOST_DRAFTS + 1).count();
    let few = (1..=MOST_DRAFTS).contains(&count) && count * event.delivery.body.len() <= MOST_BYTES;
    let each = || {
        told()
            .map(|told| variant(event, told, parent.as_deref()))
            .collect()
    };
    if let Some(drafts) = few.then(each).flatten() {
        return Some(drafts);
    }
    let draft = product_reference(event, verbs::UPDATED)?;
    Some(vec![Draft {
        changed: Some(vec!["variants".to_owned()]),
        ..draft
    }])
}

fn variant(event: &Legacy<'_>, told: Node<'_>, parent: Option<&str>) -> Option<Draft> {
    let id = told.get("variantId").id()?;
    let product = Product {
        id: id.clone(),
        parent_id: parent.map(str::to_owned),
        kind: Some(ProductKind::Variation),
        options: options(told),
        ..Product::default()
    };
    let draft = event.draft(
        verbs::UPDATED,
        id,
        Authority::Reference,
        Entity::Variant(Box::new(product)),
    );
    Some(Draft {
        changed: paths(told.get("changedFields")),
        ..draft
    })
}

pub(super) fn collection_created(event: &Legacy<'_>) -> Option<Draft> {
    let collection = collection(event.root, collection_id(event)?);
    Some(event.draft(
        verbs::CREATED,
        collection.id.clone(),
        Authority::Partial,
        Entity::Collection(Box::new(collection)),
    ))
}

/// A collection, or as much of it as an event tells.
pub(super) fn collection(told: Node<'_>, id: String) -> Collection {
    Collection {
        id,
        name: told.get("name").text(),
        slug: told.get("slug").text(),
        description: told.get("description").text(),
        visible: told.get("visible").flag(),
        images: images(told.get("media")),
        item_count: told.first(&["numberOfProducts", "numOfProducts"]).number(),
        ..Collection::default()
    }
}

pub(super) fn collection_reference(event: &Legacy<'_>, verb: &str) -> Option<Draft> {
    let collection = Collection {
        id: collection_id(event)?,
        ..Collection::default()
    };
    let draft = event.draft(
        verb,
        collection.id.clone(),
        Authority::Reference,
        Entity::Collection(Box::new(collection)),
    );
    Some(Draft {
        changed: paths(event.root.get("changedFields")),
        ..draft
    })
}

fn collection_id(event: &Legacy<'_>) -> Option<String> {
    event.root.first(&["collectionId", "collection_Id"]).id()
}

pub(super) fn inventory_item(event: &Legacy<'_>) -> Option<Draft> {
    let item = inventory(event)?;
    let draft = event.draft(
        verbs::UPDATED,
        item.id.clone(),
        Authority::Reference,
        Entity::Inventory(Box::new(item)),
    );
    Some(Draft {
        changed: paths(event.root.get("fieldMask")),
        ..draft
    })
}

pub(super) fn inventory_variants(event: &Legacy<'_>) -> Option<Draft> {
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
    Some(event.draft(
        verbs::UPDATED,
        item.id.clone(),
        Authority::Partial,
        Entity::Inventory(Box::new(item)),
    ))
}

fn inventory(event: &Legacy<'_>) -> Option<Inventory> {
    let told = event.root;
    Some(Inventory {
        id: told.get("inventoryItemId").id()?,
        product_id: told.get("productId").id(),
        managed: told.get("trackInventory").flag(),
        updated_at: told.get("updatedDate").utc(),
        ..Inventory::default()
    })
}

/// The stock of a product with all its variants. What a variant had before, only the event knows.
pub(super) fn stock_of(told: Node<'_>, known: &Inventory) -> Inventory {
    let before: HashMap<&str, &InventoryVariant> = known
        .variants
        .iter()
        .flatten()
        .map(|variant| (variant.id.as_str(), variant))
        .collect();
    let variants = told.get("variants").list_of(|variant| {
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
    // A product without variants has one that stands for it.
    let only = variants.as_deref().and_then(|all| {
        if let [only] = all {
            Some(only.clone())
        } else {
            None
        }
    });
    Inventory {
        id: known.id.clone(),
        product_id: told
            .get("productId")
            .id()
            .or_else(|| known.product_id.clone()),
        managed: told
            .first(&["trackQuantity", "trackInventory"])
            .flag()
            .or(known.managed),
        quantity: only.as_ref().and_then(|only| only.quantity.clone()),
        status: only.as_ref().and_then(|only| only.status),
        variants,
        updated_at: told.get("lastUpdated").utc().or(known.updated_at),
        ..Inventory::default()
    }
}

/// As [`in_stock`]; what is sold in advance can be bought as well.
fn buyable(told: Node<'_>) -> Option<StockStatus> {
    match (in_stock(told), told.get("availableForPreorder").flag()) {
        (Some(StockStatus::OutOfStock), Some(true)) => Some(StockStatus::Backorder),
        (status, _) => status,
    }
}

/// The main picture first, then the others.
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
