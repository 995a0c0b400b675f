//! An event as an AMQP message, as the contract with consumers defines it. Pure: no channels, no I/O.

use crate::event::Event;

/// A message, ready to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The event's id. Consumers recognize duplicates by it.
    pub id: String,
    /// `{platform}.{entity}.{verb}.{connection}`
    pub routing_key: String,
    /// `cartwire.{entity}.{verb}`
    pub event_type: String,
    /// Seconds since 1970: the event's time.
    pub timestamp: u64,
    /// The CloudEvents attributes that consumers route by, as `cloudEvents_*` headers.
    pub headers: Vec<(&'static str, String)>,
    /// The event as `application/cloudevents+json`.
    pub body: Vec<u8>,
}

/// The body's content type.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The messages' `app_id`.
pub const APP_ID: &str = "cartwire";

impl Message {
    /// Renders an event.
    ///
    /// # Errors
    /// Only where the platform's payload is no JSON, which normalizing has ruled out.
    pub fn render(event: &Event) -> Result<Self, serde_json::Error> {
        let event_type = event.event_type();
        // The platform's payload, and about as many bytes of normalized data.
        let mut body = Vec::with_capacity(2 * event.raw.get().len() + 1024);
        serde_json::to_writer(&mut body, event)?;
        Ok(Self {
            id: event.id.to_string(),
            routing_key: routing_key(event),
            timestamp: u64::try_from(event.time.as_second()).unwrap_or(0),
            headers: vec![
                ("cloudEvents_specversion", "1.0".to_owned()),
                ("cloudEvents_id", event.id.to_string()),
                ("cloudEvents_source", event.source()),
                ("cloudEvents_type", event_type.clone()),
                ("cloudEvents_subject", event.subject()),
                ("cloudEvents_time", event.time_text()),
                ("cloudEvents_platform", event.platform.clone()),
                ("cloudEvents_connection", event.connection.to_string()),
                ("cloudEvents_partitionkey", event.partition_key()),
                ("cloudEvents_sequence", event.sequence.to_string()),
                ("cloudEvents_origin", event.origin.as_str().to_owned()),
                (
                    "cloudEvents_authority",
                    event.normalized.authority.as_str().to_owned(),
                ),
            ],
            event_type,
            body,
        })
    }
}

/// Dots in a connection become `-`, so that each word of a pattern stands for one part.
pub(super) fn routing_key(event: &Event) -> String {
    let connection = event.connection.as_str().replace('.', "-");
    format!(
        "{}.{}.{}.{connection}",
        event.platform,
        event.normalized.entity.name(),
        event.normalized.verb
    )
}
