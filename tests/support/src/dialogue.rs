//! Executes conversations with a store's API over real HTTP: one request after another, without retries and limits.
//!
//! The gateway's own executor is `outbound`. Tests of conversations use this one, so that each request is sent exactly as it
//! is described.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cartwire::platforms::api::{
    ApiRequest, Auth, CallFailure, CallResult, Dialogue, Method, StoreResponse, Unanswered,
};
use cartwire::platforms::oauth1::Placement;
use jiff::Timestamp;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// Minimum lifetime of an access token that the double of a platform may issue.
const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// Sends the requests of conversations, and keeps access tokens.
pub struct StoreClient {
    http: reqwest::Client,
    tokens: RefCell<BTreeMap<String, SecretString>>,
}

impl StoreClient {
    /// `timeout` is the limit of one request.
    pub fn new(timeout: Duration) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("the client should be created");
        Self {
            http,
            tokens: RefCell::default(),
        }
    }

    /// Answers the requests of a conversation until it has a result.
    pub async fn converse<T>(
        &self,
        mut step: impl FnMut(&mut Dialogue<'_>) -> Result<T, Unanswered>,
    ) -> T {
        let mut answers = Vec::new();
        loop {
            match step(&mut Dialogue::new(&answers)) {
                Ok(result) => return result,
                Err(Unanswered(request)) => answers.push(self.call(&request).await),
            }
        }
    }

    /// Sends one request, and first the request for an access token if one is needed and none is kept.
    async fn call(&self, request: &ApiRequest) -> CallResult {
        let sent = match &request.auth {
            Auth::None => self.build(request, &request.url),
            Auth::Header(name, secret) => self
                .build(request, &request.url)
                .header(*name, secret.expose_secret()),
            Auth::Token(grant) => {
                let kept = self.tokens.borrow().get(&grant.holder).cloned();
                let token = match kept {
                    Some(token) => token,
                    None => {
                        let answer =
                            execute(self.build(&grant.request, &grant.request.url)).await?;
                        let Some(token) = (grant.read)(&answer).filter(|_| answer.is_good()) else {
                            return Err(CallFailure::TokenRefused(answer));
                        };
                        assert!(token.lifetime > MIN_TOKEN_LIFETIME);
                        self.tokens
                            .borrow_mut()
                            .insert(grant.holder.clone(), token.authorization.clone());
                        token.authorization
                    }
                };
                self.build(request, &request.url)
                    .header("authorization", token.expose_secret())
            }
            Auth::OAuth1(oauth) => {
                static NONCE: AtomicU64 = AtomicU64::new(0);
                let count = NONCE.fetch_add(1, Ordering::Relaxed);
                let nonce = format!("{}-{count}", std::process::id());
                let (method, now) = (method(request), Timestamp::now());
                match oauth.placement {
                    Placement::Header => {
                        let header = oauth.header(method.as_str(), &request.url, &nonce, now);
                        self.build(request, &request.url)
                            .header("authorization", header)
                    }
                    Placement::Query => {
                        let url = oauth.signed_url(method.as_str(), &request.url, &nonce, now);
                        self.build(request, &url)
                    }
                }
            }
        };
        execute(sent).await
    }

    /// The request without its authorization.
    fn build(&self, request: &ApiRequest, url: &str) -> reqwest::RequestBuilder {
        let mut built = self.http.request(method(request), url);
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        match &request.body {
            Some(body) => built
                .header("content-type", "application/json")
                .body(body.clone()),
            None => built,
        }
    }
}

fn method(request: &ApiRequest) -> reqwest::Method {
    match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post | Method::PostIdempotent => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
    }
}

async fn execute(request: reqwest::RequestBuilder) -> CallResult {
    let failure = |error: reqwest::Error| {
        if error.is_timeout() {
            CallFailure::TimedOut
        } else if error.is_connect() {
            CallFailure::Unreachable
        } else {
            CallFailure::CutOff
        }
    };
    let response = request.send().await.map_err(failure)?;
    let (status, received_at) = (response.status().as_u16(), Timestamp::now());
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect();
    let body = response.bytes().await.map_err(failure)?;
    Ok(StoreResponse {
        status,
        headers,
        body,
        received_at,
    })
}
