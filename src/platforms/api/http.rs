//! Requests to a store's API and their answers, as plain data.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;

use super::super::oauth1::OAuth1;

/// How a store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes something; never sent twice by us.
    Post,
    /// A `POST` that only reads (a search) or gives the same when it is sent twice.
    PostIdempotent,
    /// Changes something.
    Put,
    /// Removes something.
    Delete,
}

/// A request to a store's API.
#[derive(Clone)]
pub struct ApiRequest {
    /// What it is, as a bounded word for metrics and logs: `webhooks.list`.
    pub call: &'static str,
    /// How.
    pub method: Method,
    /// Where: absolute, with the query and without credentials.
    pub url: String,
    /// Headers that are no secret, besides those of HTTP itself.
    pub headers: Vec<(&'static str, String)>,
    /// JSON. May hold secrets.
    pub body: Option<Bytes>,
    /// Who asks.
    pub auth: Auth,
}

impl ApiRequest {
    /// Reads an address.
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

    /// Sends JSON to an address.
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

    /// The same request by somebody.
    #[must_use]
    pub fn by(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }
}

/// Without the address's query, the body and the credentials.
impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "ApiRequest({} {:?} {url})", self.call, self.method)
    }
}

/// Who asks, and how he proves it.
#[derive(Clone)]
pub enum Auth {
    /// Anybody.
    None,
    /// A header with a fixed secret, such as Basic or an API key.
    Header(&'static str, SecretString),
    /// Signed anew for each attempt.
    OAuth1(OAuth1),
    /// By an access token that is fetched once and kept until shortly before it expires.
    Token(Box<TokenGrant>),
}

/// How an access token is had.
#[derive(Clone)]
pub struct TokenGrant {
    /// Whose token it is; the same for all requests that share it.
    pub holder: String,
    /// Fetches it.
    pub request: ApiRequest,
    /// Finds it in a good answer.
    pub read: fn(&Answer) -> Option<AccessToken>,
}

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// The value of the `Authorization` header.
    pub authorization: SecretString,
    /// How long it counts.
    pub lifetime: Duration,
}

/// What a store answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it; the executor bounds its size.
    pub body: Bytes,
    /// Our clock when its head arrived.
    pub received_at: Timestamp,
}

impl Answer {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// 200 to 299?
    #[must_use]
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text, where it is text.
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
    /// The server presents an authority's certificate as its own, which no client accepts, even if it trusts the authority.
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
    /// Anything else, in the TLS library's words.
    #[error("{0}")]
    Other(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFailure {
    /// It is no address that can be called.
    #[error("the address cannot be called")]
    AddressInvalid,
    /// It leads into a private network.
    #[error("the address leads to {0}, which is not public")]
    AddressRefused(String),
    /// There is no such host.
    #[error("the host name has no address")]
    HostUnknown,
    /// Nobody listens, or the network does not lead there.
    #[error("the host does not take connections")]
    Unreachable,
    /// The TLS handshake failed.
    #[error("TLS failed: {0}")]
    Tls(TlsFault),
    /// No whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended in the middle.
    #[error("the answer was cut off")]
    CutOff,
    /// More than we take.
    #[error("the answer is too large")]
    TooLarge,
    /// It has said that it is asked too often; for how long it wants to be left alone.
    #[error("the host wants to be left alone for {0:?}")]
    Resting(Duration),
    /// The access token was refused; what the platform answered.
    #[error("no access token is given")]
    TokenRefused(Answer),
}

impl CallFailure {
    /// A bounded word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            CallFailure::AddressInvalid => "address_invalid",
            CallFailure::AddressRefused(_) => "address_refused",
            CallFailure::HostUnknown => "host_unknown",
            CallFailure::Unreachable => "unreachable",
            CallFailure::Tls(_) => "tls_failed",
            CallFailure::TimedOut => "timed_out",
            CallFailure::CutOff => "cut_off",
            CallFailure::TooLarge => "too_large",
            CallFailure::Resting(_) => "rate_limited",
            CallFailure::TokenRefused(_) => "token_refused",
        }
    }

    /// May it go better later, without anybody changing anything?
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            CallFailure::HostUnknown
            | CallFailure::Unreachable
            | CallFailure::Tls(_)
            | CallFailure::TimedOut
            | CallFailure::CutOff
            | CallFailure::Resting(_) => true,
            CallFailure::AddressInvalid
            | CallFailure::AddressRefused(_)
            | CallFailure::TooLarge
            | CallFailure::TokenRefused(_) => false,
        }
    }
}

/// An answer, or why there is none.
pub type CallResult = Result<Answer, CallFailure>;
