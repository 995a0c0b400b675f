//! WooCommerce: deliveries signed with a secret per webhook, payloads that are those of its REST API.
//!
//! What is known of it beyond its documentation was observed on real shops from 6.0 to 11.0; the comments say where that
//! decides something. `api` has the requests to a store.

mod api;
mod entities;
mod entity_request;
mod kind;
mod normalize;
mod platform;
mod resource;
mod sign;
mod verify;

pub use platform::WooCommerce;
