//! The measurement of one row: the maximum rate in a closed loop, then the latency in an open loop at half of that
//! rate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::broker::Broker;
use super::ceilings::Done;
use super::process::{Sample, Usage};
use super::sender::{Plan, Ready, Report};
use super::server::Server;

/// The results of a row.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Why the row could not be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
    /// Number of completed deliveries: answered, or, with a broker, in its queue.
    pub(crate) deliveries: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Processor time per delivery in microseconds: server, senders, broker.
    pub(crate) cpu_us: f64,
    pub(crate) senders_cpu_us: f64,
    pub(crate) broker_cpu_us: f64,
    /// Resident memory of the server in bytes: at the end, and the peak.
    pub(crate) resident: u64,
    pub(crate) peak: u64,
    /// Bytes per delivery that the server wrote to the disk.
    pub(crate) written: f64,
    /// Deliveries that were answered but not yet in the queue when the senders stopped.
    pub(crate) backlog: u64,
    /// Number of responses with an unexpected status, and of connections that were closed without a response.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) others: BTreeMap<u16, u64>,
    pub(crate) closed: u64,
    /// The results of the open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open: Option<Open>,
    /// Memory samples of a long run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

/// Latency at a fixed rate in milliseconds, from the time when the request was due.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Open {
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) worst: f64,
    /// Deliveries that were answered but not yet in the queue when the senders stopped.
    pub(crate) backlog: u64,
}

impl Row {
    /// The row of a loop without HTTP.
    pub(crate) fn of_loop(done: Done) -> Self {
        let many = done.many.max(1) as f64;
        Self {
            deliveries: done.many,
            seconds: done.seconds,
            per_second: done.many as f64 / done.seconds,
            cpu_us: done.cpu_seconds * 1e6 / many,
            resident: done.resident,
            written: done.written as f64 / many,
            ..Self::default()
        }
    }

    /// Number of requests without the expected response.
    pub(crate) fn wrong(&self) -> u64 {
        self.others.values().sum::<u64>() + self.closed
    }

    /// A row that cannot be measured on this machine.
    pub(crate) fn missing(why: String) -> Self {
        Self {
            missing: Some(why),
            ..Self::default()
        }
    }
}

/// Measures the server that `start` starts. Each of the two measurements uses a new server.
pub(crate) fn measure(plan: &Plan, broker: Option<&Broker>, start: impl Fn() -> Server) -> Row {
    let mut row = maximum(plan, broker, start());
    let rate = (row.per_second / 2.0).max(1.0);
    let (open, report) = at_rate(
        &Plan {
            rate: Some(rate),
            ..plan.clone()
        },
        broker,
        start(),
    );
    row.open = Some(open);
    row.closed += report.closed;
    for (status, many) in report.others {
        *row.others.entry(status).or_default() += many;
    }
    row
}

/// Measures the maximum rate in a closed loop.
pub(crate) fn maximum(plan: &Plan, broker: Option<&Broker>, server: Server) -> Row {
    let plan = Plan {
        port: server.port,
        ..plan.clone()
    };
    if let Some(many) = plan.repeated {
        // The server first receives the deliveries that are repeated as duplicates later.
        Ready::start(&Plan {
            most: Some(many),
            ..plan.clone()
        })
        .send(|| {});
    }
    let ready = Ready::start(&plan);
    let queued = broker.map_or(0, Broker::count);
    let (before, broker_before) = (
        server.usage(),
        broker.map(Broker::usage).unwrap_or_default(),
    );
    let (started, mut samples, mut last) = (Instant::now(), Vec::new(), Instant::now());
    let report = ready.send(|| {
        if last.elapsed() >= Duration::from_secs(1) {
            last = Instant::now();
            samples.push(Sample {
                second: started.elapsed().as_secs_f64(),
                resident: server.usage().resident,
            });
        }
    });
    let (mut seconds, mut backlog) = (report.seconds, 0);
    if let Some(broker) = broker {
        backlog = (queued + report.answered).saturating_sub(broker.count());
        broker.wait_for(queued + report.answered);
        seconds = started.elapsed().as_secs_f64().max(seconds);
    }
    let (after, broker_after) = (
        server.usage(),
        broker.map(Broker::usage).unwrap_or_default(),
    );
    let many = report.answered.max(1) as f64;
    let micros = |before: Usage, after: Usage| (after.cpu - before.cpu).as_secs_f64() * 1e6 / many;
    Row {
        deliveries: report.answered,
        seconds,
        per_second: report.answered as f64 / seconds,
        cpu_us: micros(before, after),
        senders_cpu_us: report.cpu_seconds * 1e6 / many,
        broker_cpu_us: micros(broker_before, broker_after),
        resident: after.resident,
        peak: after.peak,
        written: (after.written - before.written) as f64 / many,
        backlog,
        others: report.others,
        closed: report.closed,
        samples,
        ..Row::default()
    }
}

fn at_rate(plan: &Plan, broker: Option<&Broker>, server: Server) -> (Open, Report) {
    let plan = Plan {
        port: server.port,
        ..plan.clone()
    };
    if let Some(many) = plan.repeated {
        Ready::start(&Plan {
            most: Some(many),
            rate: None,
            ..plan.clone()
        })
        .send(|| {});
    }
    let ready = Ready::start(&plan);
    let queued = broker.map_or(0, Broker::count);
    let report = ready.send(|| {});
    let backlog = broker.map_or(0, |broker| {
        (queued + report.answered).saturating_sub(broker.count())
    });
    let open = Open {
        per_second: report.answered as f64 / report.seconds,
        p50: report.p50,
        p99: report.p99,
        p999: report.p999,
        worst: report.worst,
        backlog,
    };
    (open, report)
}
