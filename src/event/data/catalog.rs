//! What a store sells: products, variants, collections and their stock.

use jiff::Timestamp;
use serde_json::Number;

use super::{shape, words};
use crate::event::{Amount, Money};

words! {
    /// What sort of product it is.
    ProductKind {
        /// One article.
        Simple,
        /// An article with variants.
        Variable,
        /// One variant of an article.
        Variation,
        /// A list of articles sold one by one.
        Grouped,
        /// Sold elsewhere.
        External,
        /// Several articles sold as one.
        Bundle,
        /// Nothing to ship.
        Digital,
    }
}
words! {
    /// Can it be bought?
    StockStatus {
        /// Yes.
        InStock,
        /// Some variants can.
        PartiallyInStock,
        /// No.
        OutOfStock,
        /// Yes, and it will be delivered later.
        Backorder,
        /// The stock item was removed at the store.
        Deleted,
    }
}
shape! {
    /// An article, or one variant of it.
    Product {
        /// The platform's id.
        id: String,
        |
        /// Of a variant: the id of its product.
        parent_id: String,
        /// What sort it is.
        kind: ProductKind,
        /// What it is called, with entities decoded.
        name: String,
        /// Its name in URLs.
        slug: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// GTIN, UPC, EAN or ISBN.
        gtin: String,
        /// The platform's own word for its status (`publish`, `draft`).
        status: String,
        /// Do buyers see it?
        visible: bool,
        /// What it costs now.
        price: Money,
        /// What it costs without a sale.
        regular_price: Money,
        /// What it costs in a sale.
        sale_price: Money,
        /// ISO 4217 code, where the platform says.
        currency: String,
        /// HTML, as the merchant wrote it.
        description: String,
        /// HTML, as the merchant wrote it.
        short_description: String,
        /// Pictures, the main one first.
        images: Vec<Image>,
        /// The collections it is in.
        categories: Vec<Category>,
        /// Labels.
        tags: Vec<String>,
        /// What can be chosen; of a variant, what is chosen.
        options: Vec<ProductOption>,
        /// Its variants; some platforms give ids only.
        variants: Vec<Variant>,
        /// Its stock.
        inventory: ProductInventory,
        /// In the store's unit.
        weight: Amount,
        /// Its page.
        url: String,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
shape! {
    /// A picture.
    Image {
        |
        /// The platform's id.
        id: String,
        /// Where it is.
        url: String,
        /// What it shows.
        alt: String,
    }
}
shape! {
    /// A collection that a product is in.
    Category {
        |
        /// The platform's id.
        id: String,
        /// What it is called.
        name: String,
    }
}
shape! {
    /// A choice that a product offers, or of a variant the one that is made.
    ProductOption {
        |
        /// What is chosen: `Size`.
        name: String,
        /// What there is to choose: `S`, `M`.
        values: Vec<String>,
    }
}
shape! {
    /// A choice that was made.
    OptionValue {
        |
        /// What was chosen: `Size`.
        name: String,
        /// The choice: `M`.
        value: String,
    }
}
shape! {
    /// One variant of a product.
    Variant {
        /// The platform's id.
        id: String,
        |
        /// The merchant's stock-keeping unit.
        sku: String,
        /// GTIN, UPC, EAN or ISBN.
        gtin: String,
        /// What is chosen.
        options: Vec<OptionValue>,
        /// Do buyers see it?
        visible: bool,
        /// What it costs now.
        price: Money,
        /// What it costs without a sale.
        regular_price: Money,
        /// Can it be bought?
        status: StockStatus,
        /// In the store's unit.
        weight: Amount,
    }
}
shape! {
    /// A product's stock as the product tells it.
    ProductInventory {
        |
        /// Does the store count it?
        managed: bool,
        /// How many there are.
        quantity: Number,
        /// Can it be bought?
        status: StockStatus,
    }
}
shape! {
    /// A group of products.
    Collection {
        /// The platform's id.
        id: String,
        |
        /// The collection above it.
        parent_id: String,
        /// What it is called.
        name: String,
        /// Its name in URLs.
        slug: String,
        /// HTML, as the merchant wrote it.
        description: String,
        /// Do buyers see it?
        visible: bool,
        /// Pictures, the main one first.
        images: Vec<Image>,
        /// How many products it has.
        item_count: Number,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
shape! {
    /// The stock of a product or of one of its variants.
    Inventory {
        /// The platform's id of the stock item.
        id: String,
        |
        /// The product.
        product_id: String,
        /// The variant, where the item is about one.
        variant_id: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// Where the goods lie.
        location_id: String,
        /// Does the store count it?
        managed: bool,
        /// How many there are.
        quantity: Number,
        /// Can it be bought?
        status: StockStatus,
        /// Why it changed, in the platform's word (`ORDER`, `MANUAL`).
        reason: String,
        /// The stock of the variants: of those that changed, or where the event tells the whole item, of all.
        variants: Vec<InventoryVariant>,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
shape! {
    /// The stock of one variant, now and before.
    InventoryVariant {
        /// The variant's id.
        id: String,
        |
        /// How many there are.
        quantity: Number,
        /// How many there were.
        previous_quantity: Number,
        /// Can it be bought?
        status: StockStatus,
        /// Could it be bought?
        previous_status: StockStatus,
    }
}
