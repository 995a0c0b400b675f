//! RabbitMQ: persistent, mandatory, confirmed; reconnecting by itself.
//!
//! One task keeps a connection alive and replaces it when it breaks; publishes wait for it. Each store has a channel of its
//! own (see `channel`). An event that may be the reason why the broker closes a channel or a connection has one of its
//! own, so that no other event is lost with it.
//!
//! Recovery is our own rather than lapin's: a new connection has no stale returns and no channel left in an error.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::channel::{self, Alone, MAX_CONFIRM_WAIT, Outgoing};
use super::keeper::{self, Keeper, TopologyAssessment, Trouble, TroubleCode};
use super::message::routing_key;
use super::session::{Endpoints, Session};
use super::topology::Topology;
use super::{Publish, Receipt, Standing, Way};
use crate::backoff::Backoff;
use crate::delivery::ConnectionId;
use crate::event::Event;
use crate::report::ErrorChain;

/// Channels of stores at most. Stores beyond that share them. RabbitMQ's default limit for a connection is 2047.
const MAX_CHANNELS: usize = 1024;
/// Time limit for opening a channel on a connection that is not blocked.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for the topology of a new connection.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before the next attempt to connect.
const CONNECT_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    max: Duration::from_secs(5),
};

/// The publisher to RabbitMQ.
pub struct RabbitMq {
    endpoints: Endpoints,
    keeper: Arc<Keeper>,
    live: watch::Receiver<Option<Arc<Live>>>,
    closing: watch::Sender<bool>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// A connection with its channels.
pub(super) struct Live {
    session: Session,
    keeper: Arc<Keeper>,
    exchange: String,
    /// The queues of the channels' tasks; a closed one is replaced when it is needed.
    channels: Vec<Mutex<mpsc::Sender<Outgoing>>>,
    places: std::sync::Mutex<Places>,
    /// Set when something went wrong; the supervisor then makes a new one.
    broken: watch::Sender<bool>,
    blocked: AtomicBool,
    confirmed: AtomicBool,
}

/// Which store has which channel.
#[derive(Default)]
struct Places {
    /// The stores that have a channel for themselves.
    own: HashMap<ConnectionId, usize>,
    /// Spreads all other stores over the channels in a way that no store can foresee.
    hasher: RandomState,
}

impl Places {
    /// The channel of a store. The first stores get one each; only where there are more stores than channels they share.
    fn of(&mut self, connection: &ConnectionId, channels: usize) -> usize {
        if let Some(index) = self.own.get(connection) {
            return *index;
        }
        let next = self.own.len();
        if next < channels {
            self.own.insert(connection.clone(), next);
            return next;
        }
        let hash = self.hasher.hash_one(connection) as usize;
        hash.checked_rem(channels).unwrap_or(0)
    }
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

    /// The connection, as soon as there is one. `None` if the supervisor has ended.
    async fn live(&self) -> Option<Arc<Live>> {
        let mut live = self.live.clone();
        let found = live
            .wait_for(|live| live.as_ref().is_some_and(|live| !live.is_broken()))
            .await
            .ok()?;
        found.clone()
    }

    async fn send(&self, event: &Arc<Event>, way: Way) -> Receipt {
        let Some(live) = self.live().await else {
            return Receipt::Ended;
        };
        match way {
            Way::Shared => live.publish(Arc::clone(event)).await,
            Way::OwnChannel => live.publish_alone(event).await,
            Way::OwnConnection => self.publish_isolated(&live, event).await,
        }
    }

    /// Publishes an event on a connection of its own.
    async fn publish_isolated(&self, live: &Arc<Live>, event: &Event) -> Receipt {
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
            alone = channel::publish_alone(channel, &live.exchange, event) => alone,
            () = live.overdue(MAX_CONFIRM_WAIT) => Alone::Answered(Receipt::Lost),
        };
        tokio::spawn(async move { session.close().await });
        match alone {
            Alone::Answered(receipt) => receipt,
            Alone::TooLarge(limit) => live.keeper.too_large(limit),
            // A broker that goes away takes both connections with it.
            Alone::ConnectionLost => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                if live.is_broken() {
                    Receipt::Lost
                } else {
                    tracing::warn!(event = %event.id, connection = %event.connection, "the broker closed the connection because of an event");
                    Receipt::Killed
                }
            }
        }
    }
}

impl Publish for RabbitMq {
    async fn ended(&self) {
        let mut live = self.live.clone();
        // The supervisor holds the sender for as long as it runs.
        while live.changed().await.is_ok() {}
    }

    async fn publish(&self, event: Arc<Event>, way: Way) -> Receipt {
        let receipt = self.send(&event, way).await;
        if receipt != Receipt::Returned {
            return receipt;
        }
        let routing_key = routing_key(&event);
        let receipt = match self.keeper.returned(&routing_key).await {
            TopologyAssessment::Unsubscribed => Receipt::Unsubscribed,
            TopologyAssessment::Wait => Receipt::Lost,
            TopologyAssessment::Unrouted => Receipt::Returned,
            TopologyAssessment::Resend => self.send(&event, way).await,
        };
        if receipt == Receipt::Returned {
            self.keeper.note_unrouted(&routing_key);
        }
        receipt
    }

    fn standing(&self) -> Option<watch::Receiver<Standing>> {
        Some(self.keeper.standing())
    }

    fn is_ready(&self) -> bool {
        self.live
            .borrow()
            .as_ref()
            .is_some_and(|live| !live.is_broken())
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

impl Live {
    pub(super) fn is_broken(&self) -> bool {
        *self.broken.borrow()
    }

    pub(super) fn set_broken(&self) {
        self.broken.send_replace(true);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(super) fn set_confirmed(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    pub(super) fn exchange(&self) -> &str {
        &self.exchange
    }

    async fn wait_broken(&self) {
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }

    async fn publish(self: &Arc<Self>, event: Arc<Event>) -> Receipt {
        let index = self
            .places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .of(&event.connection, self.channels.len());
        let Some(sender) = self.channel(index).await else {
            return Receipt::NotSent;
        };
        let (answer, answered) = oneshot::channel();
        if sender.send(Outgoing { event, answer }).await.is_err() {
            return Receipt::NotSent;
        }
        answered.await.unwrap_or(Receipt::Lost)
    }

    /// The queue of a channel that takes events. `None` if the connection is broken.
    async fn channel(self: &Arc<Self>, index: usize) -> Option<mpsc::Sender<Outgoing>> {
        let mut sender = self.channels.get(index)?.lock().await;
        if self.is_broken() {
            return None;
        }
        if sender.is_closed() {
            let opened = tokio::select! {
                opened = open_channel(&self.session.connection) => opened.ok(),
                () = self.overdue(OPEN_TIMEOUT) => None,
                () = self.wait_broken() => None,
            };
            let Some(channel) = opened else {
                if !self.is_broken() {
                    tracing::warn!("the broker opens no channel; reconnecting");
                    self.set_broken();
                }
                return None;
            };
            *sender = channel::start(channel, Arc::clone(self));
        }
        Some(sender.clone())
    }

    /// Publishes an event on a channel of its own.
    async fn publish_alone(&self, event: &Event) -> Receipt {
        let opened = tokio::select! {
            opened = open_channel(&self.session.connection) => opened,
            () = self.overdue(OPEN_TIMEOUT) => {
                self.set_broken();
                return Receipt::NotSent;
            }
            () = self.wait_broken() => return Receipt::NotSent,
        };
        let Ok(channel) = opened else {
            self.set_broken();
            return Receipt::NotSent;
        };
        let alone = tokio::select! {
            alone = channel::publish_alone(channel, &self.exchange, event) => alone,
            () = self.overdue(MAX_CONFIRM_WAIT) => return Receipt::Lost,
            () = self.wait_broken() => return Receipt::Lost,
        };
        match alone {
            Alone::Answered(receipt) => {
                self.set_confirmed();
                receipt
            }
            Alone::TooLarge(limit) => self.keeper.too_large(limit),
            Alone::ConnectionLost => {
                self.set_broken();
                Receipt::Lost
            }
        }
    }

    /// Ends when an answer of the broker is overdue. While it blocks the connection (memory or disk alarm) nothing is.
    async fn overdue(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit).await;
            if !self.is_blocked() {
                return;
            }
        }
    }
}

/// A broker that takes no second connection is not asked for one again at once.
async fn lost_after_pause(live: &Live) -> Receipt {
    tokio::select! {
        () = tokio::time::sleep(CONNECT_BACKOFF.max) => {}
        () = live.wait_broken() => {}
    }
    Receipt::Lost
}

/// Keeps a connection alive until the publisher is closed.
async fn supervise(
    endpoints: Endpoints,
    keeper: Arc<Keeper>,
    sender: watch::Sender<Option<Arc<Live>>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    let mut failing = false;
    loop {
        let connected = tokio::select! {
            connected = connect(&endpoints, &keeper) => connected,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match connected {
            Ok(live) => {
                failing = false;
                tracing::info!(exchange = keeper.exchange(), "connected to the broker");
                keeper.set_connected();
                sender.send_replace(Some(Arc::clone(&live)));
                tokio::select! {
                    () = watch_over(&live, &mut closing) => {}
                    () = keeper.keep(&live.session.connection) => {}
                }
                metrics::gauge!("cartwire_broker_blocked").set(0);
                live.set_broken();
                sender.send_replace(None);
                keeper.set_disconnected(None);
                live.session.close().await;
                if *closing.borrow() {
                    return;
                }
                // A connection that never got anything through is no reason to hurry.
                if live.confirmed.load(Ordering::Relaxed) {
                    failures = 0;
                }
            }
            Err(why) => {
                complain(&mut failing, &why.detail);
                keeper.set_disconnected(Some(why));
            }
        }
        failures = failures.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(CONNECT_BACKOFF.delay(failures)) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// One line when it begins to fail, then silence until it works again: it is tried every few seconds.
fn complain(failing: &mut bool, error: &str) {
    metrics::counter!("cartwire_broker_connect_failures_total").increment(1);
    if *failing {
        tracing::debug!(error, "the broker is still not reached");
    } else {
        tracing::warn!(
            error,
            "the broker is not reached; webhooks are kept and published when it is"
        );
    }
    *failing = true;
}

/// A channel that confirms.
async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

async fn connect(endpoints: &Endpoints, keeper: &Arc<Keeper>) -> Result<Arc<Live>, Trouble> {
    let unreachable = |detail: String| Trouble {
        code: TroubleCode::Unreachable,
        detail,
    };
    let session = endpoints
        .connect("cartwire publisher")
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(SETUP_TIMEOUT, keeper.establish(&session.connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(keeper::trouble(&error).unwrap_or_else(|| unreachable(error.to_string())));
        }
        Err(_) => return Err(unreachable("no answer in time".to_owned())),
    }
    // Each is opened when it is needed first.
    let allowed = match session.connection.configuration().channel_max() {
        0 => MAX_CHANNELS,
        // Some are left for events that have a channel of their own.
        most => (usize::from(most) / 2).clamp(1, MAX_CHANNELS),
    };
    let channels = (0..allowed).map(|_| Mutex::new(mpsc::channel(1).0));
    let live = Live {
        session,
        keeper: Arc::clone(keeper),
        exchange: keeper.exchange().to_owned(),
        channels: channels.collect(),
        places: std::sync::Mutex::default(),
        broken: watch::Sender::new(false),
        blocked: AtomicBool::new(false),
        confirmed: AtomicBool::new(false),
    };
    Ok(Arc::new(live))
}

/// Returns when the connection is no longer good, or is to be closed.
async fn watch_over(live: &Live, closing: &mut watch::Receiver<bool>) {
    let mut events = std::pin::pin!(live.session.connection.events_listener());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(lapin::Event::ConnectionBlocked(reason)) => {
                    live.blocked.store(true, Ordering::Relaxed);
                    metrics::gauge!("cartwire_broker_blocked").set(1);
                    tracing::warn!(reason, "the broker takes nothing at the moment; webhooks are kept meanwhile");
                }
                Some(lapin::Event::ConnectionUnblocked) => {
                    live.blocked.store(false, Ordering::Relaxed);
                    metrics::gauge!("cartwire_broker_blocked").set(0);
                    tracing::info!("the broker takes events again");
                }
                // Channels are replaced one by one.
                Some(lapin::Event::Error(error)) if channel::is_channel_error(&error) => {}
                Some(lapin::Event::Error(error)) => {
                    tracing::warn!(error = %ErrorChain(&error), "the connection to the broker broke");
                    break;
                }
                Some(_) => {}
                None => break,
            },
            () = live.wait_broken() => break,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    metrics::gauge!("cartwire_broker_blocked").set(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_stores_share_a_channel_while_there_are_enough() {
        let mut places = Places::default();
        let store = |number: usize| ConnectionId::new(&format!("shop-{number}")).expect("an id");
        for _ in 0..2 {
            for number in 0..100 {
                assert_eq!(places.of(&store(number), 100), number);
            }
        }
        for number in 100..1_000 {
            assert!(places.of(&store(number), 100) < 100);
        }
        assert_eq!(places.own.len(), 100, "the memory for it has an end");
    }
}
