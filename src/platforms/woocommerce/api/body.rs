//! The body of a store's answer as JSON.

use crate::platforms::api::Answer;
use crate::platforms::json::{Json, parse};

/// The body as JSON: an object or an array. Some stores send a byte order mark in front.
pub(super) fn json(answer: &Answer) -> Option<Json<'_>> {
    parse(json_text(answer)).filter(|json| matches!(json, Json::Object(_) | Json::Array(_)))
}

/// The text without a byte order mark.
pub(super) fn json_text(answer: &Answer) -> &str {
    answer.text().trim_start_matches('\u{feff}').trim()
}
