//! The entity that an event is about.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    /// Reads an entity from its name and its JSON under `data.{name}`. `None` for another name or another shape.
    #[must_use]
    pub fn from_json(name: &str, form: &Value) -> Option<Self> {
        fn read<T: DeserializeOwned>(form: &Value) -> Option<Box<T>> {
            T::deserialize(form).ok().map(Box::new)
        }
        Some(match name {
            "order" => Entity::Order(read(form)?),
            "subscription" => Entity::Subscription(read(form)?),
            "product" => Entity::Product(read(form)?),
            "variant" => Entity::Variant(read(form)?),
            "collection" => Entity::Collection(read(form)?),
            "inventory" => Entity::Inventory(read(form)?),
            "fulfillment" => Entity::Fulfillment(read(form)?),
            "payment" => Entity::Payment(read(form)?),
            "customer" => Entity::Customer(read(form)?),
            "coupon" => Entity::Coupon(read(form)?),
            "checkout" => Entity::Checkout(read(form)?),
            _ => return None,
        })
    }

    /// The entity's JSON under `data.{name}`, as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let written = match self {
            Entity::Order(order) => serde_json::to_string(order),
            Entity::Subscription(subscription) => serde_json::to_string(subscription),
            Entity::Product(product) | Entity::Variant(product) => serde_json::to_string(product),
            Entity::Collection(collection) => serde_json::to_string(collection),
            Entity::Inventory(inventory) => serde_json::to_string(inventory),
            Entity::Fulfillment(fulfillment) => serde_json::to_string(fulfillment),
            Entity::Payment(payment) => serde_json::to_string(payment),
            Entity::Customer(customer) => serde_json::to_string(customer),
            Entity::Coupon(coupon) => serde_json::to_string(coupon),
            Entity::Checkout(checkout) => serde_json::to_string(checkout),
            Entity::App(app) => serde_json::to_string(app),
            Entity::Site(site) => serde_json::to_string(site),
            Entity::Connection(connection) => serde_json::to_string(connection),
            Entity::Action(action) => serde_json::to_string(action),
            Entity::Unrecognized(unrecognized) => serde_json::to_string(unrecognized),
        };
        written.unwrap_or_default()
    }

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
