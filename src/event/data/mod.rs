//! The normalized entities that consumers find under `data.{entity}`.
//!
//! Every member except an entity's `id` is optional. A member is absent if the platform did not send it or sent an empty
//! string. Each enumeration has the value `unknown`, so that a platform's new status never breaks a consumer.

mod catalog;
mod customer;
mod installation;
mod money_flow;
mod order;

pub use catalog::{
    Category, Collection, Image, Inventory, InventoryVariant, OptionValue, Product,
    ProductInventory, ProductKind, ProductOption, StockStatus, Variant,
};
pub use customer::{Address, Coupon, Customer};
pub use installation::{Action, App, ConnectionHealth, Plan, Site, Unrecognized};
pub use money_flow::{
    Chargeback, ChargebackStatus, Checkout, Fulfillment, FulfillmentItem, Parcel, Payment,
    PaymentEntry, Refund,
};
pub use order::{
    Buyer, Discount, FeeLine, FulfillmentStatus, LineItem, Order, OrderStatus, PaymentStatus,
    ShippingLine, Subscription, Totals,
};

use schemars::JsonSchema;
use serde::Serialize;

/// Declares an entity: fields before the bar are always present, fields after the bar are omitted when empty.
macro_rules! shape {
    ($(#[$meta:meta])* $name:ident { $($(#[$rmeta:meta])* $rfield:ident: $rtype:ty,)* | $($(#[$ometa:meta])* $ofield:ident: $otype:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, schemars::JsonSchema)]
        pub struct $name {
            $($(#[$rmeta])* pub $rfield: $rtype,)*
            $($(#[$ometa])* #[serde(skip_serializing_if = "Option::is_none")] pub $ofield: Option<$otype>,)*
        }

        impl $crate::event::Weigh for $name {
            fn heap(&self) -> usize {
                0 $(+ self.$rfield.heap())* $(+ self.$ofield.heap())*
            }
        }
    };
}
/// Declares an enumeration with values in `snake_case` and the default `unknown`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$wmeta:meta])* $word:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$wmeta])* $word,)*
            /// The platform's value has no counterpart here, or a member that decides could not be read.
            #[default]
            Unknown,
        }

        impl $crate::event::Weigh for $name {
            fn heap(&self) -> usize {
                0
            }
        }
    };
}
pub(crate) use {shape, words};

/// The entity that an event is about; its name is the key under `data`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// An order: a purchase.
    Order(Box<Order>),
    /// A recurring order.
    Subscription(Box<Subscription>),
    /// A product that a store sells.
    Product(Box<Product>),
    /// One variant of a product, with the members of a product and `parent_id`.
    Variant(Box<Product>),
    /// A group of products: a category or a collection.
    Collection(Box<Collection>),
    /// The stock of a product or of its variants.
    Inventory(Box<Inventory>),
    /// The shipments of an order.
    Fulfillment(Box<Fulfillment>),
    /// The payments and refunds of an order.
    Payment(Box<Payment>),
    /// A customer account, contact or member.
    Customer(Box<Customer>),
    /// A discount code that buyers type.
    Coupon(Box<Coupon>),
    /// A checkout that was started.
    Checkout(Box<Checkout>),
    /// The installation of an app.
    App(Box<App>),
    /// The site that a store is on.
    Site(Box<Site>),
    /// The health of a connection.
    Connection(Box<ConnectionHealth>),
    /// A custom hook of a store that fired.
    Action(Box<Action>),
    /// A verified delivery whose topic has no event type yet. The content is in `raw`.
    Unrecognized(Box<Unrecognized>),
}

impl Entity {
    /// The entity's name in event types, subjects and schemas.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Entity::Order(_) => "order",
            Entity::Subscription(_) => "subscription",
            Entity::Product(_) => "product",
            Entity::Variant(_) => "variant",
            Entity::Collection(_) => "collection",
            Entity::Inventory(_) => "inventory",
            Entity::Fulfillment(_) => "fulfillment",
            Entity::Payment(_) => "payment",
            Entity::Customer(_) => "customer",
            Entity::Coupon(_) => "coupon",
            Entity::Checkout(_) => "checkout",
            Entity::App(_) => "app",
            Entity::Site(_) => "site",
            Entity::Connection(_) => "connection",
            Entity::Action(_) => "action",
            Entity::Unrecognized(_) => "unrecognized",
        }
    }
}
