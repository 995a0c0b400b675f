//! The objects of the REST API that webhooks are about.

/// The kind of object that a topic names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Order,
    Product,
    Customer,
    Coupon,
    /// From the extension WooCommerce Subscriptions.
    Subscription,
}

impl Resource {
    pub(super) const ALL: [Self; 5] = [
        Self::Order,
        Self::Product,
        Self::Customer,
        Self::Coupon,
        Self::Subscription,
    ];

    /// The name in topics. Payloads of the legacy API have the object in a member of this name.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Product => "product",
            Self::Customer => "customer",
            Self::Coupon => "coupon",
            Self::Subscription => "subscription",
        }
    }
}
