//! Calls to a real listener with scripted responses.

mod failures;
mod server;
mod tokens;

use std::sync::atomic::Ordering;

use server::{call, http, outbound, server, status};

use crate::platforms::api::{ApiRequest, CallFailure, Method};

#[tokio::test]
async fn private_addresses_are_refused_in_every_notation() {
    let (url, requests) = server(|_, _| http(200, "", "{}")).await;
    let port = url
        .rsplit(':')
        .next()
        .expect("the URL should contain a port")
        .to_owned();
    let public_only = outbound(false);
    for address in [
        url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://10.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let refused = call(&public_only, ApiRequest::get("test", address.clone())).await;
        assert!(
            matches!(refused, Err(CallFailure::AddressRefused(_))),
            "{address}: {refused:?}"
        );
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    let allowed = call(&outbound(true), ApiRequest::get("test", url)).await;
    assert_eq!(status(allowed), 200);
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let (url, requests) =
        server(|_, _| http(302, "location: http://169.254.169.254/\r\n", "")).await;
    let answer = call(&outbound(true), ApiRequest::get("test", url))
        .await
        .expect("the call should return a response");
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://169.254.169.254/"))
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_idempotent_call_is_retried_after_a_server_error() {
    let failing_once = |number, _: &str| {
        if number == 0 {
            http(503, "retry-after: 0\r\n", "")
        } else {
            http(200, "", "{}")
        }
    };
    let (url, requests) = server(failing_once).await;
    let result = call(&outbound(true), ApiRequest::get("test", url)).await;
    assert_eq!(status(result), 200);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_that_may_have_created_an_object_is_not_retried() {
    let (url, requests) = server(|_, _| http(500, "", "")).await;
    let request = ApiRequest::send("test", Method::Post, url, &serde_json::json!({}));
    assert_eq!(status(call(&outbound(true), request).await), 500);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_is_not_retried_after_a_wait_of_an_hour() {
    let (url, requests) = server(|_, _| http(429, "retry-after: 3600\r\n", "")).await;
    let result = call(&outbound(true), ApiRequest::get("test", url)).await;
    assert_eq!(status(result), 429);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
