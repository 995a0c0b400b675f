//! The senders: one thread of a separate process with many keep-alive connections, so that their cost can be measured
//! separately from the server's.
//!
//! In a closed loop each connection sends its next request after the response to the last one; this finds the maximum
//! rate. In an open loop requests are due at a fixed rate. Latency is measured from the time when a request was *due*,
//! so a server that stalls is charged for all requests that had to wait (no coordinated omission).

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use serde::{Deserialize, Serialize};

use super::process::Usage;
use super::requests::{Requests, Shop};

/// The hidden argument that starts this program as the senders.
pub(crate) const ROLE: &str = "--send";
/// Maximum time without a response from the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration of the senders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) port: u16,
    pub(crate) shop: Shop,
    /// Approximate size of a payload in bytes.
    pub(crate) bytes: usize,
    /// Number of connections (in the URL path) that receive the deliveries.
    pub(crate) connections: u32,
    /// Number of sockets.
    pub(crate) senders: usize,
    pub(crate) seconds: f64,
    /// Requests per second; `None` for a closed loop.
    pub(crate) rate: Option<f64>,
    /// Number of different deliveries that are repeated; `None` if each delivery is new.
    pub(crate) repeated: Option<u64>,
    /// Maximum number of requests.
    pub(crate) most: Option<u64>,
    /// `true` to send invalid signatures.
    pub(crate) forged: bool,
}

impl Plan {
    fn status(&self) -> u16 {
        if self.forged { 401 } else { 200 }
    }
}

/// The result of the senders.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Number of responses with the expected status.
    pub(crate) answered: u64,
    /// Number of responses of each other status.
    pub(crate) others: BTreeMap<u16, u64>,
    /// Number of connections that the server closed.
    pub(crate) closed: u64,
    /// Time from the first request to the last response.
    pub(crate) seconds: f64,
    /// Processor time of the senders in this period.
    pub(crate) cpu_seconds: f64,
    /// Latency in milliseconds from the time when a request was due.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) worst: f64,
}

/// Senders that finished their preparation.
pub(crate) struct Ready(Child);

impl Ready {
    /// Prepares senders in a separate process.
    pub(crate) fn start(plan: &Plan) -> Self {
        let plan = serde_json::to_string(plan).expect("JSON");
        let program = std::env::current_exe().expect("the path of this program should be known");
        let mut child = Command::new(program)
            .args([ROLE, &plan])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the senders should start");
        let mut word = [0; 6];
        child
            .stdout
            .as_mut()
            .expect("stdout should be piped")
            .read_exact(&mut word)
            .expect("the senders should report that they are ready");
        Self(child)
    }

    /// Starts to send, and waits for the end. `meanwhile` is called a few times per second.
    pub(crate) fn send(mut self, mut meanwhile: impl FnMut()) -> Report {
        self.0
            .stdin
            .take()
            .expect("stdin should be piped")
            .write_all(b"go")
            .expect("the senders should wait for the start");
        let status = loop {
            if let Some(status) = self
                .0
                .try_wait()
                .expect("the status of the senders should be readable")
            {
                break status;
            }
            std::thread::sleep(Duration::from_millis(100));
            meanwhile();
        };
        assert!(status.success(), "the senders failed");
        let mut text = String::new();
        self.0
            .stdout
            .take()
            .expect("stdout should be piped")
            .read_to_string(&mut text)
            .expect("the report should be readable");
        serde_json::from_str(&text).expect("the report should be valid JSON")
    }
}

/// The main function of the separate process. It prepares, prints `ready`, waits for the end of stdin, sends, and
/// prints the report.
#[allow(clippy::print_stdout, reason = "the parent process reads the report")]
pub(crate) fn run(plan: &str) {
    let plan: Plan = serde_json::from_str(plan).expect("the plan should be valid JSON");
    let most_a_second = if plan.shop == Shop::Wix {
        20_000.0
    } else {
        100_000.0
    };
    let expected = plan.rate.unwrap_or(most_a_second) * plan.seconds;
    let count = plan.repeated.or(plan.most).unwrap_or(expected as u64 + 1);
    let count = usize::try_from(count).expect("the count should fit");
    let requests = Requests::prepare(plan.shop, plan.bytes, count, plan.connections, plan.forged);
    let mut senders = Senders::connect(plan, requests);
    println!("ready");
    std::io::stdout()
        .flush()
        .expect("stdout should be writable");
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("stdin should be readable");
    let report = senders.send();
    print!("{}", serde_json::to_string(&report).expect("JSON"));
}

/// A connection with its request in flight.
struct Line {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    due: Instant,
}

struct Senders {
    plan: Plan,
    requests: Requests,
    epoll: rustix::fd::OwnedFd,
    lines: Vec<Line>,
    /// Indices of idle connections. The longest idle one is used first, so that the server closes none for being idle.
    idle: VecDeque<usize>,
    next: u64,
    times: Vec<u32>,
    report: Report,
}

impl Senders {
    fn connect(plan: Plan, requests: Requests) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll should be created");
        let connect = |index| {
            let stream = line(plan.port);
            watch(&epoll, &stream, index);
            Line {
                stream,
                out: Vec::new(),
                sent: 0,
                answer: Vec::new(),
                due: Instant::now(),
            }
        };
        let lines: Vec<Line> = (0..plan.senders).map(connect).collect();
        let idle = (0..lines.len()).collect();
        Self {
            plan,
            requests,
            epoll,
            lines,
            idle,
            next: 0,
            times: Vec::new(),
            report: Report::default(),
        }
    }

    fn send(&mut self) -> Report {
        let (started, before) = (Instant::now(), Usage::own());
        let end = started + Duration::from_secs_f64(self.plan.seconds);
        let mut events = Vec::with_capacity(self.lines.len());
        loop {
            let due = self.begin_what_is_due(started, end);
            if self.idle.len() == self.lines.len() && due.is_none() {
                break;
            }
            let wait = due.map_or(PATIENCE, |due| {
                due.saturating_duration_since(Instant::now())
            });
            let wait = Timespec::try_from(wait).expect("the wait should be valid");
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&wait),
            ) {
                Ok(0) => assert!(due.is_some(), "the server does not respond"),
                Ok(_) => {}
                Err(error) => assert_eq!(error, rustix::io::Errno::INTR, "epoll"),
            }
            for event in &events {
                self.look(event.data.u64() as usize, end);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        self.times.sort_unstable();
        let at = |share: f64| {
            let index = (self.times.len() as f64 * share) as usize;
            self.times
                .get(index.min(self.times.len().saturating_sub(1)))
                .map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Report {
            seconds,
            cpu_seconds: (Usage::own().cpu - before.cpu).as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            worst: at(1.0),
            ..std::mem::take(&mut self.report)
        }
    }

    /// Starts the requests that are due. Returns when the next one is due, if a connection is idle until then.
    fn begin_what_is_due(&mut self, started: Instant, end: Instant) -> Option<Instant> {
        while !self.idle.is_empty() {
            let now = Instant::now();
            let due = match self.plan.rate {
                Some(rate) => started + Duration::from_secs_f64(self.next as f64 / rate),
                None => now,
            };
            if due >= end || self.is_exhausted() {
                return None;
            }
            if due > now {
                return Some(due);
            }
            if let Some(line) = self.idle.pop_front() {
                self.begin(line, due);
            }
        }
        None
    }

    fn is_exhausted(&self) -> bool {
        let new_ones_end = self.plan.repeated.is_none() && !self.requests.is_endless();
        self.plan.most.is_some_and(|most| self.next >= most)
            || (new_ones_end && self.next >= self.requests.count())
    }

    fn begin(&mut self, index: usize, due: Instant) {
        let number = self
            .plan
            .repeated
            .map_or(self.next, |many| self.next % many);
        self.next += 1;
        let line = &mut self.lines[index];
        line.answer.clear();
        self.requests.write(number, &mut line.out);
        (line.sent, line.due) = (0, due);
        write(line);
    }

    /// Handles an event of a connection.
    fn look(&mut self, index: usize, end: Instant) {
        let line = &mut self.lines[index];
        write(line);
        let Some(status) = read(line) else { return };
        let now = Instant::now();
        if status == 0 {
            line.stream = self::line(self.plan.port);
            watch(&self.epoll, &line.stream, index);
        }
        if line.out.is_empty() {
            return;
        }
        line.out.clear();
        if status == 0 {
            // The server closed the connection instead of responding.
            self.report.closed += 1;
        } else if status == self.plan.status() {
            self.report.answered += 1;
            self.times
                .push(u32::try_from((now - line.due).as_micros()).unwrap_or(u32::MAX));
        } else {
            *self.report.others.entry(status).or_default() += 1;
        }
        if self.plan.rate.is_none() && now < end && !self.is_exhausted() {
            self.begin(index, now);
        } else {
            self.idle.push_back(index);
        }
    }
}

fn line(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .expect("the server should accept the connection");
    stream.set_nodelay(true).expect("TCP_NODELAY should be set");
    stream
        .set_nonblocking(true)
        .expect("the socket should be non-blocking");
    stream
}

/// Registers a connection. Edge-triggered for both directions, so the registration never changes during a run.
fn watch(epoll: &rustix::fd::OwnedFd, stream: &TcpStream, index: usize) {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(
        epoll,
        stream,
        epoll::EventData::new_u64(index as u64),
        flags,
    )
    .expect("the socket should be registered");
}

fn write(line: &mut Line) {
    while line.sent < line.out.len() {
        match line.stream.write(&line.out[line.sent..]) {
            Ok(written) => line.sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // The next read returns the error.
            Err(_) => return,
        }
    }
}

/// Reads until the response is complete, and returns its status; 0 if the server closed the connection.
fn read(line: &mut Line) -> Option<u16> {
    let mut buffer = [0; 4096];
    loop {
        match line.stream.read(&mut buffer) {
            Ok(0) => return Some(0),
            Ok(bytes) => line.answer.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => return Some(0),
        }
        if let Some(status) = status(&line.answer) {
            return Some(status);
        }
    }
}

/// The status of a complete response; `None` if it is incomplete. All servers here send a Content-Length.
fn status(answer: &[u8]) -> Option<u16> {
    const LENGTH: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let number = |bytes: &[u8]| -> usize {
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
    };
    let length = answer[..head]
        .windows(LENGTH.len())
        .position(|name| name.eq_ignore_ascii_case(LENGTH));
    let length = length.map_or(0, |at| number(&answer[at + LENGTH.len()..]));
    (answer.len() >= head + 4 + length)
        .then(|| u16::try_from(number(&answer[9..])).unwrap_or_default())
}
