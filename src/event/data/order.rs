//! Orders and subscriptions.

use jiff::Timestamp;
use serde_json::Number;

use super::{Address, OptionValue, Refund, shape, words};
use crate::event::Money;

words! {
    /// Where an order stands as a whole.
    OrderStatus {
        /// Being worked on.
        Open,
        /// Done.
        Completed,
        /// Called off, or refused.
        Cancelled,
        /// Not yet placed.
        Draft,
        /// In the store's trash: the store can restore or remove it.
        Trashed,
    }
}
words! {
    /// Where an order's payment stands.
    PaymentStatus {
        /// Nothing paid.
        Unpaid,
        /// A payment is on its way or being processed.
        Pending,
        /// Reserved, not yet taken.
        Authorized,
        /// A part is paid, for example a deposit. `totals.paid` has the amount where it is known.
        PartiallyPaid,
        /// Paid in full.
        Paid,
        /// A part was given back.
        PartiallyRefunded,
        /// All was given back.
        Refunded,
        /// The authorization was given up.
        Voided,
        /// Refused.
        Failed,
    }
}
words! {
    /// How much of an order was handed over.
    FulfillmentStatus {
        /// Nothing.
        Unfulfilled,
        /// A part.
        Partial,
        /// All.
        Fulfilled,
    }
}

shape! {
    /// A purchase.
    Order {
        /// The platform's id.
        id: String,
        |
        /// The number that the merchant and the buyer see.
        number: String,
        /// ISO 4217 code of all amounts of the order.
        currency: String,
        /// Where it stands as a whole.
        status: OrderStatus,
        /// Where its payment stands.
        payment_status: PaymentStatus,
        /// How much was handed over.
        fulfillment_status: FulfillmentStatus,
        /// The platform's own word for the order's status.
        platform_status: String,
        /// What it costs.
        totals: Totals,
        /// Do the prices of the line items contain the tax?
        prices_include_tax: bool,
        /// Who buys.
        customer: Buyer,
        /// Where the bill goes.
        billing_address: Address,
        /// Where the goods go.
        shipping_address: Address,
        /// What was bought.
        line_items: Vec<LineItem>,
        /// How it is shipped.
        shipping_lines: Vec<ShippingLine>,
        /// What else is charged.
        fee_lines: Vec<FeeLine>,
        /// What is taken off.
        discounts: Vec<Discount>,
        /// What was given back.
        refunds: Vec<Refund>,
        /// What the buyer wrote.
        note: String,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
        /// When it was paid.
        paid_at: Timestamp,
        /// When it was completed.
        completed_at: Timestamp,
    }
}
shape! {
    /// What an order costs.
    Totals {
        |
        /// The line items before discounts, shipping, fees and tax.
        subtotal: Money,
        /// Taken off.
        discount: Money,
        /// For shipping.
        shipping: Money,
        /// All tax.
        tax: Money,
        /// All fees.
        fees: Money,
        /// What the buyer pays.
        total: Money,
        /// The sum of the payments so far, before refunds.
        paid: Money,
        /// What was given back so far, as a positive amount.
        refunded: Money,
    }
}
shape! {
    /// Who buys.
    Buyer {
        |
        /// The platform's id of the customer; absent for guests.
        id: String,
        /// Electronic mail.
        email: String,
        /// Given name.
        first_name: String,
        /// Family name.
        last_name: String,
        /// Telephone.
        phone: String,
    }
}
shape! {
    /// A line of an order.
    LineItem {
        |
        /// The platform's id of the line.
        id: String,
        /// The product's id.
        product_id: String,
        /// The variant's id, where one was chosen.
        variant_id: String,
        /// The merchant's stock-keeping unit.
        sku: String,
        /// What it is called.
        name: String,
        /// What was chosen.
        options: Vec<OptionValue>,
        /// How many; some shops sell fractions.
        quantity: Number,
        /// The price of one.
        unit_price: Money,
        /// All of them before discounts.
        subtotal: Money,
        /// Taken off this line.
        discount: Money,
        /// The line's tax.
        tax: Money,
        /// All of them after discounts.
        total: Money,
    }
}
shape! {
    /// A way of shipping and its price.
    ShippingLine {
        |
        /// The platform's id of the line.
        id: String,
        /// The carrier's or method's code.
        method: String,
        /// What the buyer saw.
        name: String,
        /// Its price without tax.
        total: Money,
        /// Its tax.
        tax: Money,
    }
}
shape! {
    /// Something else that is charged.
    FeeLine {
        |
        /// The platform's id of the line.
        id: String,
        /// What the buyer saw.
        name: String,
        /// Its price without tax.
        total: Money,
        /// Its tax.
        tax: Money,
    }
}
shape! {
    /// Something taken off.
    Discount {
        |
        /// The coupon's code; absent where the merchant gave it by hand.
        code: String,
        /// What it is called.
        name: String,
        /// How much it takes off.
        amount: Money,
    }
}
shape! {
    /// A recurring purchase. Its schedule stands in `raw`.
    Subscription {
        /// The platform's id.
        id: String,
        |
        /// The order that began it.
        parent_id: String,
        /// The number that the merchant and the buyer see.
        number: String,
        /// ISO 4217 code of all amounts.
        currency: String,
        /// The platform's own word for its status.
        platform_status: String,
        /// What each period costs.
        totals: Totals,
        /// Do the prices contain the tax?
        prices_include_tax: bool,
        /// Who buys.
        customer: Buyer,
        /// Where the bill goes.
        billing_address: Address,
        /// Where the goods go.
        shipping_address: Address,
        /// What each period brings.
        line_items: Vec<LineItem>,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
