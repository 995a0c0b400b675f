//! The open connections of a listener. If there are too many, those without a response for the longest time are ended, so that
//! a new client is always served. So idle and slow connections cannot lock out probes or senders.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// This part of the limit is ended at once, so that a flood of connections does not cause a search for each of them.
const ENDED_PART: usize = 64;

/// All open connections of one listener.
#[derive(Debug)]
pub(super) struct OpenConnections {
    limit: usize,
    began: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    lines: HashMap<u64, Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    /// Milliseconds since the listener began.
    answered: AtomicU64,
    ended: AtomicBool,
    waker: AtomicWaker,
}

/// An open connection. Dropping it removes it from the list.
#[derive(Debug)]
pub(super) struct Ticket {
    id: u64,
    line: Arc<Line>,
    all: Arc<OpenConnections>,
}

impl OpenConnections {
    /// Maximum number of connections.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            began: Instant::now(),
            open: Mutex::default(),
        }
    }

    /// Adds a new connection, and ends others if there are too many.
    pub(super) fn admit(self: &Arc<Self>) -> Ticket {
        let line = Arc::new(Line {
            answered: AtomicU64::new(self.now()),
            ended: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let mut open = self.open();
        if open.lines.len() >= self.limit {
            self.end_some(&mut open);
        }
        let id = open.next_id;
        open.next_id += 1;
        open.lines.insert(id, Arc::clone(&line));
        Ticket {
            id,
            line,
            all: Arc::clone(self),
        }
    }

    fn end_some(&self, open: &mut Open) {
        let mut oldest: Vec<(u64, u64)> = open
            .lines
            .iter()
            .map(|(id, line)| (line.answered.load(Ordering::Relaxed), *id))
            .collect();
        let ended = (self.limit / ENDED_PART).clamp(1, oldest.len().max(1));
        oldest.select_nth_unstable(ended - 1);
        for (_, id) in &oldest[..ended] {
            if let Some(line) = open.lines.remove(id) {
                line.ended.store(true, Ordering::Release);
                line.waker.wake();
                metrics::counter!("cartwire_http_connections_ended_total").increment(1);
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// A part of a response was written.
    pub(super) fn answered(&self) {
        self.line.answered.store(self.all.now(), Ordering::Relaxed);
    }

    /// Ready when the connection must free its place.
    pub(super) fn poll_ended(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.line.ended.load(Ordering::Acquire) {
            self.line.waker.register(context.waker());
            if !self.line.ended.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Waits until the connection must free its place.
    pub(super) async fn ended(&self) {
        poll_fn(|context| self.poll_ended(context)).await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.open().lines.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connection_that_was_answered_longest_ago_makes_room() {
        let all = Arc::new(OpenConnections::new(3));
        let mut tickets = Vec::new();
        for _ in 0..3 {
            tickets.push(all.admit());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tickets[0].answered();
        let _new = all.admit();
        let ended: Vec<bool> = tickets
            .iter()
            .map(|ticket| ticket.ended().now_or_never().is_some())
            .collect();
        assert_eq!(ended, [false, true, false]);
        drop(tickets);
        assert_eq!(all.open().lines.len(), 1);
    }
}
