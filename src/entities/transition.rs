//! The transitions for which an event is derived.

use serde::{Deserialize, Serialize};

use super::form::FormFacts;
use crate::event::verbs;

/// Payment statuses of an order that was paid in full at some time.
const PAID_STATUSES: &[&str] = &["paid", "partially_refunded", "refunded"];

/// What happened, with the entity and the verb of the derived event. The order is part of the ids of derived events: add new
/// ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntityTransition {
    OrderPaid,
    OrderRefunded,
    OrderCancelled,
    OrderFulfilled,
    OrderStatusChanged,
    ProductPriceChanged,
    OutOfStock,
    BackInStock,
    LowStock,
}

/// A derived event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Derived {
    pub(crate) transition: EntityTransition,
    /// The amount of a refund: what was refunded since the known state, in the order's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refunded: Option<String>,
}

impl EntityTransition {
    pub(crate) fn entity(self) -> &'static str {
        match self {
            EntityTransition::OrderPaid
            | EntityTransition::OrderRefunded
            | EntityTransition::OrderCancelled
            | EntityTransition::OrderFulfilled
            | EntityTransition::OrderStatusChanged => "order",
            EntityTransition::ProductPriceChanged => "product",
            EntityTransition::OutOfStock
            | EntityTransition::BackInStock
            | EntityTransition::LowStock => "inventory",
        }
    }

    pub(crate) fn verb(self) -> &'static str {
        match self {
            EntityTransition::OrderPaid => verbs::PAID,
            EntityTransition::OrderRefunded => verbs::REFUNDED,
            EntityTransition::OrderCancelled => verbs::CANCELLED,
            EntityTransition::OrderFulfilled => verbs::FULFILLED,
            EntityTransition::OrderStatusChanged => verbs::STATUS_CHANGED,
            EntityTransition::ProductPriceChanged => verbs::PRICE_CHANGED,
            EntityTransition::OutOfStock => verbs::OUT_OF_STOCK,
            EntityTransition::BackInStock => verbs::BACK_IN_STOCK,
            EntityTransition::LowStock => verbs::LOW,
        }
    }

    /// `true` if the transition's verb still describes a state of this form. A verb that does not is published again at
    /// the next transition.
    pub(super) fn still_holds(self, form: &FormFacts) -> bool {
        match self {
            EntityTransition::OrderPaid => is_paid(form),
            EntityTransition::OrderCancelled => form.status.as_deref() == Some("cancelled"),
            EntityTransition::OrderFulfilled => {
                form.fulfillment_status.as_deref() == Some("fulfilled")
            }
            _ => false,
        }
    }
}

pub(super) fn is_paid(order: &FormFacts) -> bool {
    let status = order.payment_status.as_deref();
    status.is_some_and(|status| PAID_STATUSES.contains(&status))
}
