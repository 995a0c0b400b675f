//! RabbitMQ: persistent and mandatory messages with publisher confirms.
//!
//! A supervisor task keeps a connection, and publishes wait for it. Each store has a channel of its own (see `live`). An
//! event that may be the reason why the broker closes a channel or a connection is sent on one of its own, so that no other
//! event is lost with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use super::broker_status::BrokerStatus;
use super::channel::{self, Alone, MAX_CONFIRM_WAIT};
use super::exchange::ExchangePublisher;
use super::keeper::{Keeper, TopologyAssessment};
use super::live::{Live, OPEN_TIMEOUT, open_channel};
use super::message::routing_key;
use super::publish::{Publish, PublishOutcome, Way};
use super::session::Endpoints;
use super::supervisor::{CONNECT_BACKOFF, supervise};
use super::topology::Topology;
use crate::event::Event;

/// The publisher to RabbitMQ.
pub struct RabbitMq {
    endpoints: Endpoints,
    keeper: Arc<Keeper>,
    live: watch::Receiver<Option<Arc<Live>>>,
    closing: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitMq {
    /// Begins to connect, and goes on until it is closed.
    #[must_use]
    pub fn start(endpoints: Endpoints, topology: Topology) -> Self {
        // lapin ends a connection on a thread of its own, outside our runtime; its bridge then starts another runtime, once
        // for all. If that fails for want of descriptors, each later end of a connection panics. So it is done now.
        std::thread::spawn(|| drop(async_compat::Compat::new(())));
        let (sender, live) = watch::channel(None);
        let closing = watch::Sender::new(false);
        let keeper = Arc::new(Keeper::new(topology));
        let supervisor = tokio::spawn(supervise(
            endpoints.clone(),
            Arc::clone(&keeper),
            sender,
            closing.subscribe(),
        ));
        Self {
            endpoints,
            keeper,
            live,
            closing,
            supervisor: Mutex::new(Some(supervisor)),
        }
    }

    /// Publishes to other exchanges on the same connection.
    #[must_use]
    pub fn exchanges(&self) -> ExchangePublisher {
        ExchangePublisher::new(self.live.clone(), Arc::clone(&self.keeper))
    }

    /// The connection, as soon as there is one. `None` if the supervisor has ended.
    async fn live(&self) -> Option<Arc<Live>> {
        let mut live = self.live.clone();
        let found = live
            .wait_for(|live| live.as_ref().is_some_and(|live| !live.link.is_broken()))
            .await
            .ok()?;
        found.clone()
    }

    async fn send(&self, event: &Arc<Event>, way: Way) -> PublishOutcome {
        let Some(live) = self.live().await else {
            return PublishOutcome::Ended;
        };
        match way {
            Way::Shared => live.publish(Arc::clone(event)).await,
            Way::OwnChannel => live.publish_alone(event).await,
            Way::OwnConnection => self.publish_isolated(&live, event).await,
        }
    }

    /// Publishes an event on a connection of its own.
    async fn publish_isolated(&self, live: &Arc<Live>, event: &Event) -> PublishOutcome {
        let name = "cartwire publisher (one event)";
        let Ok(session) = self.endpoints.connect(name).await else {
            return lost_after_pause(live).await;
        };
        let opened = tokio::time::timeout(OPEN_TIMEOUT, open_channel(&session.connection)).await;
        let Ok(Ok(channel)) = opened else {
            tokio::spawn(async move { session.close().await });
            return lost_after_pause(live).await;
        };
        let alone = tokio::select! {
            alone = channel::publish_alone(channel, live.link.exchange(), event) => alone,
            () = live.link.overdue(MAX_CONFIRM_WAIT) => Alone::Answered(PublishOutcome::Lost),
        };
        tokio::spawn(async move { session.close().await });
        match alone {
            Alone::Answered(receipt) => receipt,
            Alone::TooLarge(limit) => live.keeper.too_large(limit),
            // A broker that goes away takes both connections with it.
            Alone::ConnectionLost => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if live.link.is_broken() {
                    PublishOutcome::Lost
                } else {
                    tracing::warn!(event = %event.id, connection = %event.connection, "the broker closed the connection because of an event");
                    PublishOutcome::Killed
                }
            }
        }
    }
}

impl Publish for RabbitMq {
    async fn ended(&self) {
        let mut live = self.live.clone();
        // The supervisor keeps the sender while it runs.
        while live.changed().await.is_ok() {}
    }

    async fn publish(&self, event: Arc<Event>, way: Way) -> PublishOutcome {
        let receipt = self.send(&event, way).await;
        if receipt != PublishOutcome::Returned {
            return receipt;
        }
        let routing_key = routing_key(&event);
        let receipt = match self.keeper.returned(&routing_key).await {
            TopologyAssessment::Unsubscribed => PublishOutcome::Unsubscribed,
            TopologyAssessment::Wait => PublishOutcome::Lost,
            TopologyAssessment::Unrouted => PublishOutcome::Returned,
            TopologyAssessment::Resend => self.send(&event, way).await,
        };
        if receipt == PublishOutcome::Returned {
            self.keeper.note_unrouted(&routing_key);
        }
        receipt
    }

    fn status(&self) -> Option<watch::Receiver<BrokerStatus>> {
        Some(self.keeper.status())
    }

    fn is_ready(&self) -> bool {
        self.live
            .borrow()
            .as_ref()
            .is_some_and(|live| !live.link.is_broken())
    }

    async fn ready(&self) -> bool {
        self.live().await.is_some()
    }

    async fn close(&self) {
        self.closing.send_replace(true);
        if let Some(supervisor) = self.supervisor.lock().await.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), supervisor).await;
        }
    }
}

/// Waits before the next attempt, because the broker accepts no second connection.
async fn lost_after_pause(live: &Live) -> PublishOutcome {
    tokio::select! {
        () = tokio::time::sleep(CONNECT_BACKOFF.max) => {}
        () = live.link.wait_broken() => {}
    }
    PublishOutcome::Lost
}
