//! Amounts of money as decimal strings, with the exact arithmetic that normalizing needs.
//!
//! Amounts are never converted to floats and never rounded. The number of decimals of a currency plays no role.

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount as a plain decimal string with the digits that the platform gave: `19.90`, `-5`, `3266.25`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Amount(#[schemars(regex(pattern = r"^-?[0-9]+(\.[0-9]+)?$"))] String);

/// An amount with its currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// The amount as a decimal string with the platform's digits. It is never a float and never rounded.
    pub amount: Amount,
    /// ISO 4217 code. Absent if the platform does not send it, for example for WooCommerce products.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
}

/// A currency's code: three letters, as the platform wrote them.
///
/// The fixed length bounds the memory, because each amount of an order has a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// `None` for a text that is not three ASCII letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then_some(Self(letters))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a currency code"))
    }
}

impl JsonSchema for Currency {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Za-z]{3}$"})
    }
}

/// Maximum number of digits. A larger exponent is an error or an attack on memory.
const MOST_DIGITS: usize = 64;

impl Amount {
    /// Parses a decimal from a string or from the text of a JSON number. `1e2` becomes `100`.
    /// `None` if the text is not a decimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => ("-", &text[1..]),
            b'+' => ("", &text[1..]),
            _ => ("", text),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let dangling = mantissa.ends_with('.') && whole.is_empty();
        if (whole.is_empty() && fraction.is_empty())
            || dangling
            || !all_digits(whole)
            || !all_digits(fraction)
        {
            return None;
        }
        if mantissa.len() > MOST_DIGITS || exponent.unsigned_abs() as usize > MOST_DIGITS {
            return None;
        }
        if exponent == 0 && !whole.is_empty() && !mantissa.ends_with('.') {
            return Some(Self(format!("{sign}{mantissa}")));
        }
        Some(Self(format!("{sign}{}", shift(whole, fraction, exponent))))
    }

    /// The decimal string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The amount without its sign: platforms disagree about the sign of a refund.
    #[must_use]
    pub fn unsigned(self) -> Self {
        match self.0.strip_prefix('-') {
            Some(digits) => Self(digits.to_owned()),
            None => self,
        }
    }

    /// The exact sum, with the decimals of the longest summand. `None` without summands or above 28 digits.
    #[must_use]
    pub fn sum<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> Option<Self> {
        let mut sum: Option<Decimal> = None;
        for amount in amounts {
            let amount = Decimal::from_str_exact(&amount.0).ok()?;
            sum = Some(match sum {
                None => amount,
                Some(sum) => sum.checked_add(amount)?,
            });
        }
        sum.map(|sum| Self(sum.to_string()))
    }

    /// The exact difference, with the decimals of the longer amount. `None` above 28 digits.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        let difference = Decimal::from_str_exact(&self.0)
            .ok()?
            .checked_sub(Decimal::from_str_exact(&other.0).ok()?)?;
        Some(Self(difference.to_string()))
    }

    /// `true` if the amount is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.starts_with('-') && !self.is_zero()
    }

    /// `true` if the amount is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        !self.0.bytes().any(|b| (b'1'..=b'9').contains(&b))
    }

    /// Adds the currency; a text that is not a currency code is dropped.
    #[must_use]
    pub fn in_currency(self, currency: Option<&str>) -> Money {
        Money {
            amount: self,
            currency: currency.and_then(Currency::parse),
        }
    }
}

/// Converts `whole.fraction × 10^exponent` to a plain decimal.
fn shift(whole: &str, fraction: &str, exponent: i32) -> String {
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).unwrap_or(0) + exponent;
    let length = i32::try_from(digits.len()).unwrap_or(0);
    let written = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point >= length {
        format!("{digits}{}", "0".repeat((point - length) as usize))
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{whole}.{fraction}")
    };
    let trimmed = written.trim_start_matches('0');
    if trimmed.is_empty() || trimmed.starts_with('.') {
        format!("0{trimmed}")
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        Amount::parse(text).map(|a| a.as_str().to_owned())
    }

    #[test]
    fn digits_stay_as_the_platform_gave_them() {
        for same in [
            "19.90",
            "0",
            "-5.00",
            "3266.25",
            "117.120",
            "16.710000000000001",
            "007",
        ] {
            assert_eq!(parsed(same).as_deref(), Some(same));
        }
    }

    #[test]
    fn exponents_are_written_out_exactly() {
        for (given, written) in [
            ("1e2", "100"),
            ("1.5E+1", "15"),
            ("12.5e-3", "0.0125"),
            ("1.0E+25", "10000000000000000000000000"),
            ("-1e-2", "-0.01"),
            (".5", "0.5"),
            ("0e5", "0"),
        ] {
            assert_eq!(parsed(given).as_deref(), Some(written), "{given}");
        }
    }

    #[test]
    fn what_is_no_decimal_is_no_amount() {
        for bad in [
            "",
            " ",
            "abc",
            "1,50",
            "1.2.3",
            "NaN",
            "1e",
            "1e999999999",
            "--1",
            "-",
            ".",
            "0x10",
            "１",
        ] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let amounts: Vec<_> = ["42.00", "40", "0.1", "0.2"]
            .iter()
            .filter_map(|a| Amount::parse(a))
            .collect();
        assert_eq!(
            Amount::sum(&amounts)
                .map(|a| a.as_str().to_owned())
                .as_deref(),
            Some("82.30")
        );
        assert_eq!(Amount::sum([]), None);
    }

    #[test]
    fn differences_are_exact() {
        let minus = |a: &str, b: &str| {
            Some(
                Amount::parse(a)?
                    .minus(&Amount::parse(b)?)?
                    .as_str()
                    .to_owned(),
            )
        };
        assert_eq!(minus("42.00", "33.42").as_deref(), Some("8.58"));
        assert_eq!(minus("1.00", "1.000").as_deref(), Some("0.000"));
        assert_eq!(minus("0.1", "0.3").as_deref(), Some("-0.2"));
        assert_eq!(minus(&"9".repeat(40), "1"), None);
        let negative = |a: &str| Amount::parse(a).is_some_and(|a| a.is_negative());
        assert!(negative("-0.01") && !negative("-0.00") && !negative("0.01"));
    }

    #[test]
    fn a_currency_is_three_letters_or_absent() {
        let of = |text: &str| Amount::parse("1").map(|a| a.in_currency(Some(text)).currency);
        for text in ["EUR", "eur"] {
            assert_eq!(of(text), Some(Currency::parse(text)));
            assert_eq!(
                Currency::parse(text).as_ref().map(Currency::as_str),
                Some(text)
            );
        }
        for text in ["", "EU", "EURO", "€", "E R", "12A", &"EUR".repeat(50_000)] {
            assert_eq!(of(text), Some(None), "{text:.9}");
        }
        assert!(size_of::<Option<Money>>() <= 32);
    }
}
