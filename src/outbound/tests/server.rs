//! A listener with scripted responses, and calls to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::delivery::ConnectionId;
use crate::outbound::{Options, Outbound};
use crate::platforms::api::{ApiRequest, CallResult};
use crate::platforms::{PLATFORMS, StoreApi};

/// Starts a server whose response depends on the number of the request, with a request counter. `None` closes the
/// connection without a response.
pub(super) async fn server(
    respond: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port should be available");
    let url = format!(
        "http://{}",
        listener
            .local_addr()
            .expect("the listener should have an address")
    );
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, respond) = (Arc::clone(&requests), Arc::new(respond));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (count, respond) = (Arc::clone(&count), Arc::clone(&respond));
            tokio::spawn(async move {
                let Some(request) = read_head(&mut stream).await else {
                    return;
                };
                let number = count.fetch_add(1, Ordering::SeqCst);
                if let Some(response) = respond(number, &request) {
                    let _ = stream.write_all(response.as_bytes()).await;
                }
            });
        }
    });
    (url, requests)
}

/// Reads a request up to the end of its headers; `None` if the connection closes before.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&request).into_owned())
}

pub(super) fn http(status: u16, headers: &str, body: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

pub(super) fn outbound(allow_private_stores: bool) -> Outbound {
    Outbound::new(&Options {
        allow_private_stores,
        ca_file: None,
    })
    .expect("the client should be created")
}

/// The API that the test calls use. Only its request rate matters.
pub(super) fn api() -> &'static dyn StoreApi {
    let mut platforms = PLATFORMS.iter();
    let api = platforms.find_map(|platform| platform.api());
    api.expect("a platform should have an API")
}

pub(super) async fn call(outbound: &Outbound, request: ApiRequest) -> CallResult {
    let shop = ConnectionId::new("shop").expect("the connection id should be valid");
    outbound.call(api(), &shop, request).await
}

pub(super) fn status(result: CallResult) -> u16 {
    result.expect("the call should return a response").status
}
