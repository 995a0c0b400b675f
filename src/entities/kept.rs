//! The entities whose last known states are kept.

/// The names of these entities. Apps, sites and connections have states of their own elsewhere.
pub(crate) const ENTITIES: &[&str] = &[
    "order",
    "subscription",
    "product",
    "variant",
    "collection",
    "inventory",
    "fulfillment",
    "payment",
    "customer",
    "coupon",
    "checkout",
];

/// The entity with a name, if its states are kept.
pub(crate) fn entity_name(name: &str) -> Option<&'static str> {
    ENTITIES.iter().find(|known| **known == name).copied()
}
