//! The objects of the REST API that webhooks are about.

/// The kind of object that a topic names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platforms::woocommerce) enum Resource {
    Order,
    Product,
    Customer,
    Coupon,
    /// From the extension WooCommerce Subscriptions.
    Subscription,
}

impl Resource {
    pub(in crate::platforms::woocommerce) const ALL: [Self; 5] = [
        Self::Order,
        Self::Product,
        Self::Customer,
        Self::Coupon,
        Self::Subscription,
    ];

    /// The name in topics. Payloads of the legacy API have the object in a member of this name.
    pub(in crate::platforms::woocommerce) fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Product => "product",
            Self::Customer => "customer",
            Self::Coupon => "coupon",
            Self::Subscription => "subscription",
        }
    }

    /// The resource with a name.
    pub(in crate::platforms::woocommerce) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|resource| resource.word() == word)
    }

    /// The path of its list, below the API. A store without WooCommerce Subscriptions has no such path for subscriptions.
    pub(in crate::platforms::woocommerce) fn path(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Product => "products",
            Self::Customer => "customers",
            Self::Coupon => "coupons",
            Self::Subscription => "subscriptions",
        }
    }
}
