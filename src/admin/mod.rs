//! The admin listener: health, metrics and the API that people and the embedded default's consumers use.
//!
//! Lists never show bodies, secrets or personal data; events and single deliveries on demand do, to whoever has the token.

mod api;
mod auth;
mod health;
mod limits;
mod query;
mod stream;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

pub use auth::AdminToken;
pub use limits::Limits;
use query::ApiError;

use crate::connections::{Directory, Rejections};
use crate::journal::{EventCursor, EventFilter, Journal, LogPage, LogRead, PageLimit};
use crate::monitor::Findings;
use crate::publisher::Standing;
use crate::telemetry::Summary;

/// Reads with a cursor whose events were removed.
static LOST_CURSORS: Summary = Summary::new();

/// Logs each minute which cursors lost events, until the gateway shuts down.
pub async fn log_lost_cursors(shutdown: watch::Receiver<bool>) {
    let lost = LOST_CURSORS.log_each_minute(shutdown, |reason, counted| {
        tracing::warn!(
            reason,
            count = counted.count,
            cursors = counted.subjects(),
            example = counted.example(),
            first = counted.detail.as_deref().unwrap_or_default(),
            "event cursors lost events to retention"
        );
    });
    lost.await;
}

/// What the admin routes need.
#[derive(Clone)]
pub struct Admin {
    /// What there is to see.
    pub journal: Journal,
    /// How the publisher stands with the broker. `None` without one.
    pub standing: Option<watch::Receiver<Standing>>,
    /// Who may send.
    pub directory: Directory,
    /// Who was turned away.
    pub rejections: Arc<Rejections>,
    /// What the last checks found.
    pub findings: Findings,
    /// The counters.
    pub metrics: PrometheusHandle,
    /// Ends streams.
    pub shutdown: watch::Receiver<bool>,
    /// How much may happen at once.
    pub limits: Arc<Limits>,
    /// What must be shown to see anything.
    pub token: Option<AdminToken>,
}

impl Admin {
    /// The admin listener's routes.
    pub fn configure(self, config: &mut ServiceConfig) {
        config
            .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::Unreadable.into()))
            // What is no path at all (`*`) passes by every scope.
            .default_service(
                web::to(api::not_found)
                    .wrap(from_fn(auth::guard))
                    .wrap(auth::browser_rules()),
            );
        config.app_data(web::Data::new(self)).service(
            web::scope("")
                .wrap(from_fn(auth::guard))
                .wrap(auth::browser_rules())
                .service(read_only("/healthz", health::healthz))
                .service(read_only("/readyz", health::readyz))
                .service(read_only("/metrics", health::metrics))
                .service(read_only("/api/events", api::events))
                .service(read_only("/api/events/stream", stream::events))
                .service(read_only("/api/events/{id}", api::event))
                .service(read_only("/api/deliveries", api::deliveries))
                .service(change("/api/deliveries/acknowledge", api::acknowledge_all))
                .service(read_only("/api/deliveries/{id}", api::delivery))
                .service(change("/api/deliveries/{id}/acknowledge", api::acknowledge))
                .service(change("/api/deliveries/{id}/redrive", api::redrive))
                .service(read_only("/api/connections", api::connections))
                .service(read_only("/api/connections/{id}", api::connection))
                .service(read_only("/api/openapi.json", api::openapi))
                .default_service(web::to(api::not_found)),
        );
    }
}

/// A path with GET, and HEAD, which HTTP answers as GET without the body.
fn read_only<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Clone,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(|| refuse_method("GET, HEAD")))
}

/// A path that changes something.
fn change<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: FromRequest + 'static,
{
    web::resource(path)
        .route(web::post().to(handler))
        .default_service(web::to(|| refuse_method("POST")))
}

async fn refuse_method(allowed: &'static str) -> Result<HttpResponse, ApiError> {
    Err(ApiError::Method { allowed })
}

/// A read of the event log.
struct LogQuery {
    /// The parameter in which the cursor stood.
    parameter: &'static str,
    after: EventCursor,
    limit: PageLimit,
    filter: EventFilter,
}

/// Reads a page of the event log. `read` gets the page and the cursor to go on from.
async fn read_log<T, F>(admin: &Admin, query: LogQuery, read: F) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: FnOnce(&LogPage, EventCursor) -> T + Send + 'static,
{
    let (name, after) = (query.parameter, query.after);
    let found = admin.limits.read(&admin.journal, move |reader| {
        let found = reader.log_after(query.after, query.limit, &query.filter)?;
        Ok(match found {
            LogRead::Page { page, from } => Ok(read(&page, from)),
            LogRead::Ahead { newest } => Err(ApiError::CursorAhead { name, newest }),
            LogRead::Lost { first } => Err(ApiError::EventsLost { first }),
        })
    });
    let found = found.await?;
    if let Err(ApiError::EventsLost { first }) = &found {
        metrics::counter!("cartwire_event_cursors_lost_total").increment(1);
        tracing::debug!(cursor = %after, %first, "events were removed before a consumer read them");
        LOST_CURSORS.count(
            "events_removed",
            &after.to_string(),
            Some(first.to_string()),
        );
    }
    found
}
