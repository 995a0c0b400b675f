//! Wix: apps' webhooks, signed as JSON Web Tokens.
//!
//! `verify` checks the signature and makes the key of the delivery. `payload` opens the layers of the token, and `normalize`
//! makes events of the content. `sign` makes such tokens for tests. `api` describes the requests to the platform's API, and
//! `enrichment` reads the answers into events that came without details.

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
