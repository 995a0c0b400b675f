//! The normalized entities that consumers find under `data.{entity}`.
//!
//! Every member except an entity's `id` is optional. A member is absent if the platform did not send it or sent an empty
//! string. Each enumeration has the value `unknown`, so that a platform's new status never breaks a consumer.

mod catalog;
mod customer;
mod entity;
mod installation;
mod macros;
mod money_flow;
mod order;
mod refund;

pub use catalog::{
    Category, Collection, Image, Inventory, InventoryVariant, OptionValue, Product,
    ProductInventory, ProductKind, ProductOption, StockStatus, Variant,
};
pub use customer::{Address, Coupon, Customer};
pub use entity::Entity;
pub use installation::{Action, App, ConnectionHealth, Plan, Site, Unrecognized};
pub use money_flow::{
    Chargeback, ChargebackStatus, Checkout, Fulfillment, FulfillmentItem, Parcel, Payment,
    PaymentEntry,
};
pub use order::{
    Buyer, Discount, FeeLine, FulfillmentStatus, LineItem, Order, OrderStatus, PaymentStatus,
    ShippingLine, Subscription, Totals,
};
pub use refund::Refund;
