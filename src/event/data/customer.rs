//! Customers, their addresses, and the coupons they use.

use jiff::Timestamp;
use serde_json::Number;

use super::shape;
use crate::event::{Amount, Money};

shape! {
    /// A postal address with the person at it.
    Address {
        |
        /// Given name.
        first_name: String,
        /// Family name.
        last_name: String,
        /// Company.
        company: String,
        /// Street and number.
        line1: String,
        /// Floor, door, care of.
        line2: String,
        /// Town.
        city: String,
        /// State or province, in the platform's code.
        region: String,
        /// Postal code.
        postal_code: String,
        /// ISO 3166-1 alpha-2 code.
        country: String,
        /// Telephone.
        phone: String,
        /// Electronic mail.
        email: String,
    }
}
shape! {
    /// A person who buys, or might.
    Customer {
        /// The platform's id.
        id: String,
        |
        /// What the platform calls this sort of person (`contact`, `member`, or the role in the shop).
        kind: String,
        /// Electronic mail.
        email: String,
        /// Given name.
        first_name: String,
        /// Family name.
        last_name: String,
        /// Name at the store.
        username: String,
        /// Telephone.
        phone: String,
        /// Company.
        company: String,
        /// Where bills go.
        billing_address: Address,
        /// Where goods go.
        shipping_address: Address,
        /// Labels.
        tags: Vec<String>,
        /// Of a merge: the ids that were merged into this one and are gone.
        merged_ids: Vec<String>,
        /// Orders so far, where the platform says.
        orders_count: Number,
        /// Spent so far, where the platform says.
        total_spent: Money,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
shape! {
    /// A discount code.
    Coupon {
        /// The platform's id.
        id: String,
        |
        /// What the buyer types.
        code: String,
        /// What the merchant wrote about it.
        description: String,
        /// The platform's own word for its status.
        status: String,
        /// `percent`, `fixed_cart`, `fixed_product`, or the platform's own word.
        discount_type: String,
        /// Money, or percent: see `discount_type`.
        amount: Amount,
        /// Does it make shipping free?
        free_shipping: bool,
        /// Does it exclude other coupons?
        individual_use: bool,
        /// Least order that it works for.
        minimum_amount: Amount,
        /// Largest order that it works for.
        maximum_amount: Amount,
        /// Times it was used.
        usage_count: Number,
        /// Times it can be used.
        usage_limit: Number,
        /// Times one customer can use it.
        usage_limit_per_customer: Number,
        /// Products it works for; empty means all.
        product_ids: Vec<String>,
        /// Products it does not work for.
        excluded_product_ids: Vec<String>,
        /// When it ends.
        expires_at: Timestamp,
        /// When it was made.
        created_at: Timestamp,
        /// When it was last changed.
        updated_at: Timestamp,
    }
}
