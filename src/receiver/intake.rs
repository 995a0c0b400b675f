//! From the headers of a request to a synced journal entry: checks, verifies and appends one delivery.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use actix_web::{HttpRequest, web};
use jiff::Timestamp;

use super::answer::Refusal;
use super::body::{self, ExpectedBody};
use super::body_sender::Sender;
use super::state::Receiver;
use crate::connections::Endpoint;
use crate::delivery::{Headers, RawDelivery};
use crate::journal::Appended;
use crate::platforms::{ClaimedWebhook, Rejection, Verified, VerifiedDelivery, WebhookPlatform};

/// A delivery's way from its request to the journal.
pub(super) struct DeliveryIntake<'a> {
    pub(super) receiver: &'a Receiver,
    pub(super) platform: &'a dyn WebhookPlatform,
    pub(super) endpoint: &'a Endpoint,
}

/// A request that passed the checks of its headers.
pub(super) struct Admitted<'a> {
    headers: Headers<'a>,
    body: ExpectedBody,
}

/// How an accepted request ended.
pub(super) enum AcceptedDelivery {
    Ping,
    Journaled(Appended),
}

impl DeliveryIntake<'_> {
    /// Checks the headers before the body is read. A request that is refused here costs no memory for its body.
    pub(super) fn admit<'r>(&self, request: &'r HttpRequest) -> Result<Admitted<'r>, Refusal> {
        let Self {
            receiver,
            platform,
            endpoint,
        } = *self;
        if request.method() != Method::POST {
            return Err(Refusal::Method);
        }
        let fields = request.headers();
        let encoded = fields
            .get_all(CONTENT_ENCODING)
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            return Err(Refusal::Encoding);
        }
        let announced = fields
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > receiver.max_body_bytes) {
            return Err(Refusal::TooLarge);
        }
        let headers = Headers(
            fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect(),
        );
        let longest = platform
            .longest_body(&headers)
            .map_err(|rejection| rejected(endpoint, rejection))?;
        if announced.is_some_and(|length| length > longest) {
            return Err(rejected(endpoint, Rejection::SignatureMissing));
        }
        let address = request.peer_addr().map(|address| address.ip());
        let body = ExpectedBody {
            sender: Sender::new(address, endpoint.id.clone()),
            announced,
            longest: longest.min(receiver.max_body_bytes),
            ends_as_announced: fields.contains_key(UPGRADE)
                && !fields.contains_key(TRANSFER_ENCODING),
        };
        Ok(Admitted { headers, body })
    }

    /// Reads and verifies the body of an admitted request, and appends the delivery to the journal.
    pub(super) async fn accept(
        &self,
        admitted: Admitted<'_>,
        payload: web::Payload,
    ) -> Result<AcceptedDelivery, Refusal> {
        let Self {
            receiver,
            platform,
            endpoint,
        } = *self;
        let Admitted { headers, body } = admitted;
        // The reservation is kept until the journal has the body.
        let (body, _reservation) = body::read(receiver, payload, body).await?;
        let now = now();
        let raw = RawDelivery {
            endpoint: &endpoint.id,
            headers,
            body,
            received_at: now,
        };
        let claimed = platform.claimed_webhook(&raw.headers);
        match platform.verify(&raw, &endpoint.keys(now), now) {
            Ok(Verified::Ping) => {
                receiver.accepted.note_ping(&endpoint.id, now);
                Ok(AcceptedDelivery::Ping)
            }
            Ok(Verified::Delivery(delivery)) => {
                let appended = self.append(*delivery, now).await?;
                if let Some(webhook) = claimed {
                    self.note_webhook(webhook, now);
                }
                Ok(AcceptedDelivery::Journaled(appended))
            }
            Err(rejection) => {
                if let (Some(webhook), Rejection::SignatureWrong | Rejection::BodyReencoded) =
                    (claimed, rejection)
                {
                    self.note_wrong_signature(webhook, rejection, now);
                }
                Err(rejected(endpoint, rejection))
            }
        }
    }

    async fn append(
        &self,
        delivery: VerifiedDelivery,
        now: Timestamp,
    ) -> Result<Appended, Refusal> {
        let receiver = self.receiver;
        let connection = delivery.parts().connection.clone();
        let bytes = delivery.parts().body.len();
        let turn = receiver
            .append_turns
            .turn(&connection, bytes, receiver.body_timeout / 2)
            .await;
        let _turn = turn.map_err(|_| Refusal::Overloaded)?;
        let appended = receiver
            .journal
            .append(delivery)
            .await
            .map_err(Refusal::Journal)?;
        receiver.accepted.note(&connection, now);
        if connection != self.endpoint.id {
            receiver.accepted.note(&self.endpoint.id, now);
        }
        Ok(appended)
    }

    /// Records the webhook of an accepted delivery, or that the store is not known to have this webhook.
    fn note_webhook(&self, webhook: ClaimedWebhook, now: Timestamp) {
        let (rejections, endpoint) = (&self.receiver.rejections, self.endpoint);
        if endpoint.webhooks.contains(&webhook.id, &webhook.topic) {
            rejections.accept_webhook(&endpoint.id, &webhook.id, now);
        }
        if !endpoint.webhooks.fits(&webhook.id, &webhook.topic) {
            rejections.note_unregistered(&endpoint.id, webhook, now);
        }
    }

    /// Records a wrong signature, but only for webhooks that the store is known to have: a request can name any id.
    fn note_wrong_signature(&self, webhook: ClaimedWebhook, rejection: Rejection, now: Timestamp) {
        let endpoint = self.endpoint;
        if endpoint.webhooks.contains(&webhook.id, &webhook.topic) {
            let reason = rejection.reason();
            let rejections = &self.receiver.rejections;
            rejections.refuse_webhook(&endpoint.id, webhook, reason, now);
        }
    }
}

fn rejected(endpoint: &Endpoint, rejection: Rejection) -> Refusal {
    // The signature may be right for a stored key that cannot be decrypted, so the answer is not 401.
    if endpoint.lacks_keys && rejection.is_unauthorized() {
        Refusal::KeyUnusable
    } else {
        Refusal::Rejected(rejection)
    }
}
/// The current time in the resolution of the journal, so that an event rendered from the journal has the same time.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
