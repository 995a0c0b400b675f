//! Fixtures: reading them, and sending them to a running gateway over real HTTP.

pub mod fixture;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::delivery::ConnectionId;
use crate::platforms::SignedRequest;

/// Sends requests to a gateway's webhook endpoints.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    base: String,
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The `status` of a 200: `accepted`, `duplicate`, `ignored` or `ping`.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.body
            .get("status")
            .and_then(Value::as_str)
            .filter(|_| self.status == 200)
    }

    /// The delivery's id of a 200.
    #[must_use]
    pub fn delivery(&self) -> Option<&str> {
        self.body
            .get("delivery")
            .and_then(Value::as_str)
            .filter(|_| self.status == 200)
    }
}

/// Why a request could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A header of the fixture cannot be one.
    #[error("the fixture has a header {0:?} that HTTP does not allow")]
    Header(String),
    /// The gateway cannot be reached, or broke off.
    #[error("cannot send to the gateway")]
    Http(#[from] reqwest::Error),
}

impl Sender {
    /// For the gateway at that address.
    ///
    /// # Errors
    /// Where the client cannot be made.
    pub fn new(base: &str) -> Result<Self, SendError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a request as the platform would.
    ///
    /// # Errors
    /// [`SendError`]; an answer other than 200 is no error.
    pub async fn send(
        &self,
        platform: &str,
        connection: &ConnectionId,
        request: &SignedRequest,
    ) -> Result<Answer, SendError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            // HTTP's own headers are made anew for this connection.
            if [
                "host",
                "connection",
                "content-length",
                "expect",
                "accept-encoding",
            ]
            .contains(&name.to_lowercase().as_str())
            {
                continue;
            }
            let header = || SendError::Header(name.clone());
            let header_name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| header())?;
            headers.append(
                header_name,
                HeaderValue::from_bytes(value.as_bytes()).map_err(|_| header())?,
            );
        }
        let url = format!("{}/webhooks/{platform}/{connection}", self.base);
        let response = self
            .client
            .post(url)
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }
}
