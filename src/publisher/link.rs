//! The state of one connection to the broker, shared by the tasks of its channels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// The exchange that a connection publishes to, and the connection's state.
pub(super) struct Link {
    exchange: String,
    /// Set after a failure. The supervisor then makes a new connection.
    broken: watch::Sender<bool>,
    blocked: AtomicBool,
    confirmed: AtomicBool,
}

impl Link {
    pub(super) fn new(exchange: &str) -> Self {
        Self {
            exchange: exchange.to_owned(),
            broken: watch::Sender::new(false),
            blocked: AtomicBool::new(false),
            confirmed: AtomicBool::new(false),
        }
    }

    pub(super) fn exchange(&self) -> &str {
        &self.exchange
    }

    pub(super) fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    pub(super) fn set_broken(&self) {
        self.broken.send_replace(true);
    }

    pub(super) async fn wait_broken(&self) {
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }

    /// `true` while the broker blocks the connection, because of its memory or disk alarm.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.blocked.store(is_blocked, Ordering::Relaxed);
        metrics::gauge!("cartwire_broker_blocked").set(f64::from(u8::from(is_blocked)));
    }

    /// `true` if the broker confirmed at least one event on this connection.
    pub(super) fn has_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    pub(super) fn set_confirmed(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    /// Ends when an answer of the broker is overdue. No answer is overdue while the broker blocks the connection.
    pub(super) async fn overdue(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit).await;
            if !self.is_blocked() {
                return;
            }
        }
    }
}
