//! What the fault tests share: a broker of their own, the real gateway, a store that sends signed webhooks, and the ledger
//! of what was answered.
//!
//! Nothing here waits for a fixed time: conditions are polled until a generous deadline, and a deadline that is missed is a
//! failure that says what was waited for.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod consumer;
pub(crate) mod gateway;
pub(crate) mod ledger;
pub(crate) mod node;
pub(crate) mod store;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far more than it needs on a slow machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// How long one look at a condition may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Polls until `look` finds something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        // A look that hangs is a look in vain: lapin's connect, for one, was seen never to end where it was refused.
        if let Ok(Some(found)) = tokio::time::timeout(PATIENCE, look()).await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A port that is free now, below those that the system gives to outgoing connections: nobody takes it while its owner is
/// restarted.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const MANY: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run side by side begin far from each other.
    let begin =
        u16::try_from(std::process::id().wrapping_mul(37) % u32::from(MANY)).unwrap_or_default();
    for _ in 0..MANY {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % MANY) % MANY;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + MANY);
}

/// A number that no other call in this process gives.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number in an environment variable.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")),
    )
}

/// Random numbers that a printed seed repeats (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// Seeded from `CARTWIRE_SEED`, else from the clock; says which.
    pub(crate) fn new() -> Self {
        let clock = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
        let seed = number("CARTWIRE_SEED").unwrap_or_else(clock);
        eprintln!("seed: CARTWIRE_SEED={seed}");
        Self(seed)
    }

    /// Seeded so.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// One of `0..below`.
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

/// Sends a signal (`TERM`, `STOP`, `CONT`) to a process that we started.
pub(crate) fn send_signal(signal: &str, pid: u32) {
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {pid}")])
        .status()
        .expect("sh runs");
    assert!(sent.success(), "no process {pid} to send {signal} to");
}
