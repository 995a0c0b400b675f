//! Readers of the members that several entities share: prices, addresses, buyers, line items.
//!
//! This module computes no amounts: a field is the platform's value, or absent.

use jiff::Timestamp;
use serde_json::Number;

use crate::event::Money;
use crate::event::data::{Address, Buyer, LineItem, OptionValue};
use crate::platforms::json::Json;
use crate::platforms::lenient::{Node, filled};

/// A price from `{"amount": "19.90", …}` or from the amount alone.
pub(super) fn price(node: Node<'_>, currency: Option<&str>) -> Option<Money> {
    node.get("amount")
        .money(currency)
        .or_else(|| node.money(currency))
}

/// `true` for equal amounts of the same currency, also with different decimals: `10` and `10.00`.
pub(super) fn is_same(a: &Money, b: &Money) -> bool {
    a == b
        || (a.currency == b.currency
            && a.amount
                .minus(&b.amount)
                .is_some_and(|difference| difference.is_zero()))
}

/// The original of a translatable text, or else its translation.
pub(super) fn original(node: Node<'_>) -> Option<String> {
    node.get("original")
        .text()
        .or_else(|| node.get("translated").text())
        .or_else(|| node.text())
}

/// The id of a variant. The platform sends an id of zeros for the only variant of a product; it is left out.
pub(super) fn variant_id(node: Node<'_>) -> Option<String> {
    node.id()
        .filter(|id| !id.bytes().all(|b| matches!(b, b'0' | b'-')))
}

/// An address with the contact details of `person`, in the format of the new or the old API.
pub(super) fn address(place: Node<'_>, person: Node<'_>) -> Option<Address> {
    let street = place.get("streetAddress");
    let street = [street.get("number").text(), street.get("name").text()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let name = place.get("fullName");
    let either = |key: &str| person.get(key).text().or_else(|| place.get(key).text());
    filled(Address {
        first_name: person
            .get("firstName")
            .text()
            .or_else(|| name.get("firstName").text()),
        last_name: person
            .get("lastName")
            .text()
            .or_else(|| name.get("lastName").text()),
        company: either("company"),
        line1: place
            .first(&["addressLine", "addressLine1"])
            .text()
            .or((!street.is_empty()).then_some(street)),
        line2: place.get("addressLine2").text(),
        city: place.get("city").text(),
        region: place.get("subdivision").text(),
        postal_code: place.first(&["postalCode", "zipCode"]).text(),
        country: place.get("country").text(),
        phone: either("phone"),
        email: either("email"),
    })
}

/// The buyer. Name and phone number come from the contact details (`person`) if the buyer has none. A visitor without a
/// contact has no id.
pub(super) fn buyer(buyer: Node<'_>, person: Node<'_>) -> Option<Buyer> {
    filled(Buyer {
        id: buyer.first(&["contactId", "memberId"]).id(),
        email: buyer.get("email").text(),
        first_name: buyer
            .get("firstName")
            .text()
            .or_else(|| person.get("firstName").text()),
        last_name: buyer
            .get("lastName")
            .text()
            .or_else(|| person.get("lastName").text()),
        phone: buyer
            .get("phone")
            .text()
            .or_else(|| person.get("phone").text()),
    })
}

/// A line item of an order or a checkout. `total` is without tax. There is no subtotal, because `priceBeforeDiscounts` is the
/// price of one piece.
pub(super) fn line_item(line: Node<'_>, currency: Option<&str>) -> LineItem {
    let reference = line.get("catalogReference");
    let amount = |key: &str| price(line.get(key), currency);
    LineItem {
        id: line.get("id").id(),
        product_id: reference.get("catalogItemId").id(),
        variant_id: variant_id(reference.get("options").get("variantId")),
        sku: line.get("physicalProperties").get("sku").text(),
        name: original(line.get("productName")),
        options: options(line),
        quantity: quantity(line),
        unit_price: amount("price"),
        subtotal: None,
        discount: amount("totalDiscount"),
        tax: tax(line, currency),
        total: amount("totalPriceBeforeTax"),
    }
}

/// The tax of a line, from the member `taxDetails` or the older `taxInfo`.
pub(super) fn tax(line: Node<'_>, currency: Option<&str>) -> Option<Money> {
    price(line.get("taxDetails").get("totalTax"), currency)
        .or_else(|| price(line.get("taxInfo").get("taxAmount"), currency))
}

/// The quantity of a line. For goods that are sold in fractions the platform sends 1 as `quantity` and the quantity as
/// `decimalQuantity`. `None` if `decimalQuantity` is unreadable.
pub(super) fn quantity(line: Node<'_>) -> Option<Number> {
    let decimal = line.get("decimalQuantity");
    let value = if decimal.is_object() {
        decimal.get("value")
    } else {
        decimal
    };
    if value.exists() {
        value.number()
    } else {
        line.get("quantity").number()
    }
}

/// Maximum length in bytes of a group name that is copied to its modifiers. The platform allows 200 characters.
const MAX_GROUP_NAME_BYTES: usize = 200;

/// The options of a line, then its modifiers. A modifier (of a restaurant's dish) becomes an option with the name of the
/// modifier's group.
fn options(line: Node<'_>) -> Option<Vec<OptionValue>> {
    let chosen = line
        .get("descriptionLines")
        .list_of(option)
        .or_else(|| chosen_in_catalog(line.get("catalogReference").get("options")));
    let groups = line.get("modifierGroups");
    if groups.items().next().is_none() {
        return chosen;
    }
    let modifiers = groups.items().flat_map(|group| {
        // The name is copied to each modifier, so its length is limited.
        let name = original(group.get("name")).filter(|name| name.len() <= MAX_GROUP_NAME_BYTES);
        group.get("modifiers").items().filter_map(move |modifier| {
            let label = original(modifier.get("label"))?;
            let value = match modifier.get("quantity").number() {
                Some(count) if count.as_str() != "1" => format!("{count} × {label}"),
                Some(_) | None => label,
            };
            Some(OptionValue {
                name: name.clone(),
                value: Some(value),
            })
        })
    });
    Some(
        chosen
            .unwrap_or_default()
            .into_iter()
            .chain(modifiers)
            .collect(),
    )
}

/// The options of a line without `descriptionLines`, from the line's reference to the catalog: the choices, then the custom
/// texts of the buyer.
fn chosen_in_catalog(reference: Node<'_>) -> Option<Vec<OptionValue>> {
    let options: Vec<OptionValue> = ["options", "customTextFields"]
        .into_iter()
        .flat_map(|member| reference.get(member).members())
        .filter_map(|(name, value)| {
            Some(OptionValue {
                name: Some(name.to_owned()),
                value: Some(value.text()?),
            })
        })
        .collect();
    (!options.is_empty()).then_some(options)
}

/// Normalizes a status with `read`. A value that is not a text becomes `unknown`. `None` if the status is absent, null or
/// empty.
pub(super) fn word<T: Default>(node: Node<'_>, read: impl FnOnce(&str) -> T) -> Option<T> {
    match node.value()? {
        Json::Null => None,
        Json::Text(text) if text.is_empty() => None,
        Json::Text(text) => Some(read(text)),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => Some(T::default()),
    }
}

/// An instant from a text, or from a number of seconds or milliseconds since 1970.
pub(super) fn instant(node: Node<'_>) -> Option<Timestamp> {
    /// A number from this one on is milliseconds. As seconds it would be in the year 5138.
    const MAX_SECONDS: i64 = 100_000_000_000;
    if let Some(instant) = node.utc() {
        return Some(instant);
    }
    let number: i64 = node.amount()?.as_str().split('.').next()?.parse().ok()?;
    if number <= 0 {
        None
    } else if number < MAX_SECONDS {
        Timestamp::from_second(number).ok()
    } else {
        Timestamp::from_millisecond(number).ok()
    }
}

fn option(line: Node<'_>) -> Option<OptionValue> {
    let value = original(line.first(&["plainText", "plainTextValue"]))
        .or_else(|| original(line.get("colorInfo")))
        .or_else(|| line.get("color").text());
    filled(OptionValue {
        name: original(line.get("name")),
        value,
    })
}
