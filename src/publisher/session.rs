//! Connections to the broker: addresses, TLS, logins and time limits. [`super::rabbitmq`] has channels and confirms.
//!
//! Invariant: an abandoned attempt leaves neither a thread nor a descriptor behind. lapin reads each connection on a thread of
//! its own and ends that thread only when the socket ends, which never happens if the broker is frozen. So each attempt and each
//! `BrokerSession` has a second handle of its socket, and shuts the socket down on drop.

use std::net::{Shutdown, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_compat::{Compat, CompatExt};
use lapin::tcp::{AsyncTcpStream, OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;

use crate::report::ErrorChain;

/// Time limit for opening a connection to the only address, from the address lookup to the login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same if there are other addresses.
const CONNECT_TIMEOUT_OF_MANY: Duration = Duration::from_secs(3);
/// Time limit for closing a connection in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection is lost after two intervals without a sign of the broker. The broker's own default is 60 seconds.
const HEARTBEAT_SECONDS: u16 = 10;

/// One address of the broker. It contains the password, so it has no `Debug`.
#[derive(Clone)]
pub struct Address {
    uri: AMQPUri,
    /// Whether the URL names a user. Without one, a client certificate is the login.
    names_user: bool,
}

impl Address {
    /// Reads `amqp://user:password@host:port/vhost` or `amqps://…`. `None` for other texts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text.trim()).ok()?;
        let mut uri: AMQPUri = text.trim().parse().ok()?;
        // lapin reads an IPv6 address as a missing host.
        match url.host() {
            Some(url::Host::Ipv6(host)) => uri.authority.host = host.to_string(),
            Some(_) => {}
            None => return None,
        }
        if uri.query.heartbeat.is_none() {
            uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
        }
        Some(Self {
            uri,
            names_user: !url.username().is_empty(),
        })
    }

    /// Splits a list. Only a comma or a space before the next `amqp://` or `amqps://` separates, because a password may have commas.
    #[must_use]
    pub fn split(list: &str) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut begin = 0;
        for (at, _) in list.match_indices([',', '\n', ' ']) {
            let rest = list[at..].trim_start_matches([',', '\n', '\r', ' ']);
            if rest.starts_with("amqp://") || rest.starts_with("amqps://") {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
        }
        parts.push(&list[begin..]);
        let trimmed = parts
            .into_iter()
            .map(|part| part.trim_matches(|c: char| c == ',' || c.is_whitespace()));
        trimmed.filter(|part| !part.is_empty()).collect()
    }

    /// `true` for `amqps://`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// The host and port, without the user and the password.
    fn shown(&self) -> String {
        let authority = &self.uri.authority;
        if authority.host.contains(':') {
            format!("[{}]:{}", authority.host, authority.port)
        } else {
            format!("{}:{}", authority.host, authority.port)
        }
    }
}

/// The TLS files, as PEM. They are read at each connect, so that a renewed certificate needs no restart.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Trusted authorities in addition to the system's.
    pub authority: Option<PathBuf>,
    /// The client certificate with its chain, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    fn read(&self) -> std::io::Result<OwnedTLSConfig> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| {
                std::io::Error::new(
                    error.kind(),
                    format!("cannot read {}: {error}", path.display()),
                )
            })
        };
        let cert_chain = match &self.authority {
            Some(path) => Some(String::from_utf8_lossy(&read(path)?).into_owned()),
            None => None,
        };
        let identity = match &self.identity {
            Some((certificate, key)) => Some(OwnedIdentity::PKCS8 {
                pem: read(certificate)?,
                key: read(key)?,
            }),
            None => None,
        };
        Ok(OwnedTLSConfig {
            identity,
            cert_chain,
        })
    }
}

/// The addresses of one broker, or of the nodes of one cluster.
#[derive(Clone)]
pub struct Endpoints {
    addresses: Arc<[Address]>,
    tls: TlsFiles,
    /// The address that the next connect begins with: the one after the last used one.
    next: Arc<AtomicUsize>,
}

impl Endpoints {
    /// Tries the addresses in turn, beginning with the first.
    #[must_use]
    pub fn new(addresses: Vec<Address>, tls: TlsFiles) -> Self {
        Self {
            addresses: addresses.into(),
            tls,
            next: Arc::default(),
        }
    }

    /// Opens a connection to the first address that responds. `name` appears in the broker's list of connections.
    ///
    /// # Errors
    /// The reason for each address.
    pub(super) async fn connect(&self, name: &str) -> Result<BrokerSession, ConnectError> {
        let mut failures = Vec::new();
        for _ in 0..self.addresses.len() {
            let index = self.next.fetch_add(1, Ordering::Relaxed) % self.addresses.len();
            let Some(address) = self.addresses.get(index) else {
                continue;
            };
            let limit = if self.addresses.len() > 1 {
                CONNECT_TIMEOUT_OF_MANY
            } else {
                CONNECT_TIMEOUT
            };
            let why = match tokio::time::timeout(limit, self.connect_to(address, name)).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => ErrorChain(&error).to_string(),
                Err(_) => format!("no answer within {} seconds", limit.as_secs()),
            };
            failures.push(format!("{}: {why}", address.shown()));
        }
        Err(ConnectError(failures))
    }

    async fn connect_to(&self, address: &Address, name: &str) -> lapin::Result<BrokerSession> {
        let mut uri = address.uri.clone();
        if self.tls.identity.is_some()
            && !address.names_user
            && address.is_tls()
            && uri.query.auth_mechanism.is_none()
        {
            uri.query.auth_mechanism = Some(SASLMechanism::External);
        }
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let socket = Arc::new(Socket::default());
        // Dropped with this future, so that a time limit ends the attempt.
        let given_up = ShutDown(Arc::clone(&socket));
        let tls = self.tls.clone();
        let open = async move |uri: AMQPUri, _| {
            let stream = dial(&uri, &socket).await?;
            match uri.scheme {
                AMQPScheme::AMQP => Ok(stream),
                AMQPScheme::AMQPS => {
                    let tls = tls.read()?;
                    Ok(stream.into_tls(&uri.authority.host, tls.as_ref()).await?)
                }
            }
        };
        let runtime = lapin::runtime::default_runtime()?;
        let connection = Connection::connector(uri, runtime, open, properties).await?;
        Ok(BrokerSession {
            connection,
            socket: given_up,
        })
    }
}

/// The reason why no address responded.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub(super) struct ConnectError(Vec<String>);

/// An open connection. Dropping it closes its socket at once.
pub(super) struct BrokerSession {
    pub(super) connection: Connection,
    socket: ShutDown,
}

impl BrokerSession {
    /// Closes the connection in order, or without order after two seconds.
    pub(super) async fn close(&self) {
        let closing = self.connection.close(200, "bye".into());
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
        self.socket.0.shut_down();
    }
}

/// A second handle of a connection's socket.
#[derive(Default)]
struct Socket(Mutex<SocketState>);

#[derive(Default)]
enum SocketState {
    #[default]
    Unopened,
    Open(StdStream),
    ShutDown,
}

impl Socket {
    /// Takes the second handle of a socket that was just opened. An error if the attempt was abandoned before.
    fn opened(&self, stream: &TcpStream) -> std::io::Result<()> {
        let handle = StdStream::from(stream.as_fd().try_clone_to_owned()?);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, SocketState::ShutDown) {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        *state = SocketState::Open(handle);
        Ok(())
    }

    fn shut_down(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SocketState::Open(handle) = std::mem::replace(&mut *state, SocketState::ShutDown) {
            let _ = handle.shutdown(Shutdown::Both);
        }
    }
}

/// Shuts a socket down when dropped.
struct ShutDown(Arc<Socket>);

impl Drop for ShutDown {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

/// Opens the TCP connection. It runs on lapin's thread, which no dropped future ends, so it has its own time limit.
async fn dial(
    uri: &AMQPUri,
    socket: &Socket,
) -> std::io::Result<AsyncTcpStream<Compat<TcpStream>>> {
    let address = (uri.authority.host.as_str(), uri.authority.port);
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
    };
    stream.set_nodelay(true)?;
    socket.opened(&stream)?;
    Ok(AsyncTcpStream::Plain(stream.compat()))
}

#[cfg(test)]
mod tests;
