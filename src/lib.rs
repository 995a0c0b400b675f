//! A delivery is received, verified, journaled; **then** we answer. Later it is normalized, completed, published, confirmed,
//! settled.
//!
//! # Invariants
//! Tests hold them, `tests/tidy.rs` the ones about the source.
//!
//! 1. A 2xx on a webhook route means that the journal has synced the delivery to disk (or answered a ping by name).
//!    Nothing else earns a 2xx.
//! 2. [`platforms::VerifiedDelivery`] can only be made under `platforms/`. [`journal::Journal::append`] takes nothing else.
//!    The gateway's own entries, which tell of changes of connections, are written by `journal::announce` alone.
//! 3. `receiver` and `relay` never import each other. They meet in the journal, plus a wake-up.
//! 4. `platforms/*` is pure: no I/O, no async, no clock, no logging. `now` is an argument.
//! 5. An entry leaves `Pending` only through [`journal::Journal::settle`]; `Published` needs a broker confirm and no
//!    returned message.
//! 6. An event's id and sequence are functions of the journal entry and the event's index in it: redelivery, crash and
//!    redrive give the same.
//! 7. Secrets, bodies and personal data never reach a log, a span, an error's `Display` or a list view.
//! 8. No room imports a room above it.
//!
//! # Rooms, in the order of the flow
//! | room | holds |
//! |---|---|
//! | [`delivery`], [`event`], [`report`] | the vocabulary: plain data |
//! | [`platforms`] | pure functions from what the platforms send to our words |
//! | [`sqlite`], [`connections`], [`journal`] | what is kept: who may send, what was sent, what became of it |
//! | [`outbound`] | asking stores |
//! | [`publisher`] | where events go |
//! | [`receiver`] | from a request to a journal entry |
//! | [`relay`] | from a journal entry to a settled one |
//! | [`monitor`] | connecting stores, and watching over them |
//! | [`replay`] | fixtures, and sending them |
//! | [`admin`] | the admin listener |
//! | [`config`], [`telemetry`], [`app`], [`cli`] | putting it together |
//!
//! # Where this differs from a first plan of it
//! - There is no store of last known entities: an event's sequence is its place in the journal (strictly growing per
//!   partition key, the same after a crash), so that nothing has to be counted or kept besides.
//! - The event log keeps no bodies. Normalizing is pure, so an event is made from its delivery again when it is read; the
//!   journal holds each payload once.
//! - What a store said of a thin delivery is kept beside it, so that this still holds: an event is made from both.
//! - A platform's conversations with a store are pure functions that are called again with all answers so far
//!   ([`platforms::api`]): the platforms stay free of I/O, and a conversation with branches still reads from top to bottom.
//! - One event per partition key is under way at a time. It is what keeps the order when the broker refuses one.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod connections;
pub mod delivery;
pub mod event;
pub mod journal;
pub mod monitor;
pub mod normalize;
pub mod outbound;
pub mod platforms;
pub mod publisher;
pub mod receiver;
pub mod relay;
pub mod replay;
pub mod report;
pub mod sqlite;
pub mod telemetry;
