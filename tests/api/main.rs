//! The gateway from outside: real HTTP on real sockets, the real journal, the embedded event log instead of a broker.
//!
//! Invalid requests are written byte by byte, because HTTP client libraries cannot send them. `tests/process` tests the
//! commands and crashes.

mod admin;
mod answers;
mod bad_input;
mod completion;
mod crash_guard;
mod deletions;
mod entities;
mod http_layer;
mod installations;
mod journal;
mod properties;
mod proportion;
mod reconcile;
mod refusals;
mod relay;
mod tls;
mod unwritable;
mod wix_api;
mod woocommerce_api;
