//! What the platform's API is asked, and what its answers mean. Pure: `outbound` executes it.
//!
//! `token` is how an installation's access token is had, `refusal` what a refusal says about its cause, `instance` looks at
//! apps and their installations, `site` at sites by API key, `lacking` and `complete` ask for what a delivery leaves out, and
//! `scopes` lists the permissions for all of it. Webhooks are subscribed to in the app's dashboard, so nothing here
//! registers or removes any.

mod complete;
mod instance;
mod lacking;
mod refusal;
mod scopes;
#[cfg(test)]
mod script;
mod site;
mod token;

use serde_json::Value;

use crate::platforms::api::{
    AccessToken, ApiRequest, Auth, Dialogue, Examination, Intent, Method, Pace, Subject, Unanswered,
};

pub(super) use complete::complete;
pub(super) use instance::known;
pub(super) use lacking::{Lacking, What};
pub(super) use scopes::SCOPES;

/// With a burst, the 200 a minute that the platform allows each installation.
pub(super) const PACE: Pace = Pace {
    per_minute: 180,
    burst: 20,
};

const BASE: &str = "https://www.wixapis.com";

pub(super) fn can_ask(subject: &Subject) -> bool {
    Caller::of(subject).is_some()
}

/// As [`can_ask`], and an app whose secret is known: its installations show whether the secret is right.
pub(super) fn can_examine(subject: &Subject) -> bool {
    can_ask(subject) || (subject.kind == "wix-app" && token::request(subject, "").is_some())
}

pub(super) fn examine(
    subject: &Subject,
    intent: Intent,
    dialogue: &mut Dialogue<'_>,
) -> Result<Examination, Unanswered> {
    match (intent, subject.kind.as_str()) {
        // There is nothing of ours at the platform.
        (Intent::Remove, _) => Ok(Examination::default()),
        (Intent::Check | Intent::Fix, "wix-app") => instance::examine_app(subject, dialogue),
        (Intent::Check | Intent::Fix, "wix-site") => site::examine(subject, dialogue),
        (Intent::Check | Intent::Fix, _) => instance::examine(subject, dialogue),
    }
}

/// Where to ask about a connection, and as whom.
struct Caller<'a> {
    base: &'a str,
    auth: Auth,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Caller<'a> {
    /// `None` where the credentials for it are not there. An app by itself is on no site, so it cannot be asked about one.
    fn of(subject: &'a Subject) -> Option<Self> {
        if subject.kind == "wix-site" {
            let headers = vec![("wix-site-id", subject.setting("site_id")?.to_owned())];
            return Some(Self {
                headers,
                ..Self::with_key(subject)?
            });
        }
        let app = subject.parent.as_deref()?;
        let auth = Auth::Token(Box::new(token::grant(app, subject.id.as_str())?));
        Some(Self {
            base: base(app),
            auth,
            headers: Vec::new(),
        })
    }

    /// By API key, and for no site or account yet.
    fn with_key(subject: &'a Subject) -> Option<Self> {
        let key = subject.secrets.get("api-key")?.clone();
        Some(Self {
            base: base(subject),
            auth: Auth::Header("Authorization", key),
            headers: Vec::new(),
        })
    }

    /// By a token at hand, about the installation that it was given for.
    fn with_token(app: &'a Subject, token: AccessToken) -> Self {
        Self {
            base: base(app),
            auth: Auth::Header("Authorization", token.authorization),
            headers: Vec::new(),
        }
    }

    fn get(&self, call: &'static str, path: &str) -> ApiRequest {
        self.dressed(ApiRequest::get(call, format!("{}{path}", self.base)))
    }

    /// A `POST` that only reads.
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

/// The API's address, which tests give another value.
fn base(subject: &Subject) -> &str {
    subject.setting("api_base").unwrap_or(BASE)
}
