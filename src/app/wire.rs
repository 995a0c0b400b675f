//! A peer's connection: TLS where there is any, and an end to it when it brings nothing.
//!
//! The HTTP server watches the first head and idle connections. Nobody watched a second head that never ends, nor a sender
//! who never reads his answers: one byte would hold a connection for ever. Here a connection ends on which no answer went
//! out for too long, whatever else happens on it.

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

/// How long the keys of a TLS connection may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection that ends when no answer went out on it for too long.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    patience: Duration,
    end: Pin<Box<Sleep>>,
}

/// Makes a connection out of what was accepted.
///
/// # Errors
/// Where TLS does not come about.
pub(super) async fn accepted(
    stream: TcpStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    patience: Duration,
) -> io::Result<(Wire, Option<SocketAddr>)> {
    let peer = stream.peer_addr().ok();
    // Answers are small and whole: none waits for another.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = match tls {
        Some(tls) => Box::new(timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await??),
        None => Box::new(stream),
    };
    Ok((Wire::new(stream, patience), peer))
}

impl Wire {
    fn new(stream: Box<dyn Stream>, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            end: Box::pin(sleep(patience)),
        }
    }

    /// Nothing came or went: is it over?
    fn or_end<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.end
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
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
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.or_end(context),
            ready @ Poll::Ready(_) => {
                let end = Instant::now() + self.patience;
                self.end.as_mut().reset(end);
                ready
            }
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

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_drips_for_ever_is_hung_up() {
        let (mut sender, ours) = duplex(1);
        let mut wire = Wire::new(Box::new(ours), PATIENCE);
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
        let mut wire = Wire::new(Box::new(ours), PATIENCE);
        for _ in 0..5 {
            sleep(PATIENCE * 9 / 10).await;
            sender.write_u8(b'?').await.expect("asked");
            assert_eq!(wire.read_u8().await.expect("heard"), b'?');
            wire.write_u8(b'!').await.expect("answered");
            assert_eq!(sender.read_u8().await.expect("read"), b'!');
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_who_never_reads_is_hung_up() {
        let (_sender, ours) = duplex(1);
        let mut wire = Wire::new(Box::new(ours), PATIENCE);
        wire.write_u8(b'!').await.expect("the first fits");
        assert!(
            wire.write_u8(b'!')
                .await
                .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        );
    }
}
