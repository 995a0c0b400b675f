//! One channel to RabbitMQ: publishes events, and returns the broker's answer for each of them.
//!
//! lapin gives a returned message to the tag that resolves next (measured on 4.12.3), so an `Ack` alone proves nothing. The
//! broker sends a return before the confirm of the same message, and lapin gives it to a tag that resolves no later. So an
//! event counts as confirmed when all resolved confirms were read and no returned message waits for its own confirm. It counts
//! as returned if one of them carried its message id.
//!
//! Each of the first thousand stores has its own channel, and further stores share channels. RabbitMQ blocks a whole channel
//! because of one queue: the first publish to a quorum queue waits for the queue's leader, and the channel's reader waits while
//! a queue has many unconfirmed messages of the channel (observed on 3.10.8). So a leader that hangs stops only the channels of
//! the stores whose events it gets. No event is sent again because of that: a quorum queue repeats its messages itself.
//!
//! A channel on which a queue refused an event is retired: it takes no more events, ends when all are answered, and another
//! channel takes its place. A quorum queue reports to each channel when it is full and when it has space again. If an operator
//! removes the limit, RabbitMQ (3.10.8) does not send the second report, and the channel would be refused for ever.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};

use super::link::Link;
use super::message::{APP_ID, CONTENT_TYPE, Message};
use super::publish::{PublishFailure, PublishOutcome};
use crate::event::Event;
use crate::report::ErrorChain;

/// Maximum number of events that wait for the channel's task.
const QUEUE: usize = 64;
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// A channel without events for this time is closed.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// If a confirm takes longer, the channel is closed and its events are sent again.
pub(super) const MAX_CONFIRM_WAIT: Duration = Duration::from_secs(600);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
const PERSISTENT: u8 = 2;

/// An event for the channel, and where to send the answer.
pub(super) struct Outgoing {
    pub(super) event: Arc<Event>,
    pub(super) answer: oneshot::Sender<PublishOutcome>,
}

struct Outstanding {
    answer: oneshot::Sender<PublishOutcome>,
    sent_at: Instant,
}

type Confirming = Pin<Box<dyn Future<Output = (String, lapin::Result<Confirmation>)> + Send>>;

struct Worker {
    channel: Channel,
    link: Arc<Link>,
    requests: mpsc::Receiver<Outgoing>,
    confirming: FuturesUnordered<Confirming>,
    outstanding: HashMap<String, Outstanding>,
    /// The broker acknowledged the event. Whether it was returned is not known yet.
    acknowledged: Vec<String>,
    returned: HashSet<String>,
    last_used: Instant,
    failed: Option<lapin::Error>,
}

/// Starts the task of a channel. It ends when its queue is closed and all its events are answered.
pub(super) fn start(channel: Channel, link: Arc<Link>) -> mpsc::Sender<Outgoing> {
    let (sender, requests) = mpsc::channel(QUEUE);
    let worker = Worker {
        channel,
        link,
        requests,
        confirming: FuturesUnordered::new(),
        outstanding: HashMap::new(),
        acknowledged: Vec::new(),
        returned: HashSet::new(),
        last_used: Instant::now(),
        failed: None,
    };
    tokio::spawn(worker.run());
    sender
}

/// A panic of the task ends the connection: its events are then sent again.
impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the task of a broker channel failed; reconnecting");
            self.link.set_broken();
        }
    }
}

impl Worker {
    async fn run(mut self) {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some((id, result)) = self.confirming.next() => {
                    self.resolved(id, result);
                    while let Some(Some((id, result))) = self.confirming.next().now_or_never() {
                        self.resolved(id, result);
                    }
                    self.answer_confirmed();
                }
                request = self.requests.recv(), if !self.requests.is_closed() => {
                    if let Some(request) = request {
                        self.publish(request);
                    }
                }
                _ = check.tick() => self.check(),
            }
            if let Some(error) = self.failed.take() {
                self.fail(&error);
                return;
            }
            if self.link.is_broken() {
                self.answer_all(PublishOutcome::Lost);
                return;
            }
            if self.requests.is_closed() {
                // The channel is closed, but it may still have events.
                while let Ok(request) = self.requests.try_recv() {
                    let _ = request.answer.send(PublishOutcome::NotSent);
                }
                if self.outstanding.is_empty() {
                    close(self.channel.clone()).await;
                    return;
                }
            }
        }
    }

    fn publish(&mut self, request: Outgoing) {
        let Ok(message) = Message::render(&request.event) else {
            let _ = request
                .answer
                .send(PublishOutcome::Impossible(PublishFailure::Unrenderable));
            return;
        };
        let sent_at = Instant::now();
        self.last_used = sent_at;
        let outstanding = Outstanding {
            answer: request.answer,
            sent_at,
        };
        self.outstanding.insert(message.id.clone(), outstanding);
        let (channel, exchange) = (self.channel.clone(), self.link.exchange().to_owned());
        self.confirming.push(Box::pin(async move {
            let result = publish(&channel, &exchange, &message).await;
            (message.id, result)
        }));
    }

    fn resolved(&mut self, id: String, result: lapin::Result<Confirmation>) {
        match result {
            Ok(Confirmation::Ack(returned)) => {
                self.returned.extend(returned.iter().filter_map(message_id));
                self.acknowledged.push(id);
            }
            Ok(Confirmation::Nack(returned)) => {
                self.returned.extend(returned.iter().filter_map(message_id));
                self.returned.remove(&id);
                self.requests.close();
                self.answer(&id, PublishOutcome::Refused);
            }
            Ok(Confirmation::NotRequested) => self.answer(&id, PublishOutcome::Lost),
            // The broker's reason is better than an error that follows from it.
            Err(error) => match &self.failed {
                Some(known) if soft_error(known).is_some() => {}
                _ => self.failed = Some(error),
            },
        }
    }

    /// Answers the acknowledged events, unless a returned message waits for its own confirm: more returns may follow then.
    fn answer_confirmed(&mut self) {
        let is_acknowledged: HashSet<&String> = self.acknowledged.iter().collect();
        let waits =
            |id: &String| self.outstanding.contains_key(id) && !is_acknowledged.contains(id);
        if self.returned.iter().any(waits) {
            return;
        }
        for id in std::mem::take(&mut self.acknowledged) {
            let receipt = if self.returned.remove(&id) {
                PublishOutcome::Returned
            } else {
                PublishOutcome::Confirmed
            };
            self.answer(&id, receipt);
        }
        self.returned.clear();
        self.link.set_confirmed();
    }

    fn answer(&mut self, id: &str, receipt: PublishOutcome) {
        if let Some(outstanding) = self.outstanding.remove(id) {
            let _ = outstanding.answer.send(receipt);
        }
    }

    fn answer_all(&mut self, receipt: PublishOutcome) {
        for (_, outstanding) in self.outstanding.drain() {
            let _ = outstanding.answer.send(receipt);
        }
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            let _ = request.answer.send(PublishOutcome::NotSent);
        }
    }

    fn check(&mut self) {
        let now = Instant::now();
        let Some(oldest) = self.outstanding.values().map(|event| event.sent_at).min() else {
            if now.saturating_duration_since(self.last_used) > MAX_IDLE {
                self.requests.close();
            }
            return;
        };
        // While the broker blocks the connection (alarm of memory or disk), no confirm is overdue.
        let age = now.saturating_duration_since(oldest);
        if age > MAX_CONFIRM_WAIT && !self.link.is_blocked() {
            tracing::warn!(
                events = self.outstanding.len(),
                "the broker did not confirm events in time; sending them again"
            );
            self.answer_all(PublishOutcome::Lost);
            tokio::spawn(close(self.channel.clone()));
        }
    }

    /// The channel or its connection is lost.
    fn fail(&mut self, error: &lapin::Error) {
        let events = self.outstanding.len();
        let receipt = match soft_error(error) {
            // The exchange does not exist any more: a new connection declares it again.
            Some(AMQPSoftError::NOTFOUND) | None => {
                tracing::warn!(error = %ErrorChain(error), events, "publishing failed; reconnecting");
                self.link.set_broken();
                PublishOutcome::Lost
            }
            Some(_) => {
                tracing::warn!(error = %ErrorChain(error), events, "the broker closed a channel; sending its events one by one");
                PublishOutcome::Disputed
            }
        };
        self.answer_all(receipt);
    }
}

/// Publishes one event on a channel without other events.
pub(super) async fn publish_alone(channel: Channel, exchange: &str, event: &Event) -> Alone {
    let Ok(message) = Message::render(event) else {
        return Alone::Answered(PublishOutcome::Impossible(PublishFailure::Unrenderable));
    };
    let result = publish(&channel, exchange, &message).await;
    let receipt = match &result {
        Ok(Confirmation::Ack(None)) => PublishOutcome::Confirmed,
        Ok(Confirmation::Ack(Some(_))) => PublishOutcome::Returned,
        Ok(Confirmation::Nack(_)) => PublishOutcome::Refused,
        Ok(Confirmation::NotRequested) => return Alone::ConnectionLost,
        Err(error) => match soft_error(error) {
            Some(AMQPSoftError::ACCESSREFUSED) => PublishOutcome::Forbidden,
            Some(AMQPSoftError::PRECONDITIONFAILED) => match size_limit(error) {
                Some(limit) => return Alone::TooLarge(limit),
                None => PublishOutcome::Impossible(PublishFailure::RefusedByBroker),
            },
            Some(AMQPSoftError::NOTFOUND) | None => return Alone::ConnectionLost,
            Some(_) => PublishOutcome::Refused,
        },
    };
    if let Err(error) = &result {
        tracing::warn!(error = %ErrorChain(error), event = %event.id, connection = %event.connection, "the broker closed the channel because of an event");
    } else {
        tokio::spawn(close(channel));
    }
    Alone::Answered(receipt)
}

/// The result of publishing an event alone.
pub(super) enum Alone {
    Answered(PublishOutcome),
    /// The broker's maximum size of a message in bytes.
    TooLarge(usize),
    ConnectionLost,
}

pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    message: &Message,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(
            exchange.into(),
            message.routing_key.as_str().into(),
            options,
            &message.body,
            properties(message),
        )
        .await?
        .await
}

pub(super) async fn close(channel: Channel) {
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, channel.close(200, "bye".into())).await;
}

/// The broker's reason for closing the channel. `None` if the connection is lost.
pub(super) fn soft_error(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// Reads `message size 70000 is larger than configured max size 65536`. The broker names its limit only in this error.
pub(super) fn size_limit(error: &lapin::Error) -> Option<usize> {
    let lapin::ErrorKind::ProtocolError(error) = error.kind() else {
        return None;
    };
    limit_in(error.get_message().as_str())
}

fn limit_in(refusal: &str) -> Option<usize> {
    let (_, rest) = refusal.split_once("max size ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// `true` if the error closes a channel and not its connection.
pub(super) fn is_channel_error(error: &lapin::Error) -> bool {
    soft_error(error).is_some()
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

#[cfg(test)]
mod tests {
    use super::limit_in;

    #[test]
    fn a_refusal_of_a_large_message_names_the_limit() {
        let refusal =
            "PRECONDITION_FAILED - message size 70000 is larger than configured max size 65536";
        assert_eq!(limit_in(refusal), Some(65536));
        assert_eq!(limit_in("PRECONDITION_FAILED - invalid expiration"), None);
    }
}
