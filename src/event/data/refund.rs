//! Refunds of orders and payments.

use jiff::Timestamp;

use super::macros::shape;
use crate::event::money::Money;

shape! {
    /// One refund of an order.
    Refund {
        |
        /// The refund's id at the platform.
        id: String,
        /// The merchant's reason, plain text.
        reason: String,
        /// The refunded amount, positive. Absent if the payload's amount cannot be read.
        amount: Money,
        /// The refund method, the platform's own value, for example `creditCard` or `giftCard`.
        method: String,
        /// When the refund was made, in UTC.
        created_at: Timestamp,
    }
}
