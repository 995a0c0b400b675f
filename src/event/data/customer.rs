//! Customers, their addresses, and the coupons they use.

use jiff::Timestamp;
use serde_json::Number;

use super::shape;
use crate::event::{Amount, Money};

shape! {
    /// A postal address with the person at it. All texts are plain: HTML entities are decoded.
    Address {
        |
        /// The given name.
        first_name: String,
        /// The family name.
        last_name: String,
        /// The company name.
        company: String,
        /// Street and house number.
        line1: String,
        /// Floor, apartment, care of.
        line2: String,
        /// The town or city.
        city: String,
        /// State or province, as the platform's code or name.
        region: String,
        /// The postal code, as typed.
        postal_code: String,
        /// ISO 3166-1 alpha-2 country code.
        country: String,
        /// Phone number as typed.
        phone: String,
        /// E-mail address.
        email: String,
    }
}
shape! {
    /// A customer account, contact or member.
    Customer {
        /// The customer's id at the platform.
        id: String,
        |
        /// What the platform calls this person: `contact`, `member`, or the role in the shop.
        kind: String,
        /// The primary e-mail address.
        email: String,
        /// The given name, plain text.
        first_name: String,
        /// The family name, plain text.
        last_name: String,
        /// The login name at the store.
        username: String,
        /// Phone number as typed.
        phone: String,
        /// The company name, plain text.
        company: String,
        /// The default address for invoices.
        billing_address: Address,
        /// The default address for goods.
        shipping_address: Address,
        /// The merchant's labels.
        tags: Vec<String>,
        /// After a merge: the ids that were merged into this one and no longer exist.
        merged_ids: Vec<String>,
        /// The number of orders so far. Absent where the platform does not say.
        orders_count: Number,
        /// The sum of the orders so far, in the shop's currency.
        total_spent: Money,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
shape! {
    /// A discount code that buyers type.
    Coupon {
        /// The coupon's id at the platform.
        id: String,
        |
        /// The text that the buyer types, plain.
        code: String,
        /// The merchant's description, plain text.
        description: String,
        /// The platform's own status, for example `publish`.
        status: String,
        /// `percent`, `fixed_cart`, `fixed_product`, or the platform's own word.
        discount_type: String,
        /// An amount of money, or a percentage: see `discount_type`.
        amount: Amount,
        /// `true` if the coupon makes shipping free.
        free_shipping: bool,
        /// `true` if no other coupon can be used beside it.
        individual_use: bool,
        /// The smallest order that the coupon works for; absent without limit.
        minimum_amount: Amount,
        /// The largest order that the coupon works for; absent without limit.
        maximum_amount: Amount,
        /// How often the coupon was used.
        usage_count: Number,
        /// How often the coupon can be used; absent without limit.
        usage_limit: Number,
        /// How often one customer can use the coupon; absent without limit.
        usage_limit_per_customer: Number,
        /// The products that the coupon works for. An empty list means all; absent means unknown.
        product_ids: Vec<String>,
        /// The products that the coupon does not work for.
        excluded_product_ids: Vec<String>,
        /// When the coupon ends, in UTC.
        expires_at: Timestamp,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
