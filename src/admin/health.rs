//! Liveness, readiness and metrics.

use actix_web::{HttpResponse, web};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::Admin;
use crate::journal::Reader;
use crate::publisher::TroubleCode;

/// `GET /healthz`: the process runs.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// `GET /readyz`: the journal can be written. An unreachable broker is no reason to refuse webhooks.
pub(super) async fn readyz(admin: web::Data<Admin>) -> HttpResponse {
    match admin.journal.unwritable() {
        None => HttpResponse::Ok().json(match broker(&admin) {
            None => json!({"status": "ready"}),
            Some(broker) => json!({"status": "ready", "broker": broker}),
        }),
        Some(why) => HttpResponse::ServiceUnavailable().json(
            json!({"status": "unavailable", "reason": why.reason(), "detail": why.to_string()}),
        ),
    }
}

/// The state of the broker, if one is configured. It never causes a 503, because the journal keeps the webhooks.
fn broker(admin: &Admin) -> Option<Value> {
    let broker_status = admin.broker_status.as_ref()?.borrow().clone();
    Some(match broker_status.trouble {
        None => json!({"connected": broker_status.connected}),
        Some(trouble) => json!({
            "connected": broker_status.connected, "reason": trouble.code.as_str(), "detail": trouble.detail,
        }),
    })
}

/// `GET /metrics`: for Prometheus.
pub(super) async fn metrics(admin: web::Data<Admin>) -> HttpResponse {
    metrics::gauge!("cartwire_journal_writable").set(if admin.journal.unwritable().is_none() {
        1
    } else {
        0
    });
    if let Some(broker_status) = &admin.broker_status {
        let broker_status = broker_status.borrow().clone();
        // Also if the broker was never reached, so that an alert on the metric fires.
        metrics::gauge!("cartwire_broker_connected").set(u8::from(broker_status.connected));
        for code in TroubleCode::ALL {
            let is_it = broker_status
                .trouble
                .as_ref()
                .is_some_and(|trouble| trouble.code == *code);
            metrics::gauge!("cartwire_broker_trouble", "reason" => code.as_str())
                .set(u8::from(is_it));
        }
    }
    for (status, count) in admin.directory.counts() {
        metrics::gauge!("cartwire_connections", "status" => status.as_str()).set(count as f64);
    }
    let backlog = admin.limits.read_for_probe(&admin.journal, Reader::backlog);
    if let Ok((pending, oldest)) = backlog.await {
        let age = oldest.map_or(0, |oldest| {
            (Timestamp::now().as_second() - oldest.as_second()).max(0)
        });
        metrics::gauge!("cartwire_pending_deliveries").set(pending as f64);
        metrics::gauge!("cartwire_pending_oldest_seconds").set(age as f64);
    }
    let troubles = admin
        .limits
        .read_for_probe(&admin.journal, Reader::troubles);
    if let Ok((unrouted, dead)) = troubles.await {
        metrics::gauge!("cartwire_unrouted_deliveries").set(unrouted as f64);
        metrics::gauge!("cartwire_dead_letter_deliveries").set(dead as f64);
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(admin.metrics.render())
}
