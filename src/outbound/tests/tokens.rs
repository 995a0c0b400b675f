//! Access tokens: fetched once, cached, and replaced if the store refuses one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use super::server::{api, call, http, outbound, server, status};
use crate::delivery::ConnectionId;
use crate::platforms::api::{
    AccessToken, ApiRequest, Auth, CallFailure, Method, StoreResponse, TokenGrant,
};

/// A request with an access token. The body of the token's response is the token.
fn by_token(url: &str) -> ApiRequest {
    let grant = TokenGrant {
        holder: "app/instance".to_owned(),
        request: ApiRequest::send(
            "token",
            Method::PostIdempotent,
            format!("{url}/token"),
            &serde_json::json!({}),
        ),
        read: |answer| {
            let authorization = SecretString::from(answer.text().to_owned());
            Some(AccessToken {
                authorization,
                lifetime: Duration::from_secs(3600),
            })
        },
    };
    ApiRequest::get("test", format!("{url}/object")).by(Auth::Token(Box::new(grant)))
}

#[tokio::test]
async fn a_hundred_concurrent_calls_fetch_one_token() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let fetched = Arc::clone(&tokens);
    let (url, _) = server(move |_, request| {
        if request.starts_with("POST /token") {
            fetched.fetch_add(1, Ordering::SeqCst);
            return http(200, "", "first");
        }
        let is_authorized = request.contains("authorization: first");
        http(if is_authorized { 200 } else { 401 }, "", "{}")
    })
    .await;
    let outbound = outbound(true);
    let calls = (0..100).map(|number| {
        // Each call has another connection, so that no call waits for the request rate.
        let (outbound, request) = (outbound.clone(), by_token(&url));
        async move {
            let shop = ConnectionId::new(&format!("shop-{number}"))
                .expect("the connection id should be valid");
            status(outbound.call(api(), &shop, request).await)
        }
    });
    let statuses = futures_util::future::join_all(calls).await;
    assert!(statuses.into_iter().all(|status| status == 200));
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_revoked_token_is_replaced() {
    let (url, _) = server(|number, request| match request.split(' ').nth(1) {
        Some("/token") => http(200, "", &format!("token-{number}")),
        _ => {
            let is_revoked = request.contains("authorization: token-0");
            http(if is_revoked { 401 } else { 200 }, "", "{}")
        }
    })
    .await;
    assert_eq!(status(call(&outbound(true), by_token(&url)).await), 200);
}

#[tokio::test]
async fn a_refused_token_is_reported_and_cached() {
    let (url, requests) = server(|_, _| http(403, "", "no")).await;
    let outbound = outbound(true);
    for _ in 0..2 {
        let refused = call(&outbound, by_token(&url)).await;
        assert!(
            matches!(
                refused,
                Err(CallFailure::TokenRefused(StoreResponse { status: 403, .. }))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
