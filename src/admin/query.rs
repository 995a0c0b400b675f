//! Query strings of the admin API: parsing and validation. The response to a mistake says what is valid.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::delivery::{ConnectionId, DeliveryKey};
use crate::journal::entry::{DeliveryState, Position};
use crate::journal::{DeliveryFilter, EntityFilter, EventCursor, EventFilter, JournalError};

/// Seconds after which a client may try again after a limit of the admin listener.
const RETRY_AFTER_SECONDS: &str = "5";
/// Maximum number of characters of a client's text that a response repeats.
const REPEATED_CHARACTERS: usize = 64;

/// The error of a request to the admin API.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// A parameter has an invalid value.
    #[error("{name}: {right}")]
    Parameter {
        /// The parameter's name.
        name: &'static str,
        /// The valid values.
        right: String,
    },
    /// The path does not have this parameter.
    #[error("unknown parameter {name}")]
    UnknownParameter {
        /// The name as sent, shortened.
        name: String,
        /// The parameters that the path has.
        known: &'static [&'static str],
    },
    /// The query or the path is not percent-encoded UTF-8, or a parameter is repeated.
    #[error("the query or path cannot be read")]
    Unreadable,
    /// The cursor is after the newest event.
    #[error("{name} lies beyond the newest event")]
    CursorAhead {
        /// The name of the parameter or header with the cursor.
        name: &'static str,
        /// The cursor of the newest event.
        newest: EventCursor,
    },
    /// Events after the cursor were removed before they were read.
    #[error("events after the cursor were removed")]
    EventsLost {
        /// The cursor that reads all stored events.
        first: EventCursor,
    },
    /// The requested object does not exist.
    #[error("not found")]
    NotFound,
    /// The path does not have this method.
    #[error("method not allowed")]
    Method {
        /// The methods that the path has.
        allowed: &'static str,
    },
    /// All streams are in use.
    #[error("too many event streams")]
    TooManyStreams {
        /// The maximum number of streams.
        limit: usize,
    },
    /// All slots for reading are in use.
    #[error("too many requests at once")]
    Busy,
    /// The response could not be written as JSON.
    #[error("the answer cannot be written")]
    Unwritable,
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            ApiError::Parameter { .. }
            | ApiError::UnknownParameter { .. }
            | ApiError::Unreadable
            | ApiError::CursorAhead { .. } => StatusCode::BAD_REQUEST,
            ApiError::EventsLost { .. } => StatusCode::GONE,
            ApiError::NotFound => StatusCode::NOT_FOUND,
            ApiError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Unwritable => StatusCode::INTERNAL_SERVER_ERROR,
            ApiError::TooManyStreams { .. } | ApiError::Busy | ApiError::Journal(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn error_response(&self) -> HttpResponse {
        let body = match self {
            ApiError::Parameter { name, right } => {
                json!({"error": "bad_request", "parameter": name, "hint": right})
            }
            ApiError::UnknownParameter { name, known } => {
                let hint = if known.is_empty() {
                    "this path has no parameters".to_owned()
                } else {
                    format!("the parameters of this path are {}", known.join(", "))
                };
                json!({"error": "unknown_parameter", "parameter": name, "known": known, "hint": hint})
            }
            ApiError::Unreadable => {
                json!({"error": "bad_request", "hint": "each parameter once, as percent-encoded UTF-8"})
            }
            ApiError::CursorAhead { name, newest } => json!({
                "error": "cursor_ahead", "parameter": name, "newest": newest.to_string(),
                "hint": format!("the newest event has the cursor {newest}: was the cursor made by another gateway or before a restore?"),
            }),
            ApiError::EventsLost { first } => json!({
                "error": "events_removed", "first": first.to_string(),
                "hint": format!("retention removed events after this cursor before they were read: go on with the cursor {first}, and compare with the store what is missing"),
            }),
            ApiError::NotFound => json!({"error": "not_found"}),
            ApiError::Method { allowed } => {
                json!({"error": "method_not_allowed", "allowed": allowed})
            }
            ApiError::TooManyStreams { limit } => json!({
                "error": "unavailable", "reason": "too_many_streams",
                "hint": format!("{limit} event streams are open, which is the maximum: end one, or read /api/events"),
            }),
            ApiError::Busy => json!({
                "error": "unavailable", "reason": "too_many_requests",
                "hint": "other requests take all readers of the journal: try again, with fewer requests at once",
            }),
            ApiError::Unwritable => json!({"error": "internal"}),
            ApiError::Journal(error) => json!({"error": "unavailable", "reason": error.reason()}),
        };
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if let ApiError::Method { allowed } = self {
            response.insert_header(("allow", *allowed));
        }
        response.json(body)
    }
}

/// The parameters of a query string: all known, none repeated.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters of a path.
    pub(super) fn of(
        request: &HttpRequest,
        known: &'static [&'static str],
    ) -> Result<Self, ApiError> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| ApiError::Unreadable)?
            .into_inner();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let name = name.chars().take(REPEATED_CHARACTERS).collect();
                return Err(ApiError::UnknownParameter { name, known });
            }
            if pairs[..index].iter().any(|(other, _)| other == name) {
                return Err(ApiError::Unreadable);
            }
        }
        Ok(Self(pairs))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// Maximum number of rows of the response.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let Some(text) = self.get("limit") else {
            return Ok(100);
        };
        match text.parse() {
            Ok(limit) if (1..=1000).contains(&limit) => Ok(limit),
            _ => Err(wrong("limit", "a number from 1 to 1000")),
        }
    }

    fn instant(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse::<Timestamp>() {
            Ok(instant) => Ok(Some(instant.as_millisecond())),
            Err(_) => Err(wrong(name, "an instant such as 2026-11-21T00:00:00Z")),
        }
    }

    /// The cursor of `/api/events` and of its stream.
    pub(super) fn after(&self) -> Result<EventCursor, ApiError> {
        match self.get("after") {
            Some(text) => cursor("after", text),
            None => Ok(EventCursor::default()),
        }
    }

    /// The filters of `/api/events` and of its stream.
    pub(super) fn event_filter(&self) -> Result<EventFilter, ApiError> {
        Ok(EventFilter {
            event_type: self.text("type"),
            connection: self.text("connection"),
            subject: self.text("subject"),
            since: self.instant("since")?,
            until: self.instant("until")?,
        })
    }

    /// The begin of `/api/connections/{id}/gaps`.
    pub(super) fn gaps_since(&self) -> Result<Timestamp, ApiError> {
        let default = Timestamp::now() - SignedDuration::from_hours(24 * 7);
        let since = self.instant("since")?;
        let since = since.and_then(|since| Timestamp::from_millisecond(since).ok());
        Ok(since.unwrap_or(default))
    }

    /// The filter of `/api/entities/{entity}`.
    pub(super) fn entity_filter(&self, entity: &str) -> Result<EntityFilter, ApiError> {
        let after = match self.get("after").map(str::parse) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => return Err(wrong("after", "a cursor from \"next\"")),
        };
        let low_stock = match self.get("low_stock") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(wrong("low_stock", "true or false")),
        };
        let updated_since = self.instant("updated_since")?;
        Ok(EntityFilter {
            entity: entity.to_owned(),
            connection: self.text("connection"),
            status: self.text("status"),
            updated_since: updated_since.and_then(|time| Timestamp::from_millisecond(time).ok()),
            low_stock,
            after,
            limit: self.limit()?,
        })
    }

    /// The cursor of `/api/deliveries`.
    pub(super) fn before(&self) -> Result<Position, ApiError> {
        let Some(text) = self.get("before") else {
            return Ok(Position::MAX);
        };
        match text.parse::<Position>() {
            Ok(position) if position >= 0 => Ok(position),
            _ => Err(wrong("before", "a cursor from \"next\"")),
        }
    }

    /// The filter of a change: at least one parameter, and no text, because a search for a text reads many bodies.
    pub(super) fn changed_deliveries(&self) -> Result<DeliveryFilter, ApiError> {
        if self.0.is_empty() {
            return Err(wrong(
                "state",
                "at least one filter, for example state=dead_lettered",
            ));
        }
        self.delivery_filter()
    }

    /// The filters of `/api/deliveries`.
    pub(super) fn delivery_filter(&self) -> Result<DeliveryFilter, ApiError> {
        let states = match self.get("state") {
            Some(list) => list.split(',').map(state).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let connection = self.get("connection").map(ConnectionId::new).transpose();
        Ok(DeliveryFilter {
            key: None,
            states,
            connection: connection.map_err(|e| wrong("connection", e))?,
            platform: self.text("platform"),
            topic: self.text("topic"),
            reason: self.text("reason"),
            since: self.instant("since")?,
            until: self.instant("until")?,
            with_acknowledged: self.get("acknowledged") == Some("true"),
            texts: self.text("text").into_iter().collect(),
        })
    }
}

/// The parameters of `/api/events`.
pub(super) const EVENT_PARAMETERS: &[&str] = &[
    "after",
    "limit",
    "type",
    "connection",
    "subject",
    "since",
    "until",
];
/// The parameters of `/api/entities/{entity}`.
pub(super) const ENTITY_PARAMETERS: &[&str] = &[
    "after",
    "limit",
    "connection",
    "status",
    "updated_since",
    "low_stock",
];
/// The parameters of `/api/events/stream`.
pub(super) const STREAM_PARAMETERS: &[&str] = &["after", "type", "connection", "subject"];
/// The parameters of `/api/deliveries`.
pub(super) const DELIVERY_PARAMETERS: &[&str] = &[
    "before",
    "limit",
    "state",
    "connection",
    "platform",
    "topic",
    "reason",
    "since",
    "until",
    "acknowledged",
    "text",
];
/// The parameters of a change of many deliveries.
pub(super) const CHANGED_DELIVERIES_PARAMETERS: &[&str] = &[
    "state",
    "connection",
    "platform",
    "topic",
    "reason",
    "since",
    "until",
];

/// An event cursor from an earlier response.
pub(super) fn cursor(name: &'static str, text: &str) -> Result<EventCursor, ApiError> {
    text.parse()
        .map_err(|_| wrong(name, "a cursor from \"next\", or 0"))
}

/// A delivery's id from an earlier response.
pub(super) fn delivery_key(text: &str) -> Result<DeliveryKey, ApiError> {
    DeliveryKey::parse(text).ok_or(ApiError::NotFound)
}

fn state(text: &str) -> Result<DeliveryState, ApiError> {
    let names: Vec<&str> = DeliveryState::ALL
        .iter()
        .map(|state| state.as_str())
        .collect();
    DeliveryState::parse(text.trim()).ok_or_else(|| {
        wrong(
            "state",
            format!("any of {}, separated by commas", names.join(", ")),
        )
    })
}

fn wrong(name: &'static str, right: impl ToString) -> ApiError {
    ApiError::Parameter {
        name,
        right: right.to_string(),
    }
}
