//! The routes of the public listener.

use actix_web::web::{self, ServiceConfig};

use super::handler;
use super::state::Receiver;

impl Receiver {
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
