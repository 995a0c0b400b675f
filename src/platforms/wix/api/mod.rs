//! The requests to the platform's API, and the meaning of its answers. Pure: `outbound` sends the requests.
//!
//! `token` obtains an installation's access token, and `refusal` finds the cause of a refusal. `instance` checks apps and
//! their installations, `site` checks sites by API key. `fetch_request` and `fetch` get the details that a delivery leaves
//! out. `scopes` lists the necessary permissions. Webhooks are configured in the app's dashboard, so this module registers
//! and removes none.

mod fetch;
mod fetch_request;
mod instance;
mod refusal;
mod scopes;
#[cfg(test)]
mod script;
mod site;
mod token;

use serde_json::Value;

use crate::platforms::api::{
    AccessToken, ApiRequest, Auth, CheckMode, CheckReport, ConfiguredFields, ConnectionContext,
    Dialogue, Method, Pace, Unanswered,
};

pub(super) use fetch::fetch;
pub(super) use fetch_request::{FetchKind, FetchRequest};
pub(super) use instance::known;
pub(super) use scopes::SCOPES;

/// The platform allows each installation 200 requests a minute. Rate and burst together stay at that limit.
pub(super) const PACE: Pace = Pace {
    per_minute: 180,
    burst: 20,
};

const BASE: &str = "https://www.wixapis.com";

/// `true` for a site with an API key, and for an installation of an app with a secret.
pub(super) fn can_request(fields: &ConfiguredFields) -> bool {
    if fields.kind == "wix-site" {
        return fields.has("site_id") && fields.has("api-key");
    }
    fields.parent.as_deref().is_some_and(is_app_with_secret)
}

/// As [`can_request`], and `true` for an app with a secret, which is checked with the app's installations.
pub(super) fn can_check(fields: &ConfiguredFields) -> bool {
    can_request(fields) || (fields.kind == "wix-app" && is_app_with_secret(fields))
}

fn is_app_with_secret(app: &ConfiguredFields) -> bool {
    app.has("app_id") && app.has("app-secret")
}

pub(super) fn examine(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    match (mode, context.kind.as_str()) {
        // The gateway creates nothing at the platform.
        (CheckMode::Remove, _) => Ok(CheckReport::default()),
        (CheckMode::Check | CheckMode::Fix, "wix-app") => instance::examine_app(context, dialogue),
        (CheckMode::Check | CheckMode::Fix, "wix-site") => site::examine(context, dialogue),
        (CheckMode::Check | CheckMode::Fix, _) => instance::examine(context, dialogue),
    }
}

/// The base URL and the credentials for the requests about a connection.
struct Caller<'a> {
    base: &'a str,
    auth: Auth,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Caller<'a> {
    /// `None` without credentials, and for an app itself: requests are always about one of its installations.
    fn of(context: &'a ConnectionContext) -> Option<Self> {
        if context.kind == "wix-site" {
            let headers = vec![("wix-site-id", context.setting("site_id")?.to_owned())];
            return Some(Self {
                headers,
                ..Self::with_key(context)?
            });
        }
        let app = context.parent.as_deref()?;
        let auth = Auth::Token(Box::new(token::grant(app, context.id.as_str())?));
        Some(Self {
            base: base(app),
            auth,
            headers: Vec::new(),
        })
    }

    /// With the API key, without a site or an account.
    fn with_key(context: &'a ConnectionContext) -> Option<Self> {
        let key = context.secrets.get("api-key")?.clone();
        Some(Self {
            base: base(context),
            auth: Auth::Header("Authorization", key),
            headers: Vec::new(),
        })
    }

    /// With an access token, about the token's installation.
    fn with_token(app: &'a ConnectionContext, token: AccessToken) -> Self {
        Self {
            base: base(app),
            auth: Auth::Header("Authorization", token.authorization),
            headers: Vec::new(),
        }
    }

    fn get(&self, call: &'static str, path: &str) -> ApiRequest {
        self.dressed(ApiRequest::get(call, format!("{}{path}", self.base)))
    }

    /// A `POST` request that only reads.
    fn search(&self, call: &'static str, path: &str, body: &Value) -> ApiRequest {
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

/// The base URL of the API. Tests replace it.
fn base(context: &ConnectionContext) -> &str {
    context.setting("api_base").unwrap_or(BASE)
}
