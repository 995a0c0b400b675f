//! The heap memory of values.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Number;

use super::money::{Amount, Currency, Money};

/// Maximum bytes that the allocator adds to each allocation.
const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// A value whose heap memory can be counted.
pub(crate) trait Weigh {
    /// Heap memory in bytes, without the size of the value itself.
    fn heap(&self) -> usize;
}

pub(super) fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else {
        bytes + ALLOCATION_OVERHEAD_BYTES
    }
}

impl Weigh for String {
    fn heap(&self) -> usize {
        allocated(self.capacity())
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn heap(&self) -> usize {
        allocated(self.capacity() * size_of::<T>()) + self.iter().map(T::heap).sum::<usize>()
    }
}

impl<T: Weigh> Weigh for Box<T> {
    fn heap(&self) -> usize {
        allocated(size_of::<T>()) + T::heap(self)
    }
}

impl Weigh for BTreeMap<String, String> {
    fn heap(&self) -> usize {
        // A tree node may be half empty, so each entry counts twice.
        let entry = 2 * size_of::<(String, String)>();
        self.iter()
            .map(|(name, value)| entry + name.heap() + value.heap())
            .sum()
    }
}

impl Weigh for Number {
    fn heap(&self) -> usize {
        allocated(self.as_str().len())
    }
}

impl Weigh for Amount {
    fn heap(&self) -> usize {
        allocated(self.as_str().len())
    }
}

impl Weigh for Money {
    fn heap(&self) -> usize {
        self.amount.heap()
    }
}

/// Implements [`Weigh`] for types without heap memory.
macro_rules! weightless {
    ($($name:ty),*) => {
        $(impl Weigh for $name {
            fn heap(&self) -> usize {
                0
            }
        })*
    };
}
weightless!(bool, Timestamp, Currency);
