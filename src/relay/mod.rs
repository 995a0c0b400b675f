//! The relay: publishes the journal's pending entries, and settles them.
//!
//! ```text
//! claim ──→ take in ──→ (enrich) ──→ partitions ──→ publish ──→ settle
//! ```
//! One task owns all state (`state`) and runs the loop (`run`). It shares the journal and one wake-up signal with the
//! receiver. `claiming` claims fair shares of the pending entries (`backlog`, `shares`), `take_in` makes their events,
//! `enriching` lets thin deliveries wait for data of their store (`enrichment_queue`, `fetching`), `partitions` keeps the
//! order, `publishing` sends within the limits of each route (`window`, `flow`), and `settle` stores the result.
//!
//! No connection can use up the space of others: entries in flight, events in flight and waiting thin deliveries are
//! limited per connection. A queue that refuses events or hangs delays only the events of its own routes.
//!
//! The relay keeps nothing across a restart. Entries that were not settled are claimed again.

mod backlog;
mod backoff;
mod claiming;
mod compared;
mod comparing;
mod deletion;
mod enriching;
mod enrichment_queue;
mod fetch;
mod fetching;
mod flow;
mod installations;
mod known;
mod observed;
mod outcome;
mod partitions;
mod publishing;
mod ready;
mod rebuild;
mod run;
mod settle;
mod shares;
mod state;
mod store_queue;
mod suspects;
mod take_in;
mod task;
mod trials;
mod window;

pub use compared::ComparisonOptions;
pub use fetching::Fetcher;
pub(crate) use rebuild::StateRebuild;
pub use state::Relay;
