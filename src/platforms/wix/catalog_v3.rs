//! Products and stock of the third catalogue.
//!
//! A product is whole when its variants are with it: prices, stock numbers and codes stand there. A product with one variant
//! is that variant, so it takes its codes; with several, a price stands at the product only where all share it.

use super::domain::{Domain, full_if};
use super::shapes::{is_same, price};
use crate::event::data::{
    Category, Image, Inventory, OptionValue, Product, ProductInventory, ProductKind, ProductOption,
    StockStatus, Variant,
};
use crate::event::{Amount, Authority, Currency, Draft, Entity, Money, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn product_event(event: &Domain<'_>) -> Option<Draft> {
    let verb = match event.slug() {
        "created" if event.is_restored() => verbs::RESTORED,
        "created" => verbs::CREATED,
        "updated" => verbs::UPDATED,
        "deleted" => verbs::DELETED,
        _ => return None,
    };
    let found = event.entity(&["product", "currentEntity"], "id");
    let told = found.unwrap_or_else(Node::nowhere);
    let id = told.get("id").id().or_else(|| event.entity_id())?;
    let authority = match found {
        Some(product) if has_variants(product) => Authority::Full,
        Some(_) => Authority::Partial,
        None => Authority::Reference,
    };
    Some(event.draft(
        verb,
        id.clone(),
        authority,
        Entity::Product(Box::new(product(told, id))),
    ))
}

/// Are its variants with it?
pub(super) fn has_variants(product: Node<'_>) -> bool {
    product.get("variantsInfo").get("variants").exists()
}

/// A product, or as much of it as an event tells.
pub(super) fn product(told: Node<'_>, id: String) -> Product {
    let currency = told.get("currency").currency().map(str::to_owned);
    let money = currency.as_deref();
    let given = told.get("variantsInfo").get("variants");
    let only = Some(given.items().collect::<Vec<_>>())
        .filter(|all| all.len() == 1)
        .map_or_else(Node::nowhere, |all| all[0]);
    let current = range(told.get("actualPriceRange"), money);
    let reduced = given
        .items()
        .all(|variant| variant.get("price").get("compareAtPrice").exists());
    let before =
        range(told.get("compareAtPriceRange"), money).filter(|_| current.is_some() && reduced);
    let options = told.get("options");
    Product {
        id,
        kind: told.get("productType").str().map(|word| match word {
            "DIGITAL" => ProductKind::Digital,
            "PHYSICAL" if options.items().next().is_some() => ProductKind::Variable,
            "PHYSICAL" => ProductKind::Simple,
            _ => ProductKind::Unknown,
        }),
        name: told.get("name").text(),
        slug: told.get("slug").text(),
        sku: only.get("sku").text(),
        gtin: only.get("barcode").text(),
        visible: told.get("visible").flag(),
        sale_price: before.as_ref().and(current.clone()),
        price: current,
        regular_price: before,
        description: told.get("plainDescription").text(),
        images: images(told.get("media")),
        categories: told
            .get("directCategoriesInfo")
            .get("categories")
            .list_of(|category| {
                filled(Category {
                    id: category.get("id").id(),
                    name: category.get("name").text(),
                })
            }),
        options: options.list(|option| ProductOption {
            name: option.get("name").text(),
            values: option
                .get("choicesSettings")
                .get("choices")
                .list_of(|choice| choice.get("name").text()),
        }),
        variants: given.list_of(|variant| self::variant(variant, options, money)),
        inventory: filled(ProductInventory {
            status: told
                .get("inventory")
                .get("availabilityStatus")
                .str()
                .map(stock),
            ..ProductInventory::default()
        }),
        weight: weight(told.get("physicalProperties").get("shippingWeightRange")),
        url: told
            .get("url")
            .get("url")
            .text()
            .or_else(|| told.get("url").text()),
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("updatedDate").utc(),
        currency,
        ..Product::default()
    }
}

/// A product whose prices came without a currency, with the currency of its site.
pub(super) fn in_currency(mut product: Product, currency: &str) -> Product {
    if product.currency.is_some() {
        return product;
    }
    let own = [
        &mut product.price,
        &mut product.regular_price,
        &mut product.sale_price,
    ];
    let of_variants = product
        .variants
        .iter_mut()
        .flatten()
        .flat_map(|variant| [&mut variant.price, &mut variant.regular_price]);
    for money in own.into_iter().chain(of_variants).flatten() {
        money.currency = Currency::parse(currency);
    }
    product.currency = Some(currency.to_owned());
    product
}

/// A price that all variants share.
fn range(range: Node<'_>, currency: Option<&str>) -> Option<Money> {
    let (least, most) = (
        price(range.get("minValue"), currency),
        price(range.get("maxValue"), currency),
    );
    least.filter(|least| most.as_ref().is_some_and(|most| is_same(least, most)))
}

fn weight(range: Node<'_>) -> Option<Amount> {
    range
        .get("minValue")
        .amount()
        .filter(|least| range.get("maxValue").amount().as_ref() == Some(least))
}

fn images(media: Node<'_>) -> Option<Vec<Image>> {
    let image = |item: Node<'_>| {
        let is_image = matches!(item.get("mediaType").str(), None | Some("IMAGE"));
        let picture = Image {
            id: item.get("id").id(),
            url: item
                .get("url")
                .text()
                .or_else(|| item.get("image").get("url").text()),
            alt: item.get("altText").text(),
        };
        filled(picture).filter(|_| is_image)
    };
    let main = image(media.get("main"));
    let rest = media.get("itemsInfo").get("items").list_of(image);
    if main.is_none() && rest.is_none() {
        return None;
    }
    let others = rest
        .unwrap_or_default()
        .into_iter()
        .filter(|other| main.as_ref().is_none_or(|main| main.id != other.id));
    Some(main.iter().cloned().chain(others).collect())
}

fn variant(told: Node<'_>, options: Node<'_>, currency: Option<&str>) -> Option<Variant> {
    let prices = told.get("price");
    let stock = told.get("inventoryStatus");
    Some(Variant {
        id: told.get("id").id()?,
        sku: told.get("sku").text(),
        gtin: told.get("barcode").text(),
        options: told
            .get("choices")
            .list_of(|choice| chosen(choice, options)),
        visible: told.get("visible").flag(),
        price: price(prices.get("actualPrice"), currency),
        regular_price: price(prices.get("compareAtPrice"), currency),
        status: match (
            stock.get("inStock").flag(),
            stock.get("preorderEnabled").flag(),
        ) {
            (Some(true), _) => Some(StockStatus::InStock),
            (Some(false), Some(true)) => Some(StockStatus::Backorder),
            (Some(false), None) if stock.get("preorderEnabled").exists() => {
                Some(StockStatus::Unknown)
            }
            (Some(false), _) => Some(StockStatus::OutOfStock),
            (None, _) => None,
        },
        weight: told.get("physicalProperties").get("weight").amount(),
    })
}

/// The longest name of an option or a choice that is copied into variants, in bytes. The platform allows 50 characters.
const LONGEST_NAME: usize = 256;
/// Maximum number of a product's options, and of an option's choices, that are searched for a name. The platform allows 6
/// options with 100 choices each.
const MAX_CHOICES: usize = 500;

/// A choice by name, or by the ids that the product's options explain.
fn chosen(choice: Node<'_>, options: Node<'_>) -> Option<OptionValue> {
    let (ids, names) = (
        choice.get("optionChoiceIds"),
        choice.get("optionChoiceNames"),
    );
    let option = find(options, "id", ids.get("optionId"));
    let value = find(
        option.get("choicesSettings").get("choices"),
        "choiceId",
        ids.get("choiceId"),
    );
    filled(OptionValue {
        name: names
            .get("optionName")
            .text()
            .or_else(|| copied_name(option)),
        value: names
            .get("choiceName")
            .text()
            .or_else(|| copied_name(value)),
    })
}

/// The item of a list that has this id under that key.
fn find<'a>(list: Node<'a>, key: &str, id: Node<'_>) -> Node<'a> {
    let Some(id) = id.str() else {
        return Node::nowhere();
    };
    list.items()
        .take(MAX_CHOICES)
        .find(|item| item.get(key).str() == Some(id))
        .unwrap_or_else(Node::nowhere)
}

/// A name that stands once in the product and is copied into each variant.
fn copied_name(item: Node<'_>) -> Option<String> {
    let name = item.get("name").str()?;
    (name.len() <= LONGEST_NAME).then(|| name.to_owned())
}

pub(super) fn inventory_event(event: &Domain<'_>) -> Option<Draft> {
    let body = event.content();
    let found = event.entity(&["currentEntity"], "id");
    let told = found.unwrap_or_else(Node::nowhere);
    let id = told.get("id").id().or_else(|| event.entity_id())?;
    let item = named_item(told, id.clone());
    let (authority, item) = match event.slug() {
        "created" | "updated" | "updated_with_reason" => (
            full_if(found),
            Inventory {
                reason: body.get("reason").text(),
                ..stock_item(told, id)
            },
        ),
        "stock_status_updated" => (
            Authority::Partial,
            Inventory {
                status: in_stock(body),
                ..item
            },
        ),
        // What it held is gone with it.
        "deleted" => (
            Authority::Reference,
            Inventory {
                status: Some(StockStatus::Deleted),
                ..item
            },
        ),
        _ => return None,
    };
    Some(event.draft(
        verbs::UPDATED,
        item.id.clone(),
        authority,
        Entity::Inventory(Box::new(item)),
    ))
}

/// A stock item by name: what it is the stock of.
fn named_item(told: Node<'_>, id: String) -> Inventory {
    Inventory {
        id,
        product_id: told.get("productId").id(),
        variant_id: told.get("variantId").id(),
        sku: told.get("product").get("variantSku").text(),
        location_id: told.get("locationId").id(),
        ..Inventory::default()
    }
}

/// A whole stock item.
pub(super) fn stock_item(told: Node<'_>, id: String) -> Inventory {
    Inventory {
        managed: told.get("trackQuantity").flag(),
        quantity: told.get("quantity").number(),
        status: told
            .get("availabilityStatus")
            .str()
            .map(stock)
            .or_else(|| in_stock(told)),
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("updatedDate").utc(),
        ..named_item(told, id)
    }
}

/// Yes or no, as a status.
pub(super) fn in_stock(told: Node<'_>) -> Option<StockStatus> {
    told.get("inStock").flag().map(|there| {
        if there {
            StockStatus::InStock
        } else {
            StockStatus::OutOfStock
        }
    })
}

pub(super) fn stock(word: &str) -> StockStatus {
    match word {
        "IN_STOCK" => StockStatus::InStock,
        "PARTIALLY_OUT_OF_STOCK" => StockStatus::PartiallyInStock,
        "OUT_OF_STOCK" => StockStatus::OutOfStock,
        "PREORDER" => StockStatus::Backorder,
        _ => StockStatus::Unknown,
    }
}
