//! Apps, sites and connections with their health; actions and unrecognized deliveries.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::catalog::Product;
use super::customer::{Coupon, Customer};
use super::macros::shape;
use super::order::Order;

shape! {
    /// The installation of an app on a site.
    App {
        /// The installation's id: the instance id.
        id: String,
        |
        /// The app's id at the platform.
        app_id: String,
        /// The instance id of the site that this site was copied from. Present only for a duplicated
        /// site.
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
        /// The billing period, the platform's own value, for example `MONTHLY`.
        cycle: String,
        /// The plan before the change.
        previous_product_id: String,
        /// The billing period before the change.
        previous_cycle: String,
        /// The coupon that was used.
        coupon: String,
        /// The invoice's id at the platform.
        invoice_id: String,
        /// Why the plan was cancelled or reactivated, the platform's own value.
        reason: String,
        /// When the plan expires, in UTC.
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
        /// URL of the site.
        url: String,
        /// Language, ISO 639-1 code, for example `en`.
        language: String,
        /// Language and region, BCP 47 tag, for example `en-GB`.
        locale: String,
        /// Country, ISO 3166-1 alpha-2 code.
        country: String,
        /// Currency of the site's payments, ISO 4217 code.
        currency: String,
        /// Time zone, IANA name, for example `Europe/Berlin`.
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
        /// The name of the connection.
        id: String,
        |
        /// `connected`, `degraded`, `paused` or `disconnected`.
        status: String,
        /// Reason code: why the connection has this status.
        reason: String,
        /// The connection of the app. Present only for an installation of an app.
        parent_id: String,
        /// Further facts about the connection by name, without secrets.
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
        /// The platform's id of the entity; the topic if the id is unknown.
        id: String,
        |
        /// The platform's event type.
        topic: String,
        /// The platform's name for the type of the entity.
        entity_type: String,
    }
}
