//! Contacts and members. A member is a contact who can log in, with an id that both often share; the kind tells them apart.
//!
//! Of a contact's addresses only those that are marked for bills or shipping have a place here; all stand in `raw`.

use super::domain::{Domain, full_if};
use super::shapes::address;
use crate::event::data::Customer;
use crate::event::{Draft, Entity, verbs};
use crate::platforms::lenient::Node;

/// A phone number as it was typed, or else in the international form.
const PHONE: [&str; 3] = ["phone", "formattedPhone", "e164Phone"];

pub(super) fn contact_event(event: &Domain<'_>) -> Option<Draft> {
    let verb = verb(event.slug(), true)?;
    let found = event.entity(&["targetContact", "currentEntity", "contact"], "id");
    let told = found.unwrap_or_else(Node::nowhere);
    let body = event.content();
    let id = body
        .get("targetContactId")
        .id()
        .or_else(|| told.get("id").id())
        .or_else(|| event.entity_id())?;
    let shape = Customer {
        merged_ids: body.get("sourceContactIds").list_of(Node::id),
        ..contact(told, id.clone())
    };
    Some(event.draft(verb, id, full_if(found), Entity::Customer(Box::new(shape))))
}

pub(super) fn member_event(event: &Domain<'_>) -> Option<Draft> {
    let verb = verb(event.slug(), false)?;
    let found = event.entity(&["member", "currentEntity"], "id");
    let told = found.unwrap_or_else(Node::nowhere);
    let id = event.entity_id().or_else(|| told.get("id").id())?;
    let shape = member(told, id.clone());
    Some(event.draft(verb, id, full_if(found), Entity::Customer(Box::new(shape))))
}

/// A member, or as much of it as is told.
pub(super) fn member(told: Node<'_>, id: String) -> Customer {
    let contact = told.get("contact");
    Customer {
        id,
        kind: Some("member".to_owned()),
        email: told
            .get("loginEmail")
            .text()
            .or_else(|| contact.get("emails").items().find_map(Node::text)),
        first_name: contact.get("firstName").text(),
        last_name: contact.get("lastName").text(),
        username: told.get("profile").get("nickname").text(),
        phone: contact.get("phones").items().find_map(Node::text),
        company: contact.get("company").text(),
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("updatedDate").utc(),
        ..Customer::default()
    }
}

fn verb(slug: &str, merges: bool) -> Option<&'static str> {
    match slug {
        "created" => Some(verbs::CREATED),
        "updated" => Some(verbs::UPDATED),
        "deleted" => Some(verbs::DELETED),
        "merged" if merges => Some(verbs::MERGED),
        _ => None,
    }
}

/// A contact, or as much of it as is told.
pub(super) fn contact(told: Node<'_>, id: String) -> Customer {
    let (primary, info) = (told.get("primaryInfo"), told.get("info"));
    let extended = info.get("extendedFields").get("items");
    let marked = |tag: &str| {
        let mut addresses = info.get("addresses").get("items").items();
        addresses
            .find(|item| item.get("tag").str() == Some(tag))
            .and_then(|item| address(item.get("address"), Node::nowhere()))
    };
    let first_of = |list: &str, keys: &[&str]| {
        let items = || info.get(list).get("items").items();
        let main = items()
            .find(|item| item.get("primary").flag() == Some(true))
            .or_else(|| items().next());
        main.and_then(|item| item.first(keys).text())
    };
    Customer {
        id,
        kind: Some("contact".to_owned()),
        email: primary
            .get("email")
            .text()
            .or_else(|| told.get("primaryEmail").get("email").text())
            .or_else(|| first_of("emails", &["email"])),
        first_name: info.get("name").get("first").text(),
        last_name: info.get("name").get("last").text(),
        phone: primary
            .get("phone")
            .text()
            .or_else(|| told.get("primaryPhone").first(&PHONE).text())
            .or_else(|| first_of("phones", &PHONE)),
        company: info.get("company").text(),
        billing_address: marked("BILLING"),
        shipping_address: marked("SHIPPING"),
        tags: info.get("labelKeys").get("items").list_of(Node::text),
        orders_count: extended.get("ecom.numOfPurchases").number(),
        total_spent: extended
            .get("ecom.totalSpentAmount")
            .money(extended.get("ecom.totalSpentCurrency").str()),
        created_at: told.get("createdDate").utc(),
        updated_at: told.get("updatedDate").utc(),
        ..Customer::default()
    }
}
