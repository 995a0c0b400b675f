//! How much there is of a product.

use rust_decimal::Decimal;
use serde_json::{Number, Value};

use super::transition::{EntityTransition, text};

/// How much there is of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stock {
    Unknown,
    Out,
    Low,
    Enough,
}

impl Stock {
    /// The stock in the normalized form of a product, a variant or a stock item. `low_stock` is the quantity from which on the
    /// stock is low, for a store that sends no threshold.
    pub(super) fn of(entity: &str, form: &Value, low_stock: Option<&Number>) -> Self {
        let inventory = match entity {
            "inventory" => Some(form),
            "product" | "variant" => form.get("inventory"),
            _ => None,
        };
        let Some(inventory) = inventory else {
            return Stock::Unknown;
        };
        let number = |pointer: &str| inventory.pointer(pointer).and_then(Value::as_number);
        let quantity =
            number("/quantity").and_then(|number| number.as_str().parse::<Decimal>().ok());
        let low = number("/low_stock_threshold")
            .or(low_stock)
            .and_then(|number| number.as_str().parse::<Decimal>().ok());
        match (text(inventory, "/status"), quantity) {
            (Some("out_of_stock"), _) => Stock::Out,
            (Some("in_stock" | "partially_in_stock" | "backorder") | None, Some(quantity)) => {
                match low {
                    _ if quantity <= Decimal::ZERO && text(inventory, "/status").is_none() => {
                        Stock::Out
                    }
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
