//! Contacts and members. A member is a contact that can log in. A contact and its member often have the same id; `kind`
//! distinguishes them.
//!
//! A customer has only the billing and the shipping address of a contact. `raw` has all addresses.

use super::domain::{Domain, full_if};
use super::shapes::address;
use crate::event::data::Customer;
use crate::event::{Entity, NormalizedEvent, verbs};
use crate::platforms::lenient::Node;

/// The members with a phone number. The first one is the number as entered.
const PHONE: [&str; 3] = ["phone", "formattedPhone", "e164Phone"];

pub(super) fn contact_event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let verb = verb(event.slug(), true)?;
    let found = event.entity(&["targetContact", "currentEntity", "contact"], "id");
    let source = found.unwrap_or_else(Node::nowhere);
    let body = event.content();
    let id = body
        .get("targetContactId")
        .id()
        .or_else(|| source.get("id").id())
        .or_else(|| event.entity_id())?;
    let shape = Customer {
        merged_ids: body.get("sourceContactIds").list_of(Node::id),
        ..contact(source, id.clone())
    };
    Some(event.event(verb, id, full_if(found), Entity::Customer(Box::new(shape))))
}

pub(super) fn member_event(event: &Domain<'_>) -> Option<NormalizedEvent> {
    let verb = verb(event.slug(), false)?;
    let found = event.entity(&["member", "currentEntity"], "id");
    let source = found.unwrap_or_else(Node::nowhere);
    let id = event.entity_id().or_else(|| source.get("id").id())?;
    let shape = member(source, id.clone());
    Some(event.event(verb, id, full_if(found), Entity::Customer(Box::new(shape))))
}

/// Normalizes a member of the site. A field that the payload does not have stays absent.
pub(super) fn member(source: Node<'_>, id: String) -> Customer {
    let contact = source.get("contact");
    Customer {
        id,
        kind: Some("member".to_owned()),
        email: source
            .get("loginEmail")
            .text()
            .or_else(|| contact.get("emails").items().find_map(Node::text)),
        first_name: contact.get("firstName").text(),
        last_name: contact.get("lastName").text(),
        username: source.get("profile").get("nickname").text(),
        phone: contact.get("phones").items().find_map(Node::text),
        company: contact.get("company").text(),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
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

/// Normalizes a contact. A field that the payload does not have stays absent.
pub(super) fn contact(source: Node<'_>, id: String) -> Customer {
    let (primary, info) = (source.get("primaryInfo"), source.get("info"));
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
            .or_else(|| source.get("primaryEmail").get("email").text())
            .or_else(|| first_of("emails", &["email"])),
        first_name: info.get("name").get("first").text(),
        last_name: info.get("name").get("last").text(),
        phone: primary
            .get("phone")
            .text()
            .or_else(|| source.get("primaryPhone").first(&PHONE).text())
            .or_else(|| first_of("phones", &PHONE)),
        company: info.get("company").text(),
        billing_address: marked("BILLING"),
        shipping_address: marked("SHIPPING"),
        tags: info.get("labelKeys").get("items").list_of(Node::text),
        orders_count: extended.get("ecom.numOfPurchases").number(),
        total_spent: extended
            .get("ecom.totalSpentAmount")
            .money(extended.get("ecom.totalSpentCurrency").str()),
        created_at: source.get("createdDate").utc(),
        updated_at: source.get("updatedDate").utc(),
        ..Customer::default()
    }
}
