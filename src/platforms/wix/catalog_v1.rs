//! Products, collections and stock of the first catalogue: mostly "something changed, ask".

use super::app::paths;
use super::catalog_v3::in_stock;
use super::normalise::{Legacy, MOST_DRAFTS};
use crate::event::data::{Collection, Image, Inventory, InventoryVariant, Product, ProductKind, ProductOption};
use crate::event::{Authority, Draft, Entity, verbs};
use crate::platforms::lenient::{Node, filled};

/// Beyond so many bytes of payloads in all events of a delivery, the product is named once instead.
const MOST_BYTES: usize = 16 << 20;

pub(super) fn product_created(event: &Legacy<'_>) -> Option<Draft> {
    let told = event.root;
    let id = told.get("productId").id()?;
    let prices = told.first(&["priceData", "price"]);
    let currency = prices.get("currency").text();
    let regular = prices.get("price").money(currency.as_deref()).or_else(|| prices.money(currency.as_deref()));
    let reduced = prices.get("discountedPrice").money(currency.as_deref());
    let page = told.get("productPageUrl");
    let product = Product {
        id: id.clone(),
        name: told.get("name").text(),
        slug: told.get("slug").text(),
        sku: told.get("sku").text(),
        visible: told.get("visible").flag(),
        price: reduced.clone().or_else(|| regular.clone()),
        // A product without a sale still says what it costs with one: the same.
        sale_price: reduced.filter(|reduced| regular.as_ref() != Some(reduced)),
        regular_price: regular,
        images: images(told.get("media")),
        url: page
            .get("base")
            .str()
            .zip(page.get("path").str())
            .map(|(base, path)| format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))),
        currency,
        ..Product::default()
    };
    Some(event.draft(verbs::CREATED, id, Authority::Partial, Entity::Product(Box::new(product))))
}

pub(super) fn product_reference(event: &Legacy<'_>, verb: &str) -> Option<Draft> {
    let id = event.root.get("productId").id()?;
    let product = Product { id: id.clone(), ..Product::default() };
    let draft = event.draft(verb, id, Authority::Reference, Entity::Product(Box::new(product)));
    Some(Draft { changed: paths(event.root.get("changedFields")), ..draft })
}

/// One event for each variant: a consumer follows variants, not lists of them.
pub(super) fn variants_changed(event: &Legacy<'_>) -> Option<Vec<Draft>> {
    let parent = event.root.get("productId").id();
    let told = || event.root.get("variants").items();
    // Each event carries the whole payload as `raw`, so what one delivery can grow to has to have an end.
    let count = told().take(MOST_DRAFTS + 1).count();
    let few = (1..=MOST_DRAFTS).contains(&count) && count * event.delivery.body.len() <= MOST_BYTES;
    let each = || told().map(|told| variant(event, told, parent.as_deref())).collect();
    if let Some(drafts) = few.then(each).flatten() {
        return Some(drafts);
    }
    let draft = product_reference(event, verbs::UPDATED)?;
    Some(vec![Draft { changed: Some(vec!["variants".to_owned()]), ..draft }])
}

fn variant(event: &Legacy<'_>, told: Node<'_>, parent: Option<&str>) -> Option<Draft> {
    let id = told.get("variantId").id()?;
    let choices = told.get("choices");
    let product = Product {
        id: id.clone(),
        parent_id: parent.map(str::to_owned),
        kind: Some(ProductKind::Variation),
        options: choices.is_object().then(|| {
            let choice = |(name, value): (&str, Node<'_>)| ProductOption {
                name: Some(name.to_owned()),
                values: value.text().map(|value| vec![value]),
            };
            choices.members().map(choice).collect()
        }),
        ..Product::default()
    };
    let draft = event.draft(verbs::UPDATED, id, Authority::Reference, Entity::Variant(Box::new(product)));
    Some(Draft { changed: paths(told.get("changedFields")), ..draft })
}

pub(super) fn collection_created(event: &Legacy<'_>) -> Option<Draft> {
    let told = event.root;
    let collection = Collection {
        id: collection_id(event)?,
        name: told.get("name").text(),
        slug: told.get("slug").text(),
        visible: told.get("visible").flag(),
        images: images(told.get("media")),
        ..Collection::default()
    };
    Some(event.draft(verbs::CREATED, collection.id.clone(), Authority::Partial, Entity::Collection(Box::new(collection))))
}

pub(super) fn collection_reference(event: &Legacy<'_>, verb: &str) -> Option<Draft> {
    let collection = Collection { id: collection_id(event)?, ..Collection::default() };
    let draft = event.draft(verb, collection.id.clone(), Authority::Reference, Entity::Collection(Box::new(collection)));
    Some(Draft { changed: paths(event.root.get("changedFields")), ..draft })
}

fn collection_id(event: &Legacy<'_>) -> Option<String> {
    event.root.first(&["collectionId", "collection_Id"]).id()
}

pub(super) fn inventory_item(event: &Legacy<'_>) -> Option<Draft> {
    let item = inventory(event)?;
    let draft = event.draft(verbs::UPDATED, item.id.clone(), Authority::Reference, Entity::Inventory(Box::new(item)));
    Some(Draft { changed: paths(event.root.get("fieldMask")), ..draft })
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
    let item = Inventory { variants, ..inventory(event)? };
    Some(event.draft(verbs::UPDATED, item.id.clone(), Authority::Partial, Entity::Inventory(Box::new(item))))
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

/// The main picture first, then the others.
fn images(media: Node<'_>) -> Option<Vec<Image>> {
    let image = |item: Node<'_>| {
        filled(Image { id: item.get("id").id(), url: item.get("image").get("url").text(), alt: item.get("title").text() })
    };
    let main = image(media.get("mainMedia"));
    let rest = media.get("items").list_of(image);
    if main.is_none() && rest.is_none() {
        return None;
    }
    let others = rest.unwrap_or_default().into_iter().filter(|other| main.as_ref() != Some(other));
    Some(main.iter().cloned().chain(others).collect())
}
