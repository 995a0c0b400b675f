//! HTTP requests to a store's API and the responses, as plain data.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use super::super::oauth1::OAuth1;
use crate::delivery::ReasonCode;

/// The HTTP method, with the rule for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    /// Creates an object. Never retried after the request may have reached the store.
    Post,
    /// A `POST` that only reads (a search) or is safe to repeat. May be retried.
    PostIdempotent,
    Put,
    Delete,
}

/// A request to a store's API.
#[derive(Clone)]
pub struct ApiRequest {
    /// Name of the call for metrics and logs, for example `webhooks.list`.
    pub call: &'static str,
    pub method: Method,
    /// Absolute, with the query and without credentials.
    pub url: String,
    /// Headers without secrets, except those of HTTP itself.
    pub headers: Vec<(&'static str, String)>,
    /// JSON. May contain secrets.
    pub body: Option<Bytes>,
    pub auth: Auth,
}

impl ApiRequest {
    /// A `GET` without credentials.
    #[must_use]
    pub fn get(call: &'static str, url: impl Into<String>) -> Self {
        Self {
            call,
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            auth: Auth::None,
        }
    }

    /// A request with a JSON body, without credentials.
    #[must_use]
    pub fn send(
        call: &'static str,
        method: Method,
        url: impl Into<String>,
        body: &serde_json::Value,
    ) -> Self {
        Self {
            method,
            body: Some(body.to_string().into()),
            ..Self::get(call, url)
        }
    }

    /// Adds credentials.
    #[must_use]
    pub fn by(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }
}

/// Omits the query, the body and the credentials.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "ApiRequest({} {:?} {url})", self.call, self.method)
    }
}

/// The credentials of a request.
#[derive(Clone)]
pub enum Auth {
    None,
    /// A header with a fixed secret, for example Basic authentication or an API key.
    Header(&'static str, SecretString),
    /// A signature that is computed for each attempt.
    OAuth1(OAuth1),
    /// An access token that is fetched once and cached until shortly before it expires.
    Token(Box<TokenGrant>),
}

/// How to obtain an access token.
#[derive(Clone)]
pub struct TokenGrant {
    /// Cache key: requests with the same holder share a token.
    pub holder: String,
    /// The request that fetches the token.
    pub request: ApiRequest,
    /// Parses the token from a successful response.
    pub read: fn(&StoreResponse) -> Option<AccessToken>,
}

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The value of the `Authorization` header.
    pub authorization: SecretString,
    /// Time until the token expires.
    pub lifetime: Duration,
}

/// The response of a store.
#[derive(Clone, Debug)]
pub struct StoreResponse {
    pub status: u16,
    /// Lower-case names with their values.
    pub headers: Vec<(String, String)>,
    /// The whole body. `outbound` limits the size.
    pub body: Bytes,
    /// The gateway's time when the headers arrived.
    pub received_at: Timestamp,
}

impl StoreResponse {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// `true` for a status from 200 to 299.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text; empty if the body is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

/// Why a TLS handshake failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// No trusted authority signed the certificate.
    #[error("no authority that this machine trusts signed its certificate")]
    Untrusted,
    /// The server uses the certificate of an authority as its own. Clients reject this even if they trust the authority.
    #[error("its certificate is self-signed and is its own authority")]
    OwnAuthority,
    /// The certificate has expired.
    #[error("its certificate has expired")]
    Expired,
    /// The certificate is not valid yet.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("its certificate is for another host name")]
    OtherName,
    /// The server does not speak TLS on this port.
    #[error("it does not speak TLS on this port")]
    NotTls,
    /// Any other fault, with the TLS library's message.
    #[error("{0}")]
    Other(String),
}

/// Why a request has no response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFailure {
    /// The URL or a header is invalid.
    #[error("the address is not a valid http or https URL")]
    AddressInvalid,
    /// The address is in a private network.
    #[error("the address leads to {0}, which is not public")]
    AddressRefused(String),
    /// The host name cannot be resolved.
    #[error("the host name has no address")]
    HostUnknown,
    /// The connection was refused, or the network is unreachable.
    #[error("the host does not take connections")]
    Unreachable,
    /// The TLS handshake failed.
    #[error("TLS failed: {0}")]
    Tls(TlsFault),
    /// The response was not complete in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection closed before the response was complete.
    #[error("the answer was cut off")]
    CutOff,
    /// The response exceeds the size limit.
    #[error("the answer is too large")]
    TooLarge,
    /// The store's rate limit is reached; with the remaining wait.
    #[error("the host's rate limit is reached for another {0:?}")]
    RateLimited(Duration),
    /// The platform refused to issue an access token; with its response.
    #[error("the platform issues no access token")]
    TokenRefused(StoreResponse),
}

impl CallFailure {
    /// The reason code.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            CallFailure::AddressInvalid => ReasonCode::AddressInvalid,
            CallFailure::AddressRefused(_) => ReasonCode::AddressRefused,
            CallFailure::HostUnknown => ReasonCode::HostUnknown,
            CallFailure::Unreachable => ReasonCode::Unreachable,
            CallFailure::Tls(_) => ReasonCode::TlsFailed,
            CallFailure::TimedOut => ReasonCode::TimedOut,
            CallFailure::CutOff => ReasonCode::CutOff,
            CallFailure::TooLarge => ReasonCode::TooLarge,
            CallFailure::RateLimited(_) => ReasonCode::RateLimited,
            CallFailure::TokenRefused(_) => ReasonCode::TokenRefused,
        }
    }

    /// `true` if a retry may succeed without any change by an operator.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            CallFailure::HostUnknown
            | CallFailure::Unreachable
            | CallFailure::Tls(_)
            | CallFailure::TimedOut
            | CallFailure::CutOff
            | CallFailure::RateLimited(_) => true,
            CallFailure::AddressInvalid
            | CallFailure::AddressRefused(_)
            | CallFailure::TooLarge
            | CallFailure::TokenRefused(_) => false,
        }
    }
}

pub type CallResult = Result<StoreResponse, CallFailure>;
