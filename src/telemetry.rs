//! Logs and metrics. They are set up once; all modules use the macros of `tracing` and `metrics`.

mod log;
mod metrics;
mod queue;
mod summary;

pub use log::{LogFormat, flush_log, log, set_log_filter};
pub use metrics::{count, keep_bounded};
pub use summary::{Counted, Summary};
