//! Test support: a scripted platform (a function from request to response), and connections.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::delivery::ConnectionId;
use crate::platforms::api::{
    ApiRequest, CallResult, ConnectionContext, Dialogue, StoreResponse, Unanswered,
};

pub(super) fn answer(status: u16, body: &str) -> StoreResponse {
    StoreResponse {
        status,
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::UNIX_EPOCH,
    }
}

/// Runs a dialogue with `platform` to its end. Returns the result and the names of the calls.
pub(super) fn talk<T>(
    platform: impl Fn(&ApiRequest) -> CallResult,
    conversation: impl Fn(&mut Dialogue<'_>) -> Result<T, Unanswered>,
) -> (T, Vec<String>) {
    let (mut answers, mut requested) = (Vec::new(), Vec::new());
    loop {
        match conversation(&mut Dialogue::new(&answers)) {
            Ok(end) => return (end, requested),
            Err(Unanswered(request)) => {
                requested.push(request.call.to_owned());
                answers.push(platform(&request));
                assert!(answers.len() < 50, "too many calls: {requested:?}");
            }
        }
    }
}

/// The path and the query of a request to the platform's default base URL.
pub(super) fn path(request: &ApiRequest) -> &str {
    request
        .url
        .strip_prefix("https://www.wixapis.com")
        .expect("the URL should be the platform's")
}

pub(super) fn header<'a>(request: &'a ApiRequest, name: &str) -> Option<&'a str> {
    request
        .headers
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value.as_str())
}

pub(super) fn body(request: &ApiRequest) -> serde_json::Value {
    serde_json::from_slice(request.body.as_deref().unwrap_or_default())
        .expect("the text should be JSON")
}

fn context(
    id: &str,
    kind: &str,
    settings: &[(&str, &str)],
    secrets: &[(&str, &str)],
) -> ConnectionContext {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ConnectionContext {
        id: ConnectionId::new(id).expect("the connection id should be valid"),
        kind: kind.to_owned(),
        settings: settings.iter().map(owned).collect(),
        secrets: secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect(),
        delivery_url: None,
        parent: None,
        installations: Vec::new(),
    }
}

/// The app `my-app` with its secret, without installations.
pub(super) fn app() -> ConnectionContext {
    let app = context(
        "my-app",
        "wix-app",
        &[("app_id", "app-1")],
        &[("app-secret", "s3cret")],
    );
    ConnectionContext {
        delivery_url: Some("https://hooks.example/webhooks/wix/my-app".to_owned()),
        ..app
    }
}

/// The app `my-app` with these installations.
pub(super) fn app_on(installations: &[&str]) -> ConnectionContext {
    let installations = installations
        .iter()
        .map(|id| ConnectionId::new(id).expect("the connection id should be valid"))
        .collect();
    ConnectionContext {
        installations,
        ..app()
    }
}

/// The only installation of the app `my-app`.
pub(super) fn installation(id: &str) -> ConnectionContext {
    ConnectionContext {
        parent: Some(Box::new(app_on(&[id]))),
        ..context(id, "instance", &[], &[])
    }
}

/// A site with an API key.
pub(super) fn site() -> ConnectionContext {
    context(
        "shop",
        "wix-site",
        &[("site_id", "site-1"), ("account_id", "account-1")],
        &[("api-key", "IST.key")],
    )
}

pub(super) fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
