//! The order of an app's installations and removals, by the time at which their platform signed them.
//!
//! Deliveries arrive in any order, and a captured one can be sent again. A change therefore counts only if it is not older
//! than the newest one that was applied.

use jiff::Timestamp;

/// An installation or a removal of an app, as its platform signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedChange {
    /// When the delivery was signed.
    pub(crate) at: Timestamp,
    /// The journal's position of the delivery.
    pub(crate) position: i64,
}

/// How a change relates to the newest one that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedOrder {
    /// It is not older, and counts.
    Current,
    /// It arrived after a newer one, and does not count.
    Stale,
    /// It arrived before the newer one and was applied then. It is processed again, for example after a crash.
    Repeated,
}

impl SignedChange {
    /// How another change relates to this one, which is the newest. A change without a time cannot prove that it is newer.
    pub(crate) fn order_of(self, signed_at: Option<Timestamp>, position: i64) -> SignedOrder {
        // The data file stores milliseconds.
        let is_current =
            signed_at.is_some_and(|at| at.as_millisecond() >= self.at.as_millisecond());
        if is_current {
            SignedOrder::Current
        } else if self.position < position {
            SignedOrder::Stale
        } else {
            SignedOrder::Repeated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_change_is_stale_unless_it_arrived_before_the_newest_one() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let newest = SignedChange {
            at: at(20),
            position: 5,
        };
        assert_eq!(newest.order_of(Some(at(20)), 6), SignedOrder::Current);
        assert_eq!(newest.order_of(Some(at(30)), 4), SignedOrder::Current);
        assert_eq!(newest.order_of(Some(at(10)), 6), SignedOrder::Stale);
        assert_eq!(newest.order_of(None, 6), SignedOrder::Stale);
        assert_eq!(newest.order_of(Some(at(10)), 4), SignedOrder::Repeated);
    }
}
