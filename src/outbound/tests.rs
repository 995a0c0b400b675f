//! Calls to a real listener with scripted responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::platforms::api::{AccessToken, TokenGrant};
use crate::platforms::store_api;

/// A server whose response depends on the number of the request, with a request counter. `None` closes the connection
/// without a response.
async fn server(
    answer: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&asked), Arc::new(answer));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, answer) = (Arc::clone(&count), Arc::clone(&answer));
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    let mut part = [0; 4096];
                    match stream.read(&mut part).await {
                        Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
                        _ => return,
                    }
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(number, &String::from_utf8_lossy(&request)) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    (url, asked)
}

fn http(status: u16, headers: &str, body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

fn outbound(allow_private_stores: bool) -> Outbound {
    Outbound::new(&Options {
        allow_private_stores,
        ca_file: None,
    })
    .expect("a client")
}

async fn call(outbound: &Outbound, request: ApiRequest) -> CallResult {
    let shop = ConnectionId::new("shop").expect("an id");
    outbound
        .call(store_api("woocommerce").expect("an API"), &shop, request)
        .await
}

fn status(result: CallResult) -> u16 {
    result.expect("an answer").status
}

#[tokio::test]
async fn private_addresses_are_refused_in_every_notation() {
    let (url, asked) = server(|_, _| http(200, "", "{}")).await;
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let careful = outbound(false);
    for address in [
        url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://10.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let refused = call(&careful, ApiRequest::get("test", address.clone())).await;
        assert!(
            matches!(refused, Err(CallFailure::AddressRefused(_))),
            "{address}: {refused:?}"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(
        status(call(&outbound(true), ApiRequest::get("test", url)).await),
        200
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (url, asked) = server(|_, _| http(302, "location: http://169.254.169.254/\r\n", "")).await;
    let answer = call(&outbound(true), ApiRequest::get("test", url))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("http://169.254.169.254/"))
    );
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_idempotent_calls_are_retried_after_a_server_error() {
    let failing_once = |number, _: &str| {
        if number == 0 {
            http(503, "retry-after: 0\r\n", "")
        } else {
            http(200, "", "{}")
        }
    };
    let (url, asked) = server(failing_once).await;
    assert_eq!(
        status(call(&outbound(true), ApiRequest::get("test", url)).await),
        200
    );
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    let (url, asked) = server(|_, _| http(500, "", "")).await;
    let made = ApiRequest::send("test", Method::Post, url, &serde_json::json!({}));
    assert_eq!(status(call(&outbound(true), made).await), 500);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "the object may have been created"
    );

    let (url, asked) = server(|_, _| http(429, "retry-after: 3600\r\n", "")).await;
    assert_eq!(
        status(call(&outbound(true), ApiRequest::get("test", url)).await),
        429
    );
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "no retry after a wait of an hour"
    );
}

#[tokio::test]
async fn an_incomplete_or_too_large_response_is_a_failure() {
    let (url, _) =
        server(|_, _| Some("HTTP/1.1 200 X\r\ncontent-length: 10\r\n\r\nhalf".to_owned())).await;
    assert!(matches!(
        call(&outbound(true), ApiRequest::get("test", url)).await,
        Err(CallFailure::CutOff)
    ));
    let (url, _) = server(|_, _| None).await;
    assert!(matches!(
        call(&outbound(true), ApiRequest::get("test", url)).await,
        Err(CallFailure::CutOff)
    ));
    let (url, _) = server(|_, _| {
        Some(format!(
            "HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n",
            1_u64 << 40
        ))
    })
    .await;
    assert!(matches!(
        call(&outbound(true), ApiRequest::get("test", url)).await,
        Err(CallFailure::TooLarge)
    ));
    let (url, _) = server(|_, _| {
        Some("HTTP/1.1 200 X\r\nconnection: close\r\n\r\n".to_owned() + &"x".repeat(9 << 20))
    })
    .await;
    assert!(matches!(
        call(&outbound(true), ApiRequest::get("test", url)).await,
        Err(CallFailure::TooLarge)
    ));
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .local_addr()
        .expect("an address");
    let closed = call(
        &outbound(true),
        ApiRequest::get("test", format!("http://{closed}")),
    )
    .await;
    assert!(
        matches!(closed, Err(CallFailure::Unreachable)),
        "{closed:?}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let plain = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream
                .write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
                .await;
            // If the socket closed at once, the system might discard the written bytes.
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let plain = call(&outbound(true), ApiRequest::get("test", plain)).await;
    assert!(matches!(plain, Err(CallFailure::Tls(_))), "{plain:?}");
    let unknown = call(
        &outbound(true),
        ApiRequest::get("test", "http://shop.invalid/"),
    )
    .await;
    assert!(
        matches!(unknown, Err(CallFailure::HostUnknown)),
        "{unknown:?}"
    );
}

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
    ApiRequest::get("test", format!("{url}/thing")).by(Auth::Token(Box::new(grant)))
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
        http(
            if request.contains("authorization: first") {
                200
            } else {
                401
            },
            "",
            "{}",
        )
    })
    .await;
    let outbound = outbound(true);
    let calls = (0..100).map(|number| {
        // Each call has another connection, so that no call waits for the request rate.
        let (outbound, request) = (outbound.clone(), by_token(&url));
        async move {
            let shop = ConnectionId::new(&format!("shop-{number}")).expect("an id");
            status(
                outbound
                    .call(store_api("woocommerce").expect("an API"), &shop, request)
                    .await,
            )
        }
    });
    assert!(
        futures_util::future::join_all(calls)
            .await
            .into_iter()
            .all(|status| status == 200)
    );
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_a_refusal_is_reported() {
    let (url, _) = server(|number, request| match request.split(' ').nth(1) {
        Some("/token") => http(200, "", &format!("token-{number}")),
        _ => http(
            if request.contains("authorization: token-0") {
                401
            } else {
                200
            },
            "",
            "{}",
        ),
    })
    .await;
    assert_eq!(status(call(&outbound(true), by_token(&url)).await), 200);

    let (url, asked) = server(|_, _| http(403, "", "no")).await;
    let outbound = outbound(true);
    for _ in 0..2 {
        let refused = call(&outbound, by_token(&url)).await;
        assert!(
            matches!(
                refused,
                Err(CallFailure::TokenRefused(Answer { status: 403, .. }))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "a refusal is cached for a moment"
    );
}
