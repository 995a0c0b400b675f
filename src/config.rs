//! The options of the commands: as typed ([`ServeArgs`]), and after all checks ([`Config`]).
//!
//! Typed options are text and never fail to parse. `settings` checks them and reports all mistakes at once, each with the
//! option's name and what is valid.

mod args;
mod broker;
mod certificate;
mod mistakes;
mod settings;
mod text;

pub use args::{DataArgs, RepairMode, ServeArgs, StoreArgs};
pub use broker::Broker;
pub use certificate::{CertificateFiles, load_certificate};
pub use mistakes::{ConfigErrors, Mistake, read_secret};
pub use settings::{Config, LogOptions};
pub use text::read_filter;
pub(crate) use text::web_address;
