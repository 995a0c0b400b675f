//! The result of fetching the missing data of a thin delivery.

use std::time::Duration;

use crate::delivery::{Enrichment, ReasonCode};

/// The result of fetching the missing data of a thin delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    Done(Enrichment),
    /// A temporary failure.
    Retry {
        /// Reason code.
        reason: ReasonCode,
        /// The store's minimum wait before a retry, if the store sent one.
        after: Option<Duration>,
    },
}

impl Fetched {
    /// The store's response contradicts the delivery; with a reason code.
    #[must_use]
    pub fn contradicted(reason: ReasonCode) -> Self {
        Self::Done(Enrichment::Contradicted(reason.into()))
    }

    /// The data cannot be fetched; with a reason code.
    #[must_use]
    pub fn unavailable(reason: ReasonCode) -> Self {
        Self::Done(Enrichment::Unavailable(reason.into()))
    }
}
