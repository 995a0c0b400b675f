//! The entity that an event is about.

use schemars::JsonSchema;
use serde::Serialize;

use super::catalog::{Collection, Inventory, Product};
use super::customer::{Coupon, Customer};
use super::installation::{Action, App, ConnectionHealth, Site, Unrecognized};
use super::money_flow::{Checkout, Fulfillment, Payment};
use super::order::{Order, Subscription};

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
