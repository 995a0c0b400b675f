//! The log: lines to standard error, through a queue that never blocks.
//!
//! lapin's own lines below `ERROR` are always suppressed, because its warnings contain whole messages and no body may be
//! logged.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::queue::LogQueue;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

static QUEUE: OnceLock<LogQueue> = OnceLock::new();
static FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Maximum time for writing the last lines at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts the log. `filter` has the form of `RUST_LOG`: `info`, `cartwire=debug`.
///
/// # Errors
/// If the filter is invalid, or no thread can be started.
pub fn log(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = parse_filter(filter)?;
    let queue = LogQueue::start().map_err(|error| error.to_string())?;
    let silent = filter_fn(|metadata| {
        let noisy =
            metadata.target().starts_with("lapin") || metadata.target().starts_with("amq_protocol");
        // A passive declaration of a missing queue closes its channel. This is a normal answer, but lapin logs an error.
        let is_answer = metadata.target().starts_with("lapin::channel");
        !noisy || (*metadata.level() == tracing::Level::ERROR && !is_answer)
    });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(queue.clone())
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let layer = lines.with_filter(silent).with_filter(filter);
    // A second call in one process (tests) changes nothing.
    if tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .is_ok()
    {
        let _ = QUEUE.set(queue);
        let _ = FILTER.set(Box::new(move |filter| drop(handle.reload(filter))));
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Replaces the log filter.
///
/// # Errors
/// If the filter is invalid. Then the filter before stays in use.
pub fn set_log_filter(filter: &str) -> Result<(), String> {
    let filter = parse_filter(filter)?;
    if let Some(set) = FILTER.get() {
        set(filter);
    }
    Ok(())
}

/// Waits until all lines are written, for at most a second.
pub fn flush_log() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, String> {
    // The gateway logs the start and stop of the web server itself. The certificate verifier logs each failure without the
    // connection, and the gateway's own line has the connection.
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(format!(
            "actix_server=warn,rustls_platform_verifier=off,{filter}"
        ))
        .map_err(|error| error.to_string())
}

/// Logs a panic. The standard hook writes to standard error directly, which may block.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = thread.name().unwrap_or("unnamed"),
        location = panic.location().map(tracing::field::display),
        reason = panic.payload_as_str().unwrap_or("unknown"),
        "thread panicked"
    );
}
