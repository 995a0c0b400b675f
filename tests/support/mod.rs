//! Shared parts of the fault tests: a broker node, the real gateway, stores that send signed webhooks, and the ledger of
//! accepted deliveries.
//!
//! No test waits for a fixed time. Conditions are polled until a long deadline, and the failure message names the
//! condition.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod consumer;
pub(crate) mod gateway;
pub(crate) mod ledger;
pub(crate) mod node;
pub(crate) mod store;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Maximum wait for a condition: far longer than needed on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// Maximum time of one poll of a condition.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait between two polls of a condition.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls until `poll` returns a value.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut poll: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        // A poll may hang: lapin's connect has been seen to never return after a refused connection.
        if let Ok(Some(found)) = tokio::time::timeout(POLL_TIMEOUT, poll()).await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A free port below the range for outgoing connections, so that no other process takes it while its owner restarts.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Concurrent test programs begin at distant ports.
    let begin =
        u16::try_from(std::process::id().wrapping_mul(37) % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

/// A number that is unique in this process.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Reads a number from an environment variable.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")),
    )
}

/// Random numbers (SplitMix64) with a printed seed, so that a run can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    /// Uses the seed in `CARTWIRE_SEED`, or a seed from the clock, and prints the seed.
    pub(crate) fn new() -> Self {
        let clock = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
        let seed = number("CARTWIRE_SEED").unwrap_or_else(clock);
        eprintln!("seed: CARTWIRE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A random number in `0..below`.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// The last lines of a log, for the message of a failure.
pub(crate) fn tail(path: &std::path::Path) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Sends a signal (`TERM`, `STOP`, `CONT`) to a process that the test started.
pub(crate) fn send_signal(signal: &str, pid: u32) {
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {pid}")])
        .status()
        .expect("sh runs");
    assert!(sent.success(), "no process {pid} to send {signal} to");
}
