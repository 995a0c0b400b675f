//! A client's connection: TLS if it is configured, and the end of a connection that is not used.
//!
//! The HTTP server limits the time of the first request head and of idle connections. It does not limit a second head that never
//! ends, nor a client that never reads its responses: one byte would keep a connection open for ever. Here a connection ends if
//! no response was written to it for too long, or if it must free its place for others.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::http_error;
use super::open_connections::{OpenConnections, Ticket};

/// Maximum time of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for which a client may read nothing of a response.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(20);

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection that ends if no response was written to it for too long.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    ticket: Ticket,
    timeout: Duration,
    end: Pin<Box<Sleep>>,
    /// `true` if a response waits for the client to read.
    unread: bool,
    replaced: Option<Replaced>,
}

/// An error response of the HTTP server, and the response that is written in its place.
struct Replaced {
    original_length: usize,
    answer: Vec<u8>,
    written: usize,
}

/// Prepares an accepted connection.
///
/// # Errors
/// If the TLS handshake fails, or if the connection must free its place meanwhile.
pub(super) async fn accepted(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    all: Arc<OpenConnections>,
    answer_timeout: Duration,
) -> io::Result<(Wire, Option<SocketAddr>)> {
    let ticket = all.admit();
    let peer = stream.peer_addr().ok();
    // Responses are small and written at once, so none waits for another.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = match tls {
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls).accept(stream);
            tokio::select! {
                stream = timeout(HANDSHAKE_TIMEOUT, handshake) => Box::new(stream??),
                () = ticket.ended() => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        None => Box::new(stream),
    };
    Ok((Wire::new(stream, ticket, answer_timeout), peer))
}

impl Wire {
    fn new(stream: Box<dyn Stream>, ticket: Ticket, timeout: Duration) -> Self {
        Self {
            stream,
            ticket,
            timeout,
            end: Box::pin(sleep(timeout)),
            unread: false,
            replaced: None,
        }
    }

    /// Called if nothing was read or written: an error if the connection must end.
    fn or_end<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.ticket.poll_ended(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.end
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_write_as_it_is(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => {
                if !self.unread {
                    self.unread = true;
                    let end = self.end.deadline().min(Instant::now() + UNREAD_TIMEOUT);
                    self.end.as_mut().reset(end);
                }
                self.or_end(context)
            }
            ready @ Poll::Ready(_) => {
                self.unread = false;
                self.ticket.answered();
                let end = Instant::now() + self.timeout;
                self.end.as_mut().reset(end);
                ready
            }
        }
    }

    /// Writes the replacement of an error response. The original then counts as written.
    fn poll_write_replaced(
        &mut self,
        context: &mut Context<'_>,
        mut replaced: Replaced,
    ) -> Poll<io::Result<usize>> {
        while replaced.written < replaced.answer.len() {
            let rest = &replaced.answer[replaced.written..];
            match self.poll_write_as_it_is(context, rest) {
                Poll::Pending => {
                    self.replaced = Some(replaced);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => replaced.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(replaced.original_length))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.or_end(context),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(replaced) = self.replaced.take() {
            return self.poll_write_replaced(context, replaced);
        }
        match http_error::find(bytes) {
            None => self.poll_write_as_it_is(context, bytes),
            Some(0) => {
                let replaced = Replaced {
                    original_length: bytes.len(),
                    answer: http_error::complete(bytes),
                    written: 0,
                };
                self.poll_write_replaced(context, replaced)
            }
            // Earlier responses are written first.
            Some(at) => self.poll_write_as_it_is(context, &bytes[..at]),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.or_end(context),
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.or_end(context),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(50);

    fn wire(stream: tokio::io::DuplexStream) -> Wire {
        let ticket = Arc::new(OpenConnections::new(8)).admit();
        Wire::new(Box::new(stream), ticket, PATIENCE)
    }

    #[tokio::test(start_paused = true)]
    async fn error_answer_of_the_http_server_goes_out_with_a_body_and_an_id() {
        let (mut client, ours) = duplex(7);
        let mut wire = wire(ours);
        let bytes = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n\
                      HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
        let mut read = String::new();
        let writing = async move { wire.write_all(bytes).await };
        let (written, text) = tokio::join!(writing, client.read_to_string(&mut read));
        written.expect("written");
        text.expect("text");
        assert!(read.starts_with("HTTP/1.1 200 OK\r\nx-request-id: 1\r\n"));
        assert!(read.ends_with("\r\n\r\n{\"error\":\"timeout\"}"), "{read}");
        assert_eq!(read.matches("x-request-id").count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_makes_room_ends_within_a_read() {
        let all = Arc::new(OpenConnections::new(1));
        let (_client, ours) = duplex(8);
        let mut wire = Wire::new(Box::new(ours), all.admit(), PATIENCE);
        let room = async {
            tokio::task::yield_now().await;
            all.admit()
        };
        let (ended, _new) = tokio::join!(wire.read_u8(), room);
        assert!(ended.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_drips_for_ever_is_hung_up() {
        let (mut sender, ours) = duplex(1);
        let mut wire = wire(ours);
        let dripping = tokio::spawn(async move {
            while sender.write_u8(b'x').await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let mut all = Vec::new();
        let ended = wire.read_to_end(&mut all).await;
        assert!(
            ended.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut),
            "after {} bytes",
            all.len()
        );
        drop(wire);
        dripping.await.expect("he notices");
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_gives_the_next_request_its_time() {
        let (mut sender, ours) = duplex(16);
        let mut wire = wire(ours);
        for _ in 0..5 {
            sleep(PATIENCE * 9 / 10).await;
            sender.write_u8(b'?').await.expect("written");
            assert_eq!(wire.read_u8().await.expect("heard"), b'?');
            wire.write_u8(b'!').await.expect("answered");
            assert_eq!(sender.read_u8().await.expect("read"), b'!');
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_never_reads_is_hung_up() {
        let (_sender, ours) = duplex(1);
        let mut wire = wire(ours);
        wire.write_u8(b'!').await.expect("the first fits");
        assert!(
            wire.write_u8(b'!')
                .await
                .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        );
    }
}
