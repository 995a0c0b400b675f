//! Why a store takes its keys in no way.
//!
//! WooCommerce has one code for an unknown key, a wrong secret, a wrong time and a missing permission; only the message
//! differs, and the message is in the store's language. So a second question decides, never the text itself:
//! - a write without content, which a key that may only write passes, and which changes nothing;
//! - the same request by a key that cannot exist: its answer is the store's answer to an unknown key.

use secrecy::ExposeSecret;
use serde_json::json;

use super::facts::clock_off;
use super::keys::{Caller, Keys, Mode, is_woocommerce, rest_error};
use super::talk::finding;
use crate::platforms::api::{Dialogue, Finding, Method, Severity, Unanswered};

/// How one way was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) caller: Caller,
    /// The store's, in its language: compared with another answer of the store, never read.
    pub(super) message: String,
    /// How many seconds its clock is ahead, where that is too much.
    pub(super) apart: Option<i64>,
}

/// A consumer key that no store has: real ones are random.
const IMPOSSIBLE_KEY: &str = "ck_0000000000000000000000000000000000000000";

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
        Severity::Broken,
        "key_cut",
        format!(
            "The store refuses the key, and the {what} {verb}: {length} characters follow {prefix}, where 40 belong."
        ),
        "Copy both halves again as a whole; where the secret is not at hand any more, add a new key under WooCommerce > \
         Settings > Advanced > REST API.",
    ))
}

/// Why no way of proving the keys was taken.
pub(super) fn diagnose(
    keys: &Keys,
    refused: &[Refused],
    dialogue: &mut Dialogue<'_>,
) -> Result<Finding, Unanswered> {
    let Some(first) = refused.first() else {
        return Ok(not_seen());
    };
    // Basic has no time, and what it refused is refused for another reason.
    let by_basic = refused
        .iter()
        .any(|refused| refused.caller.mode == Mode::Basic);
    if !by_basic && let Some(apart) = refused.iter().find_map(|refused| refused.apart) {
        return Ok(clock_off(apart, Severity::Broken));
    }
    // A key that Basic refuses is known: an unknown one is passed over in silence.
    if !by_basic && is_unknown(first, dialogue)? {
        return Ok(misshapen(keys).unwrap_or_else(unknown));
    }
    for refused in refused {
        if may_write(&refused.caller, dialogue)? {
            return Ok(finding(
                Severity::Broken,
                "key_write_only",
                "The key may write, but not read.",
                "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write.",
            ));
        }
    }
    Ok(misshapen(keys).unwrap_or_else(|| secret_wrong(by_basic)))
}

/// `true` if the store answers a key that cannot exist in the same way.
fn is_unknown(refused: &Refused, dialogue: &mut Dialogue<'_>) -> Result<bool, Unanswered> {
    let mut caller = refused.caller.clone();
    caller.keys.key = IMPOSSIBLE_KEY.into();
    let path = "system_status?_fields=environment,settings";
    let request = caller.request("key.compare", Method::Get, path, None);
    let answer = dialogue.ask(request)?.as_ref().ok();
    Ok(answer
        .and_then(rest_error)
        .is_some_and(|(_, message)| message == refused.message))
}

/// `true` if a write without content fails for its content, or for the rights of the key's user: then the key was taken.
fn may_write(caller: &Caller, dialogue: &mut Dialogue<'_>) -> Result<bool, Unanswered> {
    let request = caller.request("key.try_write", Method::Post, "webhooks", Some(&json!({})));
    let Ok(answer) = dialogue.ask(request)? else {
        return Ok(false);
    };
    Ok(match rest_error(answer) {
        Some(_) if answer.status == 400 => true,
        Some((code, _)) => answer.status == 403 && is_woocommerce(&code),
        None => false,
    })
}

fn not_seen() -> Finding {
    finding(
        Severity::Broken,
        "key_not_seen",
        "WooCommerce sees no key, neither in the Authorization header nor in the query: something in front of it removes both.",
        "Let the web server hand on the header (\"CGIPassAuth On\" in .htaccess for Apache, `fastcgi_param HTTP_AUTHORIZATION \
         $http_authorization` for nginx), and except /wp-json/wc/ from rules that remove query parameters.",
    )
}

fn unknown() -> Finding {
    finding(
        Severity::Broken,
        "key_unknown",
        "The store knows no such consumer key: it was revoked, belongs to another store, or was not copied whole.",
        "Look for the key's last seven characters under WooCommerce > Settings > Advanced > REST API; where it is missing, \
         add a new one with Read/Write.",
    )
}

fn secret_wrong(by_basic: bool) -> Finding {
    const STEP: &str = "Copy the consumer secret again; it is shown only once, so where it is lost, add a new key with \
                        Read/Write under WooCommerce > Settings > Advanced > REST API.";
    if by_basic {
        return finding(
            Severity::Broken,
            "key_secret_wrong",
            "The store knows the consumer key, but the consumer secret is not that key's.",
            STEP,
        );
    }
    finding(
        Severity::Broken,
        "key_secret_wrong",
        "The store knows the consumer key, but not the signature: the consumer secret is not that key's, or the store knows \
         itself by another address.",
        format!(
            "{STEP} If the secret is right, compare both addresses under Settings > General in WordPress with the URL of this \
             connection."
        ),
    )
}
