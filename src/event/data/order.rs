//! Orders and subscriptions.

use jiff::Timestamp;
use serde_json::Number;

use super::{Address, OptionValue, Refund, shape, words};
use crate::event::Money;

words! {
    /// Where an order stands as a whole.
    OrderStatus {
        /// In progress.
        Open,
        /// Finished, also if it was refunded.
        Completed,
        /// Called off or rejected.
        Cancelled,
        /// Not placed yet.
        Draft,
        /// In the store's trash: it can be restored, or is removed for good later.
        Trashed,
    }
}
words! {
    /// Where an order's payment stands.
    PaymentStatus {
        /// No payment yet.
        Unpaid,
        /// A payment is on its way or being processed.
        Pending,
        /// Reserved on a card, not captured yet.
        Authorized,
        /// A part is paid, for example a deposit: see `totals.paid`.
        PartiallyPaid,
        /// Paid in full.
        Paid,
        /// A part of the money was given back.
        PartiallyRefunded,
        /// All of the money was given back.
        Refunded,
        /// The authorization was given up.
        Voided,
        /// The payment was refused.
        Failed,
    }
}
words! {
    /// How much of an order was handed over.
    FulfillmentStatus {
        /// Nothing was handed over.
        Unfulfilled,
        /// A part was handed over.
        Partial,
        /// All was handed over.
        Fulfilled,
    }
}

shape! {
    /// An order: a purchase with its money, people and lines.
    Order {
        /// The order's id at the platform.
        id: String,
        |
        /// The order number that merchant and buyer see. Not unique across stores.
        number: String,
        /// ISO 4217 code of all amounts of the order.
        currency: String,
        /// Where the order stands as a whole.
        status: OrderStatus,
        /// Where the payment stands. `unknown` if an amount or a date that decides cannot be read.
        payment_status: PaymentStatus,
        /// How much of the order was handed over.
        fulfillment_status: FulfillmentStatus,
        /// The platform's own status, for example `processing` or `APPROVED`.
        platform_status: String,
        /// The order's sums.
        totals: Totals,
        /// `true` if the prices of the line items contain the tax.
        prices_include_tax: bool,
        /// The buyer, as the order knows the buyer.
        customer: Buyer,
        /// The address on the invoice.
        billing_address: Address,
        /// The address that the goods are sent to. Absent for pick-up and for digital goods.
        shipping_address: Address,
        /// The products that were bought.
        line_items: Vec<LineItem>,
        /// The shipping methods and their prices.
        shipping_lines: Vec<ShippingLine>,
        /// Further charges, for example a tip or gift wrap.
        fee_lines: Vec<FeeLine>,
        /// What reduces the price: coupons, rules of the shop, manual discounts.
        discounts: Vec<Discount>,
        /// The refunds so far.
        refunds: Vec<Refund>,
        /// The buyer's note to the merchant, plain text.
        note: String,
        /// When the order was placed, in UTC. For an imported order, when it was bought.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
        /// When it was paid, in UTC. For a part payment, when the part was paid.
        paid_at: Timestamp,
        /// When the merchant completed the order, in UTC.
        completed_at: Timestamp,
    }
}
shape! {
    /// The sums of an order. A sum is absent if one of its summands cannot be read.
    Totals {
        |
        /// The line items before discounts, shipping, fees and tax.
        subtotal: Money,
        /// All discounts, as a positive amount.
        discount: Money,
        /// Shipping, without tax where prices exclude tax.
        shipping: Money,
        /// The sum of the taxes.
        tax: Money,
        /// The sum of the fees.
        fees: Money,
        /// What the buyer has to pay in all. Refunds do not reduce it.
        total: Money,
        /// The payments so far, before refunds. Present where the platform or a deposit plugin
        /// says.
        paid: Money,
        /// All refunds so far, as a positive amount.
        refunded: Money,
    }
}
shape! {
    /// The buyer of an order or checkout.
    Buyer {
        |
        /// The customer's id at the platform; absent for guests.
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
        /// The variant's id, if the product has variants.
        variant_id: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// The product name at the time of the order, plain text. Tags that the merchant typed
        /// stay.
        name: String,
        /// What was chosen, for example size and color. A value that is no text is written as text;
        /// lists are joined by commas.
        options: Vec<OptionValue>,
        /// The number of units. May be a fraction, for example 3.25 square metres.
        quantity: Number,
        /// The price of one unit.
        unit_price: Money,
        /// All units before discounts.
        subtotal: Money,
        /// The discount on the line, as a positive amount.
        discount: Money,
        /// The tax on the line.
        tax: Money,
        /// All units after discounts.
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
        /// The coupon's code, plain text; absent for manual discounts.
        code: String,
        /// The name of the discount, plain text.
        name: String,
        /// The reduction, as a positive amount.
        amount: Money,
    }
}
shape! {
    /// A recurring order. Its schedule is in `raw`.
    Subscription {
        /// The subscription's id at the platform.
        id: String,
        |
        /// The id of the order that started it.
        parent_id: String,
        /// The number that merchant and buyer see.
        number: String,
        /// ISO 4217 code of all amounts.
        currency: String,
        /// The platform's own status, for example `active`.
        platform_status: String,
        /// The sums of each renewal.
        totals: Totals,
        /// `true` if the prices of the line items contain the tax.
        prices_include_tax: bool,
        /// The subscriber.
        customer: Buyer,
        /// The address on the invoices.
        billing_address: Address,
        /// The address that the goods are sent to.
        shipping_address: Address,
        /// The products of each renewal.
        line_items: Vec<LineItem>,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
