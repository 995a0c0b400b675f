//! The entities whose last known states are kept.

/// The name of a customer who can log in, beside the contact with the same id.
pub(super) const MEMBER: &str = "member";

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
    MEMBER,
    "coupon",
    "checkout",
];

/// The entity with a name, if its states are kept.
pub(crate) fn entity_name(name: &str) -> Option<&'static str> {
    ENTITIES.iter().find(|known| **known == name).copied()
}
