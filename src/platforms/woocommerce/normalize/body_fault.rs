//! Why a body is not a JSON document.

use crate::delivery::ReasonCode;
use serde::de::IgnoredAny;

/// Why a body is not a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// PHP could not encode the payload.
    Empty,
    /// The JSON is nested too deeply.
    TooDeep,
    /// PHP printed other text in front of the JSON.
    NotJson,
}

impl BodyFault {
    const ALL: [Self; 3] = [Self::Empty, Self::TooDeep, Self::NotJson];

    /// The fault of a text that could not be parsed.
    pub(super) fn of(text: &str) -> Self {
        if text.trim().is_empty() {
            Self::Empty
        } else if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            Self::TooDeep
        } else {
            Self::NotJson
        }
    }

    pub(crate) fn from_code(code: ReasonCode) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.code() == code)
    }

    /// The reason code.
    pub(super) fn code(self) -> ReasonCode {
        match self {
            Self::Empty => ReasonCode::EmptyBody,
            Self::TooDeep => ReasonCode::TooDeep,
            Self::NotJson => ReasonCode::NotJson,
        }
    }

    /// What the operator has to do at the store; `None` if that is not known.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Empty => Some(
                "check the store's PHP log: PHP could not encode the payload, often because of invalid UTF-8 in the data or \
                 of a plugin's fatal error",
            ),
            Self::NotJson => Some(
                "check the example's body: text that PHP prints in front of the JSON is a notice or a warning; turn \
                 `display_errors` off in the store's PHP settings, and repair the plugin that causes it",
            ),
            Self::TooDeep => None,
        }
    }
}
