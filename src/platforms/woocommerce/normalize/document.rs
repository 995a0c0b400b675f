//! The body of a delivery as JSON text.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::platforms::text::replace_lone_surrogates;

/// The body as JSON text that every consumer can parse: bytes that are not UTF-8 and lone surrogates
/// are replaced by U+FFFD, and a byte order mark in front is removed.
pub(super) fn document(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match String::from_utf8_lossy(body) {
        Cow::Borrowed(text) => replace_lone_surrogates(text),
        Cow::Owned(text) => Cow::Owned(replace_lone_surrogates(&text).into_owned()),
    }
}

/// The reason code for a body that is not JSON. A store sends an empty body if PHP cannot encode the payload, and other text if PHP prints a
/// notice in front of it.
pub(super) fn fault_of(text: &str) -> &'static str {
    if text.trim().is_empty() {
        "empty_body"
    } else if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        "too_deep"
    } else {
        "not_json"
    }
}
