//! The result of fetching the missing data of a thin delivery.

use std::borrow::Cow;
use std::time::Duration;

use crate::delivery::Enrichment;

/// The result of fetching the missing data of a thin delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    Done(Enrichment),
    /// A temporary failure.
    Retry {
        /// Reason code.
        reason: &'static str,
        /// The store's minimum wait before a retry, if the store sent one.
        after: Option<Duration>,
    },
}

impl Fetched {
    /// The store's response contradicts the delivery; with a reason code.
    #[must_use]
    pub const fn contradicted(reason: &'static str) -> Self {
        Self::Done(Enrichment::Contradicted(Cow::Borrowed(reason)))
    }

    /// The data cannot be fetched; with a reason code.
    #[must_use]
    pub const fn unavailable(reason: &'static str) -> Self {
        Self::Done(Enrichment::Unavailable(Cow::Borrowed(reason)))
    }
}
