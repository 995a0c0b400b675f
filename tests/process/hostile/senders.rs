//! Senders without a key, floods of one store, and clients of the admin listener that read nothing, beside an honest store.
//! The worst honest answer is printed. No time is asserted: what is asserted is that honest senders are answered while the
//! others still hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cartwire::platforms::SignedRequest;

use super::*;

/// What an attacker's connection does with its body.
#[derive(Clone, Copy)]
struct Attack {
    path: &'static str,
    connections: usize,
    announced: usize,
    /// Bytes that are sent at once.
    sent: usize,
    /// Bytes that are sent each 100 ms after that.
    dripped: usize,
}

/// Runs an attack until it is dropped. Connections that are refused come back.
struct Running {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Attack {
    async fn start(self, gateway: &ProcessGateway) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let headers: &[(&str, &str)] = match self.path {
            SHOP => &[(SIGNATURE, FALSE)],
            _ => &[],
        };
        let head = head(gateway, self.path, headers, self.announced);
        let tasks = (0..self.connections).map(|_| {
            let (stop, head, address) = (Arc::clone(&stop), head.clone(), gateway.public());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut peer = Peer::connect(address).await;
                    let mut open =
                        peer.try_write(&head).await && peer.try_write(&vec![b'e'; self.sent]).await;
                    while open && !stop.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        open = peer.try_write(&vec![b'e'; self.dripped]).await;
                    }
                }
            })
        });
        let tasks = tasks.collect();
        // Until the attack holds what it can.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Running { stop, tasks }
    }
}

impl Running {
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Sends deliveries one after the other; gives the worst time of an answer.
async fn worst_of(
    gateway: &ProcessGateway,
    number: usize,
    make: impl Fn() -> SignedRequest,
) -> Duration {
    let mut worst = Duration::ZERO;
    for _ in 0..number {
        let request = request(&make());
        let began = Instant::now();
        let answer = request.send(gateway.public()).await;
        worst = worst.max(began.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    worst
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_bodies_are_accepted_beside_hanging_unsigned_ones() {
    let large = 8 << 20;
    for (what, attack) in [
        (
            "forty of 8 MiB that stop before their last byte, with the honest store's id",
            Attack {
                path: SHOP,
                connections: 40,
                announced: large,
                sent: large - 100,
                dripped: 1,
            },
        ),
        (
            "forty of 8 MiB that come slowly, with the honest store's id",
            Attack {
                path: SHOP,
                connections: 40,
                announced: large,
                sent: 64 << 10,
                dripped: 12 << 10,
            },
        ),
        (
            "forty of 8 MiB that stop before their last byte, with another id",
            Attack {
                path: APP,
                connections: 40,
                announced: large,
                sent: large - 100,
                dripped: 1,
            },
        ),
        (
            "a thousand small ones that drip, with the honest store's id",
            Attack {
                path: SHOP,
                connections: 1000,
                announced: 60 << 10,
                sent: 40 << 10,
                dripped: 10,
            },
        ),
    ] {
        let gateway = gateway().await;
        let running = attack.start(&gateway).await;
        let small = worst_of(&gateway, 40, || order(20 << 10)).await;
        let hanging = running
            .tasks
            .iter()
            .filter(|task| !task.is_finished())
            .count();
        assert_eq!(hanging, attack.connections, "{what}: the attack goes on");
        eprintln!("{what}: worst honest answer of 20 KB {small:?}");
        if attack.path == APP {
            let middle = worst_of(&gateway, 5, || order(2 << 20)).await;
            eprintln!("{what}: worst honest answer of 2 MB {middle:?}");
        }
        running.end().await;
        assert_memory_below(&gateway, 512, what);
        assert_honest_are_answered(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_valid_deliveries_of_one_store_delays_no_other() {
    let gateway = gateway().await;
    let stop = Arc::new(AtomicBool::new(false));
    let address = gateway.public();
    // Few signatures, many requests: duplicates are read, verified and looked for like others.
    let flood: Vec<_> = (0..100)
        .map(|number| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    let size = if number % 10 == 0 { 1 << 20 } else { 20 << 10 };
                    request(&order(size)).send(address).await;
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let store = gateway.store();
    let mut worst = Duration::ZERO;
    for _ in 0..40 {
        let site = Order::Site(1);
        let began = Instant::now();
        let answer = store.try_send(site, &store.webhook(site, unique())).await;
        worst = worst.max(began.elapsed());
        assert_eq!(answer.expect("an answer").status, 200);
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = 0;
    for task in flood {
        sent += task.await.expect("the flood");
    }
    eprintln!("a flood of {sent} deliveries: worst answer of the other store {worst:?}");
    assert!(sent > 100, "there was a flood");
    assert_memory_below(&gateway, 512, "a flood of one store");
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_clients_that_read_nothing_block_no_probe() {
    let gateway = gateway().await;
    for _ in 0..24 {
        let kept = request(&order(1 << 20)).send(gateway.public()).await;
        assert_eq!(kept.word(), "accepted");
    }
    gateway.settled().await;
    for path in [
        "/api/events/stream?after=0",
        "/api/events?limit=1000",
        "/api/deliveries?limit=1000",
    ] {
        let mut peers = Vec::new();
        for _ in 0..300 {
            let mut peer = Peer::connect(gateway.admin_address()).await;
            let (head, _) = Request::new("GET", path).parts(gateway.admin_address());
            peer.try_write(&head).await;
            peers.push(peer);
        }
        let mut worst = Duration::ZERO;
        for path in ["/readyz", "/healthz", "/metrics"].repeat(5) {
            let began = Instant::now();
            let probe = Request::new("GET", path)
                .send(gateway.admin_address())
                .await;
            worst = worst.max(began.elapsed());
            assert_eq!(probe.status, 200, "{path}");
        }
        eprintln!("300 clients of {path} that read nothing: worst probe {worst:?}");
        assert_honest_are_answered(&gateway).await;
    }
    assert_memory_below(&gateway, 512, "clients that read nothing");
}
