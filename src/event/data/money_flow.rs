//! What happens around an order: checkouts, payments, refunds, fulfillments.

use jiff::Timestamp;
use serde_json::Number;

use super::{Buyer, Discount, LineItem, shape, words};
use crate::event::Money;

words! {
    /// The result of a chargeback.
    ChargebackStatus {
        /// The bank approved the chargeback: the money went back to the buyer.
        Approved,
        /// The bank reversed the chargeback: the money returned to the merchant.
        Reversed,
    }
}

shape! {
    /// What was shipped of an order: the whole list, each time.
    Fulfillment {
        /// The order's id: platforms tell of all fulfillments of an order at once.
        id: String,
        |
        /// The order.
        order_id: String,
        /// The parcels.
        parcels: Vec<Parcel>,
    }
}
shape! {
    /// One parcel, or one hand-over.
    Parcel {
        |
        /// The platform's id.
        id: String,
        /// What is in it.
        items: Vec<FulfillmentItem>,
        /// Who carries it.
        carrier: String,
        /// The carrier's number.
        tracking_number: String,
        /// Where to follow it.
        tracking_url: String,
        /// The platform's own word for its status.
        status: String,
        /// When it was made.
        created_at: Timestamp,
    }
}
shape! {
    /// A line of an order in a parcel.
    FulfillmentItem {
        |
        /// The line's id in the order.
        line_item_id: String,
        /// How many.
        quantity: Number,
    }
}
shape! {
    /// What was paid and refunded for an order.
    Payment {
        /// The order's id: platforms tell of all transactions of an order at once.
        id: String,
        |
        /// The order.
        order_id: String,
        /// ISO 4217 code, where the platform says.
        currency: String,
        /// What was paid.
        payments: Vec<PaymentEntry>,
        /// What was given back.
        refunds: Vec<Refund>,
        /// What a buyer's bank took back.
        chargebacks: Vec<Chargeback>,
    }
}
shape! {
    /// A payment that the buyer's bank took back.
    Chargeback {
        |
        /// The platform's id.
        id: String,
        /// The payment that was taken back.
        payment_id: String,
        /// The amount that was taken back.
        amount: Money,
        /// The amount that returned to the merchant. Present only if `status` is `reversed`.
        reversed_amount: Money,
        /// `approved`, or `reversed` if the money returned to the merchant.
        status: ChargebackStatus,
        /// When it was created.
        created_at: Timestamp,
    }
}
shape! {
    /// One payment.
    PaymentEntry {
        |
        /// The platform's id.
        id: String,
        /// How much.
        amount: Money,
        /// The platform's own word for its status.
        status: String,
        /// How it was paid.
        method: String,
        /// The payment provider's id of it.
        provider_transaction_id: String,
        /// When it was made.
        created_at: Timestamp,
    }
}
shape! {
    /// Something given back.
    Refund {
        |
        /// The platform's id.
        id: String,
        /// What the merchant wrote.
        reason: String,
        /// How much, as a positive amount.
        amount: Money,
        /// How the money went back, in the platform's word (`creditCard`, `giftCard`).
        method: String,
        /// When it was made.
        created_at: Timestamp,
    }
}
shape! {
    /// A purchase that was begun.
    Checkout {
        /// The platform's id.
        id: String,
        |
        /// The checkout that it stands for, where the platform counts abandoned ones apart.
        checkout_id: String,
        /// The cart it came from.
        cart_id: String,
        /// The platform's own word for its status.
        platform_status: String,
        /// ISO 4217 code.
        currency: String,
        /// The line items before discounts, shipping and tax.
        subtotal: Money,
        /// What it would cost.
        total: Money,
        /// What is taken off.
        discounts: Vec<Discount>,
        /// Who began it.
        customer: Buyer,
        /// What is in it.
        line_items: Vec<LineItem>,
        /// Where the buyer can go on.
        url: String,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
