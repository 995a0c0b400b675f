//! Who may use the admin listener: with a token, only who shows it; never a page of another site.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{Error, HttpResponse, web};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

use super::Admin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The token, so that it can be compared without telling by the time taken how much of a guess is right.
#[derive(Clone, Debug)]
pub struct AdminToken(SecretString);

impl AdminToken {
    /// Wraps it.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// Is this it? Compares keyed digests, in constant time.
    fn is(&self, guess: &str) -> bool {
        let digest = |text: &str| {
            Hmac::<Sha256>::new_from_slice(text.as_bytes())
                .map(|mac| mac.chain_update(b"cartwire admin token"))
        };
        match (digest(self.0.expose_secret()), digest(guess)) {
            (Ok(right), Ok(guess)) => right.verify(&guess.finalize().into_bytes()).is_ok(),
            _ => false,
        }
    }
}

/// Stands before every admin route.
pub(super) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let token = request
        .app_data::<web::Data<Admin>>()
        .and_then(|admin| admin.token.clone());
    if let Some(token) = token {
        let shown = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let shown = shown
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if !shown.is_some_and(|(_, guess)| token.is(guess.trim())) {
            let answer = HttpResponse::Unauthorized()
                .insert_header((WWW_AUTHENTICATE, "Bearer"))
                .json(json!({"error": "unauthorized", "hint": "send the admin token as Authorization: Bearer"}));
            return Ok(request.into_response(answer).map_into_right_body());
        }
    } else if let Some(hint) = foreign(&request) {
        let answer = HttpResponse::Forbidden().json(json!({"error": "forbidden", "hint": hint}));
        return Ok(request.into_response(answer).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Without a token the loopback address is the only guard, and a browser on this machine reaches it for any page that it
/// shows: such requests carry the page's origin, or our address under a foreign name. With a token nothing of this counts:
/// no browser sends it by itself.
fn foreign(request: &ServiceRequest) -> Option<&'static str> {
    let text = |name: HeaderName| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap_or("\0"))
    };
    let host = text(HOST);
    if !host.is_none_or(is_own_name) {
        return Some(
            "call it 127.0.0.1 or localhost; under another name it needs a token (--admin-token)",
        );
    }
    if request.method().is_safe() {
        return None;
    }
    let origin_fits = text(ORIGIN)
        .is_none_or(|origin| origin.split_once("://").map(|(_, origin)| origin) == host);
    let site_fits = text(SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    if origin_fits && site_fits {
        None
    } else {
        Some("pages of other sites cannot change anything here")
    }
}

/// Names that no foreign name server can give to an address: `localhost`, and addresses themselves.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok()
}

/// On every answer: what a browser must not do with it. There is nothing here to be framed, guessed, kept or embedded.
pub(super) fn browser_rules() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((
            "content-security-policy",
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ))
        .add(("x-content-type-options", "nosniff"))
        .add(("referrer-policy", "no-referrer"))
        .add(("cross-origin-resource-policy", "same-origin"))
        .add(("cache-control", "no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_and_addresses_are_names_of_ours() {
        for ours in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1",
            "127.0.0.1:8081",
            "[::1]",
            "[::1]:8081",
            "10.0.0.1:1",
        ] {
            assert!(is_own_name(ours), "{ours}");
        }
        for foreign in [
            "",
            "\0",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8081",
            "localhost:80:80",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = AdminToken::new("geheim".to_owned().into());
        assert!(token.is("geheim"));
        for guess in ["", "geheim ", "gehei", "Geheim"] {
            assert!(!token.is(guess), "{guess:?}");
        }
    }
}
