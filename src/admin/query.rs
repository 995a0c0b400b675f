//! The admin API's query strings, as typed and then as meant; a mistake is answered with what would be right.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::delivery::{ConnectionId, DeliveryKey};
use crate::journal::entry::{Position, STATES, State};
use crate::journal::{DeliveryFilter, EventFilter, JournalError};

/// Why a request to the admin API got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// A parameter is wrong.
    #[error("{name}: {right}")]
    Parameter {
        /// Which.
        name: &'static str,
        /// What is right.
        right: String,
    },
    /// The query or path is none.
    #[error("the query or path cannot be read")]
    Unreadable,
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// The journal fails.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            ApiError::Parameter { .. } | ApiError::Unreadable => StatusCode::BAD_REQUEST,
            ApiError::NotFound => StatusCode::NOT_FOUND,
            ApiError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let body = match self {
            ApiError::Parameter { name, right } => {
                json!({"error": "bad_request", "parameter": name, "hint": right})
            }
            ApiError::Unreadable => {
                json!({"error": "bad_request", "hint": "each parameter once, as percent-encoded UTF-8"})
            }
            ApiError::NotFound => json!({"error": "not_found"}),
            ApiError::Journal(error) => json!({"error": "unavailable", "reason": error.reason()}),
        };
        HttpResponse::build(self.status_code()).json(body)
    }
}

/// The parameters of `/api/events` and `/api/events/stream`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct EventQuery {
    after: Option<String>,
    limit: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    connection: Option<String>,
    subject: Option<String>,
}

impl EventQuery {
    pub(super) fn after(&self) -> Result<Position, ApiError> {
        cursor("after", self.after.as_deref()).map(|after| after.unwrap_or(0))
    }

    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        limit(self.limit.as_deref())
    }

    pub(super) fn filter(self) -> EventFilter {
        EventFilter {
            event_type: self.event_type,
            connection: self.connection,
            subject: self.subject,
            since: None,
            until: None,
        }
    }
}

/// The parameters of `/api/deliveries`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DeliveryQuery {
    before: Option<String>,
    limit: Option<String>,
    state: Option<String>,
    connection: Option<String>,
    platform: Option<String>,
    topic: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
    acknowledged: Option<String>,
    text: Option<String>,
}

impl DeliveryQuery {
    pub(super) fn before(&self) -> Result<Position, ApiError> {
        cursor("before", self.before.as_deref()).map(|before| before.unwrap_or(Position::MAX))
    }

    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        limit(self.limit.as_deref())
    }

    /// The filter of a change: at least one parameter, and no text, because a search for one reads many bodies.
    pub(super) fn choice(self) -> Result<DeliveryFilter, ApiError> {
        if self.text.is_some() {
            return Err(wrong("text", "only in GET /api/deliveries"));
        }
        let words = [
            &self.state,
            &self.connection,
            &self.platform,
            &self.topic,
            &self.reason,
            &self.since,
            &self.until,
        ];
        if words.iter().all(|word| word.is_none()) {
            return Err(wrong(
                "state",
                "at least one filter, for example state=dead_lettered",
            ));
        }
        self.filter()
    }

    pub(super) fn filter(self) -> Result<DeliveryFilter, ApiError> {
        let states = self
            .state
            .as_deref()
            .map_or(Ok(Vec::new()), |list| list.split(',').map(state).collect())?;
        let connection = self
            .connection
            .map(|id| ConnectionId::new(&id))
            .transpose()
            .map_err(|e| wrong("connection", e))?;
        Ok(DeliveryFilter {
            key: None,
            states,
            connection,
            platform: self.platform,
            topic: self.topic,
            reason: self.reason,
            since: instant("since", self.since.as_deref())?,
            until: instant("until", self.until.as_deref())?,
            with_acknowledged: self.acknowledged.as_deref() == Some("true"),
            texts: self.text.into_iter().collect(),
        })
    }
}

/// A cursor as we gave it out.
pub(super) fn cursor(name: &'static str, text: Option<&str>) -> Result<Option<Position>, ApiError> {
    let parse = |text: &str| {
        text.parse::<Position>()
            .ok()
            .filter(|position| *position >= 0)
            .ok_or_else(|| wrong(name, "a cursor from \"next\", or 0"))
    };
    text.map(parse).transpose()
}

/// A delivery's id as we gave it out.
pub(super) fn delivery_key(text: &str) -> Result<DeliveryKey, ApiError> {
    DeliveryKey::parse(text).ok_or(ApiError::NotFound)
}

fn limit(text: Option<&str>) -> Result<usize, ApiError> {
    let Some(text) = text else { return Ok(100) };
    text.parse()
        .ok()
        .filter(|limit| (1..=1000).contains(limit))
        .ok_or_else(|| wrong("limit", "a number from 1 to 1000"))
}

fn state(text: &str) -> Result<State, ApiError> {
    let names: Vec<&str> = STATES.iter().map(|state| state.as_str()).collect();
    State::parse(text.trim()).ok_or_else(|| {
        wrong(
            "state",
            format!("any of {}, separated by commas", names.join(", ")),
        )
    })
}

fn instant(name: &'static str, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let parse = |text: &str| {
        text.parse::<Timestamp>()
            .map_err(|_| wrong(name, "an instant such as 2026-11-21T00:00:00Z"))
    };
    Ok(text
        .map(parse)
        .transpose()?
        .map(|instant| instant.as_millisecond()))
}

fn wrong(name: &'static str, right: impl ToString) -> ApiError {
    ApiError::Parameter {
        name,
        right: right.to_string(),
    }
}
