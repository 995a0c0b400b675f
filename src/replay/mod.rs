//! Sends fixtures to a running gateway over HTTP. [`fixture`] reads them.

pub mod fixture;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::delivery::{ConnectionId, webhook_path};
use crate::platforms::SignedRequest;

/// Sends requests to a gateway's webhook endpoints.
#[derive(Clone, Debug)]
pub struct FixtureSender {
    client: reqwest::Client,
    base: String,
}

/// The gateway's response.
#[derive(Clone, Debug)]
pub struct ReplayAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; null if the body is not JSON.
    pub body: Value,
}

impl ReplayAnswer {
    /// The `status` member of a 200 response: `accepted`, `duplicate`, `ignored` or `ping`.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.body
            .get("status")
            .and_then(Value::as_str)
            .filter(|_| self.status == 200)
    }

    /// The delivery's id in a 200 response.
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
    /// The fixture has an invalid header.
    #[error("header {0:?} of the fixture is not valid in HTTP")]
    Header(String),
    /// The gateway is not reachable, or closed the connection.
    #[error("cannot send to the gateway")]
    Http(#[from] reqwest::Error),
}

impl FixtureSender {
    /// `base` is the URL of the gateway's public listener.
    ///
    /// # Errors
    /// [`SendError::Http`] if the HTTP client cannot be created.
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
    /// [`SendError`] if there is no response. A status other than 200 is not an error.
    pub async fn send(
        &self,
        platform: &str,
        connection: &ConnectionId,
        request: &SignedRequest,
    ) -> Result<ReplayAnswer, SendError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            // The HTTP client sets these headers itself.
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
        let url = format!("{}{}", self.base, webhook_path(platform, connection));
        let response = self
            .client
            .post(url)
            .headers(headers)
            .body(request.body.clone())
            .send()
            .await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        Ok(ReplayAnswer {
            status,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        })
    }
}
