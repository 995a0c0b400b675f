//! What a store sells: products, variants, collections and their stock.

use jiff::Timestamp;
use serde_json::Number;

use super::{shape, words};
use crate::event::{Amount, Money};

words! {
    /// The kind of product.
    ProductKind {
        /// One article.
        Simple,
        /// An article with variants.
        Variable,
        /// One variant of an article.
        Variation,
        /// A list of articles that are sold one by one.
        Grouped,
        /// An article that is sold elsewhere.
        External,
        /// Several articles that are sold as one.
        Bundle,
        /// An article without shipping: virtual and downloadable.
        Digital,
    }
}
words! {
    /// Whether something can be bought.
    StockStatus {
        /// In stock.
        InStock,
        /// Some variants are in stock.
        PartiallyInStock,
        /// Out of stock.
        OutOfStock,
        /// Out of stock, and can be ordered for later delivery.
        Backorder,
        /// The stock item was removed at the store.
        Deleted,
    }
}
shape! {
    /// A product, or one variant of a product.
    Product {
        /// The product's id at the platform.
        id: String,
        |
        /// Of a variant: its product's id.
        parent_id: String,
        /// The kind of product.
        kind: ProductKind,
        /// The name, plain text: HTML entities are decoded. Tags that the merchant typed stay.
        name: String,
        /// The name in the product's URL, percent-encoded as the platform has it.
        slug: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// GTIN, UPC, EAN or ISBN.
        gtin: String,
        /// The platform's own status, for example `publish` or `draft`.
        status: String,
        /// `true` if buyers can see the product in the shop.
        visible: bool,
        /// The current price, without quantity discounts.
        price: Money,
        /// The price outside a sale.
        regular_price: Money,
        /// The price in a sale.
        sale_price: Money,
        /// ISO 4217 code. Absent where the platform does not name it.
        currency: String,
        /// The long description as HTML, as the merchant wrote it. Entities stay.
        description: String,
        /// The short description as HTML, as the merchant wrote it. Entities stay.
        short_description: String,
        /// The images, the main one first.
        images: Vec<Image>,
        /// The categories or collections that the product is in.
        categories: Vec<Category>,
        /// The merchant's labels, plain text.
        tags: Vec<String>,
        /// What buyers can choose; of a variant, what is chosen.
        options: Vec<ProductOption>,
        /// The variants of the product. Some platforms send only their ids.
        variants: Vec<Variant>,
        /// The product's stock, as the product event has it.
        inventory: ProductInventory,
        /// The weight as a decimal, in the store's unit.
        weight: Amount,
        /// The product's page in the shop.
        url: String,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
shape! {
    /// An image of a product or collection.
    Image {
        |
        /// The image's id at the platform.
        id: String,
        /// The address of the image file.
        url: String,
        /// The alternative text, plain.
        alt: String,
    }
}
shape! {
    /// A category or collection that a product is in.
    Category {
        |
        /// The category's id at the platform.
        id: String,
        /// The name, plain text.
        name: String,
    }
}
shape! {
    /// An option of a product with its values, or of a variant with its one value.
    ProductOption {
        |
        /// The name of the option, for example `Size`; plain text.
        name: String,
        /// The values to choose from, for example `S` and `M`; of a variant, the chosen one. Slugs
        /// of non-Latin terms are decoded.
        values: Vec<String>,
    }
}
shape! {
    /// A choice that was made.
    OptionValue {
        |
        /// The name of the option, for example `Size`; plain text.
        name: String,
        /// The chosen value, for example `M`; plain text. Structured values are written as JSON.
        value: String,
    }
}
shape! {
    /// One variant of a product, as its product lists it.
    Variant {
        /// The variant's id at the platform.
        id: String,
        |
        /// The merchant's stock-keeping unit.
        sku: String,
        /// GTIN, UPC, EAN or ISBN.
        gtin: String,
        /// The values that make this variant.
        options: Vec<OptionValue>,
        /// `true` if buyers can see the variant in the shop.
        visible: bool,
        /// The current price.
        price: Money,
        /// The price outside a sale.
        regular_price: Money,
        /// Whether the variant can be bought.
        status: StockStatus,
        /// The weight as a decimal, in the store's unit.
        weight: Amount,
    }
}
shape! {
    /// The stock of a product, as the product event has it.
    ProductInventory {
        |
        /// `true` if the store counts the stock.
        managed: bool,
        /// The number of units in stock; may be negative. Absent if the stock is not counted.
        quantity: Number,
        /// Whether the product can be bought.
        status: StockStatus,
    }
}
shape! {
    /// A group of products: a category or a collection.
    Collection {
        /// The collection's id at the platform.
        id: String,
        |
        /// The id of the collection above it.
        parent_id: String,
        /// The name, plain text.
        name: String,
        /// The name in the collection's URL.
        slug: String,
        /// The description as HTML, as the merchant wrote it.
        description: String,
        /// `true` if buyers can see the collection in the shop.
        visible: bool,
        /// The images, the main one first.
        images: Vec<Image>,
        /// The number of products in the collection.
        item_count: Number,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
shape! {
    /// The stock of a product or of its variants.
    Inventory {
        /// The id of the stock item at the platform.
        id: String,
        |
        /// The product's id.
        product_id: String,
        /// The variant's id, if the item is about one variant.
        variant_id: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// The id of the warehouse or location.
        location_id: String,
        /// `true` if the store counts the stock.
        managed: bool,
        /// The number of units in stock; may be negative.
        quantity: Number,
        /// Whether the product can be bought.
        status: StockStatus,
        /// Why the stock changed, in the platform's word: `ORDER`, `MANUAL`.
        reason: String,
        /// The stock of the variants: of those that changed, or of all where the event has the
        /// whole item.
        variants: Vec<InventoryVariant>,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
shape! {
    /// The stock of one variant, now and before the change.
    InventoryVariant {
        /// The variant's id.
        id: String,
        |
        /// The number of units now.
        quantity: Number,
        /// The number of units before the change.
        previous_quantity: Number,
        /// Whether the variant can be bought now.
        status: StockStatus,
        /// Whether the variant could be bought before the change.
        previous_status: StockStatus,
    }
}
