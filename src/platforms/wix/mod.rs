//! Wix: webhooks of apps, sent as signed JSON Web Tokens.
//!
//! `verify` checks the signature and computes the delivery key. `payload` opens the layers of the token. `normalize` converts
//! the payload to events. `sign` signs tokens for tests. `api` builds the requests to the platform's API. `enrichment` adds
//! the details from the responses to events that came without details.

mod api;
mod app;
mod catalog_v1;
mod catalog_v3;
mod category;
mod checkout;
mod domain;
mod enrichment;
mod key;
mod kinds;
mod legacy;
mod legacy_order;
mod normalize;
mod order;
mod payload;
mod payment;
mod people;
mod platform;
mod shapes;
mod sign;
mod unrecognized;
mod verify;

pub use platform::Wix;
