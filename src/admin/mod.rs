//! The admin listener: health, metrics and the API for operators, and for consumers without a broker.
//!
//! Lists never show bodies, secrets or personal data; single deliveries and events do, and they need the token.

mod api;
mod auth;
mod auth_token;
mod entities;
mod event_log;
mod health;
mod limits;
mod query;
mod routes;
mod state;
mod stream;

pub use auth_token::AdminToken;
pub use event_log::log_lost_cursors;
pub use limits::Limits;
pub use state::Admin;
