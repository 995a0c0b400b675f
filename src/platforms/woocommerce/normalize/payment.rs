//! The payment status of an order.
//!
//! WooCommerce has one status for an order and its payment, and plugins and merchants add further statuses. Amounts and dates
//! decide before the status. If one of them was sent and cannot be read, the payment status is `unknown`.

use super::payload::EntityPayload;
use crate::event::data::{PaymentStatus, Refund};
use crate::event::{Amount, Money};
use crate::platforms::reading::Reading;

/// Statuses of deposit plugins for an order that is paid in part. The plugins set the payment date too.
const PART_PAYMENTS: [&str; 6] = [
    "partial-payment",
    "partially-paid",
    "partial-paid",
    "part-paid",
    "deposit-paid",
    "deposit",
];
/// Statuses of plugins for an order that is refunded in part.
const PART_REFUNDS: [&str; 4] = [
    "partially-refunded",
    "partial-refunded",
    "partial-refund",
    "part-refunded",
];

/// The refunded part of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GivenBack {
    Nothing,
    Part,
    All,
    /// An amount that decides cannot be read.
    Unknown,
}

/// An order status without the prefix `wc-`, which it has in the database and in the payloads of some plugins.
pub(super) fn bare(status: &str) -> &str {
    status.strip_prefix("wc-").unwrap_or(status)
}

/// `true` for a status of an order that is paid in part, in the spellings of the plugins.
pub(super) fn is_part_payment(status: &str) -> bool {
    let word = bare(status).to_ascii_lowercase().replace('_', "-");
    PART_PAYMENTS.contains(&word.as_str())
}

/// The payment status of an order with this status, these refunds and this total.
pub(super) fn status(
    payload: EntityPayload<'_>,
    status: &str,
    refunds: &Reading<Vec<Refund>>,
    total: Option<&Money>,
) -> PaymentStatus {
    let word = bare(status);
    if is_part_payment(status) {
        return PaymentStatus::PartiallyPaid;
    }
    match given_back(refunds, total) {
        GivenBack::All => return PaymentStatus::Refunded,
        GivenBack::Part => return PaymentStatus::PartiallyRefunded,
        GivenBack::Unknown => return PaymentStatus::Unknown,
        GivenBack::Nothing => {}
    }
    if word == "refunded" {
        return PaymentStatus::Refunded;
    }
    if PART_REFUNDS.contains(&word) {
        return PaymentStatus::PartiallyRefunded;
    }
    let paid = paid(payload);
    match (paid, needs_payment(payload, word, total)) {
        (Reading::Unreadable, _) | (Reading::Read(true), Reading::Unreadable) => {
            PaymentStatus::Unknown
        }
        // A part was paid, and something is still to be paid. The payload has no amounts.
        (Reading::Read(true), Reading::Read(true)) => match word {
            "failed" => PaymentStatus::Failed,
            _ => PaymentStatus::Unknown,
        },
        (Reading::Read(true), Reading::Read(false) | Reading::Absent) => PaymentStatus::Paid,
        (Reading::Read(false) | Reading::Absent, _) => unpaid(word, paid),
    }
}

/// Whether WooCommerce requests a payment. WooCommerce 6.0 does not send the member; then the rule of
/// `WC_Order::needs_payment()` is applied: the order is pending or failed and its total is not zero.
fn needs_payment(payload: EntityPayload<'_>, word: &str, total: Option<&Money>) -> Reading<bool> {
    match payload.get("needs_payment").truth() {
        Reading::Absent if matches!(word, "pending" | "failed") => match total {
            Some(total) => Reading::Read(!total.amount.is_zero()),
            None => Reading::Unreadable,
        },
        reading => reading,
    }
}

/// The payment status of an order without a payment date. An order can be processed unpaid (cash on delivery).
fn unpaid(word: &str, paid: Reading<bool>) -> PaymentStatus {
    match word {
        "failed" => PaymentStatus::Failed,
        // A bank transfer or a cheque is expected.
        "on-hold" => PaymentStatus::Pending,
        "pending" | "checkout-draft" | "auto-draft" | "draft" => PaymentStatus::Unpaid,
        // A payment date that is sent as null means that there was no payment.
        "cancelled" if paid == Reading::Read(false) => PaymentStatus::Unpaid,
        _ => PaymentStatus::Unknown,
    }
}

/// `Read(true)` if the order has a payment, `Read(false)` if the payload shows that it has none.
fn paid(payload: EntityPayload<'_>) -> Reading<bool> {
    // The date in the store's time zone counts if there is no date in UTC.
    let date = ["date_paid_gmt", "date_paid", "paid_at"]
        .map(|name| payload.get(name))
        .into_iter()
        .filter(|date| date.value().is_some())
        .map(|date| match date.moment() {
            Reading::Absent => Reading::Read(false),
            moment => moment.map(|_| true),
        })
        .reduce(|first, next| {
            if first == Reading::Unreadable {
                next
            } else {
                first
            }
        });
    let flag = payload.get("payment_details").get("paid").truth();
    match (flag, date.unwrap_or(Reading::Absent)) {
        (Reading::Read(true), _) | (_, Reading::Read(true)) => Reading::Read(true),
        (Reading::Unreadable, _) | (_, Reading::Unreadable) => Reading::Unreadable,
        (Reading::Read(false), _) | (_, Reading::Read(false)) => Reading::Read(false),
        (Reading::Absent, Reading::Absent) => Reading::Absent,
    }
}

fn given_back(refunds: &Reading<Vec<Refund>>, total: Option<&Money>) -> GivenBack {
    let refunds = match refunds {
        Reading::Absent => return GivenBack::Nothing,
        Reading::Unreadable => return GivenBack::Unknown,
        Reading::Read(refunds) if refunds.is_empty() => return GivenBack::Nothing,
        Reading::Read(refunds) => refunds,
    };
    let Some(sum) = sum(refunds) else {
        return GivenBack::Unknown;
    };
    if sum.is_zero() {
        return GivenBack::Nothing;
    }
    match total.and_then(|total| total.amount.minus(&sum)) {
        Some(left) if left.is_zero() || left.is_negative() => GivenBack::All,
        Some(_) => GivenBack::Part,
        None => GivenBack::Unknown,
    }
}

/// The sum of the refunds; `None` if an amount is unknown.
pub(super) fn sum(refunds: &[Refund]) -> Option<Amount> {
    let amounts: Option<Vec<&Amount>> = refunds
        .iter()
        .map(|refund| refund.amount.as_ref().map(|money| &money.amount))
        .collect();
    Amount::sum(amounts?)
}

/// The paid amount of an order that is paid in part. WooCommerce has no member for it. The plugin WooCommerce Deposits stores
/// the deposit, and whether it is paid, in the order's meta data.
pub(super) fn deposit(payload: EntityPayload<'_>) -> Option<Amount> {
    let meta = payload.get("meta_data").entries().known()?;
    let of = |key: &str| {
        let entry = meta
            .iter()
            .rev()
            .find(|entry| entry.get("key").str() == Some(key));
        entry.map(|entry| entry.get("value"))
    };
    let is_paid = |key: &str| of(key).map(|value| value.truth());
    let only_deposit = is_paid("_wc_deposits_deposit_paid") == Some(Reading::Read(true))
        && matches!(
            is_paid("_wc_deposits_second_payment_paid"),
            None | Some(Reading::Read(false) | Reading::Absent)
        );
    if only_deposit {
        of("_wc_deposits_deposit_amount")?.amount()
    } else {
        None
    }
}
