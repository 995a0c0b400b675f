//! The gateway from outside: real HTTP on real sockets, the real journal, the embedded event log instead of a broker.
//!
//! Requests are written byte by byte where a client library would not let us be rude. What the binary adds to this is in
//! `tests/cli.rs`, what a crash does in `tests/durability.rs`.

mod admin;
mod answers;
mod bad_input;
mod completion;
mod deletions;
mod gateway;
mod http;
mod http_layer;
mod installations;
mod refusals;
#[path = "../stores/woocommerce.rs"]
mod shop;
mod tls;
mod unwritable;
#[path = "../stores/wix.rs"]
mod wixapis;
