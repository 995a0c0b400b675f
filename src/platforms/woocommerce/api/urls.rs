//! URLs of a store: comparing, showing, and resolving what a store names.

use url::Url;

/// Resolves an address that a page names. Fragment and credentials are removed: a path would be added to the fragment, and
/// only the gateway's own credentials are sent.
pub(super) fn named(at: &Url, address: &str) -> Option<Url> {
    let mut url = at.join(address).ok()?;
    url.set_fragment(None);
    // Neither can be set for a URL without a host, which no request can use.
    let _ = (url.set_username(""), url.set_password(None));
    Some(url)
}

/// `true` for the same host, with or without `www.`, and the same port.
pub(super) fn is_same_store(one: &Url, other: &Url) -> bool {
    let host = |url: &Url| {
        url.host_str()
            .map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())
    };
    host(one).is_some() && host(one) == host(other) && one.port() == other.port()
}

/// Scheme, host and port for texts.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A URL for texts: without the query and without the slash at its end.
pub(super) fn show(url: &Url) -> String {
    format!("{}{}", origin(url), url.path().trim_end_matches('/'))
}
