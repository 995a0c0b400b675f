//! What a store sells: products, variants, collections and their stock.

use jiff::Timestamp;
use serde_json::Number;

use super::macros::{shape, words};
use crate::event::money::{Amount, Money};

words! {
    /// The kind of product.
    ProductKind {
        /// A product without variants.
        Simple,
        /// A product with variants.
        Variable,
        /// One variant of a product.
        Variation,
        /// A list of products that are sold separately.
        Grouped,
        /// A product that is sold on another site.
        External,
        /// Several products that are sold as one.
        Bundle,
        /// A virtual or downloadable product without shipping.
        Digital,
    }
}
words! {
    /// The availability of a product or variant.
    StockStatus {
        /// In stock.
        InStock,
        /// Some variants are in stock.
        PartiallyInStock,
        /// Out of stock.
        OutOfStock,
        /// Out of stock, but can be ordered for later delivery.
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
        /// The id of the variant's product. Present only for variants.
        parent_id: String,
        /// The kind of product.
        kind: ProductKind,
        /// The name, plain text: HTML entities are decoded. Tags that the merchant typed stay.
        name: String,
        /// The name in the product's URL, percent-encoded as the platform has it.
        slug: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// Barcode number: GTIN, UPC, EAN or ISBN.
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
        /// Currency of all prices, ISO 4217 code. Absent if the platform does not send it.
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
        /// The options that buyers can choose. For a variant: the chosen values.
        options: Vec<ProductOption>,
        /// The variants of the product. Some platforms send only their ids.
        variants: Vec<Variant>,
        /// The stock of the product, from the same payload.
        inventory: ProductInventory,
        /// The weight as a decimal number, in the store's unit.
        weight: Amount,
        /// URL of the product's page in the shop.
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
        /// URL of the image file.
        url: String,
        /// The alternative text of the image, plain text.
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
    /// An option of a product with all values, or of a variant with its one value.
    ProductOption {
        |
        /// The name of the option, for example `Size`; plain text.
        name: String,
        /// The values to choose from, for example `S` and `M`. For a variant: the one chosen value.
        /// Percent-encoded slugs of non-Latin terms are decoded.
        values: Vec<String>,
    }
}
shape! {
    /// A chosen value of an option.
    OptionValue {
        |
        /// The name of the option, for example `Size`; plain text.
        name: String,
        /// The chosen value, for example `M`; plain text. Structured values are written as JSON.
        value: String,
    }
}
shape! {
    /// One variant in the list of its product.
    Variant {
        /// The variant's id at the platform.
        id: String,
        |
        /// The merchant's stock-keeping unit.
        sku: String,
        /// Barcode number: GTIN, UPC, EAN or ISBN.
        gtin: String,
        /// The option values of this variant.
        options: Vec<OptionValue>,
        /// `true` if buyers can see the variant in the shop.
        visible: bool,
        /// The current price.
        price: Money,
        /// The price outside a sale.
        regular_price: Money,
        /// The availability of the variant.
        status: StockStatus,
        /// The weight as a decimal number, in the store's unit.
        weight: Amount,
    }
}
shape! {
    /// The stock of a product in an event about the product.
    ProductInventory {
        |
        /// `true` if the store counts the stock.
        managed: bool,
        /// The number of units in stock; may be negative. Absent if the stock is not counted.
        quantity: Number,
        /// The number of units at which the stock is low, if the merchant set one for the product.
        low_stock_threshold: Number,
        /// The availability of the product.
        status: StockStatus,
    }
}
shape! {
    /// A group of products: a category or a collection.
    Collection {
        /// The collection's id at the platform.
        id: String,
        |
        /// The id of the parent collection.
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
        /// The number of units at which the stock is low, if the merchant set one for the product.
        low_stock_threshold: Number,
        /// The availability of the product.
        status: StockStatus,
        /// Why the stock changed, the platform's own value, for example `ORDER` or `MANUAL`.
        reason: String,
        /// The stock of the variants. All variants if the event has the whole item, otherwise only
        /// the changed ones.
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
        /// The availability of the variant now.
        status: StockStatus,
        /// The availability of the variant before the change.
        previous_status: StockStatus,
    }
}
