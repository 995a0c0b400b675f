//! A connection to the broker with its channels: each store has one of its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::channel::{self, Alone, MAX_CONFIRM_WAIT, Outgoing};
use super::keeper::Keeper;
use super::link::Link;
use super::publish::PublishOutcome;
use super::session::BrokerSession;
use crate::delivery::ConnectionId;
use crate::event::Event;

/// Maximum number of the stores' channels. Further stores share them. RabbitMQ's default limit for a connection is 2047.
const MAX_CHANNELS: usize = 1024;
/// Time limit for opening a channel on a connection that is not blocked.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection with its channels.
pub(super) struct Live {
    pub(super) session: BrokerSession,
    pub(super) link: Arc<Link>,
    pub(super) keeper: Arc<Keeper>,
    /// The queues of the channels' tasks. A closed queue is replaced at its next use.
    channels: Vec<Mutex<mpsc::Sender<Outgoing>>>,
    assignment: std::sync::Mutex<ChannelAssignment>,
}

/// The channel of each store.
#[derive(Default)]
struct ChannelAssignment {
    /// The stores that have a channel for themselves.
    own: HashMap<ConnectionId, usize>,
    /// Spreads all other stores over the channels in a way that no store can foresee.
    hasher: RandomState,
}

impl ChannelAssignment {
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

impl Live {
    /// A connection whose channels are opened when they are needed first.
    pub(super) fn new(session: BrokerSession, keeper: &Arc<Keeper>) -> Self {
        let allowed = match session.connection.configuration().channel_max() {
            0 => MAX_CHANNELS,
            // Some are left for events that have a channel of their own.
            most => (usize::from(most) / 2).clamp(1, MAX_CHANNELS),
        };
        let channels = (0..allowed).map(|_| Mutex::new(mpsc::channel(1).0));
        Self {
            session,
            link: Arc::new(Link::new(keeper.exchange())),
            keeper: Arc::clone(keeper),
            channels: channels.collect(),
            assignment: std::sync::Mutex::default(),
        }
    }

    pub(super) async fn publish(&self, event: Arc<Event>) -> PublishOutcome {
        let index = self
            .assignment
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .of(&event.connection, self.channels.len());
        let Some(sender) = self.channel(index).await else {
            return PublishOutcome::NotSent;
        };
        let (answer, answered) = oneshot::channel();
        if sender.send(Outgoing { event, answer }).await.is_err() {
            return PublishOutcome::NotSent;
        }
        answered.await.unwrap_or(PublishOutcome::Lost)
    }

    /// The queue of a channel that takes events. `None` if the connection is broken.
    async fn channel(&self, index: usize) -> Option<mpsc::Sender<Outgoing>> {
        let mut sender = self.channels.get(index)?.lock().await;
        if self.link.is_broken() {
            return None;
        }
        if sender.is_closed() {
            let opened = tokio::select! {
                opened = open_channel(&self.session.connection) => opened.ok(),
                () = self.link.overdue(OPEN_TIMEOUT) => None,
                () = self.link.wait_broken() => None,
            };
            let Some(channel) = opened else {
                if !self.link.is_broken() {
                    tracing::warn!("the broker opens no channel; reconnecting");
                    self.link.set_broken();
                }
                return None;
            };
            *sender = channel::start(channel, Arc::clone(&self.link));
        }
        Some(sender.clone())
    }

    /// Publishes an event on a channel of its own.
    pub(super) async fn publish_alone(&self, event: &Event) -> PublishOutcome {
        let opened = tokio::select! {
            opened = open_channel(&self.session.connection) => opened,
            () = self.link.overdue(OPEN_TIMEOUT) => {
                self.link.set_broken();
                return PublishOutcome::NotSent;
            }
            () = self.link.wait_broken() => return PublishOutcome::NotSent,
        };
        let Ok(channel) = opened else {
            self.link.set_broken();
            return PublishOutcome::NotSent;
        };
        let alone = tokio::select! {
            alone = channel::publish_alone(channel, self.link.exchange(), event) => alone,
            () = self.link.overdue(MAX_CONFIRM_WAIT) => return PublishOutcome::Lost,
            () = self.link.wait_broken() => return PublishOutcome::Lost,
        };
        match alone {
            Alone::Answered(receipt) => {
                self.link.set_confirmed();
                receipt
            }
            Alone::TooLarge(limit) => self.keeper.too_large(limit),
            Alone::ConnectionLost => {
                self.link.set_broken();
                PublishOutcome::Lost
            }
        }
    }
}

/// Opens a channel with publisher confirms.
pub(super) async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_stores_share_a_channel_while_there_are_enough() {
        let mut assignment = ChannelAssignment::default();
        let store = |number: usize| ConnectionId::new(&format!("shop-{number}")).expect("an id");
        for _ in 0..2 {
            for number in 0..100 {
                assert_eq!(assignment.of(&store(number), 100), number);
            }
        }
        for number in 100..1_000 {
            assert!(assignment.of(&store(number), 100) < 100);
        }
        assert_eq!(assignment.own.len(), 100, "the memory for it has an end");
    }
}
