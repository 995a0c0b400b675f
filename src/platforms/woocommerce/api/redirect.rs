//! Follows redirects of a store, and refuses those that would send the keys elsewhere.

use url::Url;

use super::outcome::{End, SET_URL, finding};
use super::refusal;
use super::urls::{is_same_store, named, origin, show};
use crate::platforms::address::is_private_url;
use crate::platforms::api::{ApiRequest, Dialogue, Finding, FindingCode, Severity, StoreResponse};

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Requests a URL without keys and follows its redirects. Returns the last URL and its answer.
pub(super) fn follow<'a>(
    dialogue: &mut Dialogue<'a>,
    call: &'static str,
    from: &Url,
) -> Result<(Url, &'a StoreResponse), End> {
    let mut at = from.clone();
    for _ in 0..=MAX_REDIRECTS {
        let result = dialogue.ask(ApiRequest::get(call, at.as_str()))?;
        let answer = result
            .as_ref()
            .map_err(|failure| refusal::of_failure(failure, at.as_str()))?;
        let Some(to) = redirect(answer).and_then(|location| named(&at, location)) else {
            return Ok((at, answer));
        };
        may_lead(&at, &to)?;
        at = to;
    }
    Err(finding(
        Severity::Broken,
        FindingCode::RedirectLoop,
        format!("{} redirects again and again.", show(from)),
        "In WordPress, open Settings > General and make both addresses (WordPress Address and Site Address) the one that \
         visitors use; look for a second redirect in a caching plugin, the web server or the CDN.",
    )
    .into())
}

/// The target of a redirect.
pub(super) fn redirect(answer: &StoreResponse) -> Option<&str> {
    matches!(answer.status, 301 | 302 | 303 | 307 | 308).then(|| answer.header("location"))?
}

/// Checks a redirect. It may change to `https` and to or from `www`. Any other target is refused, because the store's keys
/// would be sent there.
fn may_lead(at: &Url, to: &Url) -> Result<(), Finding> {
    if !matches!(to.scheme(), "http" | "https") || !is_same_store(at, to) {
        if is_private_url(to) && !is_private_url(at) {
            return Err(finding(
                Severity::Broken,
                FindingCode::PrivateAddress,
                format!(
                    "{} redirects to {}, which is in a private network.",
                    show(at),
                    origin(to)
                ),
                "Correct the redirect, or the addresses under Settings > General in WordPress.",
            ));
        }
        return Err(finding(
            Severity::Broken,
            FindingCode::RedirectElsewhere,
            format!(
                "{} redirects to {}, which is another host; the keys are not sent there.",
                show(at),
                origin(to)
            ),
            format!(
                "If {} is the store, use that as its URL (for a connection that exists: {SET_URL}); otherwise correct the \
                 redirect.",
                origin(to)
            ),
        ));
    }
    if at.scheme() == "https" && to.scheme() == "http" {
        return Err(finding(
            Severity::Broken,
            FindingCode::RedirectToHttp,
            format!(
                "{} redirects from https to http, where anyone on the network can read the keys.",
                show(at)
            ),
            "In WordPress, open Settings > General and let both addresses begin with https://; if the store has no TLS at all, \
             add the connection with a URL that begins with http://.",
        ));
    }
    Ok(())
}

/// `true` for the finding of a redirect that was not followed.
pub(super) fn is_refused_redirect(code: FindingCode) -> bool {
    matches!(
        code,
        FindingCode::RedirectLoop | FindingCode::RedirectElsewhere | FindingCode::RedirectToHttp
    )
}
