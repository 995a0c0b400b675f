//! The senders: one thread of a process of its own with many keep-alive connections, so that what they cost is known and
//! what is measured is measured alone.
//!
//! In a closed loop each connection sends its next request when the last one is answered; that finds the maximum. In an open
//! loop requests are due at a fixed rate, and an answer's time counts from the moment at which its request was *due*: a
//! server that stalls is charged for everything that had to wait. It knows nothing of who answers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use serde::{Deserialize, Serialize};

use super::process::Usage;
use super::requests::{Requests, Shop};

/// The hidden argument that makes this program the senders.
pub(crate) const ROLE: &str = "--send";
/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) port: u16,
    pub(crate) shop: Shop,
    /// Of a payload, about.
    pub(crate) bytes: usize,
    /// Connections in the path that the deliveries are spread over.
    pub(crate) connections: u32,
    /// Sockets.
    pub(crate) senders: usize,
    pub(crate) seconds: f64,
    /// Requests a second; none for as many as are answered.
    pub(crate) rate: Option<f64>,
    /// Deliveries that are sent again and again; none for a new one each time.
    pub(crate) repeated: Option<u64>,
    /// At most so many.
    pub(crate) most: Option<u64>,
    /// Are the signatures wrong?
    pub(crate) forged: bool,
}

impl Plan {
    fn status(&self) -> u16 {
        if self.forged { 401 } else { 200 }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Answers of the right status.
    pub(crate) answered: u64,
    /// Answers of each other status.
    pub(crate) others: BTreeMap<u16, u64>,
    /// Connections that the server closed.
    pub(crate) closed: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Processor time of the senders meanwhile.
    pub(crate) cpu_seconds: f64,
    /// Milliseconds from when a request was due to its answer.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) worst: f64,
}

/// Senders that have everything prepared.
pub(crate) struct Ready(Child);

impl Ready {
    /// Prepares senders in a process of their own.
    pub(crate) fn start(plan: &Plan) -> Self {
        let plan = serde_json::to_string(plan).expect("JSON");
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args([ROLE, &plan])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the senders start");
        let mut word = [0; 6];
        child
            .stdout
            .as_mut()
            .expect("a pipe")
            .read_exact(&mut word)
            .expect("the senders get ready");
        Self(child)
    }

    /// Lets them send, and waits for the end; `meanwhile` is called a few times a second.
    pub(crate) fn send(mut self, mut meanwhile: impl FnMut()) -> Report {
        self.0
            .stdin
            .take()
            .expect("a pipe")
            .write_all(b"go")
            .expect("the senders wait");
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("the senders can be waited for") {
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
            .expect("a pipe")
            .read_to_string(&mut text)
            .expect("a report");
        serde_json::from_str(&text).expect("a report")
    }
}

/// The process: prepares, says so, waits for the word, sends, reports.
#[allow(
    clippy::print_stdout,
    reason = "the report goes to the process that asked for it"
)]
pub(crate) fn run(plan: &str) {
    let plan: Plan = serde_json::from_str(plan).expect("a plan");
    let most_a_second = if plan.shop == Shop::Wix {
        20_000.0
    } else {
        100_000.0
    };
    let expected = plan.rate.unwrap_or(most_a_second) * plan.seconds;
    let count = plan.repeated.or(plan.most).unwrap_or(expected as u64 + 1);
    let count = usize::try_from(count).expect("a count");
    let requests = Requests::prepare(plan.shop, plan.bytes, count, plan.connections, plan.forged);
    let mut senders = Senders::connect(plan, requests);
    println!("ready");
    std::io::stdout().flush().expect("told");
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("the word");
    let report = senders.send();
    print!("{}", serde_json::to_string(&report).expect("JSON"));
}

/// A connection with the request that is under way.
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
    /// The one that rested longest goes first: none rests so long that the server closes it.
    idle: VecDeque<usize>,
    next: u64,
    times: Vec<u32>,
    report: Report,
}

impl Senders {
    fn connect(plan: Plan, requests: Requests) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
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
            let wait = Timespec::try_from(wait).expect("a time");
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&wait),
            ) {
                Ok(0) => assert!(due.is_some(), "the server does not answer"),
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

    /// Begins requests; says when the next one is due, where that is not for an answer to say.
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

    /// Something happened on a line.
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
            // Instead of an answer.
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
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connected");
    stream.set_nodelay(true).expect("no delay");
    stream.set_nonblocking(true).expect("non-blocking");
    stream
}

/// Edge-triggered and once for both directions: nothing is to be changed while it runs.
fn watch(epoll: &rustix::fd::OwnedFd, stream: &TcpStream, index: usize) {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(
        epoll,
        stream,
        epoll::EventData::new_u64(index as u64),
        flags,
    )
    .expect("watched");
}

fn write(line: &mut Line) {
    while line.sent < line.out.len() {
        match line.stream.write(&line.out[line.sent..]) {
            Ok(written) => line.sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // Reading tells what became of it.
            Err(_) => return,
        }
    }
}

/// Reads until the answer is whole and gives its status; zero where the server closed the connection.
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

/// The status of an answer that is whole. Every server here says how long its answer is.
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
