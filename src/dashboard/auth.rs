//! Who may use the admin listener: with a token, only who shows it; never a page of another site.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;

use super::Dashboard;

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
        let digest =
            |text: &str| Hmac::<Sha256>::new_from_slice(text.as_bytes()).map(|mac| mac.chain_update(b"cartwire admin token"));
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
    let token = request.app_data::<web::Data<Dashboard>>().and_then(|dashboard| dashboard.token.clone());
    if let Some(token) = token {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        if !shown.is_some_and(|(_, guess)| token.is(guess.trim())) {
            let answer = HttpResponse::Unauthorized()
                .insert_header((WWW_AUTHENTICATE, "Bearer"))
                .json(json!({"error": "unauthorized", "hint": "send the admin token as Authorization: Bearer"}));
            return Ok(request.into_response(answer).map_into_right_body());
        }
    } else if is_foreign(&request) {
        let answer = HttpResponse::Forbidden()
            .json(json!({"error": "forbidden", "hint": "pages of other sites cannot use the admin API"}));
        return Ok(request.into_response(answer).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// Without a token the loopback address is the only guard, and a browser on this machine reaches it for any page that it
/// shows: such requests carry the page's origin, or our address under a foreign name.
fn is_foreign(request: &ServiceRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let ours = name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let origin_fits = text(ORIGIN).is_none_or(|origin| origin.split_once("://").is_some_and(|(_, origin)| origin == host));
    let cross_site = request.headers().get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    (!host.is_empty() && !ours) || (request.method() != Method::GET && (!origin_fits || cross_site))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = AdminToken::new("geheim".to_owned().into());
        assert!(token.is("geheim"));
        for guess in ["", "geheim ", "gehei", "Geheim"] {
            assert!(!token.is(guess), "{guess:?}");
        }
    }
}
