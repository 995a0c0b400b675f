//! Writes a row of a list in the form of the webhook that would have reported it. Pure.
//!
//! Webhooks of catalog V1 have only ids, and the row is the response that completes them. All other webhooks have the entity.

use serde_json::value::RawValue;

use crate::platforms::api::{ChangeKind, StoreRow};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// A kind of entity at the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListedResource {
    Order,
    Contact,
    ProductV3,
    InventoryV3,
    ProductV1,
    InventoryV1,
    CollectionV1,
}

/// The form of the resource's webhooks.
enum Form {
    /// A domain event with the entity. The topic is `{name}_{slug}`.
    Domain,
    /// Flat, with the entity's id in this member.
    Flat {
        id: &'static str,
        /// The member of the completing response that has the entity.
        entity: &'static str,
    },
}

impl ListedResource {
    /// The entity type of a domain event, or the begin of the event type of a flat event.
    fn name(self) -> &'static str {
        match self {
            Self::Order => "wix.ecom.v1.order",
            Self::Contact => "wix.contacts.v4.contact",
            Self::ProductV3 => "wix.stores.catalog.v3.product",
            Self::InventoryV3 => "wix.stores.catalog.v3.inventory_item",
            Self::ProductV1 => "com.wix.ecommerce.catalog.api.v1.Product",
            Self::InventoryV1 => "com.wix.ecommerce.inventory.api.v1.InventoryItem",
            Self::CollectionV1 => "com.wix.ecommerce.catalog.api.v1.Collection",
        }
    }

    /// `true` for a resource of catalog V1.
    pub(super) fn is_of_v1(self) -> bool {
        matches!(self.form(), Form::Flat { .. })
    }

    fn form(self) -> Form {
        let (id, entity) = match self {
            Self::Order | Self::Contact | Self::ProductV3 | Self::InventoryV3 => {
                return Form::Domain;
            }
            Self::ProductV1 => ("productId", "product"),
            Self::InventoryV1 => ("inventoryItemId", "inventoryItem"),
            Self::CollectionV1 => ("collectionId", "collection"),
        };
        Form::Flat { id, entity }
    }

    /// The row as a webhook.
    pub(super) fn row(self, row: &RawValue) -> StoreRow {
        let document = parse(row.get());
        let entity = document.as_ref().map_or_else(Node::nowhere, Node::root);
        let text = |name: &str| serde_json::to_string(&entity.get(name).id().unwrap_or_default());
        let id = text("id").unwrap_or_default();
        let (payload, details) = match self.form() {
            Form::Domain => {
                let changed_at = entity.get("updatedDate").id();
                let time = changed_at.and_then(|time| serde_json::to_string(&time).ok());
                let time = time.map_or_else(String::new, |time| format!(r#""eventTime":{time},"#));
                let payload = format!(
                    r#"{{"entityFqdn":"{}","entityId":{id},{time}"updatedEvent":{{"currentEntity":{row}}}}}"#,
                    self.name()
                );
                (payload, None)
            }
            Form::Flat { id: name, entity } => (
                format!(r#"{{"{name}":{id}}}"#),
                Some(format!(r#"{{"{entity}":{row}}}"#).into_bytes()),
            ),
        };
        StoreRow {
            resource: self.name(),
            // The layers of a token, around the payload.
            body: format!(r#"{{"data":{{"data":{payload}}}}}"#).into_bytes(),
            details,
            is_in_trash: false,
            whole: None,
        }
    }
}

/// The event type of the webhook that would report a change.
pub(in crate::platforms::wix) fn topic(resource: &str, change: ChangeKind) -> String {
    let is_flat = resource.starts_with("com.wix.ecommerce.");
    // Stock has one event type for all changes.
    let has_only_changes = resource == ListedResource::InventoryV1.name();
    let event = match (is_flat, change) {
        (true, ChangeKind::Created) if !has_only_changes => "Created",
        (true, ChangeKind::Deleted) if !has_only_changes => "Deleted",
        (true, _) => "Changed",
        (false, ChangeKind::Created) => "_created",
        (false, ChangeKind::Deleted) => "_deleted",
        (false, ChangeKind::Updated | ChangeKind::Restored) => "_updated",
    };
    format!("{resource}{event}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_is_that_of_the_platform_for_the_change() {
        for (resource, change, expected) in [
            (
                ListedResource::Order,
                ChangeKind::Created,
                "wix.ecom.v1.order_created",
            ),
            (
                ListedResource::ProductV3,
                ChangeKind::Restored,
                "wix.stores.catalog.v3.product_updated",
            ),
            (
                ListedResource::ProductV1,
                ChangeKind::Updated,
                "com.wix.ecommerce.catalog.api.v1.ProductChanged",
            ),
            (
                ListedResource::CollectionV1,
                ChangeKind::Created,
                "com.wix.ecommerce.catalog.api.v1.CollectionCreated",
            ),
            (
                ListedResource::InventoryV1,
                ChangeKind::Created,
                "com.wix.ecommerce.inventory.api.v1.InventoryItemChanged",
            ),
        ] {
            assert_eq!(topic(resource.name(), change), expected);
        }
    }

    #[test]
    fn row_keeps_its_digits() {
        let row = RawValue::from_string(r#"{"id":"p","price":1.10}"#.to_owned());
        let row = row.expect("the row should be JSON");
        let domain = ListedResource::Order.row(&row);
        let body = String::from_utf8(domain.body).expect("the body should be UTF-8");
        assert!(body.contains(r#""currentEntity":{"id":"p","price":1.10}"#));
        let flat = ListedResource::ProductV1.row(&row);
        assert_eq!(flat.body, br#"{"data":{"data":{"productId":"p"}}}"#);
        assert_eq!(
            flat.details.as_deref(),
            Some(&br#"{"product":{"id":"p","price":1.10}}"#[..])
        );
    }
}
