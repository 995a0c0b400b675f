//! The resource usage of a process, as the kernel reports it: processor time, memory, bytes written to the disk. Linux
//! only.

use std::time::Duration;

use serde::Serialize;

/// Unit of processor time in `/proc/PID/stat`: 10 ms (`USER_HZ` is 100 on Linux).
const TICK: Duration = Duration::from_millis(10);

/// The resource usage of a process so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Current resident memory in bytes.
    pub(crate) resident: u64,
    /// Peak resident memory in bytes.
    pub(crate) peak: u64,
    /// Bytes that the process caused to be written to the disk.
    pub(crate) written: u64,
}

/// The resident memory at one moment of a long run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the start of the run.
    pub(crate) second: f64,
    /// Resident memory of the gateway in bytes.
    pub(crate) resident: u64,
}

impl Usage {
    /// The usage of a process.
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

    /// The usage of this process.
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

/// Parses `utime` and `stime`, the fields 14 and 15 of `/proc/PID/stat` (proc(5)). Field 2 is the name, which may
/// contain spaces, so the fields are counted after its closing parenthesis.
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

/// The machine in one line: processors, memory, kernel, load.
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
