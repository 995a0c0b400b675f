//! Checkouts, payments, refunds, chargebacks and fulfillments.

use jiff::Timestamp;
use serde_json::Number;

use super::macros::{shape, words};
use super::order::{Buyer, Discount, LineItem};
use super::refund::Refund;
use crate::event::money::Money;

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
    /// All shipments of an order. Each event has the whole list.
    Fulfillment {
        /// The order's id, because platforms report all fulfillments of an order together.
        id: String,
        |
        /// The order's id at the platform.
        order_id: String,
        /// The parcels or other hand-overs.
        parcels: Vec<Parcel>,
    }
}
shape! {
    /// One parcel or other hand-over.
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
        /// URL of the carrier's tracking page.
        tracking_url: String,
        /// The platform's own status of the parcel.
        status: String,
        /// When the parcel was created at the platform, in UTC.
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
        /// The order's id, because platforms report all transactions of an order together.
        id: String,
        |
        /// The order's id at the platform.
        order_id: String,
        /// Currency of all amounts, ISO 4217 code. Absent if the platform does not send it.
        currency: String,
        /// The payments of the order.
        payments: Vec<PaymentEntry>,
        /// The refunds of the order.
        refunds: Vec<Refund>,
        /// The chargebacks: payments that a buyer's bank took back.
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
        /// When the chargeback was created at the platform, in UTC.
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
        /// The payment method, the platform's own value, for example `creditCard`.
        method: String,
        /// The payment provider's id of the transaction.
        provider_transaction_id: String,
        /// When the payment was made, in UTC.
        created_at: Timestamp,
    }
}
shape! {
    /// A checkout that a buyer started and possibly abandoned.
    Checkout {
        /// The checkout's id at the platform.
        id: String,
        |
        /// The id of the checkout itself, if `id` is the id of the abandoned checkout.
        checkout_id: String,
        /// The id of the checkout's cart.
        cart_id: String,
        /// The platform's own status, for example `ABANDONED`.
        platform_status: String,
        /// Currency of all amounts, ISO 4217 code.
        currency: String,
        /// The line items before discounts, shipping and tax.
        subtotal: Money,
        /// The amount that the buyer has to pay.
        total: Money,
        /// The price reductions: coupons, rules of the shop, manual discounts.
        discounts: Vec<Discount>,
        /// The buyer, with the details entered so far.
        customer: Buyer,
        /// The products in the checkout.
        line_items: Vec<LineItem>,
        /// URL where the buyer can continue the checkout.
        url: String,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
