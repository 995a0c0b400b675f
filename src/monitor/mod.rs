//! Connecting stores and keeping them so: checks through the platforms' dialogues, and what follows from them.
//!
//! `check` asks a store, `decide` says what its answer and the deliveries together mean, `health` does both all the time in a
//! running gateway, `doctor` looks at the whole installation. Nothing here knows a platform, and nothing prints.

mod arrivals;
pub mod check;
pub mod decide;
pub mod doctor;
mod findings;
pub mod health;
pub mod hold;

pub use arrivals::Arrivals;
pub use findings::Findings;
