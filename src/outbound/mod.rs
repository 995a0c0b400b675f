//! Executes the requests that the platforms describe. Only this module sends requests to stores.
//!
//! [`Outbound::converse`] runs a dialogue, and [`Outbound::call`] makes one call. Each call respects the connection's
//! request rate (`rate_limit`), fetches an access token if needed (`token_cache`), connects only to public addresses
//! (`guard`), and limits the time and the size of the response (`http`). Redirects are not followed. A platform that follows
//! one makes a new request, with the same checks.
//!
//! The platforms interpret the responses. `relay` and `monitor` decide what follows from them. This module stores nothing.

mod client;
mod guard;
mod http;
mod http_failure;
mod options;
mod rate_limit;
mod retry;
mod store_session;
mod token_cache;

pub use client::Outbound;
pub use options::{Options, OutboundError};

#[cfg(test)]
mod tests;
