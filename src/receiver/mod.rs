//! The receiver: from a webhook request to a synced journal entry, and only then an answer.
//!
//! It never meets the relay: they share the journal. It logs no body and no header's value, and tells a stranger nothing
//! about why he was turned away.

mod answer;
mod handler;
mod room;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};

pub use answer::Refusal;
pub use room::BodyRoom;

use crate::connections::{Accepted, Directory, Rejections};
use crate::journal::Journal;

/// What the webhook routes need.
#[derive(Clone)]
pub struct Receiver {
    /// Where deliveries are kept.
    pub journal: Journal,
    /// Who may send.
    pub directory: Directory,
    /// Who was turned away.
    pub rejections: Arc<Rejections>,
    /// Whose deliveries were accepted, and when.
    pub accepted: Arc<Accepted>,
    /// Larger bodies are answered 413.
    pub max_body_bytes: usize,
    /// Slower bodies are answered 408.
    pub body_timeout: Duration,
    /// Memory for the bodies that are being read.
    pub body_room: Arc<BodyRoom>,
}

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
