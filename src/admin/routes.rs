//! The routes of the admin listener.

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder};

use super::query::ApiError;
use super::state::Admin;
use super::{api, auth, entities, health, stream};

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
                .service(read_only("/api/entities/{entity}", entities::list))
                .service(read_only(
                    "/api/entities/{entity}/{connection}/{id}",
                    entities::show,
                ))
                .service(read_only("/api/deliveries", api::deliveries))
                .service(change("/api/deliveries/acknowledge", api::acknowledge_all))
                .service(read_only("/api/deliveries/{id}", api::delivery))
                .service(change("/api/deliveries/{id}/acknowledge", api::acknowledge))
                .service(change("/api/deliveries/{id}/redrive", api::redrive))
                .service(read_only("/api/connections", api::connections))
                .service(read_only("/api/connections/{id}", api::connection))
                .service(read_only("/api/connections/{id}/gaps", entities::gaps))
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
