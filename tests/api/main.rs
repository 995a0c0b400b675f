//! The gateway from outside: real HTTP on real sockets, the real journal, the embedded event log instead of a broker.
//!
//! Invalid requests are written byte by byte, because HTTP client libraries cannot send them. `tests/process` tests the
//! commands and crashes.

mod admin;
mod admin_access;
mod admin_events;
mod answers;
mod bad_bodies;
mod bad_input;
mod bad_signatures;
mod confirmed_deletions;
mod crash_guard;
mod deletions;
mod enrichment;
mod enrichment_installations;
mod entities;
mod generated_json;
mod http_layer;
mod installations;
mod journal;
mod journal_model;
mod journal_properties;
mod known_entities;
mod normalization_properties;
mod pausing;
mod polling;
mod polling_faults;
mod properties;
mod proportion;
mod reconcile;
mod reconcile_all;
mod reconcile_faults;
mod refusals;
mod relay;
mod retention;
mod tls;
mod unwritable;
mod variations;
mod wix_api;
mod wix_failures;
mod woocommerce_api;
mod woocommerce_faults;
