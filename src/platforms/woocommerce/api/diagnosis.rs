//! Why a store takes its keys in no way.
//!
//! Nothing is asked here: it is told from the refusals that all ways have met.

use secrecy::ExposeSecret;

use super::facts::clock_off;
use super::keys::{Keys, Mode};
use super::talk::finding;
use crate::platforms::api::{Finding, Weight};

/// How one way was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) mode: Mode,
    /// The store's, in its language.
    pub(super) message: String,
    /// How many seconds its clock is ahead, where that is too much.
    pub(super) apart: Option<i64>,
}

/// What is wrong with the form of the keys, for a store that refused them. Keys that a program made may have any form, so
/// this alone is no mistake.
fn misshapen(keys: &Keys) -> Option<Finding> {
    let halves = [
        ("consumer key", "ck_", &keys.key),
        ("consumer secret", "cs_", &keys.secret),
    ];
    let (what, prefix, length) = halves.into_iter().find_map(|(what, prefix, half)| {
        let length = half
            .expose_secret()
            .trim_start_matches(prefix)
            .chars()
            .count();
        (length != 40).then_some((what, prefix, length))
    })?;
    let verb = if length < 40 {
        "was cut when it was copied"
    } else {
        "has something too much"
    };
    Some(finding(
        Weight::Broken,
        "key_cut",
        format!(
            "The store refuses the key, and the {what} {verb}: {length} characters follow {prefix}, where 40 belong."
        ),
        "Copy both halves again as a whole; where the secret is not at hand any more, add a new key under WooCommerce > \
         Settings > Advanced > REST API.",
    ))
}

/// Why no way of proving the keys was taken.
pub(super) fn diagnose(keys: &Keys, is_by_https: bool, refused: &[Refused]) -> Finding {
    let says = |word: &str| refused.iter().any(|refused| refused.message.contains(word));
    let has_basic = refused.iter().any(|refused| refused.mode == Mode::Basic);
    // Basic has no time, and what it refused is refused for another reason.
    if let Some(apart) = refused
        .iter()
        .find_map(|refused| refused.apart)
        .filter(|_| !has_basic)
    {
        return clock_off(apart, Weight::Broken);
    }
    if says("permission") {
        return finding(
            Weight::Broken,
            "key_write_only",
            "The key may write, but not read.",
            "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write.",
        );
    }
    if let Some(misshapen) = misshapen(keys) {
        return misshapen;
    }
    let is_english = [
        "key is invalid",
        "secret is invalid",
        "ignature",
        "imestamp",
    ]
    .into_iter()
    .any(says);
    // Over https, where Basic is not seen and a signature is: the header arrives, and most likely no key has that name.
    let is_likely = is_by_https && !has_basic && !is_english;
    if refused.is_empty() || says("key is invalid") || is_likely {
        let also = if refused.is_empty() {
            " (or its web server drops the Authorization header before WordPress sees it: both look the same from outside)"
        } else if is_likely {
            " (or the secret is not that key's and WordPress does not notice the TLS; its message is not in English)"
        } else {
            ""
        };
        return finding(
            Weight::Broken,
            "key_unknown",
            format!(
                "The store knows no such consumer key: it was revoked, belongs to another store, or was not copied whole{also}."
            ),
            "Look for the key's last seven characters under WooCommerce > Settings > Advanced > REST API; where it is missing, \
             add a new one with Read/Write. If it is there, let the web server hand on the header: \
             \"CGIPassAuth On\" in .htaccess for Apache.",
        );
    }
    let step = "Copy the consumer secret again; it is shown only once, so where it is lost, add a new key with Read/Write under \
                WooCommerce > Settings > Advanced > REST API.";
    let or_permission = if is_english {
        ""
    } else {
        ", or the key may write, but not read"
    };
    if has_basic || says("ignature") {
        return finding(
            Weight::Broken,
            "key_secret_wrong",
            format!(
                "The store knows the consumer key, but the consumer secret is not that key's{or_permission}."
            ),
            step,
        );
    }
    if says("imestamp") {
        return finding(
            Weight::Broken,
            "clock_off",
            "The store refuses the time of our requests: its clock and ours are more than a quarter of an hour apart.",
            "Set both clocks by NTP.",
        );
    }
    finding(
        Weight::Broken,
        "key_refused",
        "The store refuses the key and its secret: one of them is wrong, or the store knows itself by another address.",
        format!(
            "{step} Compare both addresses under Settings > General in WordPress with the URL of this connection."
        ),
    )
}
