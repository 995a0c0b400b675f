//! Products and stock of catalog V3.
//!
//! A product is complete if its variants are present, because prices, SKUs and barcodes are members of variants. A product
//! with one variant has the SKU and barcode of that variant. A product with several variants has a price only if all variants
//! have the same price.

use super::domain::{Domain, full_if};
use super::shapes::{is_same, price};
use crate::event::data::{
    Category, Image, Inventory, OptionValue, Product, ProductInventory, ProductKind, ProductOption,
    StockStatus, Variant,
};
use crate::event::{Amount, Authority, Currency, Entity, Money, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn product_event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let verb = match event.slug() {
        "created" if event.is_restored() => verbs::RESTORED,
        "created" => verbs::CREATED,
        "updated" => verbs::UPDATED,
        "deleted" => verbs::DELETED,
        _ => return None,
    };
    let found = event.entity(&["product", "currentEntity"], "id");
    let source = found.unwrap_or_else(Node::nowhere);
    let id = source.get("id").id().or_else(|| event.entity_id())?;
    let authority = match found {
        Some(product) if has_variants(product) => Authority::Full,
        Some(_) => Authority::Partial,
        None => Authority::Reference,
    };
    Some(event.event(
        verb,
        id.clone(),
        authority,
        Entity::Product(Box::new(product(source, id))),
    ))
}

/// `true` if the payload of the product contains its variants.
pub(super) fn has_variants(product: Node<'_>) -> bool {
    product.get("variantsInfo").get("variants").exists()
}

/// Normalizes a product. A member that the payload does not have stays absent.
pub(super) fn product(source: Node<'_>, id: String) -> Product {
    let currency = source.get("currency").currency().map(str::to_owned);
    let money = currency.as_deref();
    let given = source.get("variantsInfo").get("variants");
    let only = Some(given.items().collect::<Vec<_>>())
        .filter(|all| all.len() == 1)
        .map_or_else(Node::nowhere, |all| all[0]);
    let current = range(source.get("actualPriceRange"), money);
    let reduced = given
        .items()
        .all(|variant| variant.get("price").get("compareAtPrice").exists());
    let before =
        range(source.get("compareAtPriceRange"), money).filter(|_| current.is_some() && reduced);
    let options = source.get("options");
    Product {
        id,
        kind: source.get("productType").str().map(|word| match word {
            "DIGITAL" => ProductKind::Digital,
            "PHYSICAL" if options.items().next().is_some() => ProductKind::Variable,
            "PHYSICAL" => ProductKind::Simple,
            _ => ProductKind::Unknown,
        }),
        name: source.get("name").text(),
        slug: source.get("slug").text(),
        sku: only.get("sku").text(),
        gtin: only.get("barcode").text(),
        visible: source.get("visible").flag(),
        sale_price: before.as_ref().and(current.clone()),
        price: current,
        regular_price: before,
        description: source.get("plainDescription").text(),
        images: images(source.get("media")),
        categories: source
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
            status: source
                .get("inventory")
                .get("availabilityStatus")
                .str()
                .map(stock),
            ..ProductInventory::default()
        }),
        weight: weight(source.get("physicalProperties").get("shippingWeightRange")),
        url: source
            .get("url")
            .get("url")
            .text()
            .or_else(|| source.get("url").text()),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
        currency,
        ..Product::default()
    }
}

/// Sets the currency of the product and its prices, unless the product already has a currency.
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

/// The price of a range whose minimum equals its maximum; `None` if the variants have different prices.
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

fn variant(source: Node<'_>, options: Node<'_>, currency: Option<&str>) -> Option<Variant> {
    let prices = source.get("price");
    let stock = source.get("inventoryStatus");
    Some(Variant {
        id: source.get("id").id()?,
        sku: source.get("sku").text(),
        gtin: source.get("barcode").text(),
        options: source
            .get("choices")
            .list_of(|choice| chosen(choice, options)),
        visible: source.get("visible").flag(),
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
        weight: source.get("physicalProperties").get("weight").amount(),
    })
}

/// Maximum length in bytes of an option's or a choice's name that is copied to variants. The platform allows 50 characters.
const MAX_NAME_BYTES: usize = 256;
/// Maximum number of a product's options, and of an option's choices, that are searched for a name. The platform allows 6
/// options with 100 choices each.
const MAX_CHOICES: usize = 500;

/// The choice of a variant with the names of option and value. If the choice has only ids, `options` gives the names.
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

/// The item of `list` whose member `key` equals `id`.
fn find<'a>(list: Node<'a>, key: &str, id: Node<'_>) -> Node<'a> {
    let Some(id) = id.str() else {
        return Node::nowhere();
    };
    list.items()
        .take(MAX_CHOICES)
        .find(|item| item.get(key).str() == Some(id))
        .unwrap_or_else(Node::nowhere)
}

/// The name of an option or a choice; `None` if the name is too long to copy it to each variant.
fn copied_name(item: Node<'_>) -> Option<String> {
    let name = item.get("name").str()?;
    (name.len() <= MAX_NAME_BYTES).then(|| name.to_owned())
}

pub(super) fn inventory_event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let body = event.content();
    let found = event.entity(&["currentEntity"], "id");
    let source = found.unwrap_or_else(Node::nowhere);
    let id = source.get("id").id().or_else(|| event.entity_id())?;
    let item = named_item(source, id.clone());
    let (authority, item) = match event.slug() {
        "created" | "updated" | "updated_with_reason" => (
            full_if(found),
            Inventory {
                reason: body.get("reason").text(),
                ..stock_item(source, id)
            },
        ),
        "stock_status_updated" => (
            Authority::Partial,
            Inventory {
                status: in_stock(body),
                ..item
            },
        ),
        // A deleted stock item may still have a quantity, which has no meaning.
        "deleted" => (
            Authority::Reference,
            Inventory {
                status: Some(StockStatus::Deleted),
                ..item
            },
        ),
        _ => return None,
    };
    Some(event.event(
        verbs::UPDATED,
        item.id.clone(),
        authority,
        Entity::Inventory(Box::new(item)),
    ))
}

/// A stock item without quantity and status: only its ids and its SKU.
fn named_item(source: Node<'_>, id: String) -> Inventory {
    Inventory {
        id,
        product_id: source.get("productId").id(),
        variant_id: source.get("variantId").id(),
        sku: source.get("product").get("variantSku").text(),
        location_id: source.get("locationId").id(),
        ..Inventory::default()
    }
}

/// Normalizes a complete stock item.
pub(super) fn stock_item(source: Node<'_>, id: String) -> Inventory {
    Inventory {
        managed: source.get("trackQuantity").flag(),
        quantity: source.get("quantity").number(),
        status: source
            .get("availabilityStatus")
            .str()
            .map(stock)
            .or_else(|| in_stock(source)),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
        ..named_item(source, id)
    }
}

/// The stock status from the member `inStock`; `None` if the member is absent.
pub(super) fn in_stock(source: Node<'_>) -> Option<StockStatus> {
    source.get("inStock").flag().map(|there| {
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
