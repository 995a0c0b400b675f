//! Coupons.

use super::payload::EntityPayload;
use crate::event::Amount;
use crate::event::data::Coupon;
use crate::platforms::lenient::Node;

pub(super) fn coupon(payload: EntityPayload<'_>, id: &str) -> Coupon {
    Coupon {
        id: id.to_owned(),
        code: payload.get("code").plain(),
        // The shop's form for the description is a plain text field, so the text is not HTML.
        description: payload.get("description").plain(),
        status: payload.get("status").text(),
        discount_type: payload.either("discount_type", "type").text(),
        amount: payload.get("amount").amount(),
        free_shipping: payload
            .either("free_shipping", "enable_free_shipping")
            .truth()
            .known(),
        individual_use: payload.get("individual_use").truth().known(),
        minimum_amount: limit(payload.get("minimum_amount")),
        maximum_amount: limit(payload.get("maximum_amount")),
        usage_count: payload.get("usage_count").number(),
        usage_limit: limit(payload.get("usage_limit"))
            .and_then(|limit| limit.as_str().parse().ok()),
        usage_limit_per_customer: limit(payload.get("usage_limit_per_user"))
            .and_then(|limit| limit.as_str().parse().ok()),
        product_ids: ids(payload.get("product_ids")),
        excluded_product_ids: ids(payload
            .node
            .first(&["excluded_product_ids", "exclude_product_ids"])),
        // v1 has only the day, in the shop's time zone.
        expires_at: payload.instant("date_expires", "expiry_date"),
        created_at: payload.created_at(),
        updated_at: payload.updated_at(),
    }
}

/// A limit. WooCommerce sends zero for no limit.
fn limit(node: Node<'_>) -> Option<Amount> {
    node.amount().filter(|amount| !amount.is_zero())
}

/// A list of ids. An empty list means all products. So a list with an unreadable id is absent, and not shorter.
fn ids(node: Node<'_>) -> Option<Vec<String>> {
    let entries = node.scalars().known()?;
    entries
        .into_iter()
        .map(|entry| entry.id().or_else(|| entry.get("id").id()))
        .collect()
}
