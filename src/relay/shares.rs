//! Fair shares of a bounded space among connections. Pure.
//!
//! A connection may take more while it uses less than the free part. A single connection gets half of the space, N busy ones
//! get `1/(N+1)` each, and the same part stays free. A connection that uses almost nothing gets space even if the space is full.
//!
//! [`Quotas`] keep connections small that make no progress, so that many blocked connections do not fill the space.

use std::collections::HashMap;

use crate::delivery::ConnectionId;

/// A number of items and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Items.
    pub(super) count: usize,
    /// Bytes.
    pub(super) bytes: usize,
}

/// A connection with fewer items than this gets space even if the space is full, up to twice the size of the space.
const MIN_COUNT: usize = 4;
/// A connection with fewer bytes than this gets space even if large items of others fill the space.
const SMALL_BYTES: usize = 64 << 10;

/// The space, and how much of it each connection uses.
#[derive(Debug)]
pub(super) struct Shares {
    capacity: Load,
    used: Load,
    by_connection: HashMap<ConnectionId, Load>,
}

impl Shares {
    /// An empty space.
    #[must_use]
    pub(super) fn new(count: usize, bytes: usize) -> Self {
        Self {
            capacity: Load { count, bytes },
            used: Load::default(),
            by_connection: HashMap::new(),
        }
    }

    /// The use of all connections together.
    #[must_use]
    pub(super) fn used(&self) -> Load {
        self.used
    }

    /// The use of a connection.
    #[must_use]
    pub(super) fn of(&self, connection: &ConnectionId) -> Load {
        self.by_connection
            .get(connection)
            .copied()
            .unwrap_or_default()
    }

    /// How much more a connection may take now.
    #[must_use]
    pub(super) fn available(&self, connection: &ConnectionId) -> Load {
        let own = self.of(connection);
        // Each item makes the free part smaller and the connection's part larger.
        let half = |capacity: usize, used: usize, own: usize| {
            capacity
                .saturating_sub(used)
                .saturating_sub(own)
                .div_ceil(2)
        };
        let bytes = half(self.capacity.bytes, self.used.bytes, own.bytes);
        let is_small = own.bytes < SMALL_BYTES && self.used.bytes < 2 * self.capacity.bytes;
        let count = half(self.capacity.count, self.used.count, own.count);
        let is_first = own.count < MIN_COUNT && self.used.count < 2 * self.capacity.count;
        Load {
            count: if is_first {
                count.max(MIN_COUNT - own.count)
            } else {
                count
            },
            bytes: if is_small {
                bytes.max(SMALL_BYTES - own.bytes)
            } else {
                bytes
            },
        }
    }

    /// `true` if a connection may take one more item of that size.
    #[must_use]
    pub(super) fn fits(&self, connection: &ConnectionId, bytes: usize) -> bool {
        let room = self.available(connection);
        // A large item must not wait until all others are gone, so a connection's first item may exceed the space.
        let is_first = self.of(connection).count == 0 && self.used.bytes < self.capacity.bytes;
        room.count > 0 && (bytes <= room.bytes || is_first || self.used.bytes == 0)
    }

    /// A connection takes an item.
    pub(super) fn add(&mut self, connection: &ConnectionId, bytes: usize) {
        let own = self.by_connection.entry(connection.clone()).or_default();
        for amount in [own, &mut self.used] {
            amount.count += 1;
            amount.bytes += bytes;
        }
    }

    /// An item of a connection takes more bytes.
    pub(super) fn grow(&mut self, connection: &ConnectionId, bytes: usize) {
        if let Some(own) = self.by_connection.get_mut(connection) {
            own.bytes += bytes;
            self.used.bytes += bytes;
        }
    }

    /// An item of a connection takes fewer bytes.
    pub(super) fn shrink(&mut self, connection: &ConnectionId, bytes: usize) {
        if let Some(own) = self.by_connection.get_mut(connection) {
            own.bytes = own.bytes.saturating_sub(bytes);
            self.used.bytes = self.used.bytes.saturating_sub(bytes);
        }
    }

    /// A connection returns an item.
    pub(super) fn remove(&mut self, connection: &ConnectionId, bytes: usize) {
        let Some(own) = self.by_connection.get_mut(connection) else {
            return;
        };
        for amount in [&mut *own, &mut self.used] {
            amount.count = amount.count.saturating_sub(1);
            amount.bytes = amount.bytes.saturating_sub(bytes);
        }
        if own.count == 0 {
            self.by_connection.remove(connection);
        }
    }
}

/// How many items each connection may have, by its progress: few at first, one more with each finished item.
#[derive(Debug, Default)]
pub(super) struct Quotas(HashMap<ConnectionId, usize>);

/// The quota of a connection without progress.
const FIRST_QUOTA: usize = 32;
const MAX_QUOTA: usize = 2_048;

impl Quotas {
    /// A connection's quota.
    #[must_use]
    pub(super) fn of(&self, connection: &ConnectionId) -> usize {
        self.0.get(connection).copied().unwrap_or(FIRST_QUOTA)
    }

    /// An item of a connection is done.
    pub(super) fn done(&mut self, connection: &ConnectionId) {
        let quota = self.0.entry(connection.clone()).or_insert(FIRST_QUOTA);
        *quota = MAX_QUOTA.min(*quota + 1);
    }

    /// A connection has no items any more, or makes no progress.
    pub(super) fn reset(&mut self, connection: &ConnectionId) {
        self.0.remove(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ConnectionId {
        ConnectionId::new(name).expect("an id")
    }

    #[test]
    fn many_greedy_connections_leave_room_for_one_more() {
        let mut shares = Shares::new(2_048, 1 << 24);
        for number in 0..200 {
            let greedy = id(&format!("greedy-{number}"));
            while shares.available(&greedy).count > 0 {
                shares.add(&greedy, 100);
            }
        }
        assert!(shares.available(&id("honest")).count > 1);
        assert!(shares.of(&id("greedy-0")).count <= 1_024);
    }

    #[test]
    fn large_items_of_others_leave_room_for_small_ones() {
        let mut shares = Shares::new(2_048, 24 << 20);
        for name in ["a", "b", "c", "d"] {
            while shares.available(&id(name)).bytes > 0 && shares.used().bytes < 24 << 20 {
                shares.add(&id(name), 8 << 20);
            }
        }
        assert!(shares.fits(&id("honest"), 20_000));
        assert!(!shares.fits(&id("a"), 8 << 20));
    }

    #[test]
    fn a_large_item_gets_in_although_small_ones_of_others_are_always_there() {
        let mut shares = Shares::new(1_024, 8 << 20);
        shares.add(&id("busy"), 2_000);
        assert!(shares.fits(&id("large"), 6 << 20));
        shares.add(&id("large"), 6 << 20);
        assert!(!shares.fits(&id("large"), 6 << 20), "one at a time");
        assert!(shares.fits(&id("busy"), 2_000));
        shares.add(&id("huge"), 20 << 20);
        assert!(
            !shares.fits(&id("another"), 6 << 20),
            "the space has an end"
        );
        shares.remove(&id("huge"), 20 << 20);
        assert!(shares.fits(&id("another"), 6 << 20));
    }
}
