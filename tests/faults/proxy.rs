//! The network between the gateway and the broker. It cuts, delays and swallows bytes on command.
//!
//! It connects to the first node that accepts a connection, like a load balancer in front of a cluster. A stream that
//! lost bytes forwards nothing more until one side closes it, so no stream continues with a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The current behavior of the network.
#[derive(Default)]
struct Weather {
    delay_ms: AtomicU64,
    swallows: AtomicBool,
}

/// A TCP proxy that can fail on command.
pub(crate) struct Proxy {
    port: u16,
    weather: Arc<Weather>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to these ports on localhost.
    pub(crate) async fn to(nodes: Vec<u16>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port should be available");
        let port = listener
            .local_addr()
            .expect("the listener should have an address")
            .port();
        let (weather, cuts) = (Arc::new(Weather::default()), watch::Sender::new(0));
        let (now, cut) = (Arc::clone(&weather), cuts.subscribe());
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                tokio::spawn(connect(
                    client,
                    nodes.clone(),
                    Arc::clone(&now),
                    cut.clone(),
                ));
            }
        });
        Self {
            port,
            weather,
            cuts,
            accepting,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes every open connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Delays every chunk in each direction by this time from now on.
    pub(crate) fn delay(&self, milliseconds: u64) {
        self.weather.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// If `true`, existing connections forward no bytes and neither side is notified. New connections may still be
    /// accepted.
    pub(crate) fn swallow(&self, swallows: bool) {
        self.weather.swallows.store(swallows, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn connect(
    client: TcpStream,
    nodes: Vec<u16>,
    weather: Arc<Weather>,
    cut: watch::Receiver<u64>,
) {
    for node in nodes {
        let Ok(broker) = TcpStream::connect(("127.0.0.1", node)).await else {
            continue;
        };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let ((from_client, to_client), (from_broker, to_broker)) =
            (client.into_split(), broker.into_split());
        tokio::spawn(pump(
            from_client,
            to_broker,
            Arc::clone(&weather),
            cut.clone(),
        ));
        return pump(from_broker, to_client, weather, cut).await;
    }
}

/// Forwards one direction until it ends or is cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: Arc<Weather>,
    mut cut: watch::Receiver<u64>,
) {
    cut.mark_unchanged();
    let carry = async {
        let mut bytes = vec![0; 64 << 10];
        let mut dead = false;
        while let Ok(many @ 1..) = from.read(&mut bytes).await {
            tokio::time::sleep(Duration::from_millis(
                weather.delay_ms.load(Ordering::Relaxed),
            ))
            .await;
            dead |= weather.swallows.load(Ordering::Relaxed);
            if !dead && to.write_all(&bytes[..many]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = carry => {}
        _ = cut.changed() => {}
    }
}
