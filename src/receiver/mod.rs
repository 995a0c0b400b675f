//! The receiver: from a webhook request to a synced journal entry, and only then an answer.
//!
//! The receiver never meets the relay: they share the journal. It logs no body and no header's value, and an answer never
//! tells a client without a key why its request was refused.

mod answer;
mod append_turns;
mod body_budget;
mod handler;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use tokio::sync::watch;

pub use answer::Refusal;
use append_turns::AppendTurns;
use body_budget::BodyBudget;

use crate::connections::{Accepted, Directory, Rejections};
use crate::journal::Journal;
use crate::telemetry::Summary;

/// Requests to known connections that were refused, by reason and connection.
static REFUSED: Summary = Summary::new();
/// Requests that the journal could not keep.
static UNKEPT: Summary = Summary::new();

/// Logs each minute which requests were refused, until the gateway shuts down.
pub async fn log_refusals(shutdown: watch::Receiver<bool>) {
    let refused = REFUSED.log_each_minute(shutdown.clone(), |reason, counted| {
        tracing::warn!(
            reason,
            count = counted.count,
            connections = counted.subjects(),
            example = counted.example(),
            "webhooks refused"
        );
    });
    let unkept = UNKEPT.log_each_minute(shutdown, |reason, counted| {
        tracing::error!(
            reason,
            count = counted.count,
            connections = counted.subjects(),
            example = counted.example(),
            error = counted.detail.as_deref().unwrap_or_default(),
            "webhooks answered 503"
        );
    });
    tokio::join!(refused, unkept);
}

/// What the webhook routes need.
#[derive(Clone)]
pub struct Receiver {
    journal: Journal,
    directory: Directory,
    rejections: Arc<Rejections>,
    accepted: Arc<Accepted>,
    max_body_bytes: usize,
    body_timeout: Duration,
    body_budget: Arc<BodyBudget>,
    append_turns: Arc<AppendTurns>,
}

/// What a [`Receiver`] is made of.
pub struct ReceiverParts {
    /// Keeps the deliveries.
    pub journal: Journal,
    /// The endpoints and their keys.
    pub directory: Directory,
    /// Counts refused requests by connection.
    pub rejections: Arc<Rejections>,
    /// Notes when a connection's deliveries were accepted.
    pub accepted: Arc<Accepted>,
    /// Larger bodies are answered 413.
    pub max_body_bytes: usize,
    /// Slower bodies are answered 408.
    pub body_timeout: Duration,
}

impl Receiver {
    /// A receiver with budgets of its own.
    #[must_use]
    pub fn new(parts: ReceiverParts) -> Self {
        Self {
            body_budget: Arc::new(BodyBudget::new(parts.max_body_bytes)),
            append_turns: Arc::default(),
            journal: parts.journal,
            directory: parts.directory,
            rejections: parts.rejections,
            accepted: parts.accepted,
            max_body_bytes: parts.max_body_bytes,
            body_timeout: parts.body_timeout,
        }
    }

    /// The public listener's routes.
    pub fn configure(self, config: &mut ServiceConfig) {
        config
            .app_data(web::Data::new(self))
            // The rest of the path is split by the handler: the router would match it with a regular expression.
            .service(web::scope("/webhooks").default_service(web::to(handler::receive)))
            .service(
                web::resource("/healthz")
                    .route(web::get().to(handler::healthz))
                    .route(web::head().to(handler::healthz))
                    .default_service(web::to(handler::healthz_only_read)),
            )
            .default_service(web::to(handler::not_found));
    }
}
