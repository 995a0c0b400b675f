//! What a process has used so far, as the kernel counts it: processor time, memory, bytes given to the disk.
//!
//! Linux only. It starts and ends nothing.

use std::time::Duration;

use serde::Serialize;

/// The kernel counts processor time in hundredths of a second, on every Linux there is.
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time, its own and the kernel's for it.
    pub(crate) cpu: Duration,
    /// Resident memory now, in bytes.
    pub(crate) resident: u64,
    /// The most resident memory it ever had.
    pub(crate) peak: u64,
    /// Bytes that it caused to be written to the disk.
    pub(crate) written: u64,
}

/// Resident memory at a moment of a long run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the beginning.
    pub(crate) second: f64,
    /// Bytes of our process.
    pub(crate) resident: u64,
}

impl Usage {
    /// Of a process.
    pub(crate) fn of(pid: u32) -> Self {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let kibibytes = |name: &str| field(&status, name) << 10;
        Self {
            cpu: cpu(&read("stat")),
            resident: kibibytes("VmRSS:"),
            peak: kibibytes("VmHWM:"),
            written: field(&read("io"), "write_bytes:"),
        }
    }

    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// The name in the second field may contain anything, so fields are counted behind its bracket: `utime` and `stime` are the
/// fourteenth and fifteenth.
fn cpu(stat: &str) -> Duration {
    let behind = stat
        .rsplit_once(')')
        .map(|(_, behind)| behind)
        .unwrap_or_default();
    let ticks: u32 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u32>().ok())
        .sum();
    TICK * ticks
}

/// The machine, in a line: processors, memory, kernel, and how busy it is with other things.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let information = read("/proc/cpuinfo");
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let memory = field(&read("/proc/meminfo"), "MemTotal:") >> 20;
    let load = read("/proc/loadavg");
    format!(
        "{processors} processors ({}), {memory} GiB, Linux {}; load before the run {}",
        model.trim_start_matches(['\t', ' ', ':']),
        read("/proc/sys/kernel/osrelease").trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}
