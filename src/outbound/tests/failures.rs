//! Responses that are incomplete, too large or missing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::{call, outbound, server};
use crate::platforms::api::{ApiRequest, CallFailure, CallResult};

async fn get(url: impl Into<String>) -> CallResult {
    call(&outbound(true), ApiRequest::get("test", url)).await
}

#[tokio::test]
async fn an_incomplete_or_missing_response_is_cut_off() {
    let half = "HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nhalf";
    let (url, _) = server(move |_, _| Some(half.to_owned())).await;
    assert!(matches!(get(url).await, Err(CallFailure::CutOff)));
    let (url, _) = server(|_, _| None).await;
    assert!(matches!(get(url).await, Err(CallFailure::CutOff)));
}

#[tokio::test]
async fn a_response_above_the_limit_is_too_large() {
    let announced = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", 1_u64 << 40);
    let (url, _) = server(move |_, _| Some(announced.clone())).await;
    assert!(matches!(get(url).await, Err(CallFailure::TooLarge)));
    let (url, _) = server(|_, _| {
        Some("HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_owned() + &"x".repeat(9 << 20))
    })
    .await;
    assert!(matches!(get(url).await, Err(CallFailure::TooLarge)));
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_an_unknown_name_has_no_host() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port should be available");
    let closed = listener
        .local_addr()
        .expect("the listener should have an address");
    drop(listener);
    let closed = get(format!("http://{closed}")).await;
    assert!(
        matches!(closed, Err(CallFailure::Unreachable)),
        "{closed:?}"
    );
    let unknown = get("http://shop.invalid/").await;
    assert!(
        matches!(unknown, Err(CallFailure::HostUnknown)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port should be available");
    let url = format!(
        "https://{}",
        listener
            .local_addr()
            .expect("the listener should have an address")
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream
                .write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
                .await;
            // If the socket closed at once, the system might discard the written bytes.
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let plain = get(url).await;
    assert!(matches!(plain, Err(CallFailure::Tls(_))), "{plain:?}");
}
