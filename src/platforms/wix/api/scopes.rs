//! The permissions that the features need: their names in the app's dashboard, and the permission ids in an installation.
//!
//! All of them are permissions to read, because the gateway changes nothing at a site. A wider permission grants the same
//! ids.

use crate::platforms::api::Scope;

const READ_ORDERS: (&str, &str) = ("Read Orders", "SCOPE.DC-STORES.READ-ORDERS");
const READ_PRODUCTS: (&str, &str) = ("Read Products", "SCOPE.DC-STORES.READ-PRODUCTS");

const fn scope(
    feature: &'static str,
    (name, id): (&'static str, &'static str),
    permissions: &'static [&'static str],
) -> Scope {
    Scope {
        feature,
        name,
        id,
        permissions,
    }
}

/// The permission to read an installation.
pub(super) const INSTALLATION: Scope = scope(
    "installations and their sites",
    ("Manage Your App", "SCOPE.DC.MANAGE-YOUR-APP"),
    &["WIX_DEVELOPERS.MANAGE_APP_INSTANCE", "SITE_SETTINGS.VIEW"],
);
const ORDERS: Scope = scope("orders", READ_ORDERS, &["ECOM.READ_ORDERS"]);
const FULFILLMENTS: Scope = scope("fulfillments", READ_ORDERS, &["ECOM.READ_FULFILLMENTS"]);
const TRANSACTIONS: Scope = scope(
    "payments and refunds",
    READ_ORDERS,
    &["ECOM.READ_TRANSACTIONS"],
);
const CHECKOUTS: Scope = scope(
    "abandoned checkouts",
    READ_ORDERS,
    &["ECOM.ABANDONED_CHECKOUT_READ"],
);
const PRODUCTS_V1: Scope = scope(
    "products and collections, catalog V1",
    READ_PRODUCTS,
    &["WIX_STORES.READ_PRODUCTS"],
);
const INVENTORY_V1: Scope = scope(
    "stock, catalog V1",
    READ_PRODUCTS,
    &["WIX_STORES.READ_INVENTORY"],
);
/// The permission to read the catalog version of a shop.
pub(super) const CATALOG_VERSION: Scope = scope(
    "the shop's catalog version",
    ("Read v3 catalog (PII)", "SCOPE.STORES.CATALOG_READ_LIMITED"),
    &["WIX_STORES.CATALOG_VERSION_READ"],
);
const PRODUCTS_V3: Scope = scope(
    "products, catalog V3",
    ("Read products in v3 catalog", "SCOPE.STORES.PRODUCT_READ"),
    &["WIX_STORES.PRODUCT_READ", "WIX_STORES.READ_PRODUCTS"],
);
const INVENTORY_V3: Scope = scope(
    "stock, catalog V3",
    (
        "Read inventory in v3 catalog",
        "SCOPE.STORES.INVENTORY_ITEM_READ",
    ),
    &["WIX_STORES.INVENTORY_READ", "WIX_STORES.READ_PRODUCTS"],
);
const CATEGORIES_V3: Scope = scope(
    "categories, catalog V3",
    ("Read categories", "SCOPE.CATEGORIES.CATEGORY_READ"),
    &["CATEGORIES.CATEGORY_READ", "WIX_STORES.READ_PRODUCTS"],
);
const CONTACTS: Scope = scope(
    "contacts",
    ("Read Contacts", "SCOPE.DC-CONTACTS.READ-CONTACTS"),
    &["CONTACTS.VIEW"],
);
const MEMBERS: Scope = scope(
    "members",
    ("Read Members", "SCOPE.DC-MEMBERS.READ-MEMBERS"),
    &["MEMBERS.MEMBER_READ"],
);

/// All permissions. An app for shops of both catalog versions needs all of them.
pub(in crate::platforms::wix) const SCOPES: &[Scope] = &[
    INSTALLATION,
    ORDERS,
    FULFILLMENTS,
    TRANSACTIONS,
    CHECKOUTS,
    CATALOG_VERSION,
    PRODUCTS_V1,
    INVENTORY_V1,
    PRODUCTS_V3,
    INVENTORY_V3,
    CATEGORIES_V3,
    CONTACTS,
    MEMBERS,
];
const V1: &[Scope] = &[PRODUCTS_V1, INVENTORY_V1];
const V3: &[Scope] = &[PRODUCTS_V3, INVENTORY_V3, CATEGORIES_V3];

/// The scopes that an installation lacks. Only the scopes of the shop's catalog version count. If the version is not known,
/// the scopes of both versions are left out.
pub(super) fn missing(granted: &[String], catalog_version: Option<&str>) -> Vec<&'static Scope> {
    let idle: [&[Scope]; 2] = match catalog_version {
        Some("V1_CATALOG") => [V3, &[]],
        Some("V3_CATALOG") => [V1, &[]],
        Some(_) | None => [V1, V3],
    };
    let in_use = |scope: &&Scope| !idle.iter().any(|scopes| scopes.contains(scope));
    let has = |scope: &&Scope| {
        scope
            .permissions
            .iter()
            .any(|word| granted.iter().any(|granted| granted == word))
    };
    SCOPES
        .iter()
        .filter(in_use)
        .filter(|scope| !has(scope))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(granted: &[&str], catalog_version: Option<&str>) -> Vec<&'static str> {
        let granted: Vec<String> = granted.iter().map(|word| (*word).to_owned()).collect();
        missing(&granted, catalog_version)
            .into_iter()
            .map(|scope| scope.feature)
            .collect()
    }

    #[test]
    fn one_of_a_scopes_permissions_is_enough() {
        assert!(!features(&["SITE_SETTINGS.VIEW"], None).contains(&INSTALLATION.feature));
        assert!(
            !features(&["WIX_STORES.READ_PRODUCTS"], Some("V3_CATALOG"))
                .contains(&PRODUCTS_V3.feature)
        );
        assert!(features(&["ECOM.READ_ORDERS"], None).contains(&TRANSACTIONS.feature));
    }

    #[test]
    fn scopes_of_another_catalog_version_are_not_missing() {
        let has = |version, scope: Scope| features(&[], version).contains(&scope.feature);
        assert!(has(Some("V1_CATALOG"), PRODUCTS_V1) && !has(Some("V1_CATALOG"), PRODUCTS_V3));
        assert!(has(Some("V3_CATALOG"), PRODUCTS_V3) && !has(Some("V3_CATALOG"), PRODUCTS_V1));
        assert!(!has(Some("STORES_NOT_INSTALLED"), PRODUCTS_V1) && !has(None, PRODUCTS_V3));
    }

    #[test]
    fn every_scope_has_an_id_and_permissions() {
        assert!(
            SCOPES
                .iter()
                .all(|scope| scope.id.starts_with("SCOPE.") && !scope.permissions.is_empty())
        );
    }
}
