//! Publishing: the broker's connection and topology, behind one trait.
//!
//! [`Publish`] is the trait, [`rabbitmq`] publishes to the broker, and [`EventLogOnly`] is the embedded default without a
//! broker. [`ExchangePublisher`] publishes to another exchange. Tests inject faults at the trait. The relay decides on retries.

mod broker_status;
mod channel;
pub mod declare;
mod exchange;
pub mod inspect;
mod keeper;
mod link;
mod live;
pub mod message;
mod publish;
pub mod rabbitmq;
pub mod session;
mod supervisor;
pub mod topology;

pub use broker_status::{BrokerStatus, Trouble, TroubleCode};
pub use exchange::{ExchangeFailure, ExchangePublisher, ExchangeReceipt};
pub use publish::{EventLogOnly, Publish, PublishFailure, PublishOutcome, Way};
