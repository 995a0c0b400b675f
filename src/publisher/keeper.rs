//! Keeps the topology while the gateway runs: at a returned message, and every half minute.
//!
//! A returned message that no configured queue is meant for has no subscriber, and nothing is wrong. Any other one shows that
//! a queue or a binding is gone. Under `create` it is declared again and the message is sent once more, so that the order
//! within a partition key stays. Where that fails, the connection ends, and events wait in the journal as they do for a
//! broker that is unreachable. Only what the gateway cannot see (a binding, without `create`) leaves deliveries unrouted.
//!
//! Invariant: a message is sent again at most once for each return, so that no loop can flood the broker.

use std::time::{Duration, Instant};

use lapin::Connection;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::broker_status::{BrokerStatus, Trouble, TroubleCode};
use super::declare::{self, TopologyError};
use super::publish::{PublishFailure, PublishOutcome};
use super::topology::{Topology, TopologyMode};

/// Time between two regular checks of the topology.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Time limit of a check.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// The trouble of unrouted events ends that long after the last one.
const UNROUTED_MEMORY: Duration = Duration::from_secs(300);

/// What to do with a returned message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopologyAssessment {
    /// No configured queue is meant for it.
    Unsubscribed,
    /// The topology is complete now: send it once more.
    Resend,
    /// Its queue cannot be declared: it waits until there is a connection again.
    Wait,
    /// Nothing can be done for it.
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

    pub(super) fn status(&self) -> watch::Receiver<BrokerStatus> {
        self.status.subscribe()
    }

    /// Brings a new connection's broker to the topology.
    pub(super) async fn establish(&self, connection: &Connection) -> Result<(), TopologyError> {
        let is_first = !self.status.borrow().established;
        declare::establish(&self.topology, connection, is_first).await
    }

    pub(super) fn set_connected(&self) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            status.connected = true;
            status.established = true;
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

    /// Notes the broker's limit. The event that was refused is a dead letter; a redrive leaves `data.raw` out.
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
        PublishOutcome::Impossible(PublishFailure::RefusedByBroker)
    }

    /// Notes that there is no connection, and why. Logs an error when the reason is new.
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

    /// Keeps the topology of a connection. Returns when it cannot be kept: the connection is of no use then.
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
            // A blocked connection answers nothing, and that is no sign of a lost queue.
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
        let asked = async {
            self.ask.send(answer).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(LOOK_TIMEOUT * 2, asked).await {
            // Under `check` a person may have restored it meanwhile; a second return shows that nothing was restored.
            Ok(Some(true)) if self.topology.mode != TopologyMode::Leave => {
                TopologyAssessment::Resend
            }
            Ok(Some(true)) => TopologyAssessment::Unrouted,
            Ok(Some(false) | None) | Err(_) => TopologyAssessment::Wait,
        }
    }

    /// Notes an event that stays unrouted. Logs an error when it is the first.
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

/// The trouble that an error of the topology means. A connection that failed says nothing about the topology.
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
