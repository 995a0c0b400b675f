//! How much there is of a product.

use rust_decimal::Decimal;
use serde_json::Number;

use super::form::FormFacts;
use super::transition::EntityTransition;

/// How much there is of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stock {
    Unknown,
    Out,
    Low,
    Enough,
}

impl Stock {
    /// The stock of a product, a variant or a stock item. `low_stock` is the quantity from which on the stock is low, for a
    /// store that sends no threshold.
    pub(super) fn of(entity: &str, facts: &FormFacts, low_stock: Option<&Number>) -> Self {
        let (status, quantity, threshold) = match (entity, &facts.inventory) {
            ("inventory", _) => (&facts.status, &facts.quantity, &facts.low_stock_threshold),
            ("product" | "variant", Some(stock)) => {
                (&stock.status, &stock.quantity, &stock.low_stock_threshold)
            }
            _ => return Stock::Unknown,
        };
        let decimal = |number: &Number| number.as_str().parse::<Decimal>().ok();
        let quantity = quantity.as_ref().and_then(decimal);
        let low = threshold.as_ref().or(low_stock).and_then(decimal);
        match (status.as_deref(), quantity) {
            (Some("out_of_stock"), _) => Stock::Out,
            (None, Some(quantity)) if quantity <= Decimal::ZERO => Stock::Out,
            (Some("in_stock" | "partially_in_stock" | "backorder") | None, Some(quantity)) => {
                match low {
                    Some(low) if quantity <= low => Stock::Low,
                    _ => Stock::Enough,
                }
            }
            (Some("in_stock" | "partially_in_stock" | "backorder"), None) => Stock::Enough,
            _ => Stock::Unknown,
        }
    }

    /// `true` if the stock is low or out.
    pub(super) fn is_low(self) -> bool {
        matches!(self, Stock::Low | Stock::Out)
    }

    /// The transitions that lead from this stock to a new one, in order.
    pub(super) fn transitions_to(self, new: Self) -> &'static [EntityTransition] {
        match (self, new) {
            (Stock::Low | Stock::Enough, Stock::Out) => &[EntityTransition::OutOfStock],
            (Stock::Out, Stock::Enough) => &[EntityTransition::BackInStock],
            (Stock::Out, Stock::Low) => {
                &[EntityTransition::BackInStock, EntityTransition::LowStock]
            }
            (Stock::Enough, Stock::Low) => &[EntityTransition::LowStock],
            (Stock::Unknown, _)
            | (_, Stock::Unknown)
            | (Stock::Out, Stock::Out)
            | (Stock::Low, Stock::Low | Stock::Enough)
            | (Stock::Enough, Stock::Enough) => &[],
        }
    }
}
