//! Waiting for a running gateway: until it knows a change, and until a store has reached it.
//!
//! The command and the gateway are two processes that share the data file, so both waits poll the file. Nothing is waited
//! for where no gateway serves the data folder.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::database;
use crate::delivery::ConnectionId;
use crate::journal::Reader;
use crate::monitor::PINGED_AT;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A gateway looks for changes every half second.
const APPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// WooCommerce waits up to five seconds for the answer to its ping, which it sends before it answers the registration.
const PING_TIMEOUT: Duration = Duration::from_secs(6);

/// Waits until the gateway that serves the folder knows all connections as they are now. `false` if it did not in time.
pub(super) fn wait_until_applied(folder: &Path) -> anyhow::Result<bool> {
    if !database::is_served(folder) {
        return Ok(true);
    }
    let reader = Reader::open(folder)?;
    let changed = reader.marks()?.connections;
    let deadline = Instant::now() + APPLY_TIMEOUT;
    while reader.applied()? < changed {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

/// Waits for a ping of the store that arrived after `since`. `true` without a wait if no gateway serves the folder, because
/// nothing can be observed then.
pub(super) fn wait_for_ping(
    folder: &Path,
    id: &ConnectionId,
    since: Timestamp,
) -> anyhow::Result<bool> {
    if !database::is_served(folder) {
        return Ok(true);
    }
    let reader = Reader::open(folder)?;
    let deadline = Instant::now() + PING_TIMEOUT;
    loop {
        let pinged_at = reader.connection(id)?.and_then(|connection| {
            let at = connection.settings.get(PINGED_AT)?;
            at.parse::<Timestamp>().ok()
        });
        if pinged_at.is_some_and(|at| at >= since) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
