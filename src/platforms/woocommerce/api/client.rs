//! A client of one store's REST API: the address, the key and how requests are authenticated.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::body::json;
use super::outcome::{End, finding};
use super::settings::{AuthScheme, StoreSettings};
use super::urls::is_same_store;
use crate::platforms::api::{
    ApiRequest, Auth, CallResult, ConnectionContext, Dialogue, Finding, FindingCode, Method,
    Severity, StoreResponse,
};
use crate::platforms::lenient::Node;
use crate::platforms::oauth1::{OAuth1, Placement};

/// A REST API key.
#[derive(Clone, Debug)]
pub(super) struct ApiKey {
    pub(super) key: SecretString,
    pub(super) secret: SecretString,
}

/// How a request is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AuthMethod {
    /// Key and secret in the `Authorization` header, over https only.
    Basic,
    /// An OAuth 1.0a signature for the REST root as the store knows it.
    OAuth {
        /// With a slash at its end.
        root: String,
        /// Where the signature goes.
        placement: Placement,
    },
}

impl AuthMethod {
    pub(super) fn scheme(&self) -> AuthScheme {
        match self {
            AuthMethod::Basic => AuthScheme::Basic,
            AuthMethod::OAuth { placement, .. } => AuthScheme::OAuth1(*placement),
        }
    }
}

/// What is needed to send requests to a store.
#[derive(Clone, Debug)]
pub(super) struct StoreClient {
    /// The REST root, with a slash at its end.
    pub(super) root: String,
    pub(super) mode: AuthMethod,
    pub(super) keys: ApiKey,
}

impl ApiKey {
    /// The keys of a connection; `None` unless both halves are stored.
    pub(super) fn of(context: &ConnectionContext) -> Option<Self> {
        let secret = |name: &str| context.secrets.get(name).cloned();
        Some(Self {
            key: secret("consumer-key")?,
            secret: secret("consumer-secret")?,
        })
    }
}

impl StoreClient {
    /// The caller that worked at an earlier check; `None` if the URL was changed since.
    pub(super) fn remembered(settings: &StoreSettings, keys: &ApiKey) -> Option<Self> {
        let root = settings.rest_root.as_ref()?;
        let (root_url, typed) = (
            Url::parse(root).ok()?,
            Url::parse(settings.url.as_ref()?).ok()?,
        );
        // The operator may have changed the URL since.
        let fits = is_same_store(&root_url, &typed)
            && !(typed.scheme() == "https" && root_url.scheme() == "http");
        let mode = match settings.auth? {
            AuthScheme::Basic if root_url.scheme() == "https" => AuthMethod::Basic,
            AuthScheme::Basic => return None,
            AuthScheme::OAuth1(placement) => AuthMethod::OAuth {
                root: settings.oauth_address.as_ref().unwrap_or(root).to_owned(),
                placement,
            },
        };
        fits.then(|| Self {
            root: root.to_owned(),
            mode,
            keys: keys.clone(),
        })
    }

    /// A request to WooCommerce's API, v3.
    pub(super) fn request(
        &self,
        call: &'static str,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> ApiRequest {
        let url = format!("{}wc/v3/{path}", self.root);
        let auth = match &self.mode {
            AuthMethod::Basic => {
                let pair = format!(
                    "{}:{}",
                    self.keys.key.expose_secret(),
                    self.keys.secret.expose_secret()
                );
                Auth::Header(
                    "authorization",
                    format!("Basic {}", STANDARD.encode(pair)).into(),
                )
            }
            AuthMethod::OAuth { root, placement } => {
                let address = (*root != self.root).then(|| format!("{root}wc/v3/{path}"));
                Auth::OAuth1(OAuth1 {
                    placement: *placement,
                    key: self.keys.key.clone(),
                    secret: self.keys.secret.clone(),
                    address,
                })
            }
        };
        let request = match body {
            Some(body) => ApiRequest::send(call, method, url, body),
            None => ApiRequest {
                method,
                ..ApiRequest::get(call, url)
            },
        };
        request.by(auth)
    }

    pub(super) fn api_url(&self) -> String {
        format!("{}wc/v3/", self.root)
    }

    /// Requests the system status. The keys are tried with it, because only store managers may read the status.
    pub(super) fn status<'a>(&self, dialogue: &mut Dialogue<'a>) -> Result<&'a CallResult, End> {
        let path = "system_status?_fields=environment,settings";
        Ok(dialogue.ask(self.request("system_status.get", Method::Get, path, None))?)
    }
}

/// The code and the message of a REST API error.
pub(super) fn rest_error(answer: &StoreResponse) -> Option<(String, String)> {
    if answer.is_good() {
        return None;
    }
    let document = json(answer)?;
    let root = Node::root(&document);
    Some((
        root.get("code").str()?.to_owned(),
        root.get("message").str().unwrap_or_default().to_owned(),
    ))
}

/// `true` for an error code of WooCommerce itself. Plugins and firewalls refuse requests too, whatever the keys are.
pub(super) fn is_woocommerce(code: &str) -> bool {
    code.starts_with("woocommerce_rest_")
}

/// The finding for a key whose user may not manage the store.
pub(super) fn wrong_role(code: &str) -> Finding {
    finding(
        Severity::Broken,
        FindingCode::KeyRole,
        format!("The REST API key is valid, but its user may not manage the store ({code})."),
        "Under WooCommerce > Settings > Advanced > REST API, add a key for a user whose role is Administrator or Shop manager.",
    )
}
