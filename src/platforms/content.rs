//! The digest of an entity's content: two payloads with the same content have the same digest.
//!
//! A payload is brought into a canonical form first: members sorted by name, without the members that change although
//! nothing changed (dates of change, links, nonces), and URLs without their signature.

use sha2::{Digest, Sha256};

use super::json::Json;

/// Query parameters that sign a URL. A store makes a new signature for each response.
const SIGNATURE_PARAMETERS: &[&str] = &[
    "expires",
    "key-pair-id",
    "nonce",
    "policy",
    "sig",
    "signature",
    "token",
    "_wpnonce",
];
/// Prefixes of such parameters: the object stores of Amazon, Google and Microsoft.
const SIGNATURE_PREFIXES: &[&str] = &["x-amz-", "x-goog-", "se=", "sv="];

/// The digest of a canonical payload: the first 16 bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest([u8; 16]);

impl ContentDigest {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The content of a delivery, to be compared with the last known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub digest: ContentDigest,
    /// The platform's own counter of the entity's events.
    pub sequence: Option<u64>,
}

impl Content {
    /// The content of a payload without a counter.
    pub(crate) fn of(payload: &Json<'_>, volatile: &[&str]) -> Self {
        Self {
            digest: content_digest(payload, volatile),
            sequence: None,
        }
    }
}

/// Makes the digest of a payload. `volatile` has the names of the members that are left out, at any depth.
pub(crate) fn content_digest(payload: &Json<'_>, volatile: &[&str]) -> ContentDigest {
    let mut hasher = Sha256::new();
    hash(&mut hasher, payload, volatile);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize()[..16]);
    ContentDigest(digest)
}

/// Each value begins with a letter for its type, and each text with its length, so that no two documents give the same
/// bytes.
fn hash(hasher: &mut Sha256, value: &Json<'_>, volatile: &[&str]) {
    match value {
        Json::Null => hasher.update(b"n"),
        Json::Bool(true) => hasher.update(b"t"),
        Json::Bool(false) => hasher.update(b"f"),
        Json::Number(digits) => text(hasher, b'#', digits),
        Json::Text(content) => text(hasher, b'"', unsigned(content)),
        Json::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash(hasher, item, volatile);
            }
            hasher.update(b"]");
        }
        Json::Object(members) => {
            // A stable sort: of members with the same name, the last one counts, as everywhere.
            let mut sorted: Vec<_> = members
                .iter()
                .filter(|(name, _)| !volatile.contains(&&**name))
                .collect();
            sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
            hasher.update(b"{");
            for (index, (name, value)) in sorted.iter().enumerate() {
                let is_repeated = sorted.get(index + 1).is_some_and(|(next, _)| next == name);
                if !is_repeated {
                    text(hasher, b':', name);
                    hash(hasher, value, volatile);
                }
            }
            hasher.update(b"}");
        }
    }
}

fn text(hasher: &mut Sha256, kind: u8, content: &str) {
    hasher.update([kind]);
    hasher.update((content.len() as u64).to_le_bytes());
    hasher.update(content);
}

/// The URL without its query, if the query signs the URL. Other texts stay as they are.
fn unsigned(content: &str) -> &str {
    if !content.starts_with("http://") && !content.starts_with("https://") {
        return content;
    }
    let Some((address, query)) = content.split_once('?') else {
        return content;
    };
    let signs = |parameter: &str| {
        let parameter = parameter.to_ascii_lowercase();
        let name = parameter.split('=').next().unwrap_or_default();
        SIGNATURE_PARAMETERS.contains(&name)
            || SIGNATURE_PREFIXES
                .iter()
                .any(|prefix| parameter.starts_with(prefix))
    };
    if query.split('&').any(signs) {
        address
    } else {
        content
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentDigest, content_digest};
    use crate::platforms::json;

    fn digest(text: &str) -> ContentDigest {
        let payload = json::parse(text).expect("valid JSON");
        content_digest(&payload, &["date_modified", "_links"])
    }

    #[test]
    fn order_of_members_and_volatile_members_do_not_count() {
        let known = digest(r#"{"id":7,"name":"Mug","meta":{"a":1,"_links":{"self":"x"}}}"#);
        let same = digest(r#"{"date_modified":"now","meta":{"a":1},"name":"Mug","id":7}"#);
        assert_eq!(known, same);
    }

    #[test]
    fn values_types_and_positions_count() {
        let different = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":null}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,1]}"#,
            r#"{"a":[[1],1]}"#,
            r#"{"a":{}}"#,
            r#"{"ab":"c"}"#,
            r#"{"a":"bc"}"#,
            "{}",
            "[]",
        ];
        let digests: std::collections::HashSet<_> =
            different.iter().map(|text| digest(text)).collect();
        assert_eq!(digests.len(), different.len());
    }

    #[test]
    fn last_member_of_a_name_counts() {
        assert_eq!(digest(r#"{"a":1,"a":2}"#), digest(r#"{"a":2}"#));
    }

    #[test]
    fn signature_of_a_url_does_not_count() {
        let signed = r#"{"url":"https://files.example/a.pdf?X-Amz-Signature=1&X-Amz-Date=2"}"#;
        let again = r#"{"url":"https://files.example/a.pdf?X-Amz-Signature=3&X-Amz-Date=4"}"#;
        assert_eq!(digest(signed), digest(again));
        let page = r#"{"url":"https://shop.example/?p=1"}"#;
        let other = r#"{"url":"https://shop.example/?p=2"}"#;
        assert_ne!(digest(page), digest(other));
    }
}
