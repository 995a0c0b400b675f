//! Finds out why a store rejects the keys in every authentication mode.
//!
//! WooCommerce has one error code for an unknown key, a wrong secret, a wrong time and a missing permission. Only the message
//! differs, and the message is in the store's language. So a second request decides, never the text itself:
//! - a write without content: the store accepts a write-only key, and nothing is changed;
//! - the same request with a key that cannot exist: its error is the store's error for an unknown key.

use secrecy::ExposeSecret;
use serde_json::json;

use super::client::{ApiKey, AuthMethod, StoreClient, is_woocommerce, rest_error};
use super::description::clock_off;
use super::outcome::finding;
use crate::platforms::api::{Dialogue, Finding, FindingCode, Method, Severity, Unanswered};

/// One rejected authentication mode.
#[derive(Debug)]
pub(super) struct RejectedAuth {
    pub(super) caller: StoreClient,
    /// The store's message, in its language. Only compared with another message of the same store.
    pub(super) message: String,
    /// Seconds by which the store's clock is ahead, if the difference is too large for OAuth.
    pub(super) apart: Option<i64>,
}

/// A consumer key that no store has, because real keys are random.
const IMPOSSIBLE_KEY: &str = "ck_0000000000000000000000000000000000000000";

/// The finding for rejected keys of a wrong length. Keys that a program created can have any length, so the length alone is no
/// fault.
fn misshapen(keys: &ApiKey) -> Option<Finding> {
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
        "has additional characters"
    };
    Some(finding(
        Severity::Broken,
        FindingCode::KeyCut,
        format!(
            "The store refuses the key, and the {what} {verb}: {length} characters follow {prefix}, but a key has 40."
        ),
        "Copy both halves again. If the secret is lost, add a new key under WooCommerce > Settings > Advanced > REST API.",
    ))
}

/// The finding for keys that were rejected in every mode.
pub(super) fn diagnose(
    keys: &ApiKey,
    refused: &[RejectedAuth],
    dialogue: &mut Dialogue<'_>,
) -> Result<Finding, Unanswered> {
    let Some(first) = refused.first() else {
        return Ok(not_seen());
    };
    // Basic authentication has no timestamp, so a rejection by Basic has another reason than the clock.
    let by_basic = refused
        .iter()
        .any(|refused| refused.caller.mode == AuthMethod::Basic);
    if !by_basic && let Some(apart) = refused.iter().find_map(|refused| refused.apart) {
        return Ok(clock_off(apart, Severity::Broken));
    }
    // WooCommerce reports only known keys over Basic; it ignores unknown ones.
    if !by_basic && is_unknown(first, dialogue)? {
        return Ok(misshapen(keys).unwrap_or_else(unknown));
    }
    for refused in refused {
        if may_write(&refused.caller, dialogue)? {
            return Ok(finding(
                Severity::Broken,
                FindingCode::KeyWriteOnly,
                "The key may write, but not read.",
                "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write.",
            ));
        }
    }
    Ok(misshapen(keys).unwrap_or_else(|| secret_wrong(by_basic)))
}

/// `true` if the store gives the same error for a key that cannot exist.
fn is_unknown(refused: &RejectedAuth, dialogue: &mut Dialogue<'_>) -> Result<bool, Unanswered> {
    let mut caller = refused.caller.clone();
    caller.keys.key = IMPOSSIBLE_KEY.into();
    let path = "system_status?_fields=environment,settings";
    let request = caller.request("key.compare", Method::Get, path, None);
    let answer = dialogue.ask(request)?.as_ref().ok();
    Ok(answer
        .and_then(rest_error)
        .is_some_and(|(_, message)| message == refused.message))
}

/// `true` if a write without content fails because of its content or because of the user's rights: the key was accepted.
fn may_write(caller: &StoreClient, dialogue: &mut Dialogue<'_>) -> Result<bool, Unanswered> {
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
        FindingCode::KeyNotSeen,
        "WooCommerce receives no key, neither in the Authorization header nor in the query: something in front removes both.",
        "Let the web server pass the header on (\"CGIPassAuth On\" in .htaccess for Apache, `fastcgi_param HTTP_AUTHORIZATION \
         $http_authorization` for nginx), and except /wp-json/wc/ from rules that remove query parameters.",
    )
}

fn unknown() -> Finding {
    finding(
        Severity::Broken,
        FindingCode::KeyUnknown,
        "The store does not know the consumer key: it was revoked, belongs to another store, or was copied in part.",
        "Search for the key's last seven characters under WooCommerce > Settings > Advanced > REST API. If the key is missing, \
         add a new one with Read/Write.",
    )
}

fn secret_wrong(by_basic: bool) -> Finding {
    const STEP: &str = "Copy the consumer secret again. It is shown only once: if it is lost, add a new key with \
                        Read/Write under WooCommerce > Settings > Advanced > REST API.";
    if by_basic {
        return finding(
            Severity::Broken,
            FindingCode::KeySecretWrong,
            "The store knows the consumer key, but the consumer secret does not belong to it.",
            STEP,
        );
    }
    finding(
        Severity::Broken,
        FindingCode::KeySecretWrong,
        "The store knows the consumer key, but rejects the signature: the consumer secret does not belong to the key, or the \
         store knows itself by another address.",
        format!(
            "{STEP} If the secret is right, compare both addresses under Settings > General in WordPress with the URL of this \
             connection."
        ),
    )
}
