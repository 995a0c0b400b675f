//! Finds the authentication mode that a store accepts.
//!
//! Over https the first mode is Basic. If WordPress does not notice the TLS, and over http, the mode is OAuth 1.0a, which signs
//! the address that the store knows itself by. If the web server drops the `Authorization` header, the signature goes into
//! the query; the consumer secret is never sent that way. Messages are in the store's language, so only error codes and HTTP
//! statuses decide.

use url::Url;

use super::body::json;
use super::client::{ApiKey, AuthMethod, StoreClient, is_woocommerce, rest_error, wrong_role};
use super::diagnosis::{RejectedAuth, diagnose};
use super::outcome::{End, finding};
use super::{description, refusal};
use crate::platforms::api::{
    CallFailure, CallResult, Dialogue, Finding, FindingCode, Method, Severity, StoreResponse,
};
use crate::platforms::oauth1::Placement;

/// The result of one attempt to authenticate.
enum Try<'a> {
    /// The store accepted the keys.
    Taken(&'a StoreResponse),
    /// The store saw no key: the key is unknown, or none arrived.
    Unseen,
    /// The store saw the key and rejected it, with a message in its language and the difference of its clock.
    Refused { message: String, apart: Option<i64> },
    /// Something else than WooCommerce refused the request; another mode may pass.
    Foreign(Finding),
    /// The keys are not the reason.
    Other(Finding),
}

fn tried<'a>(result: &'a CallResult, url: &str) -> Try<'a> {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => return Try::Other(refusal::of_failure(failure, url)),
    };
    if answer.is_good() && json(answer).is_some() {
        return Try::Taken(answer);
    }
    if let Some(other) = refusal::of_answer(answer, url) {
        return Try::Other(other);
    }
    let (code, message) = rest_error(answer).unwrap_or_default();
    match (answer.status, code.as_str()) {
        (
            401,
            "woocommerce_rest_authentication_error"
            | "woocommerce_rest_authentication_missing_parameter",
        ) => Try::Refused {
            message,
            apart: description::apart(answer),
        },
        (401, code) if is_woocommerce(code) => Try::Unseen,
        (403, code) if is_woocommerce(code) => Try::Other(wrong_role(code)),
        (401, _) => Try::Foreign(refusal::of_other(answer, url)),
        (403, _) => Try::Other(refusal::of_other(answer, url)),
        (status, _) => Try::Other(finding(
            Severity::Broken,
            FindingCode::StoreRefuses,
            format!("The store refuses to show its status ({status} {code})."),
            "Check whether a plugin changes WooCommerce's REST API, and update WooCommerce.",
        )),
    }
}

fn is_slow(result: &CallResult) -> bool {
    match result {
        Ok(answer) => answer.status >= 500 && answer.status != 503,
        Err(failure) => matches!(failure, CallFailure::TimedOut | CallFailure::CutOff),
    }
}

/// Finds the mode that the store accepts. Also returns the store's status, unless only that request failed.
pub(super) fn choose<'a>(
    root: &Url,
    home: Option<&Url>,
    keys: &ApiKey,
    dialogue: &mut Dialogue<'a>,
) -> Result<(StoreClient, Option<&'a StoreResponse>), End> {
    let mut refused: Vec<RejectedAuth> = Vec::new();
    let mut foreign = None;
    // WooCommerce has an error of its own for every signature that it sees, even of an unknown key. Without that error the
    // header did not arrive.
    let mut header_arrives = true;
    for mode in modes(root, home) {
        let placement = match &mode {
            AuthMethod::Basic => None,
            AuthMethod::OAuth { placement, .. } => Some(*placement),
        };
        if placement == Some(Placement::Query) && header_arrives
            || placement == Some(Placement::Header) && !header_arrives
        {
            continue;
        }
        let caller = StoreClient {
            root: root.to_string(),
            mode,
            keys: keys.clone(),
        };
        let result = caller.status(dialogue)?;
        match tried(result, &caller.api_url()) {
            Try::Taken(answer) => return Ok((caller, Some(answer))),
            Try::Unseen => header_arrives &= placement != Some(Placement::Header),
            Try::Foreign(trouble) => foreign = Some(trouble),
            Try::Refused { message, apart } => {
                // WooCommerce evaluates Basic first, so no other mode can succeed.
                let is_certain = caller.mode == AuthMethod::Basic;
                refused.push(RejectedAuth {
                    caller,
                    message,
                    apart,
                });
                if is_certain {
                    break;
                }
            }
            Try::Other(trouble) => {
                // The status is expensive for the store. A store that is too slow for it may answer other requests.
                if is_slow(result) {
                    let again = dialogue.ask(caller.request(
                        "webhooks.list",
                        Method::Get,
                        "webhooks?per_page=1",
                        None,
                    ))?;
                    if matches!(tried(again, &caller.api_url()), Try::Taken(_)) {
                        return Ok((caller, None));
                    }
                }
                return Err(trouble.into());
            }
        }
    }
    match foreign {
        Some(trouble) if refused.is_empty() => Err(trouble.into()),
        _ => Err(diagnose(keys, &refused, dialogue)?.into()),
    }
}

/// The authentication modes to try, the likeliest first.
fn modes(root: &Url, home: Option<&Url>) -> Vec<AuthMethod> {
    let mut modes = Vec::new();
    if root.scheme() == "https" {
        modes.push(AuthMethod::Basic);
    }
    // First the address that is called. Behind a proxy WordPress may know itself by another host or scheme.
    let mut roots = vec![root.to_string()];
    for scheme in ["http", "https"] {
        for host in [home, Some(root)].into_iter().flatten() {
            let known = as_known(root, host, scheme);
            if !roots.contains(&known) {
                roots.push(known);
            }
        }
    }
    for placement in [Placement::Header, Placement::Query] {
        modes.extend(roots.iter().map(|root| AuthMethod::OAuth {
            root: root.clone(),
            placement,
        }));
    }
    modes
}

/// The REST root as a store with that home URL writes it. Not written by `Url`, which would change the case of the host.
fn as_known(root: &Url, home: &Url, scheme: &str) -> String {
    let host = home.host_str().unwrap_or_default();
    let port = home
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", root.path())
}
