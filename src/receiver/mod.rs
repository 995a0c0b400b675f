//! The receiver: from a webhook request to a synced journal entry, and only then an answer.
//!
//! The receiver and the relay share only the journal. The receiver logs no body and no header value. Its response never
//! says to a client without a key why the request was refused.

mod answer;
mod append_turns;
mod body;
mod body_budget;
mod body_pool;
mod body_pool_state;
mod body_sender;
mod handler;
mod intake;
mod refusal_log;
mod routes;
mod state;

pub use answer::Refusal;
pub use refusal_log::log_refusals;
pub use state::{Receiver, ReceiverParts};
