//! Answers one webhook request, and counts the answer.

use std::time::Instant;

use actix_web::http::ConnectionType;
use actix_web::http::header::UPGRADE;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde_json::json;

use super::answer::Refusal;
use super::body;
use super::intake::{AcceptedDelivery, DeliveryIntake, now};
use super::refusal_log::{REFUSED, UNKEPT};
use super::state::Receiver;
use crate::connections::Endpoint;
use crate::journal::Appended;
use crate::platforms::WebhookPlatform;
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
        // The server speaks no other protocol, and the bytes after the head may belong to one.
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
        body::discard(&mut payload).await;
        return Err(refuse(receiver, None, Refusal::NotFound));
    };
    let intake = DeliveryIntake {
        receiver,
        platform,
        endpoint: &endpoint,
    };
    let result = match intake.admit(request) {
        Ok(admitted) => intake.accept(admitted, payload).await,
        Err(refusal) => {
            body::discard(&mut payload).await;
            Err(refusal)
        }
    };
    let label = platform.name();
    metrics::histogram!("cartwire_webhook_seconds", "platform" => label)
        .record(started.elapsed().as_secs_f64());
    match result {
        Ok(AcceptedDelivery::Ping) => {
            metrics::counter!("cartwire_webhooks_total", "platform" => label, "answer" => "ping")
                .increment(1);
            Ok(HttpResponse::Ok().json(json!({"status": "ping"})))
        }
        Ok(AcceptedDelivery::Journaled(appended)) => {
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
