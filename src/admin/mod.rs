//! The admin listener: health, metrics and the API that people and the embedded default's consumers use.
//!
//! Lists never show bodies, secrets or personal data; events and single deliveries on demand do, to whoever has the token.

mod api;
mod auth;
mod health;
mod query;
mod stream;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

pub use auth::AdminToken;
use query::ApiError;

use crate::connections::{Directory, Rejections};
use crate::journal::Journal;
use crate::monitor::Findings;

/// What the admin routes need.
#[derive(Clone)]
pub struct Admin {
    /// What there is to see.
    pub journal: Journal,
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
    /// What must be shown to see anything.
    pub token: Option<AdminToken>,
}

impl Admin {
    /// The admin listener's routes.
    pub fn configure(self, config: &mut ServiceConfig) {
        config
            .app_data(web::QueryConfig::default().error_handler(|_, _| ApiError::Unreadable.into()))
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
                .route("/healthz", web::get().to(health::healthz))
                .route("/readyz", web::get().to(health::readyz))
                .route("/metrics", web::get().to(health::metrics))
                .route("/api/events", web::get().to(api::events))
                .route("/api/events/stream", web::get().to(stream::events))
                .route("/api/events/{id}", web::get().to(api::event))
                .route("/api/deliveries", web::get().to(api::deliveries))
                .route("/api/deliveries/{id}", web::get().to(api::delivery))
                .route(
                    "/api/deliveries/acknowledge",
                    web::post().to(api::acknowledge_all),
                )
                .route(
                    "/api/deliveries/{id}/acknowledge",
                    web::post().to(api::acknowledge),
                )
                .route("/api/deliveries/{id}/redrive", web::post().to(api::redrive))
                .route("/api/connections", web::get().to(api::connections))
                .route("/api/connections/{id}", web::get().to(api::connection))
                .route("/api/openapi.json", web::get().to(api::openapi))
                .default_service(web::to(api::not_found)),
        );
    }
}
