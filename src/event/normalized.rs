//! An event as a platform's `normalize` makes it, without the members that only the journal knows.

use jiff::Timestamp;

use super::data::Entity;
use super::origin::Authority;

/// The result of normalizing: an event without the data that only the journal has (id, sequence, connection).
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizedEvent {
    /// One of [`verbs`](super::verbs), or for an action the name of the hook.
    pub verb: String,
    /// The entity's id at the platform; the second part of the subject.
    pub id: String,
    /// When the change happened at the store; `None` if the platform does not send this.
    pub time: Option<Timestamp>,
    /// How much of the entity the event carries.
    pub authority: Authority,
    pub entity: Entity,
    /// The paths of the changed members, with the platform's names; `None` if the platform does not send them.
    pub changed: Option<Vec<String>>,
    /// `true` if the platform says that a request to anonymize a person's data caused the event.
    pub anonymized: bool,
}

impl NormalizedEvent {
    /// `true` for a product with a price whose currency the platform did not send.
    #[must_use]
    pub fn lacks_currency(&self) -> bool {
        let Entity::Product(product) = &self.entity else {
            return false;
        };
        let own = [&product.price, &product.regular_price, &product.sale_price];
        let has_price = own.into_iter().any(Option::is_some)
            || product
                .variants
                .iter()
                .flatten()
                .any(|variant| variant.price.is_some());
        product.currency.is_none() && has_price
    }
}
