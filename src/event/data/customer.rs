//! Customers, their addresses, and the coupons they use.

use jiff::Timestamp;
use serde_json::Number;

use super::macros::shape;
use crate::event::money::{Amount, Money};

shape! {
    /// A postal address with a person. All members are plain text: HTML entities are decoded.
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
        /// Second address line: floor, apartment, care of.
        line2: String,
        /// The town or city.
        city: String,
        /// State or province, as the platform's code or name.
        region: String,
        /// The postal code, as typed.
        postal_code: String,
        /// Country, ISO 3166-1 alpha-2 code.
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
        /// The platform's type of person: `contact`, `member`, or the role in the shop.
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
        /// Default billing address.
        billing_address: Address,
        /// Default shipping address.
        shipping_address: Address,
        /// The merchant's labels.
        tags: Vec<String>,
        /// After a merge: the ids that were merged into this one and no longer exist.
        merged_ids: Vec<String>,
        /// Number of orders so far. Absent if the platform does not send it.
        orders_count: Number,
        /// Total of all orders so far, in the shop's currency.
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
        /// The code that the buyer types, plain text.
        code: String,
        /// The merchant's description, plain text.
        description: String,
        /// The platform's own status, for example `publish`.
        status: String,
        /// `percent`, `fixed_cart`, `fixed_product`, or the platform's own value.
        discount_type: String,
        /// An amount of money or a percentage, depending on `discount_type`.
        amount: Amount,
        /// `true` if the coupon makes shipping free.
        free_shipping: bool,
        /// `true` if no other coupon can be used beside it.
        individual_use: bool,
        /// Minimum order amount for the coupon. Absent without a limit.
        minimum_amount: Amount,
        /// Maximum order amount for the coupon. Absent without a limit.
        maximum_amount: Amount,
        /// Number of times that the coupon was used.
        usage_count: Number,
        /// Maximum number of uses of the coupon. Absent without a limit.
        usage_limit: Number,
        /// Maximum number of uses per customer. Absent without a limit.
        usage_limit_per_customer: Number,
        /// Ids of the products that the coupon applies to. An empty list means all products. Absent if
        /// unknown.
        product_ids: Vec<String>,
        /// Ids of the products that the coupon does not apply to.
        excluded_product_ids: Vec<String>,
        /// When the coupon expires, in UTC.
        expires_at: Timestamp,
        /// When it was created at the store, in UTC.
        created_at: Timestamp,
        /// When it was last changed at the store, in UTC.
        updated_at: Timestamp,
    }
}
