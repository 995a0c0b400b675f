//! The shop's pages, its REST root, and the rejections of requests.
//!
//! The forms are those of recorded responses; the values are invented.

use serde_json::{Value, json};

use super::oauth::{Proof, prove};
use super::options::{Fault, Permalinks, Permission};
use super::reply::Reply;
use super::state::{ShopRequest, State};

use super::problem::error;
use super::resources::woocommerce;

/// Responds to a request. The bool is `true` if the request had a valid signature.
pub(super) fn answer(requested: &ShopRequest, state: &mut State, base: &str) -> (Reply, bool) {
    let home = state
        .options
        .home
        .clone()
        .unwrap_or_else(|| base.to_owned());
    let proof = prove(requested, state, &home, base);
    let reply = faulty(requested, state).unwrap_or_else(|| {
        let Some(path) = requested.path.strip_prefix(state.options.folder) else {
            return Reply::html(404, "Not Found");
        };
        match route(path, &requested.query, state.options.permalinks) {
            Some((route, keys_count)) => rest(
                requested,
                &route,
                if keys_count { proof } else { Proof::None },
                state,
                &home,
            ),
            None if path.trim_matches('/').is_empty()
                || path == "/index.php"
                || path.starts_with("/shop") =>
            {
                page(state, 200, "Welcome to the shop", &home)
            }
            None => page(state, 404, "Nothing was found", &home),
        }
    });
    (reply, proof == Proof::Right)
}

/// The REST route of a path. The bool is `false` if WooCommerce ignores keys there.
pub(super) fn route(path: &str, query: &str, permalinks: Permalinks) -> Option<(String, bool)> {
    let below = |prefix: &str| {
        let route = path.strip_prefix(prefix)?;
        (route.is_empty() || route.starts_with('/'))
            .then(|| (format!("/{}", route.trim_matches('/')), true))
    };
    let plain = || {
        let route = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("rest_route="))?;
        Some((
            format!("/{}", route.replace("%2F", "/").trim_matches('/')),
            false,
        ))
    };
    match permalinks {
        Permalinks::Pretty => below("/wp-json")
            .or_else(|| below("/index.php/wp-json"))
            .or_else(plain),
        Permalinks::Index | Permalinks::Plain => below("/index.php/wp-json").or_else(plain),
        Permalinks::PlainOnly => plain(),
    }
}

fn link(permalinks: Permalinks, home: &str) -> String {
    let root = match permalinks {
        Permalinks::Pretty => "/wp-json/",
        Permalinks::Index => "/index.php/wp-json/",
        Permalinks::Plain | Permalinks::PlainOnly => "/index.php?rest_route=/",
    };
    format!("<{home}{root}>; rel=\"https://api.w.org/\"")
}

pub(super) fn page(state: &State, status: u16, text: &str, home: &str) -> Reply {
    let page = Reply::html(status, text);
    if state.options.link {
        page.with("Link", link(state.options.permalinks, home))
    } else {
        page
    }
}

/// The response that the current fault causes, if any.
fn faulty(requested: &ShopRequest, state: &State) -> Option<Reply> {
    let is_rest = requested.path.contains("/wp-json") || requested.query.contains("rest_route=");
    let reply = match &state.fault {
        Fault::HtmlFor(resource) if requested.path.ends_with(&format!("/{resource}")) => {
            Reply::html(200, "This page is beautiful")
        }
        Fault::Html if is_rest => Reply::html(200, "This page is beautiful"),
        Fault::Forbidden if is_rest => Reply::html(403, "<h1>Forbidden</h1>"),
        Fault::Cloudflare => Reply::html(403, "Just a moment...")
            .with("Server", "cloudflare")
            .with("CF-RAY", "8a1b2c3d4e5f6789-AMS")
            .with("cf-mitigated", "challenge"),
        Fault::BasicAuth => {
            Reply::html(401, "Unauthorized").with("WWW-Authenticate", "Basic realm=\"Staging\"")
        }
        Fault::RestDisabled if is_rest => error(
            401,
            "rest_not_logged_in",
            "You are not currently logged in.",
        ),
        Fault::Maintenance => Reply::html(503, "Briefly unavailable for scheduled maintenance.")
            .with("Retry-After", "600"),
        Fault::RedirectTo(to) => {
            let query = if requested.query.is_empty() {
                String::new()
            } else {
                format!("?{}", requested.query)
            };
            Reply::html(301, "Moved").with("Location", format!("{to}{}{query}", requested.path))
        }
        Fault::RateLimited(seconds) => {
            Reply::html(429, "Too Many Requests").with("Retry-After", seconds.to_string())
        }
        Fault::NotWordPress if requested.path == "/" => Reply::html(200, "Some web site"),
        Fault::NotWordPress => Reply::html(404, "Not Found"),
        Fault::ServerError => Reply::html(500, "There has been a critical error on this website."),
        Fault::None
        | Fault::Html
        | Fault::Forbidden
        | Fault::RestDisabled
        | Fault::Slow(_)
        | Fault::CutOff
        | Fault::WithoutWooCommerce
        | Fault::AuthorizationStripped
        | Fault::WritesUnheard
        | Fault::HtmlFor(_)
        | Fault::InLists(_)
        | Fault::HiddenInLists(_) => return None,
    };
    Some(reply)
}

fn rest(
    requested: &ShopRequest,
    route: &str,
    proof: Proof,
    state: &mut State,
    home: &str,
) -> Reply {
    let reply = if route == "/" {
        Reply::json(200, &root(state, home))
    } else if let Some(route) = route
        .strip_prefix("/wc/v3/")
        .filter(|_| state.fault != Fault::WithoutWooCommerce)
    {
        match refused(&requested.method, proof, state) {
            Some(reply) => reply,
            None => woocommerce(requested, route, state, home),
        }
    } else {
        error(
            404,
            "rest_no_route",
            "No route was found matching the URL and request method.",
        )
    };
    let unheard = state.fault == Fault::WritesUnheard && requested.method != "GET";
    if unheard {
        Reply {
            pings: reply.pings,
            ..Reply::html(500, "Too late")
        }
    } else {
        reply.with("Link", link(state.options.permalinks, home))
    }
}

fn root(state: &State, home: &str) -> Value {
    let mut namespaces = vec!["oembed/1.0", "wp/v2"];
    if state.fault != Fault::WithoutWooCommerce {
        namespaces.extend(["wc/v1", "wc/v2", "wc/v3", "wc-analytics"]);
    }
    json!({
        "name": "Caf\u{e9} &amp; Shop", "description": "", "url": home, "home": home, "gmt_offset": -5,
        "timezone_string": "America/New_York", "namespaces": namespaces, "authentication": [],
    })
}

/// The error response for a missing permission or an invalid signature, if any.
fn refused(method: &str, proof: Proof, state: &State) -> Option<Reply> {
    let reads = method == "GET";
    let is_german = state.options.german;
    let authentication = |message: &str| {
        let message = match message {
            "Consumer key is invalid." if is_german => {
                "Der Konsumentenschl\u{fc}ssel ist ung\u{fc}ltig."
            }
            _ if is_german && message.starts_with("The API key") => {
                "Der verwendete API-Schl\u{fc}ssel hat diese Berechtigung nicht."
            }
            _ if is_german => "Ung\u{fc}ltige Signatur.",
            english => english,
        };
        Some(error(401, "woocommerce_rest_authentication_error", message))
    };
    match proof {
        Proof::None => {
            return Some(error(
                401,
                "woocommerce_rest_cannot_view",
                "Sorry, you cannot list resources.",
            ));
        }
        Proof::KeyUnknown => return authentication("Consumer key is invalid."),
        Proof::Incomplete => {
            return Some(error(
                401,
                "woocommerce_rest_authentication_missing_parameter",
                "Missing OAuth parameters",
            ));
        }
        Proof::SignatureWrong => {
            return authentication("Invalid signature - provided signature does not match.");
        }
        Proof::TimeOff => return authentication("Invalid timestamp."),
        Proof::NonceUsed => return authentication("Invalid nonce - nonce has already been used."),
        Proof::Right => {}
    }
    match state.options.permission {
        Permission::Read if !reads => {
            authentication("The API key provided does not have write permissions.")
        }
        Permission::Write if reads => {
            authentication("The API key provided does not have read permissions.")
        }
        Permission::ReadWrite | Permission::Read | Permission::Write if !state.options.manager => {
            let verb = if reads { "view" } else { "create" };
            Some(error(
                403,
                &format!("woocommerce_rest_cannot_{verb}"),
                "Sorry, you are not allowed to do that.",
            ))
        }
        Permission::ReadWrite | Permission::Read | Permission::Write => None,
    }
}
