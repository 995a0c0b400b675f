//! What the test programs share: a gateway in the process of the test, the gateway as a process, a broker node, senders and
//! doubles of stores, and the ledger of accepted deliveries.
//!
//! No test waits for a fixed time. Conditions are polled until a long deadline, and the failure message names the
//! condition.

pub mod consumer;
pub mod dialogue;
mod erlang;
pub mod genuine;
pub mod http;
pub mod in_process;
pub mod ledger;
pub mod node;
pub mod process;
mod process_view;
pub mod store;
pub mod wix;
pub mod woocommerce;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Maximum wait for a condition: far longer than needed on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// Maximum time of one poll of a condition.
const POLL_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait between two polls of a condition.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Polls until `poll` returns a value. The failure message names the `condition`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    condition: &str,
    mut poll: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        // A poll may hang: lapin's connect has been seen to never return after a refused connection.
        if let Ok(Some(found)) = tokio::time::timeout(POLL_TIMEOUT, poll()).await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "timed out waiting for: {condition}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// [`eventually`] for tests without a runtime.
pub fn eventually_blocking<T>(condition: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "timed out waiting for: {condition}"
        );
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The program under test: cargo builds it beside the folder of the test programs.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CARGO_BIN_EXE_cartwire") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of the test program");
    let folder = test.ancestors().nth(2).expect("the folder of the build");
    folder.join("cartwire")
}

/// A free port below the range for outgoing connections, so that no other process takes it while its owner restarts.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Concurrent test programs begin at distant ports, also if their process ids are close.
    let begin = u16::try_from(std::process::id().wrapping_mul(0x9e37_79b1) % u32::from(COUNT))
        .unwrap_or_default();
    for _ in 0..COUNT {
        let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free between {FIRST} and {}", FIRST + COUNT);
}

/// A number that is unique in this process.
pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Reads a number from an environment variable.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")),
    )
}

/// Random numbers (SplitMix64) with a printed seed, so that a run can be repeated.
pub struct Dice(u64);

impl Dice {
    /// Uses the seed in `CARTWIRE_SEED`, or a seed from the clock, and prints the seed.
    pub fn from_environment() -> Self {
        let clock = || u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or_default();
        let seed = number("CARTWIRE_SEED").unwrap_or_else(clock);
        eprintln!("seed: CARTWIRE_SEED={seed}");
        Self(seed)
    }

    pub fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A random number in `0..below`.
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

/// The last lines of a log, for the message of a failure.
pub fn tail(path: &std::path::Path) -> String {
    let text = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Sends a signal (`TERM`, `STOP`, `CONT`) to a process that the test started.
pub fn send_signal(signal: &str, pid: u32) {
    let sent = std::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {pid}")])
        .status()
        .expect("sh runs");
    assert!(sent.success(), "no process {pid} to send {signal} to");
}

/// All fixtures of the project.
pub fn fixtures() -> Vec<cartwire::replay::fixture::Fixture> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    cartwire::replay::fixture::read(std::path::Path::new(folder)).expect("the fixtures can be read")
}

/// The payload of a fixture, such as `woocommerce/order.created/v3`.
pub fn fixture_payload(name: &str) -> Vec<u8> {
    use cartwire::replay::fixture::Fixture;

    let end = format!("/{name}");
    let payload = fixtures().into_iter().find_map(|fixture| match fixture {
        Fixture::Case(case) if case.path.ends_with(&end) => Some(case.payload),
        Fixture::Case(_) | Fixture::Recorded(_) => None,
    });
    payload.expect("the fixture should exist")
}
