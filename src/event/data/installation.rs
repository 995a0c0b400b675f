//! What is installed where, and how it fares: apps, sites, connections; and what has no shape of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Coupon, Customer, Order, Product, shape};

shape! {
    /// An app on a site.
    App {
        /// The installation's id: the instance id.
        id: String,
        |
        /// The app's id at the platform.
        app_id: String,
        /// Of a duplicated site: the installation it was copied from.
        origin_instance_id: String,
        /// What the merchant pays for the app.
        plan: Plan,
    }
}
shape! {
    /// What a merchant pays for an app.
    Plan {
        |
        /// The vendor's id of the plan.
        product_id: String,
        /// The platform's word for the period (`MONTHLY`).
        cycle: String,
        /// The plan before the change.
        previous_product_id: String,
        /// The period before the change.
        previous_cycle: String,
        /// Coupon used.
        coupon: String,
        /// Invoice.
        invoice_id: String,
        /// Why it was cancelled or reactivated, in the platform's word.
        reason: String,
        /// When it ends.
        expires_at: Timestamp,
    }
}
shape! {
    /// The site that a store stands on.
    Site {
        /// The platform's id.
        id: String,
        |
        /// What it is called.
        name: String,
        /// Where it is.
        url: String,
        /// ISO 639-1 language code: `en`.
        language: String,
        /// Language and region as a BCP 47 tag: `en-GB`.
        locale: String,
        /// ISO 3166-1 alpha-2 code.
        country: String,
        /// ISO 4217 code that it is paid in.
        currency: String,
        /// IANA time zone.
        time_zone: String,
        /// Electronic mail.
        email: String,
        /// Telephone.
        phone: String,
    }
}
shape! {
    /// How a connection fares.
    ConnectionHealth {
        /// The connection.
        id: String,
        |
        /// `connected`, `degraded`, `paused`, `disconnected`.
        status: String,
        /// Why.
        reason: String,
        /// The connection that it was found through, where it is an installation of an app.
        parent_id: String,
        /// What else is known and no secret, by name.
        settings: BTreeMap<String, String>,
    }
}
shape! {
    /// A custom hook that fired.
    Action {
        /// The hook's argument where it is an id, else the hook's name.
        id: String,
        |
        /// The hook's name.
        hook: String,
        /// The order that the argument is the id of, where the store was asked for it.
        order: Order,
        /// The product, likewise.
        product: Product,
        /// The customer, likewise.
        customer: Customer,
        /// The coupon, likewise.
        coupon: Coupon,
    }
}
shape! {
    /// Verified, but no word for it yet.
    Unrecognized {
        /// The platform's id of what it is about where it says, else the topic.
        id: String,
        |
        /// The platform's event type.
        topic: String,
        /// The platform's name of the entity that the event is about.
        entity_type: String,
    }
}
