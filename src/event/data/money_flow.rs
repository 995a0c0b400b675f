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
    /// The shipments of an order: the whole list in each event.
    Fulfillment {
        /// The order's id: platforms report all fulfillments of an order together.
        id: String,
        |
        /// The order's id at the platform.
        order_id: String,
        /// The parcels, or other hand-overs.
        parcels: Vec<Parcel>,
    }
}
shape! {
    /// One parcel, or one hand-over.
    Parcel {
        |
        /// The fulfillment's id at the platform.
        id: String,
        /// The contents of the parcel.
        items: Vec<FulfillmentItem>,
        /// The shipping company.
        carrier: String,
        /// The carrier's tracking number.
        tracking_number: String,
        /// The carrier's page for this parcel.
        tracking_url: String,
        /// The platform's own status of the parcel.
        status: String,
        /// When the parcel was recorded, in UTC.
        created_at: Timestamp,
    }
}
shape! {
    /// A line of an order in a parcel.
    FulfillmentItem {
        |
        /// The line's id in the order.
        line_item_id: String,
        /// The number of units in this parcel.
        quantity: Number,
    }
}
shape! {
    /// The payments, refunds and chargebacks of an order.
    Payment {
        /// The order's id: platforms report all transactions of an order together.
        id: String,
        |
        /// The order's id at the platform.
        order_id: String,
        /// ISO 4217 code, where the platform says.
        currency: String,
        /// The payments of the order.
        payments: Vec<PaymentEntry>,
        /// The refunds of the order.
        refunds: Vec<Refund>,
        /// The payments that a buyer's bank took back.
        chargebacks: Vec<Chargeback>,
    }
}
shape! {
    /// A payment that the buyer's bank took back.
    Chargeback {
        |
        /// The chargeback's id at the platform.
        id: String,
        /// The id of the payment that was taken back.
        payment_id: String,
        /// The amount that was taken back.
        amount: Money,
        /// The amount that returned to the merchant. Present only if `status` is `reversed`.
        reversed_amount: Money,
        /// `approved`, or `reversed` if the money returned to the merchant.
        status: ChargebackStatus,
        /// When the chargeback was recorded, in UTC.
        created_at: Timestamp,
    }
}
shape! {
    /// One payment of an order.
    PaymentEntry {
        |
        /// The payment's id at the platform.
        id: String,
        /// The amount that was paid.
        amount: Money,
        /// The platform's own status, for example `APPROVED`.
        status: String,
        /// How it was paid, for example `creditCard`.
        method: String,
        /// The payment provider's id of the transaction.
        provider_transaction_id: String,
        /// When the payment was made, in UTC.
        created_at: Timestamp,
    }
}
shape! {
    /// Money that was given back.
    Refund {
        |
        /// The refund's id at the platform.
        id: String,
        /// The merchant's reason, plain text.
        reason: String,
        /// The refund, as a positive amount. Absent if it cannot be read.
        amount: Money,
        /// How the money went back, in the platform's word: `creditCard`, `giftCard`.
        method: String,
        /// When the refund was made, in UTC.
        created_at: Timestamp,
    }
}
shape! {
    /// A checkout that was started, and perhaps abandoned.
    Checkout {
        /// The checkout's id at the platform.
        id: String,
        |
        /// The id of the checkout, where the platform has other ids for abandoned ones.
        checkout_id: String,
        /// The id of the cart that it came from.
        cart_id: String,
        /// The platform's own status, for example `ABANDONED`.
        platform_status: String,
        /// ISO 4217 code of all amounts.
        currency: String,
        /// The line items before discounts, shipping and tax.
        subtotal: Money,
        /// What the buyer would have to pay.
        total: Money,
        /// What reduces the price.
        discounts: Vec<Discount>,
        /// The buyer, as far as known.
        customer: Buyer,
        /// The products in the checkout.
        line_items: Vec<LineItem>,
        /// The address where the buyer can continue.
        url: String,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
