//! Finds the authentication mode that a store accepts.
//!
//! Over https the first mode is Basic. If WordPress does not notice the TLS, and over http, the mode is OAuth 1.0a, which signs
//! the address that the store knows itself by. If the web server drops the `Authorization` header, the signature goes into
//! the query; the consumer secret is never sent that way. Messages are in the store's language, so only error codes and HTTP
//! statuses decide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::diagnosis::{Refused, diagnose};
use super::talk::{End, finding, json};
use super::{facts, refusal};
use crate::platforms::api::{
    Answer, ApiRequest, Auth, CallFailure, CallResult, ConnectionContext, Dialogue, Finding,
    Method, Severity,
};
use crate::platforms::lenient::Node;
use crate::platforms::oauth1::{OAuth1, Placement};

/// A REST API key.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) key: SecretString,
    pub(super) secret: SecretString,
}

/// How a request is authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
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

impl Mode {
    /// The value of the setting `auth`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Mode::Basic => "basic",
            Mode::OAuth { placement, .. } => match placement {
                Placement::Header => "oauth1",
                Placement::Query => "oauth1_query",
            },
        }
    }
}

/// What is needed to send requests to a store.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The REST root, with a slash at its end.
    pub(super) root: String,
    pub(super) mode: Mode,
    pub(super) keys: Keys,
}

impl Keys {
    /// The keys of a connection; `None` unless both halves are stored.
    pub(super) fn of(context: &ConnectionContext) -> Option<Self> {
        let secret = |name: &str| context.secrets.get(name).cloned();
        Some(Self {
            key: secret("consumer-key")?,
            secret: secret("consumer-secret")?,
        })
    }
}

impl Caller {
    /// The caller that worked at an earlier check; `None` if the URL was changed since.
    pub(super) fn remembered(context: &ConnectionContext, keys: &Keys) -> Option<Self> {
        let root = context.setting("rest_root")?;
        let (root_url, typed) = (
            Url::parse(root).ok()?,
            Url::parse(context.setting("url")?).ok()?,
        );
        // The operator may have changed the URL since.
        let fits = super::talk::is_same_store(&root_url, &typed)
            && !(typed.scheme() == "https" && root_url.scheme() == "http");
        let mode = match context.setting("auth")? {
            "basic" if root_url.scheme() == "https" => Mode::Basic,
            name @ ("oauth1" | "oauth1_query") => {
                let known = context
                    .setting("oauth_address")
                    .filter(|address| !address.is_empty());
                Mode::OAuth {
                    root: known.unwrap_or(root).to_owned(),
                    placement: if name == "oauth1" {
                        Placement::Header
                    } else {
                        Placement::Query
                    },
                }
            }
            _ => return None,
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
            Mode::Basic => {
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
            Mode::OAuth { root, placement } => {
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
pub(super) fn rest_error(answer: &Answer) -> Option<(String, String)> {
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

/// The result of one attempt to authenticate.
enum Try<'a> {
    /// The store accepted the keys.
    Taken(&'a Answer),
    /// The store saw no key: the key is unknown, or none arrived.
    Unseen,
    /// The store saw the key and rejected it, with a message in its language and the difference of its clock.
    Refused { message: String, apart: Option<i64> },
    /// Something else than WooCommerce refused the request; another mode may pass.
    Foreign(Finding),
    /// The keys are not the reason.
    Other(Finding),
}

fn tried<'a>(result: &'a CallResult, url: &str) -> Try<'a> {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => return Try::Other(refusal::of_failure(failure, url)),
    };
    if answer.is_good() && json(answer).is_some() {
        return Try::Taken(answer);
    }
    if let Some(other) = refusal::of_answer(answer, url) {
        return Try::Other(other);
    }
    let (code, message) = rest_error(answer).unwrap_or_default();
    match (answer.status, code.as_str()) {
        (
            401,
            "woocommerce_rest_authentication_error"
            | "woocommerce_rest_authentication_missing_parameter",
        ) => Try::Refused {
            message,
            apart: facts::apart(answer),
        },
        (401, code) if is_woocommerce(code) => Try::Unseen,
        (403, code) if is_woocommerce(code) => Try::Other(wrong_role(code)),
        (401, _) => Try::Foreign(refusal::of_other(answer, url)),
        (403, _) => Try::Other(refusal::of_other(answer, url)),
        (status, _) => Try::Other(finding(
            Severity::Broken,
            "store_refuses",
            format!("The store refuses to show its status ({status} {code})."),
            "Check whether a plugin changes WooCommerce's REST API, and update WooCommerce.",
        )),
    }
}

pub(super) fn wrong_role(code: &str) -> Finding {
    finding(
        Severity::Broken,
        "key_role",
        format!("The REST API key is valid, but its user may not manage the store ({code})."),
        "Under WooCommerce > Settings > Advanced > REST API, add a key for a user whose role is Administrator or Shop manager.",
    )
}

/// Finds the mode that the store accepts. Also returns the store's status, unless only that request failed.
pub(super) fn choose<'a>(
    root: &Url,
    home: Option<&Url>,
    keys: &Keys,
    dialogue: &mut Dialogue<'a>,
) -> Result<(Caller, Option<&'a Answer>), End> {
    let mut refused: Vec<Refused> = Vec::new();
    let mut foreign = None;
    // WooCommerce has an error of its own for every signature that it sees, even of an unknown key. Without that error the
    // header did not arrive.
    let mut header_arrives = true;
    for mode in modes(root, home) {
        let placement = match &mode {
            Mode::Basic => None,
            Mode::OAuth { placement, .. } => Some(*placement),
        };
        if placement == Some(Placement::Query) && header_arrives
            || placement == Some(Placement::Header) && !header_arrives
        {
            continue;
        }
        let caller = Caller {
            root: root.to_string(),
            mode,
            keys: keys.clone(),
        };
        let result = caller.status(dialogue)?;
        match tried(result, &caller.api_url()) {
            Try::Taken(answer) => return Ok((caller, Some(answer))),
            Try::Unseen => header_arrives &= placement != Some(Placement::Header),
            Try::Foreign(trouble) => foreign = Some(trouble),
            Try::Refused { message, apart } => {
                // WooCommerce evaluates Basic first, so no other mode can succeed.
                let is_certain = caller.mode == Mode::Basic;
                refused.push(Refused {
                    caller,
                    message,
                    apart,
                });
                if is_certain {
                    break;
                }
            }
            Try::Other(trouble) => {
                // The status is expensive for the store. A store that is too slow for it may answer other requests.
                let is_slow = match result {
                    Ok(answer) => answer.status >= 500 && answer.status != 503,
                    Err(failure) => matches!(failure, CallFailure::TimedOut | CallFailure::CutOff),
                };
                if is_slow {
                    let again = dialogue.ask(caller.request(
                        "webhooks.list",
                        Method::Get,
                        "webhooks?per_page=1",
                        None,
                    ))?;
                    if matches!(tried(again, &caller.api_url()), Try::Taken(_)) {
                        return Ok((caller, None));
                    }
                }
                return Err(trouble.into());
            }
        }
    }
    match foreign {
        Some(trouble) if refused.is_empty() => Err(trouble.into()),
        _ => Err(diagnose(keys, &refused, dialogue)?.into()),
    }
}

/// The authentication modes to try, the likeliest first.
fn modes(root: &Url, home: Option<&Url>) -> Vec<Mode> {
    let mut modes = Vec::new();
    if root.scheme() == "https" {
        modes.push(Mode::Basic);
    }
    // First the address that is called. Behind a proxy WordPress may know itself by another host or scheme.
    let mut roots = vec![root.to_string()];
    for scheme in ["http", "https"] {
        for host in [home, Some(root)].into_iter().flatten() {
            let known = as_known(root, host, scheme);
            if !roots.contains(&known) {
                roots.push(known);
            }
        }
    }
    for placement in [Placement::Header, Placement::Query] {
        modes.extend(roots.iter().map(|root| Mode::OAuth {
            root: root.clone(),
            placement,
        }));
    }
    modes
}

/// The REST root as a store with that home URL writes it. Not written by `Url`, which would change the case of the host.
fn as_known(root: &Url, home: &Url, scheme: &str) -> String {
    let host = home.host_str().unwrap_or_default();
    let port = home
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", root.path())
}
