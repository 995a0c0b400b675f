//! What is installed where, and how it fares: apps, sites, connections; and what has no shape of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Coupon, Customer, Order, Product, shape};

shape! {
    /// The installation of an app on a site.
    App {
        /// The installation's id: the instance id.
        id: String,
        |
        /// The app's id at the platform.
        app_id: String,
        /// Of a duplicated site: the instance id that it was copied from.
        origin_instance_id: String,
        /// The merchant's plan of the app.
        plan: Plan,
    }
}
shape! {
    /// A merchant's paid plan of an app.
    Plan {
        |
        /// The vendor's id of the plan.
        product_id: String,
        /// The billing period, in the platform's word: `MONTHLY`.
        cycle: String,
        /// The plan before the change.
        previous_product_id: String,
        /// The billing period before the change.
        previous_cycle: String,
        /// The coupon that was used.
        coupon: String,
        /// The invoice's id at the platform.
        invoice_id: String,
        /// Why the plan was cancelled or reactivated, in the platform's word.
        reason: String,
        /// When the plan ends, in UTC.
        expires_at: Timestamp,
    }
}
shape! {
    /// The site that a store is on.
    Site {
        /// The site's id at the platform.
        id: String,
        |
        /// The display name of the site.
        name: String,
        /// The address of the site.
        url: String,
        /// ISO 639-1 language code: `en`.
        language: String,
        /// Language and region as a BCP 47 tag: `en-GB`.
        locale: String,
        /// ISO 3166-1 alpha-2 country code.
        country: String,
        /// ISO 4217 code that the site is paid in.
        currency: String,
        /// IANA time zone: `Europe/Berlin`.
        time_zone: String,
        /// The site's contact e-mail address.
        email: String,
        /// The site's contact phone number.
        phone: String,
    }
}
shape! {
    /// The health of a connection.
    ConnectionHealth {
        /// The connection's id.
        id: String,
        |
        /// `connected`, `degraded`, `paused` or `disconnected`.
        status: String,
        /// Reason code of the status.
        reason: String,
        /// Of an installation of an app: the connection of the app.
        parent_id: String,
        /// Further facts that are no secrets, by name.
        settings: BTreeMap<String, String>,
    }
}
shape! {
    /// A custom hook of a store that fired.
    Action {
        /// The hook's argument if it is an id, else the hook's name.
        id: String,
        |
        /// The hook's name as the store has it, for example `acf/save_post`.
        hook: String,
        /// The order whose id is the hook's argument, from the store's API.
        order: Order,
        /// The product whose id is the hook's argument, from the store's API.
        product: Product,
        /// The customer whose id is the hook's argument, from the store's API.
        customer: Customer,
        /// The coupon whose id is the hook's argument, from the store's API.
        coupon: Coupon,
    }
}
shape! {
    /// A verified delivery whose topic has no event type yet. Its content is in `raw`.
    Unrecognized {
        /// The platform's id of what it is about, where known; else the topic.
        id: String,
        |
        /// The platform's event type.
        topic: String,
        /// The platform's name of the entity that the event is about.
        entity_type: String,
    }
}
