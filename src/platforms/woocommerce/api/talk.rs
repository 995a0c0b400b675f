//! How a conversation goes on and ends: redirects followed by hand, answers read as JSON, and the end where there is nothing
//! more to ask.
//!
//! What an unexpected answer means is told elsewhere.

use url::Url;

use super::refusal;
use crate::platforms::address::is_private_url;
use crate::platforms::api::{Answer, ApiRequest, Dialogue, Finding, Severity, Unanswered};
use crate::platforms::json::{Json, parse};

/// Why a conversation goes no further.
#[derive(Debug)]
pub(super) enum End {
    /// Something has to be asked yet.
    Unanswered(Unanswered),
    /// Something is so wrong that the rest cannot be looked at.
    Found(Finding),
}

impl From<Unanswered> for End {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl From<Finding> for End {
    fn from(finding: Finding) -> Self {
        Self::Found(finding)
    }
}

/// A finding in one line.
pub(super) fn finding(
    severity: Severity,
    code: &'static str,
    cause: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding {
        code,
        severity,
        cause: cause.into(),
        remedy: remedy.into(),
    }
}

/// How a connection comes to another URL or other keys, as the end of a sentence.
pub(super) const CONNECT_ANEW: &str = "run `cartwire connections remove ID --keep-webhooks` and then `cartwire connections add` \
                                       with the same --id and, by --webhook-secret-file, the same webhook secret";

/// No store needs more.
const MOST_REDIRECTS: usize = 5;

/// Reads an address that needs no keys, and goes where it leads: the address that answered at last, and the answer.
pub(super) fn follow<'a>(
    dialogue: &mut Dialogue<'a>,
    call: &'static str,
    from: &Url,
) -> Result<(Url, &'a Answer), End> {
    let mut at = from.clone();
    for _ in 0..=MOST_REDIRECTS {
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
        "redirect_loop",
        format!("{} redirects again and again.", show(from)),
        "In WordPress, open Settings > General and make both addresses (WordPress Address and Site Address) the one that \
         visitors use; look for a second redirect in a caching plugin, the web server or the CDN.",
    )
    .into())
}

/// An address that is named at another one, as it is called: without a fragment, because a path that is added to that is never
/// asked for, and without credentials, because it is ours that are sent.
pub(super) fn named(at: &Url, address: &str) -> Option<Url> {
    let mut url = at.join(address).ok()?;
    url.set_fragment(None);
    // Of an address without a host neither can be set; that leads nowhere anyway.
    let _ = (url.set_username(""), url.set_password(None));
    Some(url)
}

/// Where an answer redirects to.
pub(super) fn redirect(answer: &Answer) -> Option<&str> {
    matches!(answer.status, 301 | 302 | 303 | 307 | 308).then(|| answer.header("location"))?
}

/// A store may send us to `https` and to or from `www`; to nothing else, because its keys would go there.
fn may_lead(at: &Url, to: &Url) -> Result<(), Finding> {
    if !matches!(to.scheme(), "http" | "https") || !is_same_store(at, to) {
        if is_private_url(to) && !is_private_url(at) {
            return Err(finding(
                Severity::Broken,
                "private_address",
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
            "redirect_elsewhere",
            format!(
                "{} redirects to {}, which is another host; the keys are not sent there.",
                show(at),
                origin(to)
            ),
            format!(
                "If {} is the store, use that as its URL (for a connection that exists: {CONNECT_ANEW}); otherwise correct the \
                 redirect.",
                origin(to)
            ),
        ));
    }
    if at.scheme() == "https" && to.scheme() == "http" {
        return Err(finding(
            Severity::Broken,
            "redirect_to_http",
            format!(
                "{} redirects from https to http, where everybody on the way can read.",
                show(at)
            ),
            "In WordPress, open Settings > General and let both addresses begin with https://; if the store has no TLS at all, \
             add the connection with a URL that begins with http://.",
        ));
    }
    Ok(())
}

/// The same host, with or without `www.`, on the scheme's own port or on the same one.
pub(super) fn is_same_store(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| {
        url.host_str()
            .map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())
    };
    host(one).is_some() && host(one) == host(other) && one.port() == other.port()
}

/// Scheme, host and port, for people.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// An address for people: without query and without the slash at its end.
pub(super) fn show(url: &Url) -> String {
    format!("{}{}", origin(url), url.path().trim_end_matches('/'))
}

/// An answer's body as JSON: an object or a list. Some stores send a byte order mark before it.
pub(super) fn json(answer: &Answer) -> Option<Json<'_>> {
    parse(json_text(answer)).filter(|json| matches!(json, Json::Object(_) | Json::Array(_)))
}

/// An answer's text without a byte order mark before it.
pub(super) fn json_text(answer: &Answer) -> &str {
    answer.text().trim_start_matches('\u{feff}').trim()
}
