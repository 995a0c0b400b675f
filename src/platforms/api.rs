//! Requests to a store's API and the responses, as plain data. Platforms describe requests, and `outbound` executes them.
//!
//! A conversation with a store is a pure function that makes one request after another through a [`Dialogue`]. A request
//! without a response ends the function with [`Unanswered`]. `outbound` executes the request and calls the function again
//! with all responses so far. A conversation with branches therefore reads from top to bottom, and a test needs only
//! recorded responses. Nothing here does I/O.

mod fetched;
mod finding_code;
mod http;
mod store_page;

pub use fetched::Fetched;
pub use finding_code::FindingCode;
pub use http::{
    AccessToken, ApiRequest, Auth, CallFailure, CallResult, Method, StoreResponse, TlsFault,
    TokenGrant,
};

pub use store_page::{
    ChangeKind, FailureScope, ListKind, PageFailure, PageIds, PageRequest, ReadableList, StorePage,
    StoreRow,
};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::kind::{FOLLOWED_BY, POLLING};
use crate::delivery::{ConnectionId, ReasonCode};

/// The next request of a dialogue: it has no response yet.
#[derive(Debug)]
pub struct Unanswered(pub Box<ApiRequest>);

/// A conversation with a store: see the documentation of this module.
#[derive(Debug)]
pub struct Dialogue<'a> {
    answers: &'a [CallResult],
    next: usize,
}

impl<'a> Dialogue<'a> {
    /// `answers` are the responses to the first requests, in order.
    #[must_use]
    pub fn new(answers: &'a [CallResult]) -> Self {
        Self { answers, next: 0 }
    }

    /// All responses so far.
    pub fn answers(&self) -> &'a [CallResult] {
        self.answers
    }

    /// Returns the response to the next request.
    ///
    /// # Errors
    /// [`Unanswered`] if the request has no response yet. Return it with `?`.
    pub fn ask(&mut self, request: ApiRequest) -> Result<&'a CallResult, Unanswered> {
        let answer = self
            .answers
            .get(self.next)
            .ok_or_else(|| Unanswered(Box::new(request)))?;
        self.next += 1;
        Ok(answer)
    }
}

/// The connection that a dialogue is about.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    pub id: ConnectionId,
    /// The name of the connection kind, or `instance`.
    pub kind: String,
    /// The settings, without secrets.
    pub settings: BTreeMap<String, String>,
    /// The credentials and keys, by the name of their field.
    pub secrets: BTreeMap<String, SecretString>,
    /// The full URL of the connection's webhook endpoint, if known.
    pub delivery_url: Option<String>,
    /// For an installation: the app's connection.
    pub parent: Option<Box<ConnectionContext>>,
    /// For an app: the names of its installations; only some of them if there are many.
    pub installations: Vec<ConnectionId>,
}

/// The names of a connection's settings and secrets, without their values: enough to decide what the connection can do.
#[derive(Clone, Debug, Default)]
pub struct ConfiguredFields {
    /// The name of the connection kind, or `instance`.
    pub kind: String,
    pub names: BTreeSet<String>,
    /// For an installation: the app's connection.
    pub parent: Option<Box<ConfiguredFields>>,
}

impl ConfiguredFields {
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

impl ConnectionContext {
    #[must_use]
    pub fn configured(&self) -> ConfiguredFields {
        ConfiguredFields {
            kind: self.kind.clone(),
            names: self
                .settings
                .keys()
                .chain(self.secrets.keys())
                .cloned()
                .collect(),
            parent: self
                .parent
                .as_ref()
                .map(|parent| Box::new(parent.configured())),
        }
    }

    /// `true` for a store that is followed by polling although its platform has webhooks.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.setting(FOLLOWED_BY) == Some(POLLING)
    }

    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

/// What a check of a connection may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckMode {
    /// Only check.
    Check,
    /// Repair at the store: register, correct and re-enable webhooks.
    Fix,
    /// Remove the webhooks that the gateway registered, and no others.
    Remove,
}

/// The result of a check of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckReport {
    /// The findings, most severe first. After [`CheckMode::Fix`] these are the remaining ones.
    pub findings: Vec<Finding>,
    /// New settings of the connection to store, without secrets.
    pub settings: BTreeMap<String, String>,
    /// The checks that passed, as text for operators.
    pub good: Vec<String>,
    /// The changes made at the store, as text for operators.
    pub done: Vec<String>,
    /// The gateway's webhooks at the store.
    pub webhooks: Vec<WebhookState>,
}

/// A webhook as the store's API returns it.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookState {
    /// The webhook's id at the store.
    pub id: String,
    /// The platform's event type.
    pub topic: String,
    /// `true` if the store sends deliveries for this webhook.
    pub is_active: bool,
    /// The time of the last delivery attempt or the last change, by the store's clock.
    pub tried_at: Option<Timestamp>,
}

/// A problem or a note about a connection.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Finding {
    pub code: FindingCode,
    pub severity: Severity,
    /// What is wrong, without secrets and personal data.
    pub cause: String,
    /// What the operator has to do.
    pub remedy: String,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The store removed the gateway's access: the connection becomes `disconnected`.
    Gone,
    /// A part does not work: the connection becomes `degraded`.
    Broken,
    /// The store did not respond, which may be temporary: the connection becomes `degraded` if this continues.
    Unavailable,
    /// Information only.
    Note,
}

impl CheckReport {
    /// Adds a finding.
    pub fn add(
        &mut self,
        severity: Severity,
        code: FindingCode,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.findings.push(Finding {
            code,
            severity,
            cause: cause.into(),
            remedy: remedy.into(),
        });
        // The sort is stable: findings of equal severity keep their order.
        self.findings.sort_by_key(|finding| finding.severity);
    }

    /// Makes all texts safe to display and store, because they may contain text from the store. Control characters become
    /// spaces, and long texts are cut.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let findings = self
            .findings
            .iter_mut()
            .flat_map(|finding| [&mut finding.cause, &mut finding.remedy]);
        findings
            .chain(&mut self.good)
            .chain(&mut self.done)
            .for_each(|text| sanitize(text, MAX_TEXT_BYTES));
        self.settings
            .values_mut()
            .for_each(|value| sanitize(value, MAX_SETTING_BYTES));
        self
    }

    /// The most severe finding; `None` if there are only notes.
    #[must_use]
    pub fn trouble(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.severity != Severity::Note)
    }
}

/// Maximum length of a finding's text.
const MAX_TEXT_BYTES: usize = 2000;
/// Maximum length of a setting: an installation may have hundreds of permissions.
const MAX_SETTING_BYTES: usize = 16 << 10;

fn sanitize(text: &mut String, max_bytes: usize) {
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
        text.push('…');
    }
}

/// The allowed request rate for one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Average number of requests per minute.
    pub per_minute: u32,
    /// Number of requests without a wait after an idle time.
    pub burst: u32,
}

/// A permission that an app needs at the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Scope {
    /// The feature that needs the permission.
    pub feature: &'static str,
    /// The permission's name in the platform's dashboard.
    pub name: &'static str,
    /// The permission's id in the platform's dashboard.
    pub id: &'static str,
    /// The platform's API reports the permission under any of these names.
    pub permissions: &'static [&'static str],
}

/// Maximum wait that is accepted from a store's `Retry-After`, because the store's value is not trusted.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Parses the `Retry-After` header in seconds or as a date. At most one hour.
#[must_use]
pub fn retry_after(answer: &StoreResponse) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows counts as the maximum.
        return Some(
            value
                .parse()
                .map_or(MAX_RETRY_AFTER, Duration::from_secs)
                .min(MAX_RETRY_AFTER),
        );
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(
        Duration::try_from(date.duration_since(answer.received_at))
            .unwrap_or_default()
            .min(MAX_RETRY_AFTER),
    )
}

/// Classifies failures that mean the same on every platform, such as outages. Returns a successful response, and also a
/// refusal that only the platform can interpret (400, 404, 410).
///
/// # Errors
/// The result of the fetch for all other failures.
pub fn usable_response(result: &CallResult) -> Result<&StoreResponse, Fetched> {
    match result {
        Err(CallFailure::TokenRefused(answer))
            if (500..600).contains(&answer.status) || answer.status == 429 =>
        {
            Err(Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: retry_after(answer),
            })
        }
        Err(CallFailure::RateLimited(rest)) => Err(Fetched::Retry {
            reason: ReasonCode::RateLimited,
            after: Some(*rest),
        }),
        Err(failure) if failure.is_passing() => Err(Fetched::Retry {
            reason: failure.reason(),
            after: None,
        }),
        Err(failure) => Err(Fetched::unavailable(failure.reason())),
        Ok(answer) => match answer.status {
            429 => Err(Fetched::Retry {
                reason: ReasonCode::RateLimited,
                after: retry_after(answer),
            }),
            408 | 425 | 500..=599 => Err(Fetched::Retry {
                reason: ReasonCode::StoreUnavailable,
                after: retry_after(answer),
            }),
            401 | 403 => Err(Fetched::unavailable(ReasonCode::CredentialsRefused)),
            _ => Ok(answer),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> StoreResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        StoreResponse {
            status,
            headers,
            body: Bytes::new(),
            received_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_dialogue_goes_on_where_it_was_left() {
        let talk = |answers: &[CallResult]| -> Result<u16, Unanswered> {
            let mut dialogue = Dialogue::new(answers);
            let first = dialogue.ask(ApiRequest::get("first", "https://a.example"))?;
            let second = dialogue.ask(ApiRequest::get("second", "https://b.example?secret=x"))?;
            Ok([first, second]
                .into_iter()
                .flatten()
                .map(|answer| answer.status)
                .sum())
        };
        assert_eq!(talk(&[]).expect_err("asks").0.call, "first");
        let requested = talk(&[Ok(answer(200, &[]))]).expect_err("asks");
        assert_eq!(requested.0.call, "second");
        assert!(!format!("{requested:?}").contains("secret"));
        assert_eq!(
            talk(&[Ok(answer(200, &[])), Ok(answer(3, &[]))]).expect("done"),
            203
        );
    }

    #[test]
    fn a_store_says_in_seconds_or_by_date_when_to_come_again() {
        assert_eq!(
            retry_after(&answer(429, &[("retry-after", "7")])),
            Some(Duration::from_secs(7))
        );
        let date = [("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT")];
        assert_eq!(
            retry_after(&answer(429, &date)),
            Some(Duration::from_secs(60))
        );
        assert_eq!(retry_after(&answer(429, &[("retry-after", "soon")])), None);
        for endless in ["18446744073709551615", "99999999999999999999999", "86400"] {
            assert_eq!(
                retry_after(&answer(503, &[("retry-after", endless)])),
                Some(MAX_RETRY_AFTER)
            );
        }
    }

    #[test]
    fn what_a_store_says_can_be_shown() {
        let mut report = CheckReport::default();
        report.add(
            Severity::Broken,
            FindingCode::StoreRefuses,
            "It says \u{1b}]0;x\u{7}.",
            "Wait.\r\nOr not.",
        );
        report.good.push("é".repeat(MAX_TEXT_BYTES));
        report
            .settings
            .insert("store_name".to_owned(), "Caf\u{e9}\u{9b}2J".to_owned());
        let shown = report.shown();
        assert_eq!(
            (&*shown.findings[0].cause, &*shown.findings[0].remedy),
            ("It says  ]0;x .", "Wait.  Or not.")
        );
        assert_eq!(shown.good, ["é".repeat(MAX_TEXT_BYTES / 2) + "…"]);
        assert_eq!(shown.settings["store_name"], "Café 2J");
    }

    #[test]
    fn an_outage_is_asked_again_and_a_refusal_is_not() {
        assert!(matches!(
            usable_response(&Err(CallFailure::TimedOut)),
            Err(Fetched::Retry {
                reason: ReasonCode::TimedOut,
                after: None
            })
        ));
        assert!(matches!(
            usable_response(&Ok(answer(503, &[("retry-after", "2")]))),
            Err(Fetched::Retry { after: Some(_), .. })
        ));
        assert_eq!(
            usable_response(&Ok(answer(401, &[]))).err(),
            Some(Fetched::unavailable(ReasonCode::CredentialsRefused))
        );
        assert_eq!(
            usable_response(&Err(CallFailure::AddressRefused("::1".to_owned()))).err(),
            Some(Fetched::unavailable(ReasonCode::AddressRefused))
        );
        assert!(usable_response(&Ok(answer(404, &[]))).is_ok());
    }
}
