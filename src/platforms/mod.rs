//! The platforms: pure functions that verify and normalize webhooks, and that sign fixtures for tests and replay.
//!
//! No I/O, no async, no clock, no logging. The current time is an argument. A request to a store is described here and
//! executed in `outbound`. A new platform needs a folder, a line in [`PLATFORMS`] and a folder of fixtures. Routes,
//! commands, labels and golden tests read that slice.

pub mod address;
pub mod api;
mod content;
mod contract;
mod json;
mod kind;
mod lenient;
mod normalized;
pub mod oauth1;
mod reading;
mod registered;
mod registry;
mod signing;
mod text;
mod verified;
pub mod wix;
pub mod woocommerce;

pub use content::{Content, ContentDigest};
pub use contract::{StoreApi, WebhookPlatform};
pub use kind::{ConnectionKind, FOLLOWED_BY, Field, FieldRole, POLLING};
pub use normalized::{ConnectionSignal, Normalized, ReportedProblem};
pub use registered::{ClaimedWebhook, RegisteredWebhooks, WebhookList};
pub use registry::{
    PLATFORMS, connection_kind, platform, registered_webhooks, reported_problem, store_api,
};
pub use signing::{SignedRequest, Unsigned};
pub use verified::{
    DeliveryParts, InvalidKey, Rejection, VerificationKey, Verified, VerifiedDelivery,
};
