//! Orders and subscriptions.

use jiff::Timestamp;
use serde_json::Number;

use super::catalog::OptionValue;
use super::customer::Address;
use super::macros::{shape, words};
use super::refund::Refund;
use crate::event::money::Money;

words! {
    /// The overall status of an order.
    OrderStatus {
        /// In progress.
        Open,
        /// Finished, also if it was refunded.
        Completed,
        /// Cancelled or rejected.
        Cancelled,
        /// Not placed yet.
        Draft,
        /// In the store's trash. The order can be restored or is permanently deleted later.
        Trashed,
    }
}
words! {
    /// The payment status of an order.
    PaymentStatus {
        /// No payment yet.
        Unpaid,
        /// A payment was started and is not complete.
        Pending,
        /// Authorized on a card, not captured yet.
        Authorized,
        /// Paid in part, for example a deposit. See `totals.paid`.
        PartiallyPaid,
        /// Paid in full.
        Paid,
        /// Refunded in part.
        PartiallyRefunded,
        /// Refunded in full.
        Refunded,
        /// The authorization was voided.
        Voided,
        /// The payment failed.
        Failed,
    }
}
words! {
    /// The fulfillment status of an order.
    FulfillmentStatus {
        /// No item was shipped or handed over.
        Unfulfilled,
        /// Some items were shipped or handed over.
        Partial,
        /// All items were shipped or handed over.
        Fulfilled,
    }
}

shape! {
    /// An order with its amounts, addresses and line items.
    Order {
        /// The order's id at the platform.
        id: String,
        |
        /// The order number that merchant and buyer see. Not unique across stores.
        number: String,
        /// Currency of all amounts of the order, ISO 4217 code.
        currency: String,
        /// The overall status of the order.
        status: OrderStatus,
        /// The payment status. `unknown` if an amount or a date that decides cannot be read.
        payment_status: PaymentStatus,
        /// The fulfillment status.
        fulfillment_status: FulfillmentStatus,
        /// The platform's own status, for example `processing` or `APPROVED`.
        platform_status: String,
        /// The total amounts of the order.
        totals: Totals,
        /// `true` if the prices of the line items include tax.
        prices_include_tax: bool,
        /// The buyer, with the details of the order.
        customer: Buyer,
        /// Billing address.
        billing_address: Address,
        /// Shipping address. Absent for pick-up and for digital goods.
        shipping_address: Address,
        /// The bought products.
        line_items: Vec<LineItem>,
        /// The shipping methods and their prices.
        shipping_lines: Vec<ShippingLine>,
        /// Further charges, for example a tip or gift wrap.
        fee_lines: Vec<FeeLine>,
        /// The price reductions: coupons, rules of the shop, manual discounts.
        discounts: Vec<Discount>,
        /// The refunds so far.
        refunds: Vec<Refund>,
        /// The buyer's note to the merchant, plain text.
        note: String,
        /// When the order was placed, in UTC. For an imported order: the time of the purchase.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
        /// When the order was paid, in UTC. For a partial payment: the time of that payment.
        paid_at: Timestamp,
        /// When the merchant completed the order, in UTC.
        completed_at: Timestamp,
    }
}
shape! {
    /// The total amounts of an order. A total is absent if one of its summands cannot be read.
    Totals {
        |
        /// The line items before discounts, shipping, fees and tax.
        subtotal: Money,
        /// The sum of the discounts, positive.
        discount: Money,
        /// The price of shipping, without tax if prices exclude tax.
        shipping: Money,
        /// The sum of the taxes.
        tax: Money,
        /// The sum of the fees.
        fees: Money,
        /// The amount that the buyer has to pay. Refunds do not reduce this amount.
        total: Money,
        /// The sum of the payments so far, before refunds. Absent if neither the platform nor a
        /// deposit plugin sends it.
        paid: Money,
        /// The sum of the refunds so far, positive.
        refunded: Money,
    }
}
shape! {
    /// The buyer of an order or checkout.
    Buyer {
        |
        /// The customer's id at the platform. Absent for guests.
        id: String,
        /// E-mail address.
        email: String,
        /// The given name, plain text.
        first_name: String,
        /// The family name, plain text.
        last_name: String,
        /// Phone number as typed.
        phone: String,
    }
}
shape! {
    /// A line of an order: one product, its quantity and price.
    LineItem {
        |
        /// The line's id, unique in the order.
        id: String,
        /// The product's id at the platform.
        product_id: String,
        /// The variant's id. Present only if the product has variants.
        variant_id: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// The product name at the time of the order, plain text. Tags that the merchant typed
        /// stay.
        name: String,
        /// The chosen options, for example size and color. Values of other types are converted to
        /// text; lists are joined by commas.
        options: Vec<OptionValue>,
        /// The number of units. May be a fraction, for example 3.25 square metres.
        quantity: Number,
        /// The price of one unit.
        unit_price: Money,
        /// The price of all units before discounts.
        subtotal: Money,
        /// The discount on the line, positive.
        discount: Money,
        /// The tax on the line.
        tax: Money,
        /// The price of all units after discounts.
        total: Money,
    }
}
shape! {
    /// A shipping method and its price.
    ShippingLine {
        |
        /// The line's id, unique in the order.
        id: String,
        /// The code of the method or carrier, for example `flat_rate`.
        method: String,
        /// The name that the buyer saw, plain text.
        name: String,
        /// The price without tax.
        total: Money,
        /// The tax on the price.
        tax: Money,
    }
}
shape! {
    /// A further charge of an order.
    FeeLine {
        |
        /// The line's id, unique in the order.
        id: String,
        /// The name that the buyer saw, plain text.
        name: String,
        /// The fee without tax.
        total: Money,
        /// The tax on the fee.
        tax: Money,
    }
}
shape! {
    /// A reduction of the price.
    Discount {
        |
        /// The coupon's code, plain text. Absent for manual discounts.
        code: String,
        /// The name of the discount, plain text.
        name: String,
        /// The reduction, positive.
        amount: Money,
    }
}
shape! {
    /// A recurring order. Its schedule is in `raw`.
    Subscription {
        /// The subscription's id at the platform.
        id: String,
        |
        /// The id of the order that started the subscription.
        parent_id: String,
        /// The number that merchant and buyer see.
        number: String,
        /// Currency of all amounts, ISO 4217 code.
        currency: String,
        /// The platform's own status, for example `active`.
        platform_status: String,
        /// The total amounts of each renewal.
        totals: Totals,
        /// `true` if the prices of the line items include tax.
        prices_include_tax: bool,
        /// The subscriber.
        customer: Buyer,
        /// Billing address.
        billing_address: Address,
        /// Shipping address.
        shipping_address: Address,
        /// The products of each renewal.
        line_items: Vec<LineItem>,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
