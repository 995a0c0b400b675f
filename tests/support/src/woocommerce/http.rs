//! The shop's HTTP server, with one request per connection, and its webhook deliveries.
//!
//! The server uses plain sockets, because a test must be able to cut off a response.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::options::Fault;
use super::rest;
use super::state::{ShopRequest, State, Webhook, lock};

/// Reads one request and responds to it.
pub(super) fn serve(stream: TcpStream, state: &Mutex<State>, base: &str) {
    // A client that disconnected early gets no response.
    drop(try_serve(stream, state, base));
}

fn try_serve(mut stream: TcpStream, state: &Mutex<State>, base: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let Some(requested) = read(&stream)? else {
        return Ok(());
    };
    let fault = lock(state).fault.clone();
    if let Fault::Slow(pause) = fault {
        std::thread::sleep(pause);
    }
    let reply = {
        let mut state = lock(state);
        let (reply, proved) = rest::answer(&requested, &mut state, base);
        state.requested.push(ShopRequest {
            proved,
            ..requested
        });
        reply
    };
    let mut head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    let clock_lead = jiff::SignedDuration::from_secs(lock(state).options.clock_lead);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&(jiff::Timestamp::now() + clock_lead));
    head.push_str(&format!(
        "Date: {}\r\n",
        date.expect("the date should be formatted")
    ));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let whole = reply.body.as_bytes();
    let sent = if fault == Fault::CutOff {
        &whole[..whole.len() / 2]
    } else {
        whole
    };
    stream.write_all(sent)?;
    stream.flush()?;
    drop(stream);
    let hooks_at = lock(state).options.hooks_at;
    for (id, url) in &reply.pings {
        let url = &address(url, hooks_at);
        let headers = [(
            "Content-Type",
            "application/x-www-form-urlencoded".to_owned(),
        )];
        post(
            url,
            &headers,
            format!("webhook_id={id}").as_bytes(),
            Duration::from_secs(5),
        );
    }
    Ok(())
}

fn read(stream: &TcpStream) -> std::io::Result<Option<ShopRequest>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut requested = ShopRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: BTreeMap::new(),
        body: String::new(),
        proved: false,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        requested
            .headers
            .insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = requested
        .headers
        .get("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    requested.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(requested))
}

/// The URL to connect to. `https://hooks.example.com` is replaced by the gateway at `hooks_at`.
fn address(url: &str, hooks_at: Option<SocketAddr>) -> String {
    match (url.strip_prefix("https://hooks.example.com"), hooks_at) {
        (Some(path), Some(gateway)) => format!("http://{gateway}{path}"),
        _ => url.to_owned(),
    }
}

/// The webhook with the delivery URL to connect to.
pub(super) fn reached(webhook: &Webhook, hooks_at: Option<SocketAddr>) -> Webhook {
    Webhook {
        delivery_url: address(&webhook.delivery_url, hooks_at),
        ..webhook.clone()
    }
}

/// Posts a delivery as WooCommerce does. Returns the status of the response, or 0 without a response.
pub(super) fn deliver(webhook: &Webhook, shop: &str, delivery: u64, payload: &Value) -> u16 {
    let body = payload.to_string();
    let key = Hmac::<Sha256>::new_from_slice(webhook.secret.as_bytes())
        .expect("HMAC accepts any key length");
    let signature = STANDARD.encode(key.chain_update(body.as_bytes()).finalize().into_bytes());
    let (resource, event) = webhook
        .topic
        .split_once('.')
        .expect("a topic should contain a dot");
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        (
            "User-Agent",
            "WooCommerce/11.0.1 Hookshot (WordPress/7.1)".to_owned(),
        ),
        ("X-WC-Webhook-Source", format!("{shop}/")),
        ("X-WC-Webhook-Topic", webhook.topic.clone()),
        ("X-WC-Webhook-Resource", resource.to_owned()),
        ("X-WC-Webhook-Event", event.to_owned()),
        ("X-WC-Webhook-Signature", signature),
        ("X-WC-Webhook-ID", webhook.id.to_string()),
        ("X-WC-Webhook-Delivery-ID", format!("{delivery:032x}")),
    ];
    post(
        &webhook.delivery_url,
        &headers,
        body.as_bytes(),
        Duration::from_secs(60),
    )
}

fn post(url: &str, headers: &[(&str, String)], body: &[u8], patience: Duration) -> u16 {
    try_post(url, headers, body, patience).unwrap_or_default()
}

fn try_post(url: &str, headers: &[(&str, String)], body: &[u8], patience: Duration) -> Option<u16> {
    let (host, path) = url
        .strip_prefix("http://")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    let with_port = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = with_port.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split_whitespace().nth(1)?.parse().ok()
}
