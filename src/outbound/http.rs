//! The HTTP client: one attempt of a call, with the limits of time, size and addresses.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response, Url, redirect};

use super::guard::Guard;
use super::http_failure::classify;
use super::options::{Options, OutboundError};
use crate::platforms::api::{ApiRequest, CallFailure, CallResult, Method, StoreResponse};

/// Maximum time to connect, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for a whole response. A store on a small machine may need many seconds for a page of 100 orders.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that an idle connection is kept.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of idle connections to one host.
const MAX_IDLE_PER_HOST: usize = 4;
/// Maximum size of a response's body.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// The HTTP client. It follows no redirects, and all addresses pass the guard.
pub(super) struct HttpClient {
    client: Client,
    guard: Guard,
}

impl HttpClient {
    pub(super) fn new(options: &Options) -> Result<Self, OutboundError> {
        let guard = Guard {
            allow_private: options.allow_private_stores,
        };
        let mut builder = Client::builder()
            .user_agent(concat!("cartwire/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .dns_resolver(guard)
            // A proxy would resolve names itself and so bypass the guard.
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(RESPONSE_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST);
        if let Some(path) = &options.ca_file {
            let failed = |source| OutboundError::Authority {
                path: path.to_owned(),
                source,
            };
            let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
            if certificates.is_empty() {
                return Err(failed("the file contains no certificate".into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        Ok(Self {
            client: builder.build()?,
            guard,
        })
    }

    /// Sends the request once.
    pub(super) async fn send(
        &self,
        request: &ApiRequest,
        authorization: Option<(HeaderName, HeaderValue)>,
    ) -> CallResult {
        let url = Url::parse(&request.url).map_err(|_| CallFailure::AddressInvalid)?;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_credentials {
            return Err(CallFailure::AddressInvalid);
        }
        self.guard.check(&url)?;
        let mut headers = headers(request)?;
        headers.extend(authorization);
        let method = reqwest::Method::from_bytes(method_name(request.method).as_bytes())
            .map_err(|_| CallFailure::AddressInvalid)?;
        let mut call = self.client.request(method, url);
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let sent = call.headers(headers).send().await;
        let response = sent.map_err(|error| classify(&error))?;
        let received_at = Timestamp::now();
        let status = response.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        Ok(StoreResponse {
            status,
            headers,
            body: body(response).await?,
            received_at,
        })
    }
}

/// The request's headers, without credentials.
fn headers(request: &ApiRequest) -> Result<HeaderMap, CallFailure> {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, json.clone());
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| CallFailure::AddressInvalid)?;
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallFailure::AddressInvalid)?;
        headers.insert(name, value);
    }
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, json);
    }
    Ok(headers)
}

/// The HTTP method's name.
pub(super) fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post | Method::PostIdempotent => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    }
}

/// Reads the body, up to [`MAX_RESPONSE_BYTES`].
async fn body(mut response: Response) -> Result<Bytes, CallFailure> {
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    if announced > MAX_RESPONSE_BYTES {
        return Err(CallFailure::TooLarge);
    }
    let mut body = BytesMut::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(CallFailure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
