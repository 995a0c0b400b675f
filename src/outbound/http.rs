//! One HTTP attempt of a call, and the classification of its failures.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response, Url, redirect};

use super::OutboundError;
use super::guard::{Guard, NoAddress, Refused};
use crate::platforms::api::{Answer, ApiRequest, CallFailure, CallResult, Method, TlsFault};

/// Maximum time to connect, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time for a whole response. Stores on small machines need long for a page of a hundred orders.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a response's body.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// The HTTP client. It follows no redirects, and all addresses pass the guard.
pub(super) fn client(guard: &Guard, ca_file: Option<&Path>) -> Result<Client, OutboundError> {
    let mut builder = Client::builder()
        .user_agent(concat!("cartwire/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .dns_resolver(*guard)
        // A proxy would resolve names itself and so bypass the guard.
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(RESPONSE_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4);
    if let Some(path) = ca_file {
        let failed = |source| OutboundError::Authority {
            path: path.to_owned(),
            source,
        };
        let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))?;
        if certificates.is_empty() {
            return Err(failed("there is no certificate in it".into()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder.build()?)
}

/// The HTTP method's name.
pub(super) fn verb(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post | Method::PostIdempotent => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
    }
}

/// Sends the request once.
pub(super) async fn attempt(
    client: &Client,
    guard: &Guard,
    request: &ApiRequest,
    authorization: Option<(HeaderName, HeaderValue)>,
) -> CallResult {
    let url = Url::parse(&request.url).map_err(|_| CallFailure::AddressInvalid)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(CallFailure::AddressInvalid);
    }
    guard.check(&url)?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in &request.headers {
        let value = HeaderValue::from_str(value).map_err(|_| CallFailure::AddressInvalid)?;
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallFailure::AddressInvalid)?;
        headers.insert(name, value);
    }
    headers.extend(authorization);
    let method = reqwest::Method::from_bytes(verb(request.method).as_bytes())
        .map_err(|_| CallFailure::AddressInvalid)?;
    let mut call = client.request(method, url);
    if let Some(body) = &request.body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call = call.body(body.clone());
    }
    let response = call
        .headers(headers)
        .send()
        .await
        .map_err(|error| failure(&error))?;
    let received_at = Timestamp::now();
    let status = response.status().as_u16();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect();
    Ok(Answer {
        status,
        headers,
        body: body(response).await?,
        received_at,
    })
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
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(CallFailure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Classifies the HTTP library's error. Its text is not used, because it contains the URL with the query.
fn failure(error: &reqwest::Error) -> CallFailure {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(Refused(address)) = error.downcast_ref() {
            return CallFailure::AddressRefused(address.to_string());
        }
        if error.is::<NoAddress>() {
            return CallFailure::HostUnknown;
        }
        if let Some(tls) = tls(error) {
            return CallFailure::Tls(tls);
        }
        cause = error.source();
    }
    if error.is_timeout() {
        CallFailure::TimedOut
    } else if error.is_connect() {
        CallFailure::Unreachable
    } else {
        CallFailure::CutOff
    }
}

/// The TLS fault, if `error` is a TLS error.
fn tls(error: &(dyn Error + 'static)) -> Option<TlsFault> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_fault(error));
    }
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls(inner)
}

fn tls_fault(error: &rustls::Error) -> TlsFault {
    use rustls::CertificateError as Certificate;
    match error {
        rustls::Error::InvalidMessage(_) => TlsFault::NotTls,
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::UnknownIssuer => TlsFault::Untrusted,
            Certificate::Expired | Certificate::ExpiredContext { .. } => TlsFault::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::OtherName
            }
            // The library has no variant for this fault, only the text of another error.
            Certificate::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                TlsFault::OwnAuthority
            }
            _ => TlsFault::Other(error.to_string()),
        },
        _ => TlsFault::Other(error.to_string()),
    }
}
