//! One request: find its connection, read the body, verify, append, answer.

use std::time::Instant;

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use actix_web::http::{ConnectionType, Method};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::json;

use super::answer::Refusal;
use super::body_budget::{FREE_BYTES, Reservation, SMALL_BODY_BYTES, Sender};
use super::refusal_log::{REFUSED, UNKEPT};
use super::state::Receiver;
use crate::connections::Endpoint;
use crate::delivery::{Headers, RawDelivery};
use crate::journal::Appended;
use crate::platforms::{Rejection, Verified, WebhookPlatform};
use crate::report::ErrorChain;

/// `POST /webhooks/{platform}/{connection}`
pub(super) async fn receive(
    request: HttpRequest,
    payload: web::Payload,
    receiver: web::Data<Receiver>,
) -> HttpResponse {
    let upgrade = request.headers().contains_key(UPGRADE);
    let mut response = match answer(&request, payload, &receiver).await {
        Ok(response) => response,
        Err(refusal) => refusal.error_response(),
    };
    if upgrade {
        // No other protocol is spoken here, and what follows the head may be one.
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    response
}

async fn answer(
    request: &HttpRequest,
    mut payload: web::Payload,
    receiver: &Receiver,
) -> Result<HttpResponse, Refusal> {
    let started = Instant::now();
    let named = split(request.match_info().unprocessed());
    let Some((platform, endpoint)) =
        named.and_then(|(platform, id)| receiver.directory.endpoint(platform, id))
    else {
        discard(&mut payload).await;
        return Err(refuse(receiver, None, Refusal::NotFound));
    };
    let result = match admit(receiver, platform, &endpoint, request) {
        Ok(admitted) => take(receiver, platform, &endpoint, admitted, payload).await,
        Err(refusal) => {
            discard(&mut payload).await;
            Err(refusal)
        }
    };
    let label = platform.name();
    metrics::histogram!("cartwire_webhook_seconds", "platform" => label)
        .record(started.elapsed().as_secs_f64());
    match result {
        Ok(Answer::Ping) => {
            metrics::counter!("cartwire_webhooks_total", "platform" => label, "answer" => "ping")
                .increment(1);
            Ok(HttpResponse::Ok().json(json!({"status": "ping"})))
        }
        Ok(Answer::Kept(appended)) => {
            let (status, key) = match appended {
                Appended::New(key) => ("accepted", key),
                Appended::Duplicate(key) => ("duplicate", key),
            };
            metrics::counter!("cartwire_webhooks_total", "platform" => label, "answer" => status)
                .increment(1);
            Ok(HttpResponse::Ok().json(json!({"status": status, "delivery": key.to_string()})))
        }
        Err(refusal) => Err(refuse(receiver, Some((platform, &endpoint)), refusal)),
    }
}

/// The platform and the connection in `/{platform}/{connection}`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// A request whose headers rule nothing out.
struct Admitted<'a> {
    headers: Headers<'a>,
    body: ExpectedBody,
}

/// What is known of a body before it is read.
struct ExpectedBody {
    sender: Sender,
    announced: Option<usize>,
    /// The longest body that the platform allows for these headers.
    longest: usize,
    /// `true` if the body ends after the announced length, whatever the connection says: after an upgrade to another
    /// protocol was asked for, the HTTP server takes everything that follows for the body.
    ends_as_announced: bool,
}

/// Checks the headers before the body is read. A request that is refused here costs no memory for its body.
fn admit<'a>(
    receiver: &Receiver,
    platform: &dyn WebhookPlatform,
    endpoint: &Endpoint,
    request: &'a HttpRequest,
) -> Result<Admitted<'a>, Refusal> {
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
        ends_as_announced: fields.contains_key(UPGRADE) && !fields.contains_key(TRANSFER_ENCODING),
    };
    Ok(Admitted { headers, body })
}

enum Answer {
    Ping,
    Kept(Appended),
}

async fn take(
    receiver: &Receiver,
    platform: &dyn WebhookPlatform,
    endpoint: &Endpoint,
    admitted: Admitted<'_>,
    payload: web::Payload,
) -> Result<Answer, Refusal> {
    let Admitted { headers, body } = admitted;
    // The reservation is held until the journal has the body.
    let (body, _reservation) = read(receiver, payload, body).await?;
    let now = now();
    let raw = RawDelivery {
        endpoint: &endpoint.id,
        headers,
        body,
        received_at: now,
    };
    // Only webhooks that the store is known to have are counted: anybody can name others.
    let claimed = platform.claimed_webhook(&raw.headers);
    let unregistered = claimed
        .clone()
        .filter(|webhook| !endpoint.webhooks.fits(&webhook.id, &webhook.topic));
    let webhook = claimed.filter(|webhook| endpoint.webhooks.contains(&webhook.id, &webhook.topic));
    let verified = match platform.verify(&raw, &endpoint.keys(now), now) {
        Ok(verified) => verified,
        Err(rejection) => {
            if let (Some(webhook), Rejection::SignatureWrong | Rejection::BodyReencoded) =
                (webhook, rejection)
            {
                let (id, reason) = (&endpoint.id, rejection.reason());
                receiver.rejections.refuse_webhook(id, webhook, reason, now);
            }
            return Err(rejected(endpoint, rejection));
        }
    };
    match verified {
        Verified::Ping => {
            receiver.accepted.note_ping(&endpoint.id, now);
            Ok(Answer::Ping)
        }
        Verified::Delivery(delivery) => {
            let connection = delivery.parts().connection.clone();
            let bytes = delivery.parts().body.len();
            let turn = receiver
                .append_turns
                .turn(&connection, bytes, receiver.body_timeout / 2)
                .await;
            let _turn = turn.map_err(|_| Refusal::Overloaded)?;
            let kept = receiver
                .journal
                .append(*delivery)
                .await
                .map_err(Refusal::Journal)?;
            receiver.accepted.note(&connection, now);
            if let Some(webhook) = webhook {
                receiver
                    .rejections
                    .accept_webhook(&endpoint.id, &webhook.id, now);
            }
            if let Some(webhook) = unregistered {
                receiver
                    .rejections
                    .note_unregistered(&endpoint.id, webhook, now);
            }
            if connection != endpoint.id {
                receiver.accepted.note(&endpoint.id, now);
            }
            Ok(Answer::Kept(kept))
        }
    }
}

fn rejected(endpoint: &Endpoint, rejection: Rejection) -> Refusal {
    // Never a 401 for our own fault: with the key that we cannot read he may be genuine.
    if endpoint.lacks_keys && rejection.is_unauthorized() {
        Refusal::KeyUnusable
    } else {
        Refusal::Rejected(rejection)
    }
}

/// Reads the body, within its limits of length, time and memory.
async fn read(
    receiver: &Receiver,
    payload: web::Payload,
    expected: ExpectedBody,
) -> Result<(Bytes, Reservation<'_>), Refusal> {
    let mut reservation = receiver.body_budget.open(expected.sender.clone());
    let timeout = receiver.body_timeout;
    let read = read_within(&mut reservation, payload, &expected, receiver);
    let body = tokio::time::timeout(timeout, read)
        .await
        .map_err(|_| Refusal::TooSlow)??;
    reservation.complete().map_err(|_| Refusal::Overloaded)?;
    Ok((body, reservation))
}

async fn read_within(
    reservation: &mut Reservation<'_>,
    mut payload: web::Payload,
    expected: &ExpectedBody,
    receiver: &Receiver,
) -> Result<Bytes, Refusal> {
    let end = match expected.ends_as_announced {
        true => expected.announced.unwrap_or(0),
        false => usize::MAX,
    };
    let most = expected.announced.unwrap_or(receiver.max_body_bytes);
    let mut whole = BytesMut::with_capacity(most.min(FREE_BYTES));
    while whole.len() < end {
        let chunk = tokio::select! {
            biased;
            // The memory went to another sender: never a 4xx for that.
            () = reservation.taken_away() => return Err(Refusal::Overloaded),
            chunk = payload.next() => chunk,
        };
        let Some(chunk) = chunk else { break };
        let mut chunk = chunk.map_err(|_| Refusal::BrokenBody)?;
        chunk.truncate(end - whole.len());
        let length = whole.len() + chunk.len();
        if length > receiver.max_body_bytes {
            return Err(Refusal::TooLarge);
        }
        if length > expected.longest {
            return Err(Refusal::Rejected(Rejection::SignatureMissing));
        }
        if length > whole.capacity() {
            // Exactly as much as is reserved: a small body at once, a large one as it grows.
            let capacity = match expected.announced {
                Some(announced) if announced <= SMALL_BODY_BYTES => announced,
                _ => (whole.capacity() * 2).min(most),
            };
            let capacity = capacity.max(length);
            let reserved = reservation.reserve(capacity, receiver.body_timeout / 2);
            reserved.await.map_err(|_| Refusal::Overloaded)?;
            let mut larger = BytesMut::with_capacity(capacity);
            larger.extend_from_slice(&whole);
            whole = larger;
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// Throws away what has come of a refused body, without waiting for more. Where that was all of it, the connection serves
/// on: a new one for each refused request costs three times as much.
async fn discard(payload: &mut web::Payload) {
    let come = async { while let Some(Ok(_)) = payload.next().await {} };
    tokio::select! {
        biased;
        () = come => {}
        () = tokio::task::yield_now() => {}
    }
}

/// Counts a refusal. The log gets a summary each minute, and details on the debug level.
fn refuse(
    receiver: &Receiver,
    known: Option<(&dyn WebhookPlatform, &Endpoint)>,
    refusal: Refusal,
) -> Refusal {
    let platform = known.map_or("unknown", |(platform, _)| platform.name());
    let reason = refusal.reason();
    metrics::counter!("cartwire_webhooks_refused_total", "platform" => platform, "reason" => reason).increment(1);
    if let Some((_, endpoint)) = known {
        receiver.rejections.count(&endpoint.id, reason, now());
        tracing::debug!(connection = %endpoint.id, platform, reason, "webhook refused");
        match &refusal {
            Refusal::Journal(error) => {
                let detail = Some(ErrorChain(error).to_string());
                UNKEPT.count(reason, endpoint.id.as_str(), detail);
            }
            _ => REFUSED.count(reason, endpoint.id.as_str(), None),
        }
    }
    refusal
}

/// Now, in the resolution that the journal keeps, so that an event's time is the same whenever it is made.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// `GET /healthz`: the process runs.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

pub(super) async fn healthz_only_read() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header(("allow", "GET, HEAD"))
        .json(json!({"error": "method_not_allowed", "allowed": "GET, HEAD"}))
}

pub(super) async fn not_found() -> Result<HttpResponse, Refusal> {
    metrics::counter!("cartwire_webhooks_refused_total", "platform" => "unknown", "reason" => "not_found").increment(1);
    Err(Refusal::NotFound)
}
