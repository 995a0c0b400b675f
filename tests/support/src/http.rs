//! A small HTTP/1.1 client that sends exactly the given bytes. It corrects, retries and keeps alive nothing.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum wait for the next bytes of a response.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A complete response.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a response is UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {:?} is no JSON", self.status, self.text()))
    }

    /// The `status` in the response of a webhook route.
    pub fn word(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["status"]
            .as_str()
            .expect("the body should contain a status")
            .to_owned()
    }

    /// The delivery's id in the response of a webhook route.
    pub fn delivery(&self) -> String {
        self.json()["delivery"]
            .as_str()
            .expect("the body should contain a delivery")
            .to_owned()
    }
}

/// A request.
pub struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
    length: bool,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            head: format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n").into_bytes(),
            body: Vec::new(),
            length: true,
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value.as_ref());
        self.head.extend_from_slice(b"\r\n");
        self
    }

    pub fn headers<'a>(self, headers: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        headers
            .into_iter()
            .fold(self, |request, (name, value)| request.header(name, value))
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Leaves the Content-Length out.
    pub fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    /// The head with the empty line, then the body.
    pub fn parts(self, address: SocketAddr) -> (Vec<u8>, Vec<u8>) {
        let has_host = String::from_utf8_lossy(&self.head)
            .to_lowercase()
            .contains("\r\nhost:");
        let request = if has_host {
            self
        } else {
            self.header("Host", address.to_string())
        };
        let length = request.body.len().to_string();
        let mut request = if request.length {
            request.header("Content-Length", length)
        } else {
            request
        };
        request.head.extend_from_slice(b"\r\n");
        (request.head, request.body)
    }

    /// Sends the request and reads the response.
    pub async fn send(self, address: SocketAddr) -> HttpResponse {
        let (mut bytes, body) = self.parts(address);
        bytes.extend_from_slice(&body);
        let mut peer = Peer::connect(address).await;
        peer.write(&bytes).await;
        peer.answer().await
    }
}

/// One connection to the gateway.
pub struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address)
                .await
                .expect("the gateway listens"),
            read: Vec::new(),
        }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .await
            .expect("the gateway reads");
    }

    /// Writes, and returns `false` if the gateway has closed the connection.
    pub async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads more bytes. Returns `false` at the end of the stream.
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 16 << 10];
        let read = tokio::time::timeout(RESPONSE_TIMEOUT, self.stream.read(&mut buffer))
            .await
            .expect("a response in time");
        let count = read.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Reads up to `end`, and returns the text including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self
                .read
                .windows(end.len())
                .position(|window| window == end.as_bytes())
            {
                let rest = self.read.split_off(at + end.len());
                let found = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(found).expect("the response should be UTF-8");
            }
            assert!(
                self.more().await,
                "the gateway closed the connection after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// Reads the status and the headers of a response.
    pub async fn head(&mut self) -> HttpResponse {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        HttpResponse {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            headers,
            body: Vec::new(),
        }
    }

    /// Reads one of several responses on a connection. The response must have a Content-Length.
    pub async fn next_answer(&mut self) -> HttpResponse {
        let mut answer = self.head().await;
        let length = answer
            .header("content-length")
            .expect("the response should have a Content-Length")
            .parse::<usize>()
            .expect("Content-Length should be a number");
        while self.read.len() < length {
            assert!(
                self.more().await,
                "the gateway closed the connection within a response"
            );
        }
        let rest = self.read.split_off(length);
        answer.body = std::mem::replace(&mut self.read, rest);
        answer
    }

    /// Reads until the gateway closes the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads a complete response. Skips a response with status 100 before it.
    pub async fn answer(&mut self) -> HttpResponse {
        let mut answer = self.head().await;
        if answer.status == 100 {
            answer = self.head().await;
        }
        let length = answer.header("content-length").map(|length| {
            length
                .parse::<usize>()
                .expect("Content-Length should be a number")
        });
        let chunked = answer.header("transfer-encoding").is_some();
        assert!(!chunked, "responses are not chunked");
        while self.read.len() < length.unwrap_or(usize::MAX) && self.more().await {}
        answer.body = std::mem::take(&mut self.read);
        answer
    }
}
