//! Connections: installed stores and apps, with their credentials and keys. No request to a store is made here.
//!
//! - `connection`, `state`, `lifecycle` and `signed_change`: a connection, its state, and what changes the state
//! - `polling`: how a connection without webhooks is followed
//! - `store`: the tables; `context`: a connection with its decrypted secrets, for a request to its store
//! - `directory`: the snapshot that the receiver reads for each request
//! - `seal`, `master_key` and `secret`: secrets at rest
//! - `accepted`, `rejections` and `unreadable`: what happened to deliveries since the start, in memory
//!
//! Invariant: only `lifecycle` decides about the state of a connection, and only `journal::announce` stores it.

mod accepted;
mod connection;
pub mod context;
mod directory;
mod endpoint;
pub mod lifecycle;
pub mod master_key;
pub mod polling;
mod rejections;
pub mod seal;
mod secret;
pub(crate) mod signed_change;
mod state;
pub(crate) mod store;
mod unreadable;

pub use accepted::Accepted;
pub use connection::{BeforePause, Connection, INSTALLATION_KIND};
pub use context::ContextError;
pub use directory::{Directory, DirectoryError, Ownership, ReadableStore};
pub use endpoint::{Endpoint, KeyError};
pub use lifecycle::Assessment;
pub use polling::Polling;
pub use rejections::{RefusedWebhook, RejectionCount, Rejections, UnregisteredWebhook};
pub use seal::{Seal, SealError};
pub use secret::{SealedSecret, generate_secret};
pub use state::{Condition, LifecycleState, Status};
pub use unreadable::{InvalidRun, UnreadableBodies, UnreadableDelivery, UnreadableRun};
