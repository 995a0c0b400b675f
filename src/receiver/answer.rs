//! The responses of webhook routes, and the reason codes that are counted.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};

use crate::journal::JournalError;
use crate::platforms::Rejection;

/// Seconds after which a sender may try again while the journal takes nothing.
const RETRY_AFTER_SECONDS: &str = "10";

/// Why a request on a webhook route got no 200.
#[derive(Debug)]
pub enum Refusal {
    /// No such platform or connection, or no such path.
    NotFound,
    /// Only POST.
    Method,
    /// A body in an encoding that no platform uses.
    Encoding,
    /// More than `--max-body-bytes`.
    TooLarge,
    /// The body did not come in time.
    TooSlow,
    /// The body broke off.
    BrokenBody,
    /// The platform turned it away.
    Rejected(Rejection),
    /// One of the connection's keys cannot be used, and no other one fits.
    KeyUnusable,
    /// Too many bodies are being read at once.
    Overloaded,
    /// The journal did not take it.
    Journal(JournalError),
}

impl Refusal {
    /// A bounded word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotFound => "not_found",
            Refusal::Method => "method",
            Refusal::Encoding => "content_encoding",
            Refusal::TooLarge => "too_large",
            Refusal::TooSlow => "too_slow",
            Refusal::BrokenBody => "broken_body",
            Refusal::Rejected(rejection) => rejection.reason(),
            Refusal::KeyUnusable => "key_unusable",
            Refusal::Overloaded => "overloaded",
            Refusal::Journal(error) => error.reason(),
        }
    }

    /// The answer's body, as JSON.
    fn body(&self) -> &'static str {
        match self {
            Refusal::NotFound => r#"{"error":"not_found"}"#,
            Refusal::Method => r#"{"error":"method_not_allowed","allowed":"POST"}"#,
            Refusal::Encoding => {
                r#"{"error":"unsupported_content_encoding","supported":"identity"}"#
            }
            Refusal::TooLarge => r#"{"error":"too_large"}"#,
            Refusal::TooSlow => r#"{"error":"timeout"}"#,
            Refusal::BrokenBody => r#"{"error":"unreadable","hint":"the body broke off"}"#,
            // One body for all rejections, because the response must not disclose the reason.
            Refusal::Rejected(rejection) if rejection.is_unauthorized() => {
                r#"{"error":"unauthorized"}"#
            }
            Refusal::Rejected(Rejection::HeaderAmbiguous) => {
                r#"{"error":"unreadable","hint":"a header stands twice or is no text"}"#
            }
            Refusal::Rejected(_) => {
                r#"{"error":"unreadable","hint":"the body is not what this platform sends"}"#
            }
            Refusal::KeyUnusable | Refusal::Overloaded | Refusal::Journal(_) => {
                r#"{"error":"unavailable"}"#
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::BrokenBody => StatusCode::BAD_REQUEST,
            Refusal::Rejected(rejection) if rejection.is_unauthorized() => StatusCode::UNAUTHORIZED,
            Refusal::Rejected(_) => StatusCode::BAD_REQUEST,
            Refusal::KeyUnusable | Refusal::Overloaded | Refusal::Journal(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if self.status_code() == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if matches!(self, Refusal::Method) {
            response.insert_header(("allow", "POST"));
        }
        // The rest of such a body is not worth reading.
        if matches!(
            self,
            Refusal::TooLarge | Refusal::TooSlow | Refusal::Overloaded
        ) {
            response.force_close();
        }
        response.content_type(ContentType::json()).body(self.body())
    }
}
