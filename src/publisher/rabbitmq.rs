//! RabbitMQ: persistent, mandatory, confirmed; reconnecting by itself.
//!
//! One task keeps a connection alive and makes it anew when it breaks; publishes wait for it. Each batch has a channel for
//! itself until all its confirms are there, because lapin hands a returned message to whichever tag resolves next: only the
//! returns of the *whole* batch, matched by message id, say which message was returned (measured on 4.12.3; an `Ack` alone
//! proves nothing). The broker sends a message's return before its confirm, so when all confirms are in, all returns are.
//!
//! A channel on which a queue refused something is made anew: a quorum queue tells each channel when it is full and when
//! there is room again, and RabbitMQ (3.10.8) forgets the latter where an operator takes the limit away altogether. Such a
//! channel would be refused for ever.
//!
//! Recovery is our own rather than lapin's: a new connection has no stale returns and no channel left in an error.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use super::message::{APP_ID, CONTENT_TYPE, Message};
use super::session::{Endpoints, Session};
use super::topology::{Topology, is_precondition_failed};
use super::{Publish, Receipt};
use crate::event::Event;
use crate::report::ErrorChain;

/// Batches that can be under way at once, each on a channel of its own.
pub const CHANNELS: usize = 4;
/// How long a confirm may take on a connection that is not blocked.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for the topology and the channels of a new connection.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
const PERSISTENT: u8 = 2;

/// The publisher to RabbitMQ.
pub struct RabbitMq {
    live: watch::Receiver<Option<Arc<Live>>>,
    closing: watch::Sender<bool>,
    exchange: String,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

/// A connection with its channels.
struct Live {
    session: Session,
    channels: Vec<Mutex<Channel>>,
    next: AtomicUsize,
    /// Set when something went wrong; the supervisor then makes a new one.
    broken: AtomicBool,
    broke: Notify,
    blocked: AtomicBool,
    confirmed: AtomicBool,
}

/// How one attempt at a batch ended, message by message.
enum Attempt {
    Answered(Vec<Receipt>),
    /// The broker closed the channel over one of the messages (406): which one shows when they are sent one by one.
    Disputed,
    Lost,
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
        let exchange = topology.exchange.clone();
        let supervisor = tokio::spawn(supervise(endpoints, topology, sender, closing.subscribe()));
        Self {
            live,
            closing,
            exchange,
            supervisor: Mutex::new(Some(supervisor)),
        }
    }

    /// The connection, as soon as there is one.
    async fn live(&self) -> Option<Arc<Live>> {
        let mut live = self.live.clone();
        let found = live
            .wait_for(|live| live.as_ref().is_some_and(|live| !live.is_broken()))
            .await
            .ok()?;
        found.clone()
    }

    async fn attempt(&self, messages: &[&Message]) -> Attempt {
        match self.live().await {
            Some(live) => live.attempt(&self.exchange, messages).await,
            None => Attempt::Lost,
        }
    }
}

impl Publish for RabbitMq {
    async fn ended(&self) {
        let mut live = self.live.clone();
        // The supervisor holds the sender for as long as it runs.
        while live.changed().await.is_ok() {}
    }

    async fn publish(&self, events: Vec<Event>) -> Vec<(Event, Receipt)> {
        let rendered: Vec<Option<Message>> = events
            .iter()
            .map(|event| Message::render(event).ok())
            .collect();
        let messages: Vec<&Message> = rendered.iter().flatten().collect();
        let answered = match self.attempt(&messages).await {
            Attempt::Answered(receipts) => receipts,
            Attempt::Lost => vec![Receipt::Lost; messages.len()],
            Attempt::Disputed => {
                let mut receipts = Vec::with_capacity(messages.len());
                for message in &messages {
                    receipts.push(match self.attempt(&[*message]).await {
                        Attempt::Answered(receipts) => {
                            receipts.first().copied().unwrap_or(Receipt::Lost)
                        }
                        Attempt::Disputed => Receipt::Impossible("refused_by_broker"),
                        Attempt::Lost => Receipt::Lost,
                    });
                }
                receipts
            }
        };
        let mut answered = answered.into_iter();
        let receipt = |rendered: &Option<Message>| match rendered {
            Some(_) => answered.next().unwrap_or(Receipt::Lost),
            None => Receipt::Impossible("unrenderable"),
        };
        let receipts: Vec<Receipt> = rendered.iter().map(receipt).collect();
        events.into_iter().zip(receipts).collect()
    }

    fn is_ready(&self) -> bool {
        self.live
            .borrow()
            .as_ref()
            .is_some_and(|live| !live.is_broken())
    }

    async fn close(&self) {
        self.closing.send_replace(true);
        if let Some(supervisor) = self.supervisor.lock().await.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), supervisor).await;
        }
    }
}

impl Live {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn set_broken(&self) {
        self.broken.store(true, Ordering::Release);
        self.broke.notify_one();
    }

    async fn attempt(&self, exchange: &str, messages: &[&Message]) -> Attempt {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.channels.len().max(1);
        let Some(channel) = self.channels.get(index) else {
            return Attempt::Lost;
        };
        let mut channel = channel.lock().await;
        if self.is_broken() {
            return Attempt::Lost;
        }
        let result = tokio::select! {
            result = send(&channel, exchange, messages) => result,
            () = self.overdue() => {
                tracing::warn!(messages = messages.len(), "the broker does not confirm in time; connecting anew");
                self.set_broken();
                return Attempt::Lost;
            }
        };
        match result {
            Ok(receipts) => {
                self.confirmed.store(true, Ordering::Relaxed);
                if receipts.contains(&Receipt::Refused) {
                    self.renew(&mut channel).await;
                }
                Attempt::Answered(receipts)
            }
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), messages = messages.len(), "publishing failed; connecting anew");
                self.set_broken();
                if is_precondition_failed(&error) {
                    Attempt::Disputed
                } else {
                    Attempt::Lost
                }
            }
        }
    }

    /// Puts a new channel in the place of one on which nothing is under way.
    async fn renew(&self, channel: &mut Channel) {
        let renewed = tokio::time::timeout(SETUP_TIMEOUT, async {
            let new = open_channel(&self.session.connection).await?;
            std::mem::replace(channel, new)
                .close(200, "bye".into())
                .await
        });
        if !matches!(renewed.await, Ok(Ok(()))) {
            self.set_broken();
        }
    }

    /// Ends when a confirm is overdue. While the broker blocks the connection (memory or disk alarm) nothing is.
    async fn overdue(&self) {
        loop {
            tokio::time::sleep(CONFIRM_TIMEOUT).await;
            if !self.blocked.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Publishes a batch and waits for all confirms, then sorts out what was returned.
async fn send(
    channel: &Channel,
    exchange: &str,
    messages: &[&Message],
) -> lapin::Result<Vec<Receipt>> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        let confirm = channel
            .basic_publish(
                exchange.into(),
                message.routing_key.as_str().into(),
                options,
                &message.body,
                properties(message),
            )
            .await?;
        confirms.push(confirm);
    }
    let mut receipts = Vec::with_capacity(messages.len());
    let mut returned = HashSet::new();
    for confirm in confirms {
        let confirmation = confirm.await?;
        receipts.push(if confirmation.is_ack() {
            Receipt::Confirmed
        } else {
            Receipt::Refused
        });
        if let Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message)) = confirmation {
            returned.extend(message_id(&message));
        }
    }
    for (receipt, message) in receipts.iter_mut().zip(messages) {
        if *receipt == Receipt::Confirmed && returned.contains(&message.id) {
            *receipt = Receipt::Returned;
        }
    }
    Ok(receipts)
}

fn message_id(message: &BasicReturnMessage) -> Option<String> {
    message
        .properties
        .message_id()
        .as_ref()
        .map(ToString::to_string)
}

fn properties(message: &Message) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_message_id(message.id.as_str().into())
        .with_type(message.event_type.as_str().into())
        .with_app_id(APP_ID.into())
        .with_timestamp(message.timestamp)
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_headers(headers)
}

/// Keeps a connection alive until the publisher is closed.
async fn supervise(
    endpoints: Endpoints,
    topology: Topology,
    sender: watch::Sender<Option<Arc<Live>>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut backoff = FIRST_BACKOFF;
    let mut failing = false;
    // From the start, so that an alert on it also fires where the broker is never reached.
    metrics::gauge!("cartwire_broker_connected").set(0);
    loop {
        let connected = tokio::select! {
            connected = connect(&endpoints, &topology) => connected,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match connected {
            Ok(live) => {
                failing = false;
                tracing::info!(exchange = %topology.exchange, "connected to the broker");
                metrics::gauge!("cartwire_broker_connected").set(1);
                sender.send_replace(Some(Arc::clone(&live)));
                watch_over(&live, &mut closing).await;
                live.set_broken();
                sender.send_replace(None);
                metrics::gauge!("cartwire_broker_connected").set(0);
                live.session.close().await;
                if *closing.borrow() {
                    return;
                }
                // A connection that never got anything through is no reason to hurry.
                if live.confirmed.load(Ordering::Relaxed) {
                    backoff = FIRST_BACKOFF;
                }
            }
            Err(error) => complain(&mut failing, &error),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        backoff = (backoff * 2).min(LAST_BACKOFF);
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

async fn connect(endpoints: &Endpoints, topology: &Topology) -> Result<Arc<Live>, String> {
    let session = endpoints
        .connect("cartwire publisher")
        .await
        .map_err(|error| error.to_string())?;
    let set_up = tokio::time::timeout(SETUP_TIMEOUT, async {
        topology.establish(&session.connection).await?;
        let mut channels = Vec::with_capacity(CHANNELS);
        for _ in 0..CHANNELS {
            channels.push(Mutex::new(open_channel(&session.connection).await?));
        }
        lapin::Result::Ok(channels)
    });
    let channels = match set_up.await {
        Ok(channels) => channels.map_err(|error| ErrorChain(&error).to_string())?,
        Err(_) => return Err("no answer in time".to_owned()),
    };
    let live = Live {
        session,
        channels,
        next: AtomicUsize::new(0),
        broken: AtomicBool::new(false),
        broke: Notify::new(),
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
                Some(lapin::Event::Error(error)) => {
                    tracing::warn!(error = %ErrorChain(&error), "the connection to the broker broke");
                    break;
                }
                Some(_) => {}
                None => break,
            },
            () = live.broke.notified() => break,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    metrics::gauge!("cartwire_broker_blocked").set(0);
}
