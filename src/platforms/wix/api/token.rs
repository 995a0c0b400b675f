//! Obtains the access token of an installation. The request has the app's id and secret and the installation's id.
//!
//! `refusal` interprets refusals, not this module.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::json;

use super::settings::Settings;
use crate::platforms::api::{
    AccessToken, ApiRequest, ConnectionContext, Method, StoreResponse, TokenGrant,
};
use crate::platforms::json::parse;
use crate::platforms::lenient::Node;

/// Lifetime in seconds of a token without `expires_in`: the shortest lifetime of the platform's tokens.
const DEFAULT_LIFETIME_S: u64 = 300;

/// The token grant that all requests about an installation share. `None` if the app's id or secret is not configured.
pub(super) fn grant(app: &ConnectionContext, instance: &str) -> Option<TokenGrant> {
    let holder = format!("{}/{}/{instance}", app.id, Settings::of(app).app_id?);
    Some(TokenGrant {
        holder,
        request: request(app, instance)?,
        read,
    })
}

/// The request for a token; `None` if the app's id or secret is not configured. A granted token proves that the secret is
/// right and that the app is installed.
pub(super) fn request(app: &ConnectionContext, instance: &str) -> Option<ApiRequest> {
    let body = json!({
        "grant_type": "client_credentials",
        "client_id": Settings::of(app).app_id?,
        "client_secret": app.secrets.get("app-secret")?.expose_secret(),
        "instance_id": instance,
    });
    Some(ApiRequest::send(
        "token.create",
        Method::PostIdempotent,
        format!("{}/oauth2/token", Settings::of(app).api_base),
        &body,
    ))
}

/// Reads the token from the response, or from a JSON string in the member `body` of the response. `None` if there is no token.
pub(super) fn read(answer: &StoreResponse) -> Option<AccessToken> {
    let outer = parse(answer.text())?;
    let inner = Node::root(&outer).get("body").str().and_then(parse);
    let granted = Node::root(inner.as_ref().unwrap_or(&outer));
    let seconds = granted
        .get("expires_in")
        .text()
        .and_then(|text| text.parse().ok())
        .unwrap_or(DEFAULT_LIFETIME_S);
    // Without the prefix `Bearer`, as the platform's SDK sends the token.
    let authorization = granted.get("access_token").str()?.to_owned().into();
    Some(AccessToken {
        authorization,
        lifetime: Duration::from_secs(seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::api::Auth;
    use crate::platforms::wix::api::caller::WixClient;
    use crate::platforms::wix::api::script::{answer, app, installation};
    use crate::platforms::wix::api::{can_check, can_request};

    #[test]
    fn token_is_read_from_plain_or_wrapped_json() {
        for body in [
            r#"{"access_token":"t.1","token_type":"Bearer","expires_in":14400}"#,
            r#"{"body":"{\"access_token\":\"t.1\",\"expires_in\":\"14400\"}"}"#,
        ] {
            let token = read(&answer(200, body)).expect("the token should be readable");
            assert_eq!(
                (
                    token.authorization.expose_secret(),
                    token.lifetime.as_secs()
                ),
                ("t.1", 14_400)
            );
        }
        assert_eq!(
            read(&answer(200, r#"{"access_token":"t"}"#)).map(|token| token.lifetime.as_secs()),
            Some(DEFAULT_LIFETIME_S)
        );
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"body":"no JSON"}"#,
        ] {
            assert!(read(&answer(200, body)).is_none(), "{body}");
        }
    }

    #[test]
    fn each_installation_has_its_own_token() {
        let holder = |id: &str| match WixClient::of(&installation(id))
            .expect("the installation should have a client")
            .auth
        {
            Auth::Token(grant) => grant.holder,
            Auth::None | Auth::Header(..) | Auth::OAuth1(_) => panic!("a token should be used"),
        };
        assert_ne!(holder("one"), holder("two"));
        assert_eq!(holder("one"), holder("one"));
    }

    #[test]
    fn token_request_has_its_secret_in_the_body_only() {
        let request = request(&app(), "one").expect("the app should have a secret");
        assert_eq!(request.url, "https://www.wixapis.com/oauth2/token");
        assert_eq!(request.method, Method::PostIdempotent);
        let body: serde_json::Value = serde_json::from_slice(
            request
                .body
                .as_deref()
                .expect("the request should have a body"),
        )
        .expect("the text should be JSON");
        let expected = json!({"grant_type": "client_credentials", "client_id": "app-1", "client_secret": "s3cret", "instance_id": "one"});
        assert_eq!(body, expected);
        assert!(!format!("{request:?}").contains("s3cret"));
    }

    #[test]
    fn only_installations_of_an_app_with_a_secret_make_requests() {
        let mut poor = installation("one");
        poor.parent
            .as_mut()
            .expect("the installation should have an app")
            .secrets
            .clear();
        let requests = |context: &ConnectionContext| can_request(&context.configured());
        assert!(requests(&installation("one")) && !requests(&poor) && !requests(&app()));
        // An app has no site, so it makes no requests. Its secret can be checked with its installations.
        let mut poor_app = app();
        poor_app.secrets.clear();
        let is_checked = |context: &ConnectionContext| can_check(&context.configured());
        assert!(is_checked(&app()) && !is_checked(&poor_app) && !is_checked(&poor));
    }
}
