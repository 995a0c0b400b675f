//! One request: look up, read, verify, append, answer.

use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::web::{self, Bytes, BytesMut};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::json;

use super::room::Share;
use super::{Receiver, Refusal};
use crate::connections::Endpoint;
use crate::delivery::{Headers, RawDelivery};
use crate::journal::Appended;
use crate::platforms::{Platform, Rejection, Verified};
use crate::report::ErrorChain;

/// `POST /webhooks/{platform}/{connection}`
pub(super) async fn receive(
    request: HttpRequest,
    mut payload: web::Payload,
    receiver: web::Data<Receiver>,
) -> Result<HttpResponse, Refusal> {
    let started = Instant::now();
    let named = split(request.match_info().unprocessed());
    let Some((platform, endpoint)) =
        named.and_then(|(platform, id)| receiver.directory.endpoint(platform, id))
    else {
        discard(&mut payload).await;
        return Err(refuse(&receiver, None, Refusal::NotFound));
    };
    let result = match admit(&receiver, platform, &endpoint, &request) {
        Ok(admitted) => take(&receiver, platform, &endpoint, admitted, payload).await,
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
        Err(refusal) => Err(refuse(&receiver, Some((platform, &endpoint)), refusal)),
    }
}

/// The platform and the connection in `/{platform}/{connection}`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// A request whose headers speak against nothing.
struct Admitted<'a> {
    headers: Headers<'a>,
    announced: Option<usize>,
    longest: usize,
}

/// Looks at the headers alone: whom they rule out already costs no memory and no time of reading.
fn admit<'a>(
    receiver: &Receiver,
    platform: &dyn Platform,
    endpoint: &Endpoint,
    request: &'a HttpRequest,
) -> Result<Admitted<'a>, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::Method);
    }
    let encoded = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err(Refusal::Encoding);
    }
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > receiver.max_body_bytes) {
        return Err(Refusal::TooLarge);
    }
    let headers = Headers(
        request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect(),
    );
    let longest = platform
        .longest_body(&headers)
        .map_err(|rejection| rejected(endpoint, rejection))?;
    Ok(Admitted {
        headers,
        announced,
        longest,
    })
}

enum Answer {
    Ping,
    Kept(Appended),
}

async fn take(
    receiver: &Receiver,
    platform: &dyn Platform,
    endpoint: &Endpoint,
    admitted: Admitted<'_>,
    payload: web::Payload,
) -> Result<Answer, Refusal> {
    let Admitted {
        headers,
        announced,
        longest,
    } = admitted;
    // The share is held until the journal has the body.
    let (body, _share) = read(receiver, payload, announced, longest).await?;
    let now = now();
    let raw = RawDelivery {
        endpoint: &endpoint.id,
        headers,
        body,
        received_at: now,
    };
    // Only webhooks that the store is known to have are counted: anybody can name others.
    let webhook = platform
        .claimed_webhook(&raw.headers)
        .filter(|webhook| endpoint.webhooks.contains(&webhook.id, &webhook.topic));
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

/// Reads the body, but no more of it than may be, and not for longer.
async fn read(
    receiver: &Receiver,
    mut payload: web::Payload,
    announced: Option<usize>,
    longest: usize,
) -> Result<(Bytes, Share<'_>), Refusal> {
    let read = async {
        let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(16 << 10));
        let mut share = Share::default();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Refusal::BrokenBody)?;
            let length = whole.len() + chunk.len();
            if length > receiver.max_body_bytes {
                return Err(Refusal::TooLarge);
            }
            if length > longest {
                return Err(Refusal::Rejected(Rejection::SignatureMissing));
            }
            // Our own lack, not his: never a 4xx.
            let room = receiver
                .body_room
                .grow(&mut share, length, receiver.body_timeout / 2)
                .await;
            room.map_err(|_| Refusal::Overloaded)?;
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.freeze(), share))
    };
    tokio::time::timeout(receiver.body_timeout, read)
        .await
        .map_err(|_| Refusal::TooSlow)?
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

/// Counts a refusal, and writes it down where it is worth a line.
fn refuse(
    receiver: &Receiver,
    known: Option<(&dyn Platform, &Endpoint)>,
    refusal: Refusal,
) -> Refusal {
    let platform = known.map_or("unknown", |(platform, _)| platform.name());
    let reason = refusal.reason();
    metrics::counter!("cartwire_webhooks_refused_total", "platform" => platform, "reason" => reason).increment(1);
    if let Some((_, endpoint)) = known
        && receiver.rejections.count(&endpoint.id, reason, now())
    {
        match &refusal {
            Refusal::Journal(error) => {
                tracing::error!(connection = %endpoint.id, reason, error = %ErrorChain(error), "a webhook was answered 503");
            }
            _ => {
                tracing::warn!(connection = %endpoint.id, platform, reason, "a webhook was turned away")
            }
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
