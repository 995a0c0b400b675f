//! How fast webhooks are answered durably while the broker is away (or, with `LOAD_AMQP_URL`, while it is there): many
//! senders, real sockets, the real binary.
//!
//! `cargo bench --bench load [-- SENDERS SECONDS]`. It prints what it measured; it asserts nothing about time.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cartwire::platforms::{Unsigned, platform};
use jiff::Timestamp;

const SECRET: &str = "bench-only_not-a-secret_0123456789abcdefghijklmn";

struct Gateway {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn start() -> Gateway {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("the secret's file");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cartwire"));
        command.env("CARTWIRE_DATA_DIR", folder.path().join("data"));
        command
    };
    let mut add = command();
    add.args(["connections", "add", "woocommerce", "--id", "shop", "--url", "https://shop.example", "--webhook-secret-file"])
        .arg(&secret);
    assert!(add.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the command runs").success());
    let (port, admin, nowhere) = (free_port(), free_port(), free_port());
    let process = command()
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--admin-listen", &format!("127.0.0.1:{admin}")])
        .args(["--amqp-url", &std::env::var("LOAD_AMQP_URL").unwrap_or_else(|_| format!("amqp://127.0.0.1:{nowhere}/%2f"))])
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the gateway does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Gateway { process, port, _folder: folder }
}

/// A signed order of about three kilobytes, as the bytes of a request.
fn request(sender: u64, index: u64) -> Vec<u8> {
    let note = "x".repeat(2700);
    let id = sender * 1_000_000 + index;
    let payload = format!(
        r#"{{"id":{id},"status":"processing","currency":"EUR","total":"19.90","line_items":[],"customer_note":"{note}"}}"#
    );
    let options = BTreeMap::new();
    let unsigned = Unsigned { topic: "order.updated", payload: payload.as_bytes(), nonce: id, options: &options };
    let signed = platform("woocommerce").expect("the platform").sign(&unsigned, SECRET, Timestamp::now()).expect("signed");
    let mut bytes = b"POST /webhooks/woocommerce/shop HTTP/1.1\r\nhost: localhost\r\n".to_vec();
    for (name, value) in &signed.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", signed.body.len()).as_bytes());
    bytes.extend_from_slice(&signed.body);
    bytes
}

fn answer(reader: &mut BufReader<TcpStream>) -> bool {
    let (mut line, mut length, mut ok) = (String::new(), 0, false);
    loop {
        line.clear();
        reader.read_line(&mut line).expect("an answer");
        ok |= line.starts_with("HTTP/1.1 200");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    ok
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let senders = numbers.first().copied().unwrap_or(64);
    let seconds = numbers.get(1).copied().unwrap_or(10);
    let gateway = start();
    let port = gateway.port;
    let end = Instant::now() + Duration::from_secs(seconds);
    let threads: Vec<_> = (0..senders)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
                stream.set_nodelay(true).expect("no delay");
                let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
                let (mut times, mut refused, mut index) = (Vec::new(), 0_u64, 0);
                while Instant::now() < end {
                    let bytes = request(sender, index);
                    index += 1;
                    let started = Instant::now();
                    stream.write_all(&bytes).expect("sent");
                    refused += u64::from(!answer(&mut reader));
                    times.push(started.elapsed());
                }
                (times, refused)
            })
        })
        .collect();
    let (mut times, mut refused) = (Vec::new(), 0);
    for thread in threads {
        let (more, not_ok) = thread.join().expect("a sender");
        times.extend(more);
        refused += not_ok;
    }
    times.sort();
    let at = |share: f64| {
        times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "{senders} senders, {seconds} s, broker {}: {} answers ({} per second), {refused} not 200, p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}",
        if std::env::var_os("LOAD_AMQP_URL").is_some() { "there" } else { "away" },
        times.len(),
        times.len() as u64 / seconds.max(1),
        at(0.5),
        at(0.99),
        at(0.999),
        times.last().copied().unwrap_or_default(),
    );
}
