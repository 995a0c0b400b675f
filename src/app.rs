//! The gateway as a whole: build it, then run it until it is stopped. This is the only module that knows all others.

mod broker;
mod build;
mod certificate;
mod changes;
mod http_error;
mod listen;
mod notify;
mod open_connections;
mod request_id;
mod request_id_layer;
mod run;
mod servers;
mod shared;
mod watched;
mod wire;

pub use build::App;
pub use certificate::Certificate;
pub use listen::raise_open_files;
pub use watched::TaskEnded;
