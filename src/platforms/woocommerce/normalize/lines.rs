//! The lines of an order, and exact sums of their amounts.
//!
//! A sum is only made if all amounts are known. No amount is rounded or padded.

use super::payload::EntityPayload;
use super::{options, payment};
use crate::event::data::{Discount, FeeLine, LineItem, Refund, ShippingLine, Totals};
use crate::event::{Amount, Money};
use crate::platforms::lenient::Node;
use crate::platforms::reading::Reading;

/// The lists of lines of an order, if the order has them.
pub(super) struct Lines {
    pub(super) items: Option<Vec<LineItem>>,
    pub(super) shipping: Option<Vec<ShippingLine>>,
    pub(super) fees: Option<Vec<FeeLine>>,
    pub(super) discounts: Option<Vec<Discount>>,
    /// The payment status depends on them.
    pub(super) refunds: Reading<Vec<Refund>>,
}

pub(super) fn lines(payload: EntityPayload<'_>, currency: Option<&str>) -> Lines {
    Lines {
        items: list(payload.get("line_items"), |line| line_item(line, currency)).known(),
        shipping: list(payload.get("shipping_lines"), |line| ShippingLine {
            id: line.get("id").id(),
            method: line.get("method_id").text(),
            name: line.get("method_title").plain(),
            total: line.get("total").money(currency),
            tax: line.get("total_tax").money(currency),
        })
        .known(),
        fees: list(payload.get("fee_lines"), |line| FeeLine {
            id: line.get("id").id(),
            name: line.first(&["name", "title"]).plain(),
            total: line.get("total").money(currency),
            tax: line.get("total_tax").money(currency),
        })
        .known(),
        discounts: list(payload.get("coupon_lines"), |line| Discount {
            code: line.get("code").plain(),
            name: None,
            amount: line.first(&["discount", "amount"]).money(currency),
        })
        .known(),
        refunds: list(payload.get("refunds"), |refund| Refund {
            id: refund.get("id").id(),
            // v1 has the reason in `refund`.
            reason: refund.first(&["reason", "refund"]).plain(),
            amount: refund
                .get("total")
                .amount()
                .map(|amount| amount.unsigned().in_currency(currency)),
            method: None,
            created_at: None,
        }),
    }
}

fn list<'a, T>(node: Node<'a>, into: impl FnMut(Node<'a>) -> T) -> Reading<Vec<T>> {
    node.entries()
        .map(|entries| entries.into_iter().map(into).collect())
}

fn line_item(line: Node<'_>, currency: Option<&str>) -> LineItem {
    let subtotal = line.get("subtotal").amount();
    let total = line.get("total").amount();
    // WooCommerce has no discount per line. The discount is `subtotal - total`. A line with a raised price has none.
    let discount = subtotal
        .as_ref()
        .zip(total.as_ref())
        .and_then(|(subtotal, total)| subtotal.minus(total));
    LineItem {
        id: line.get("id").id(),
        product_id: line.get("product_id").id(),
        variant_id: line.get("variation_id").id(),
        sku: line.get("sku").plain(),
        // The name of a line's product has HTML entities, as WordPress stores it.
        name: line.get("name").plain(),
        options: options::chosen(line),
        quantity: line.get("quantity").number(),
        unit_price: line.get("price").money(currency),
        subtotal: subtotal.map(|amount| amount.in_currency(currency)),
        discount: discount
            .filter(|amount| !amount.is_negative())
            .map(|amount| amount.in_currency(currency)),
        tax: line.get("total_tax").money(currency),
        total: total.map(|amount| amount.in_currency(currency)),
    }
}

pub(super) fn totals(payload: EntityPayload<'_>, lines: &Lines, currency: Option<&str>) -> Totals {
    let money = |name: &str, legacy: &str| payload.either(name, legacy).money(currency);
    let sum = |amounts: Option<Vec<Option<&Money>>>| {
        let amounts: Option<Vec<&Amount>> = amounts?
            .into_iter()
            .map(|money| money.map(|money| &money.amount))
            .collect();
        Amount::sum(amounts?).map(|amount| amount.in_currency(currency))
    };
    let items = lines
        .items
        .as_ref()
        .map(|lines| lines.iter().map(|line| line.subtotal.as_ref()).collect());
    let fees = lines
        .fees
        .as_ref()
        .map(|lines| lines.iter().map(|line| line.total.as_ref()).collect());
    let refunded = match &lines.refunds {
        Reading::Read(refunds) => payment::sum(refunds),
        Reading::Absent | Reading::Unreadable => None,
    };
    Totals {
        // Only the legacy API has it.
        subtotal: payload
            .get("subtotal")
            .money(currency)
            .or_else(|| sum(items)),
        discount: money("discount_total", "total_discount"),
        shipping: money("shipping_total", "total_shipping"),
        tax: payload.get("total_tax").money(currency),
        fees: sum(fees),
        total: payload.get("total").money(currency),
        paid: None,
        refunded: refunded.map(|amount| amount.in_currency(currency)),
    }
}
