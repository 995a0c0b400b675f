//! The body of a delivery as JSON text.

use std::borrow::Cow;

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
