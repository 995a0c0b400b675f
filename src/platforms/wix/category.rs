//! Categories: the collections of catalog V3.
//!
//! The platform sends events of moved categories and rearranged items without the category, so their authority is
//! `reference`.

use super::domain::{Domain, full_if};
use crate::event::data::{Collection, Image};
use crate::event::{Authority, Entity, NormalizedEvent, verbs};
use crate::platforms::lenient::{Node, filled};

pub(super) fn event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let (verb, changed) = match event.slug() {
        "created" => (verbs::CREATED, None),
        "updated" => (verbs::UPDATED, None),
        "deleted" => (verbs::DELETED, None),
        "category_moved" => (verbs::UPDATED, Some("parentCategory")),
        "item_added_to_category" | "item_removed_from_category" | "items_arranged_in_category" => {
            (verbs::UPDATED, Some("items"))
        }
        _ => return None,
    };
    let found = event.entity(&["category", "currentEntity"], "id");
    let source = found.unwrap_or_else(|| event.content());
    let id = source
        .get("id")
        .id()
        .or_else(|| event.entity_id())
        .or_else(|| source.get("categoryId").id())?;
    let shape = Collection {
        id: id.clone(),
        parent_id: source.get("parentCategory").get("id").id(),
        name: source.get("name").text(),
        slug: source.get("slug").text(),
        description: source.get("description").text(),
        visible: source.get("visible").flag(),
        images: image(source.get("image")).map(|image| vec![image]),
        item_count: source.get("itemCounter").number(),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
    };
    let authority = if changed.is_some() {
        Authority::Reference
    } else {
        full_if(found)
    };
    let normalized = event.event(verb, id, authority, Entity::Collection(Box::new(shape)));
    Some(match changed {
        Some(path) => NormalizedEvent {
            changed: Some(vec![path.to_owned()]),
            ..normalized
        },
        None => normalized,
    })
}

fn image(image: Node<'_>) -> Option<Image> {
    filled(Image {
        id: image.get("id").id(),
        url: image.get("url").text().or_else(|| image.text()),
        alt: image.get("altText").text(),
    })
}
