//! The body of a store's answer as JSON.

use crate::platforms::api::StoreResponse;
use crate::platforms::json::{Json, parse};

/// The body as JSON: an object or an array. Some stores send a byte order mark in front.
pub(super) fn json(answer: &StoreResponse) -> Option<Json<'_>> {
    parse(json_text(answer)).filter(|json| matches!(json, Json::Object(_) | Json::Array(_)))
}

/// The text without a byte order mark.
pub(super) fn json_text(answer: &StoreResponse) -> &str {
    answer.text().trim_start_matches('\u{feff}').trim()
}
