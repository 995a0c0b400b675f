//! All event types that the gateway publishes.
//!
//! Actions are not listed, because their verb is the name of a hook, which merchants choose.

use super::verbs::{
    ABANDONED, APPROVED, BACK_IN_STOCK, CANCELLED, CONNECTED, CREATED, DEGRADED, DELETED,
    DISCONNECTED, FULFILLED, INSTALLED, LOW, MERGED, OUT_OF_STOCK, PAID, PAYMENT_UPDATED,
    PLAN_CANCELLED, PLAN_CHANGED, PLAN_CONVERTED, PLAN_PURCHASED, PLAN_REACTIVATED,
    PLAN_TRANSFERRED, PRICE_CHANGED, PUBLISHED, RECEIVED, RECOVERED, REFUNDED, REMOVED, RESTORED,
    STATUS_CHANGED, SWITCHED, UPDATED,
};

/// The verbs of each entity. The event type is `cartwire.{entity}.{verb}`.
pub const EVENT_TYPES: &[(&str, &[&str])] = &[
    (
        "order",
        &[
            CREATED,
            UPDATED,
            DELETED,
            RESTORED,
            APPROVED,
            CANCELLED,
            PAYMENT_UPDATED,
            FULFILLED,
            PAID,
            REFUNDED,
            STATUS_CHANGED,
        ],
    ),
    (
        "subscription",
        &[CREATED, UPDATED, DELETED, RESTORED, SWITCHED],
    ),
    (
        "product",
        &[
            CREATED,
            UPDATED,
            DELETED,
            RESTORED,
            PUBLISHED,
            PRICE_CHANGED,
        ],
    ),
    (
        "variant",
        &[
            CREATED,
            UPDATED,
            DELETED,
            RESTORED,
            PUBLISHED,
            PRICE_CHANGED,
        ],
    ),
    ("collection", &[CREATED, UPDATED, DELETED]),
    ("inventory", &[UPDATED, OUT_OF_STOCK, BACK_IN_STOCK, LOW]),
    ("fulfillment", &[UPDATED]),
    ("payment", &[UPDATED, REFUNDED]),
    ("customer", &[CREATED, UPDATED, DELETED, RESTORED, MERGED]),
    ("coupon", &[CREATED, UPDATED, DELETED, RESTORED]),
    ("checkout", &[ABANDONED, UPDATED, DELETED, RECOVERED]),
    (
        "app",
        &[
            INSTALLED,
            REMOVED,
            PLAN_PURCHASED,
            PLAN_CHANGED,
            PLAN_CANCELLED,
            PLAN_REACTIVATED,
            PLAN_CONVERTED,
            PLAN_TRANSFERRED,
        ],
    ),
    ("site", &[UPDATED]),
    (
        "connection",
        &[CONNECTED, DEGRADED, RECOVERED, DISCONNECTED],
    ),
    ("unrecognized", &[RECEIVED]),
];

/// `true` if the gateway publishes events of this entity and verb.
#[must_use]
pub fn is_event_type(entity: &str, verb: &str) -> bool {
    EVENT_TYPES
        .iter()
        .any(|(name, verbs)| *name == entity && verbs.contains(&verb))
}
