//! Checks connections, and assesses the results. It knows no platform, and prints nothing.
//!
//! - `check` makes one check through a store's API.
//! - `evidence` assesses a connection from a check, rejected requests and the arrivals of its deliveries: a pure decision.
//! - `background` checks all connections of a running gateway regularly; `assess` and `record` are its steps.
//! - `single_check` assesses the check of a command.
//! - `doctor` diagnoses the whole installation.
//! - `store_lock` prevents two commands, or a command and a check, from disturbing each other at a store.
//!
//! Invariant: a background check changes nothing at a store, except that `repair` restores webhooks of the gateway.

mod arrivals;
mod assess;
mod background;
pub mod check;
mod delivery_findings;
mod delivery_problem;
pub mod doctor;
mod evidence;
mod findings;
mod outage;
mod record;
mod rejections;
mod repair;
mod repairs;
mod settings;
pub mod single_check;
mod store_lock;
mod watch_list;

pub use arrivals::{Arrivals, MAX_ARRIVALS_READ};
pub use background::BackgroundMonitor;
pub use check::CheckOutcome;
pub use delivery_findings::ping_missing;
pub use findings::Findings;
pub use settings::PINGED_AT;
pub use store_lock::StoreLock;
