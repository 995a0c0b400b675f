//! Why a delivery gives no event, why an event lacks data, and why the read of a store stopped.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// Declares the codes with their texts. A text is stored, published and documented, so it never changes.
macro_rules! codes {
    ($($code:ident = $text:literal,)*) => {
        /// A reason code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ReasonCode {
            $($code,)*
        }

        impl ReasonCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The text in the journal, in events, logs, metrics and reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    AddressInvalid = "address_invalid",
    AddressRefused = "address_refused",
    AnnouncementUnreadable = "announcement_unreadable",
    AnotherEntity = "another_entity",
    AnswerTooComplex = "answer_too_complex",
    AnswerTooLarge = "answer_too_large",
    AnswerUnreadable = "answer_unreadable",
    BrokerAway = "broker_away",
    ClaimsUnreadable = "claims_unreadable",
    ClosesBrokerConnection = "closes_broker_connection",
    CompletingFailed = "completing_failed",
    ConnectionOfAnother = "connection_of_another",
    ConnectionRemoved = "connection_removed",
    ContinuesLater = "continues_later",
    CrashedGateway = "crashed_gateway",
    CredentialsRefused = "credentials_refused",
    CredentialsUnreadable = "credentials_unreadable",
    CursorExpired = "cursor_expired",
    CutOff = "cut_off",
    DamagedRow = "damaged_row",
    DeliveriesPending = "deliveries_pending",
    EmptyBody = "empty_body",
    EntityUnreadable = "entity_unreadable",
    EntityVanished = "entity_vanished",
    EnvelopeUnreadable = "envelope_unreadable",
    ErrorBody = "error_body",
    EventTooLarge = "event_too_large",
    EventsRefused = "events_refused",
    ExchangeForbidden = "exchange_forbidden",
    ExchangeMissing = "exchange_missing",
    HostUnknown = "host_unknown",
    JournalFailed = "journal_failed",
    JournalUnreadable = "journal_unreadable",
    NoBroker = "no_broker",
    NoCredentials = "no_credentials",
    NoEvents = "no_events",
    NoId = "no_id",
    NoJson = "no_json",
    NoSuchConnection = "no_such_connection",
    NormalizerFailed = "normalizer_failed",
    NotAnObject = "not_an_object",
    NotAsked = "not_asked",
    NotFound = "not_found",
    NotInTrash = "not_in_trash",
    NotJson = "not_json",
    NotReadable = "not_readable",
    NotThere = "not_there",
    OwnExchange = "own_exchange",
    PagesWithoutEnd = "pages_without_end",
    PayloadMissing = "payload_missing",
    PayloadUnreadable = "payload_unreadable",
    RateLimited = "rate_limited",
    Refused = "refused",
    RefusedByBroker = "refused_by_broker",
    SampleDelivery = "sample_delivery",
    ScopeMissing = "scope_missing",
    Stale = "stale",
    StatusNotShown = "status_not_shown",
    StillThere = "still_there",
    StoreRefuses = "store_refuses",
    StoreUnavailable = "store_unavailable",
    TimedOut = "timed_out",
    TlsFailed = "tls_failed",
    TokenRefused = "token_refused",
    TooComplex = "too_complex",
    TooDeep = "too_deep",
    TooLarge = "too_large",
    TooManyEvents = "too_many_events",
    TooManyWaiting = "too_many_waiting",
    TopicMismatch = "topic_mismatch",
    Unchanged = "unchanged",
    UnconfirmedDeletion = "unconfirmed_deletion",
    UnknownPlatform = "unknown_platform",
    Unreachable = "unreachable",
    Unrenderable = "unrenderable",
    WaitedTooLong = "waited_too_long",
    WebhookApiVersionUnsupported = "webhook_api_version_unsupported",
}

impl ReasonCode {
    /// The code with a text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A reason as the journal has it. Codes of other versions are kept as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(Cow<'static, str>);

impl Reason {
    /// A reason from the journal, or the code of a finding.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text.into())
    }

    /// The code; `None` for one of another version.
    #[must_use]
    pub fn code(&self) -> Option<ReasonCode> {
        ReasonCode::parse(&self.0)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ReasonCode> for Reason {
    fn from(code: ReasonCode) -> Self {
        Self(code.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_text_of_its_own() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.as_str()), Some(*code));
        }
        let other = Reason::from_text("of_a_later_version".to_owned());
        assert_eq!((other.code(), other.as_str()), (None, "of_a_later_version"));
    }
}
