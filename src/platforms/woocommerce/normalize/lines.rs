//! The lines of an order and their exact sums.
//!
//! Sums are made only where all the summands are there; no amount is rounded or padded.

use super::payload::Payload;
use crate::event::data::{Discount, FeeLine, LineItem, OptionValue, Refund, ShippingLine, Totals};
use crate::event::{Amount, Money};
use crate::platforms::lenient::Node;
use crate::platforms::woocommerce::entities;

/// The lines of an order, where it has lists of them.
pub(super) struct Lines {
    pub(super) items: Option<Vec<LineItem>>,
    pub(super) shipping: Option<Vec<ShippingLine>>,
    pub(super) fees: Option<Vec<FeeLine>>,
    pub(super) discounts: Option<Vec<Discount>>,
    pub(super) refunds: Option<Vec<Refund>>,
}

pub(super) fn lines(payload: Payload<'_>, currency: Option<&str>) -> Lines {
    let list = |name: &str| payload.get(name);
    Lines {
        items: list("line_items").list(|line| line_item(line, currency)),
        shipping: list("shipping_lines").list(|line| ShippingLine {
            id: line.get("id").id(),
            method: line.get("method_id").text(),
            name: line.get("method_title").text(),
            total: line.get("total").money(currency),
            tax: line.get("total_tax").money(currency),
        }),
        fees: list("fee_lines").list(|line| FeeLine {
            id: line.get("id").id(),
            name: line.first(&["name", "title"]).text(),
            total: line.get("total").money(currency),
            tax: line.get("total_tax").money(currency),
        }),
        discounts: list("coupon_lines").list(|line| Discount {
            code: line.get("code").text(),
            name: None,
            amount: line.first(&["discount", "amount"]).money(currency),
        }),
        refunds: list("refunds").list(|refund| Refund {
            id: refund.get("id").id(),
            // v1 calls the reason `refund`.
            reason: refund.first(&["reason", "refund"]).text(),
            amount: refund
                .get("total")
                .amount()
                .map(|amount| amount.unsigned().in_currency(currency)),
            method: None,
            created_at: None,
        }),
    }
}

fn line_item(line: Node<'_>, currency: Option<&str>) -> LineItem {
    let subtotal = line.get("subtotal").amount();
    let total = line.get("total").amount();
    // WooCommerce tells a line's discount only as what is missing. Where a line was made dearer there is none.
    let discount = subtotal
        .as_ref()
        .zip(total.as_ref())
        .and_then(|(subtotal, total)| subtotal.minus(total));
    LineItem {
        id: line.get("id").id(),
        product_id: line.get("product_id").id(),
        variant_id: line.get("variation_id").id(),
        sku: line.get("sku").text(),
        // A line keeps its product's name as WordPress stores it: escaped.
        name: line
            .get("name")
            .str()
            .map(|text| entities::decode(text).into_owned()),
        options: options(line),
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

/// What was chosen: the line's meta data that buyers see. Keys that begin with `_` are the shop's own.
fn options(line: Node<'_>) -> Option<Vec<OptionValue>> {
    let chosen = line
        .first(&["meta_data", "meta"])
        .items()
        .filter(|meta| !meta.get("key").str().is_some_and(|k| k.starts_with('_')));
    let options: Vec<OptionValue> = chosen
        .filter_map(|meta| {
            let name = meta
                .get("display_key")
                .str()
                .or(meta.get("label").str())
                .map(str::to_owned);
            let value = meta.get("display_value").str().map(str::to_owned);
            Some(OptionValue {
                name: Some(name.or_else(|| meta.get("key").text())?),
                value: Some(value.or_else(|| meta.get("value").text())?),
            })
        })
        .collect();
    Some(options).filter(|options| !options.is_empty())
}

pub(super) fn totals(payload: Payload<'_>, lines: &Lines, currency: Option<&str>) -> Totals {
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
    let refunds = lines.refunds.as_ref().map(|refunds| {
        refunds
            .iter()
            .map(|refund| refund.amount.as_ref())
            .collect()
    });
    Totals {
        // Only the legacy API tells it.
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
        refunded: sum(refunds),
    }
}
