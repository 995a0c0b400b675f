//! Access to the admin listener: requests need the token if one is set, and no page of another site is served.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::{Error, HttpResponse, web};
use serde_json::json;

use super::state::Admin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The middleware of every admin route.
pub(super) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let token = request
        .app_data::<web::Data<Admin>>()
        .and_then(|admin| admin.token.clone());
    if let Some(token) = token {
        let sent = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let sent = sent
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if !sent.is_some_and(|(_, guess)| token.is(guess.trim())) {
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

/// Returns a hint if the request comes from a page of another site.
///
/// Without a token, the loopback address is the only protection, and any page in a browser of this machine can send requests
/// to it. Such a request has the page's origin, or a host name that another name server gave to this address. With a token
/// the check is not needed, because a browser never sends the token by itself.
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
            "use the name 127.0.0.1 or localhost; another name needs a token (--admin-token)",
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

/// `true` for `localhost` and for IP addresses. Another name server can give any other name to this address.
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

/// The headers that forbid a browser to frame, guess, store or embed an answer.
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
    fn only_localhost_and_addresses_are_own_names() {
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
}
