//! Customers, and the people and addresses of an order.

use super::payload::EntityPayload;
use crate::event::data::{Address, Buyer, Customer};
use crate::platforms::lenient::{Node, filled};

pub(super) fn customer(payload: EntityPayload<'_>, id: &str) -> Customer {
    let billing = billing(payload);
    Customer {
        id: id.to_owned(),
        kind: payload.get("role").text(),
        email: payload.get("email").plain(),
        first_name: payload.get("first_name").plain(),
        last_name: payload.get("last_name").plain(),
        username: payload.get("username").plain(),
        phone: billing.get("phone").plain(),
        company: billing.get("company").plain(),
        billing_address: billing_address(payload),
        shipping_address: shipping_address(payload),
        orders_count: payload.get("orders_count").number(),
        // In the shop's currency, which the payload does not have.
        total_spent: payload.get("total_spent").money(None),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
        ..Customer::default()
    }
}

/// The buyer of an order, from the billing address. A guest has the id `0`.
pub(super) fn buyer(payload: EntityPayload<'_>) -> Buyer {
    let billing = billing(payload);
    Buyer {
        id: payload.get("customer_id").id(),
        email: billing.get("email").plain(),
        first_name: billing.get("first_name").plain(),
        last_name: billing.get("last_name").plain(),
        phone: billing.get("phone").plain(),
    }
}

pub(super) fn billing_address(payload: EntityPayload<'_>) -> Option<Address> {
    filled(address(billing(payload)))
}

pub(super) fn shipping_address(payload: EntityPayload<'_>) -> Option<Address> {
    filled(address(payload.either("shipping", "shipping_address")))
}

fn billing(payload: EntityPayload<'_>) -> Node<'_> {
    payload.either("billing", "billing_address")
}

fn address(node: Node<'_>) -> Address {
    Address {
        first_name: node.get("first_name").plain(),
        last_name: node.get("last_name").plain(),
        company: node.get("company").plain(),
        line1: node.get("address_1").plain(),
        line2: node.get("address_2").plain(),
        city: node.get("city").plain(),
        region: node.get("state").plain(),
        postal_code: node.get("postcode").plain(),
        country: node.get("country").plain(),
        phone: node.get("phone").plain(),
        email: node.get("email").plain(),
    }
}
