//! How a store takes its keys, and what it means when it does not.
//!
//! Over https that is Basic, unless WordPress does not notice the TLS: then, and over http, it is OAuth 1.0a, whose text
//! names the store as it knows itself. A web server that drops the `Authorization` header gets the signature in the query;
//! the consumer secret is never sent that way. Messages are in the store's language, so only codes and statuses decide.

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

/// How the key is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By a header, over https.
    Basic,
    /// By a signature, for the REST root as the store knows it.
    OAuth {
        /// With a slash at its end.
        root: String,
        /// Where the signature goes.
        placement: Placement,
    },
}

impl Mode {
    /// As the setting `auth` holds it.
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

/// Who asks, where and how.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The REST root, with a slash at its end.
    pub(super) root: String,
    pub(super) mode: Mode,
    pub(super) keys: Keys,
}

impl Keys {
    /// The connection's, where it has them.
    pub(super) fn of(context: &ConnectionContext) -> Option<Self> {
        let secret = |name: &str| context.secrets.get(name).cloned();
        Some(Self {
            key: secret("consumer-key")?,
            secret: secret("consumer-secret")?,
        })
    }
}

impl Caller {
    /// As an earlier check found that it works.
    pub(super) fn remembered(context: &ConnectionContext, keys: &Keys) -> Option<Self> {
        let root = context.setting("rest_root")?;
        let (root_url, typed) = (
            Url::parse(root).ok()?,
            Url::parse(context.setting("url")?).ok()?,
        );
        // Somebody may have given the connection another URL since.
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

    /// Where WooCommerce's API is.
    pub(super) fn api_url(&self) -> String {
        format!("{}wc/v3/", self.root)
    }

    /// What the keys are first tried with, because only those who manage the store may read it.
    pub(super) fn status<'a>(&self, dialogue: &mut Dialogue<'a>) -> Result<&'a CallResult, End> {
        let path = "system_status?_fields=environment,settings";
        Ok(dialogue.ask(self.request("system_status.get", Method::Get, path, None))?)
    }
}

/// The error of the REST API that an answer holds: its code and its message.
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

/// Is it a code of WooCommerce's own? Plugins and firewalls refuse as well, and know nothing of keys.
pub(super) fn is_woocommerce(code: &str) -> bool {
    code.starts_with("woocommerce_rest_")
}

/// What became of one try.
enum Try<'a> {
    /// It was taken.
    Taken(&'a Answer),
    /// The store saw no key: none is known by that name, or none arrived.
    Unseen,
    /// A key was seen and refused: the store's message, in its language, and by how much its clock is off.
    Refused { message: String, apart: Option<i64> },
    /// Something refused it that is not WooCommerce; it may take another way.
    Foreign(Finding),
    /// It is something else than the keys.
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
            format!("The store refuses to tell its status ({status} {code})."),
            "See whether a plugin of the store changes WooCommerce's REST API, and update WooCommerce.",
        )),
    }
}

pub(super) fn wrong_role(code: &str) -> Finding {
    finding(
        Severity::Broken,
        "key_role",
        format!("The key is right, but its user may not manage the store ({code})."),
        "Under WooCommerce > Settings > Advanced > REST API, add a key for a user whose role is Administrator or Shop manager.",
    )
}

/// Finds out how the store takes the keys: the way, and what it told of itself, unless only that failed.
pub(super) fn choose<'a>(
    root: &Url,
    home: Option<&Url>,
    keys: &Keys,
    dialogue: &mut Dialogue<'a>,
) -> Result<(Caller, Option<&'a Answer>), End> {
    let mut refused: Vec<Refused> = Vec::new();
    let mut foreign = None;
    // WooCommerce answers a signature that it sees, even by an unknown key. No such answer: the header did not arrive.
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
                // Basic is looked at first, so nothing else can be better.
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
                // The status is a long look at the database and at plugins; a store that is too slow for it may do the rest.
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

/// The ways to prove a key, the likeliest first.
fn modes(root: &Url, home: Option<&Url>) -> Vec<Mode> {
    let mut modes = Vec::new();
    if root.scheme() == "https" {
        modes.push(Mode::Basic);
    }
    // As it is called; then, behind a proxy, as WordPress knows itself, which may be another host, by either scheme.
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

/// The REST root as a store writes it that has that home. By hand, because it keeps the capitals of a host.
fn as_known(root: &Url, home: &Url, scheme: &str) -> String {
    let host = home.host_str().unwrap_or_default();
    let port = home
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{scheme}://{host}{port}{}", root.path())
}
