//! Builds the requests to the platform's API: adds the base URL and the credentials of a connection.

use serde_json::Value;

use super::settings::Settings;
use super::token;
use crate::platforms::api::{AccessToken, ApiRequest, Auth, ConnectionContext, Method};

/// The base URL and the credentials for the requests about a connection.
pub(super) struct WixClient<'a> {
    pub(super) base: &'a str,
    pub(super) auth: Auth,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl<'a> WixClient<'a> {
    /// The client for a site or an installation. `None` without credentials, and for an app, because each request of an app is
    /// about one of its installations.
    pub(super) fn of(context: &'a ConnectionContext) -> Option<Self> {
        if context.kind == "wix-site" {
            let headers = vec![("wix-site-id", Settings::of(context).site_id?.to_owned())];
            return Some(Self {
                headers,
                ..Self::with_key(context)?
            });
        }
        let app = context.parent.as_deref()?;
        let auth = Auth::Token(Box::new(token::grant(app, context.id.as_str())?));
        Some(Self {
            base: Settings::of(app).api_base,
            auth,
            headers: Vec::new(),
        })
    }

    /// A client with the API key, but without the header of a site or an account. `None` without an API key.
    pub(super) fn with_key(context: &'a ConnectionContext) -> Option<Self> {
        let key = context.secrets.get("api-key")?.clone();
        Some(Self {
            base: Settings::of(context).api_base,
            auth: Auth::Header("Authorization", key),
            headers: Vec::new(),
        })
    }

    /// A client with an access token. Its requests are about the installation of the token.
    pub(super) fn with_token(app: &'a ConnectionContext, token: AccessToken) -> Self {
        Self {
            base: Settings::of(app).api_base,
            auth: Auth::Header("Authorization", token.authorization),
            headers: Vec::new(),
        }
    }

    pub(super) fn get(&self, call: &'static str, path: &str) -> ApiRequest {
        self.dressed(ApiRequest::get(call, format!("{}{path}", self.base)))
    }

    /// A `POST` request that only reads, so it can be retried.
    pub(super) fn search(&self, call: &'static str, path: &str, body: &Value) -> ApiRequest {
        self.dressed(ApiRequest::send(
            call,
            Method::PostIdempotent,
            format!("{}{path}", self.base),
            body,
        ))
    }

    fn dressed(&self, request: ApiRequest) -> ApiRequest {
        ApiRequest {
            headers: self.headers.clone(),
            ..request
        }
        .by(self.auth.clone())
    }
}
