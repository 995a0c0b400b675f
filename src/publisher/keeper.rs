//! Keeps the topology while the gateway runs: checks it at each returned message, and every half minute.
//!
//! A returned message that no configured queue is bound for has no subscriber, which is no problem. Any other returned message
//! shows that a queue or a binding is gone. Under `create` it is declared again and the message is sent once more, so that the
//! order within a partition key stays. If that fails, the connection ends, and events wait in the journal, as for a broker that
//! is unreachable. Deliveries become unrouted only for a cause that the gateway cannot see: a binding, without `create`.
//!
//! Invariant: a message is sent again at most once for each return, so that no loop can flood the broker.

use std::time::{Duration, Instant};

use lapin::Connection;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::broker_status::{BrokerStatus, Trouble, TroubleCode};
use super::declare::{self, TopologyError};
use super::publish::PublishOutcome;
use super::topology::{Topology, TopologyMode};

/// Time between two regular checks of the topology.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Time limit of a check.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// The problem of unrouted events ends this time after the last one.
const UNROUTED_MEMORY: Duration = Duration::from_secs(300);

/// What to do with a returned message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopologyAssessment {
    /// No configured queue is bound for it.
    Unsubscribed,
    /// The topology is complete now: send it once more.
    Resend,
    /// Its queue cannot be declared. It waits for a new connection.
    Wait,
    /// It stays unrouted.
    Unrouted,
}

/// Receives the result of a requested check: `true` if the topology is complete.
type Request = oneshot::Sender<bool>;

pub(super) struct Keeper {
    topology: Topology,
    status: watch::Sender<BrokerStatus>,
    ask: mpsc::Sender<Request>,
    requests: Mutex<mpsc::Receiver<Request>>,
    unrouted_at: std::sync::Mutex<Option<Instant>>,
}

impl Keeper {
    pub(super) fn new(topology: Topology) -> Self {
        let (ask, requests) = mpsc::channel(64);
        Self {
            topology,
            status: watch::Sender::new(BrokerStatus::default()),
            ask,
            requests: Mutex::new(requests),
            unrouted_at: std::sync::Mutex::new(None),
        }
    }

    pub(super) fn exchange(&self) -> &str {
        &self.topology.exchange
    }

    pub(super) fn mode(&self) -> TopologyMode {
        self.topology.mode
    }

    pub(super) fn status(&self) -> watch::Receiver<BrokerStatus> {
        self.status.subscribe()
    }

    /// Declares or checks the topology at the broker of a new connection.
    pub(super) async fn establish(&self, connection: &Connection) -> Result<(), TopologyError> {
        let is_first = !self.status.borrow().established;
        declare::establish(&self.topology, connection, is_first).await
    }

    pub(super) fn set_connected(&self) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.connected = true;
            status.established = true;
            // The limit may have been changed meanwhile.
            status.max_message_bytes = None;
            if status
                .trouble
                .as_ref()
                .is_some_and(|trouble| trouble.code != TroubleCode::Unrouted)
            {
                status.trouble = None;
            }
            *status != before
        });
    }

    /// Stores the broker's limit.
    pub(super) fn too_large(&self, limit: usize) -> PublishOutcome {
        self.status.send_if_modified(|status| {
            let is_new = status.max_message_bytes != Some(limit);
            if is_new {
                tracing::warn!(
                    limit,
                    "the broker refuses larger messages; larger events are sent without data.raw"
                );
                status.max_message_bytes = Some(limit);
            }
            is_new
        });
        PublishOutcome::TooLarge { limit }
    }

    /// Records that there is no connection, and why. Logs an error if the reason is new.
    pub(super) fn set_disconnected(&self, why: Option<Trouble>) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.connected = false;
            if let Some(why) = why {
                if status.trouble.as_ref() != Some(&why) && why.code == TroubleCode::Topology {
                    tracing::error!(detail = %why.detail, "broker topology lost; events wait in the journal");
                }
                status.trouble = Some(why);
            }
            *status != before
        });
    }

    /// Keeps the topology of a connection. Returns if that fails: the connection cannot be used any more.
    pub(super) async fn keep(&self, connection: &Connection) {
        let mut requests = self.requests.lock().await;
        // A check on this connection does not explain events that the previous connection returned.
        while let Ok(stale) = requests.try_recv() {
            let _ = stale.send(false);
        }
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                Some(first) = requests.recv() => waiting.push(first),
            }
            while let Ok(more) = requests.try_recv() {
                waiting.push(more);
            }
            self.forget_unrouted();
            // A blocked connection does not answer, which does not mean that a queue is lost.
            if connection.status().blocked() {
                continue;
            }
            let looked = tokio::time::timeout(LOOK_TIMEOUT, self.establish(connection)).await;
            let is_whole = matches!(looked, Ok(Ok(())));
            let why = match looked {
                Ok(Err(error)) => trouble(&error),
                Ok(Ok(())) | Err(_) => None,
            };
            if let Some(why) = &why {
                self.set_disconnected(Some(why.clone()));
            }
            for request in waiting {
                let _ = request.send(is_whole);
            }
            if why.is_some() {
                return;
            }
        }
    }

    /// Decides about a returned message.
    pub(super) async fn returned(&self, routing_key: &str) -> TopologyAssessment {
        if !self.topology.is_wanted(routing_key) {
            return TopologyAssessment::Unsubscribed;
        }
        let (answer, answered) = oneshot::channel();
        let requested = async {
            self.ask.send(answer).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(LOOK_TIMEOUT * 2, requested).await {
            // Under `check`, a person may have restored the topology meanwhile. A second return shows that it was not restored.
            Ok(Some(true)) if self.topology.mode != TopologyMode::Leave => {
                TopologyAssessment::Resend
            }
            Ok(Some(true)) => TopologyAssessment::Unrouted,
            Ok(Some(false) | None) | Err(_) => TopologyAssessment::Wait,
        }
    }

    /// Records an unrouted event. Logs an error at the first one.
    pub(super) fn note_unrouted(&self, routing_key: &str) {
        *self.unrouted_at() = Some(Instant::now());
        self.status.send_if_modified(|status| {
            if status.trouble.is_some() {
                return false;
            }
            let detail = format!(
                "events are returned although a --queue is meant for them (routing key {routing_key}): bind the queue to the exchange {}, then run `cartwire deliveries redrive --state unrouted`; or correct --queue",
                self.topology.exchange
            );
            tracing::error!(routing_key, exchange = %self.topology.exchange, "events are unrouted: the binding of a configured queue is gone");
            status.trouble = Some(Trouble {
                code: TroubleCode::Unrouted,
                detail,
            });
            true
        });
    }

    fn forget_unrouted(&self) {
        if self
            .unrouted_at()
            .is_some_and(|at| at.elapsed() < UNROUTED_MEMORY)
        {
            return;
        }
        self.status.send_if_modified(|status| {
            let is_over = status
                .trouble
                .as_ref()
                .is_some_and(|trouble| trouble.code == TroubleCode::Unrouted);
            if is_over {
                status.trouble = None;
            }
            is_over
        });
    }

    fn unrouted_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.unrouted_at
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The problem that an error of the topology means. A failed connection says nothing about the topology.
pub(super) fn trouble(error: &TopologyError) -> Option<Trouble> {
    let code = match error {
        TopologyError::Missing(_) | TopologyError::Forbidden(_) | TopologyError::Conflict(_) => {
            TroubleCode::Topology
        }
        TopologyError::Amqp(_) => return None,
    };
    Some(Trouble {
        code,
        detail: error.to_string(),
    })
}
