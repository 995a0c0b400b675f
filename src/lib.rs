//! Cartwire receives webhooks of shop platforms and publishes them as events to RabbitMQ.
//!
//! The receiver verifies a delivery, writes it to the journal and **then** answers 200. Later the relay normalizes the
//! delivery, enriches it, publishes its events and settles the journal entry after the broker's confirm.
//!
//! # Invariants
//! Tests check the invariants. `tests/tidy` checks those about the source.
//!
//! 1. A 2xx on a webhook route means that the journal has synced the delivery to disk, or that the request was a ping.
//!    No other request gets a 2xx.
//! 2. Only code under `platforms/` can create a [`platforms::VerifiedDelivery`]. [`journal::Journal::append`] accepts no
//!    other type. Only `journal::announce` writes the gateway's own entries, which announce changes of connections.
//! 3. `receiver` and `relay` never import each other. They communicate through the journal and one wake-up signal.
//! 4. `platforms/*` is pure: no I/O, no async, no clock, no logging. The current time is an argument.
//! 5. An entry leaves `Pending` only through [`journal::Journal::settle`]; `Published` needs a broker confirm and no
//!    returned message.
//! 6. An event's id and sequence depend only on the journal entry and the event's index in it. A redelivery, a crash and
//!    a redrive therefore give the same id and sequence.
//! 7. No log, span, error text or list view contains secrets, bodies or personal data.
//! 8. No module imports a module of a later row of the table below.
//!
//! # Modules, in the order of the flow
//! | module | contents |
//! |---|---|
//! | [`delivery`], [`event`], [`backoff`], [`report`] | the common types: plain data |
//! | [`platforms`] | pure functions that verify and normalize the platforms' webhooks |
//! | [`database`], [`connections`], [`journal`] | stored data: connections, deliveries and the state of each delivery |
//! | [`outbound`] | requests to the stores' APIs |
//! | [`entities`] | the last known state of each entity, and what an event changes |
//! | [`publisher`] | publishing to the broker |
//! | [`receiver`] | from a request to a journal entry |
//! | [`relay`] | from a journal entry to a settled one |
//! | [`monitor`] | connecting stores, and checking them regularly |
//! | [`reconcile`] | reading stores for changes that no webhook reported |
//! | [`replay`] | reading fixtures, and sending them to a gateway |
//! | [`admin`] | the admin listener |
//! | [`config`], [`telemetry`], [`app`], [`cli`] | options, logs and metrics, startup and commands |
//!
//! # Decisions
//! - An event's sequence comes from the delivery's position in the journal. It grows strictly per partition key and is the
//!   same after a crash, so no counter is needed.
//! - The event log stores no bodies. Normalizing is pure, so an event is created from its delivery whenever it is read.
//!   The journal stores each payload once.
//! - The journal stores the store's response to a thin delivery beside the delivery. The event is created from both.
//! - A platform's conversation with a store is a pure function that is called again with all responses so far
//!   ([`platforms::api`]). The platforms need no I/O, and a conversation with branches still reads from top to bottom.
//! - At most one event per partition key is in flight. This keeps the order if the broker refuses an event.

pub mod admin;
pub mod app;
pub mod backoff;
pub mod cli;
pub mod config;
pub mod connections;
pub mod database;
pub mod delivery;
pub mod entities;
pub mod event;
pub mod journal;
pub mod monitor;
pub mod normalize;
pub mod outbound;
pub mod platforms;
pub mod publisher;
pub mod receiver;
pub mod reconcile;
pub mod relay;
pub mod replay;
pub mod report;
pub mod telemetry;
