//! What a store's API is asked and what it answers, as data: described by the platforms, executed by `outbound`.
//!
//! A platform talks to a store in a [`Dialogue`]: a pure function that asks one thing after another and returns what came of
//! it. What has no answer yet ends the function with [`Unanswered`]; whoever executes it asks the store, and calls the function
//! again with all answers so far. So a conversation with branches reads from top to bottom, and a test needs nothing but
//! recorded answers. Nothing here executes anything.

mod http;

pub use http::{
    AccessToken, Answer, ApiRequest, Auth, CallFailure, CallResult, Method, TlsFault, TokenGrant,
};

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::delivery::ConnectionId;

/// A question without an answer so far.
#[derive(Debug)]
pub struct Unanswered(pub Box<ApiRequest>);

/// A conversation with a store: see the top of this file.
#[derive(Debug)]
pub struct Dialogue<'a> {
    answers: &'a [CallResult],
    next: usize,
}

impl<'a> Dialogue<'a> {
    /// With the answers to the first questions, in order.
    #[must_use]
    pub fn new(answers: &'a [CallResult]) -> Self {
        Self { answers, next: 0 }
    }

    /// All answers so far.
    pub fn answers(&self) -> &'a [CallResult] {
        self.answers
    }

    /// Asks something.
    ///
    /// # Errors
    /// [`Unanswered`] where it has to be asked yet: hand it on with `?`.
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
pub struct Subject {
    /// Its name.
    pub id: ConnectionId,
    /// Its kind's name, or `instance`.
    pub kind: String,
    /// What is known of it and no secret.
    pub settings: BTreeMap<String, String>,
    /// Its credentials and keys, by the name of their field.
    pub secrets: BTreeMap<String, SecretString>,
    /// Where its webhooks have to go, as far as it is known: the whole address.
    pub delivery_url: Option<String>,
    /// Of an installation: the app's connection.
    pub parent: Option<Box<Subject>>,
    /// Of an app: the names of its installations, some of them where there are many.
    pub installations: Vec<ConnectionId>,
}

impl Subject {
    /// A setting.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

/// What is wanted of an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Look, and change nothing.
    Check,
    /// Put right what can be put right at the store: register webhooks, mend them, turn them on again.
    Fix,
    /// Remove what we registered, and only that.
    Remove,
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examination {
    /// What is wrong or worth knowing, worst first. After [`Intent::Fix`]: what is still wrong.
    pub findings: Vec<Finding>,
    /// What was learned of the connection and is no secret, to be kept in its settings.
    pub settings: BTreeMap<String, String>,
    /// What was looked at and is well, for people.
    pub good: Vec<String>,
    /// What was changed at the store, for people.
    pub done: Vec<String>,
    /// The webhooks that the store has for us.
    pub webhooks: Vec<WebhookState>,
}

/// A webhook as its store shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookState {
    /// The store's id of it.
    pub id: String,
    /// The platform's event type.
    pub topic: String,
    /// `true` if the store delivers it.
    pub is_active: bool,
    /// When the store last tried to deliver it, or it was last changed, by the store's clock.
    pub tried_at: Option<Timestamp>,
}

/// Something that is wrong or worth knowing.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Finding {
    /// A bounded word: metric label, the connection's reason.
    pub code: &'static str,
    /// How bad.
    pub weight: Weight,
    /// What is the matter. No secret, no personal data.
    pub cause: String,
    /// What mends it.
    pub step: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The store removed us: the connection is `disconnected`.
    Gone,
    /// Something does not work: the connection is `degraded`.
    Broken,
    /// The store could not be asked, which may pass by itself: the connection is `degraded` where it goes on.
    Unavailable,
    /// Worth knowing.
    Note,
}

impl Examination {
    /// Adds a finding.
    pub fn find(
        &mut self,
        weight: Weight,
        code: &'static str,
        cause: impl Into<String>,
        step: impl Into<String>,
    ) {
        self.findings.push(Finding {
            code,
            weight,
            cause: cause.into(),
            step: step.into(),
        });
        // Stable: of equal weight, what was found first stays first.
        self.findings.sort_by_key(|finding| finding.weight);
    }

    /// The same, fit to be shown and kept: what a store says of itself stands in these texts, and a store may say anything.
    /// What would do something to a terminal becomes a space, and what is too long is cut.
    #[must_use]
    pub fn shown(mut self) -> Self {
        let findings = self
            .findings
            .iter_mut()
            .flat_map(|finding| [&mut finding.cause, &mut finding.step]);
        findings
            .chain(&mut self.good)
            .chain(&mut self.done)
            .for_each(|text| show(text, LONGEST_TEXT));
        self.settings
            .values_mut()
            .for_each(|value| show(value, LONGEST_SETTING));
        self
    }

    /// The worst that was found, where it is more than a note.
    #[must_use]
    pub fn trouble(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.weight != Weight::Note)
    }
}

/// The longest text about a store, and the longest setting, in bytes: an installation may have hundreds of permissions.
const LONGEST_TEXT: usize = 2000;
const LONGEST_SETTING: usize = 16 << 10;

fn show(text: &mut String, longest: usize) {
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
}

/// What a store says when a thin delivery is to be completed.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// All of it: JSON that is kept beside the delivery, for the platform's `normalize`.
    Whole(Bytes),
    /// What the delivery says is not so; why, as a bounded word.
    Untrue(&'static str),
    /// The store answers that it has no such entity. A deletion is confirmed by this only if the entity was known before:
    /// WooCommerce announces deletions of ids that never were such an entity.
    Absent,
    /// The store has no more to say; why, as a bounded word. The delivery goes out as it is.
    Nothing(&'static str),
    /// Not now; why, as a bounded word. It is asked again, after that long at least where the store says so.
    Later(&'static str, Option<Duration>),
}

/// How often a store may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Requests a minute, in the long run.
    pub per_minute: u32,
    /// Requests at once after a rest.
    pub burst: u32,
}

/// A permission that the platform has to grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Scope {
    /// What it is needed for.
    pub feature: &'static str,
    /// As it is called where it is granted.
    pub name: &'static str,
    /// Its id there.
    pub id: &'static str,
    /// By which words an installation tells that it has it; any of them.
    pub permissions: &'static [&'static str],
}

/// The longest pause that a store is believed to want: what it says is a stranger's word.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Reads the `Retry-After` of an answer, in seconds or as a date; an hour at most.
#[must_use]
pub fn retry_after(answer: &Answer) -> Option<Duration> {
    let value = answer.header("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are a long time.
        return Some(
            value
                .parse()
                .map_or(LONGEST_PAUSE, Duration::from_secs)
                .min(LONGEST_PAUSE),
        );
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(
        Duration::try_from(date.duration_since(answer.received_at))
            .unwrap_or_default()
            .min(LONGEST_PAUSE),
    )
}

/// What a result without a good answer means for completing: every platform sees outages alike. A good answer is handed on,
/// and so is a refusal that only the platform understands (400, 404, 410 and the like).
///
/// # Errors
/// What to tell instead.
pub fn heard(result: &CallResult) -> Result<&Answer, Told> {
    match result {
        Err(CallFailure::TokenRefused(answer))
            if (500..600).contains(&answer.status) || answer.status == 429 =>
        {
            Err(Told::Later("store_unavailable", retry_after(answer)))
        }
        Err(CallFailure::Resting(rest)) => Err(Told::Later("rate_limited", Some(*rest))),
        Err(failure) if failure.is_passing() => Err(Told::Later(failure.reason(), None)),
        Err(failure) => Err(Told::Nothing(failure.reason())),
        Ok(answer) => match answer.status {
            429 => Err(Told::Later("rate_limited", retry_after(answer))),
            408 | 425 | 500..=599 => Err(Told::Later("store_unavailable", retry_after(answer))),
            401 | 403 => Err(Told::Nothing("credentials_refused")),
            _ => Ok(answer),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Answer {
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
        let asked = talk(&[Ok(answer(200, &[]))]).expect_err("asks");
        assert_eq!(asked.0.call, "second");
        assert!(!format!("{asked:?}").contains("secret"));
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
                Some(LONGEST_PAUSE)
            );
        }
    }

    #[test]
    fn what_a_store_says_can_be_shown() {
        let mut examination = Examination::default();
        examination.find(
            Weight::Broken,
            "store_refuses",
            "It says \u{1b}]0;x\u{7}.",
            "Wait.\r\nOr not.",
        );
        examination.good.push("é".repeat(LONGEST_TEXT));
        examination
            .settings
            .insert("store_name".to_owned(), "Caf\u{e9}\u{9b}2J".to_owned());
        let shown = examination.shown();
        assert_eq!(
            (&*shown.findings[0].cause, &*shown.findings[0].step),
            ("It says  ]0;x .", "Wait.  Or not.")
        );
        assert_eq!(shown.good, ["é".repeat(LONGEST_TEXT / 2) + "…"]);
        assert_eq!(shown.settings["store_name"], "Café 2J");
    }

    #[test]
    fn an_outage_is_asked_again_and_a_refusal_is_not() {
        assert!(matches!(
            heard(&Err(CallFailure::TimedOut)),
            Err(Told::Later("timed_out", None))
        ));
        assert!(matches!(
            heard(&Ok(answer(503, &[("retry-after", "2")]))),
            Err(Told::Later(_, Some(_)))
        ));
        assert!(matches!(
            heard(&Ok(answer(401, &[]))),
            Err(Told::Nothing("credentials_refused"))
        ));
        assert!(matches!(
            heard(&Err(CallFailure::AddressRefused("::1".to_owned()))),
            Err(Told::Nothing("address_refused"))
        ));
        assert!(heard(&Ok(answer(404, &[]))).is_ok());
    }
}
