//! What the shop answers: pages, the REST root, WooCommerce's v3 and its errors.
//!
//! The shapes are those of recorded answers; what they say is made up.

use serde_json::{Value, json};

use super::http::Reply;
use super::lists::listed;
use super::oauth::{Proof, prove};
use super::{Asked, Fault, Permalinks, Permission, State, Webhook};

/// Answers a request, and says whether it was proved.
pub(super) fn answer(asked: &Asked, state: &mut State, base: &str) -> (Reply, bool) {
    let home = state
        .options
        .home
        .clone()
        .unwrap_or_else(|| base.to_owned());
    let proof = prove(asked, state, &home, base);
    let reply = faulty(asked, state).unwrap_or_else(|| {
        let Some(path) = asked.path.strip_prefix(state.options.folder) else {
            return Reply::html(404, "Not Found");
        };
        match route(path, &asked.query, state.options.permalinks) {
            Some((route, keys_count)) => rest(
                asked,
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

/// The REST route that a path stands for, and whether WooCommerce looks at keys there.
fn route(path: &str, query: &str, permalinks: Permalinks) -> Option<(String, bool)> {
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

fn page(state: &State, status: u16, text: &str, home: &str) -> Reply {
    let page = Reply::html(status, text);
    if state.options.link {
        page.with("Link", link(state.options.permalinks, home))
    } else {
        page
    }
}

/// What is answered instead, while something is wrong.
fn faulty(asked: &Asked, state: &State) -> Option<Reply> {
    let is_rest = asked.path.contains("/wp-json") || asked.query.contains("rest_route=");
    let reply = match &state.fault {
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
            let query = if asked.query.is_empty() {
                String::new()
            } else {
                format!("?{}", asked.query)
            };
            Reply::html(301, "Moved").with("Location", format!("{to}{}{query}", asked.path))
        }
        Fault::RateLimited(seconds) => {
            Reply::html(429, "Too Many Requests").with("Retry-After", seconds.to_string())
        }
        Fault::NotWordPress if asked.path == "/" => Reply::html(200, "Some web site"),
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
        | Fault::WritesUnheard => return None,
    };
    Some(reply)
}

fn problem(status: u16, code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message, "data": { "status": status } })
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &problem(status, code, message))
}

fn rest(asked: &Asked, route: &str, proof: Proof, state: &mut State, home: &str) -> Reply {
    let reply = if route == "/" {
        Reply::json(200, &root(state, home))
    } else if let Some(route) = route
        .strip_prefix("/wc/v3/")
        .filter(|_| state.fault != Fault::WithoutWooCommerce)
    {
        match refused(&asked.method, proof, state) {
            Some(reply) => reply,
            None => woocommerce(asked, route, state, home),
        }
    } else {
        error(
            404,
            "rest_no_route",
            "No route was found matching the URL and request method.",
        )
    };
    let unheard = state.fault == Fault::WritesUnheard && asked.method != "GET";
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

/// The refusal that a request earns, if any.
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

fn woocommerce(asked: &Asked, route: &str, state: &mut State, home: &str) -> Reply {
    let mut parts = route.split('/');
    let (resource, id) = (parts.next().unwrap_or_default(), parts.next());
    let sent: Value = serde_json::from_str(&asked.body).unwrap_or(Value::Null);
    let number = id.and_then(|id| id.parse::<u64>().ok());
    match (asked.method.as_str(), resource, id, number) {
        ("GET", "system_status", None, _) => {
            Reply::json(200, &system_status(state, home, &asked.query))
        }
        ("GET", "webhooks", None, _) => {
            let all = state
                .webhooks
                .values()
                .rev()
                .map(|webhook| {
                    let mut shown = shown(webhook, home);
                    if state.options.real_times {
                        let at = webhook.changed_at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
                        shown["date_modified_gmt"] = at.into();
                    }
                    shown
                })
                .collect();
            page_of_webhooks(all, &asked.query)
        }
        ("POST", "webhooks", None, _) => {
            let mut pings = Vec::new();
            let made = create(&sent, state, home, &mut pings);
            Reply {
                pings,
                ..single(made, 201)
            }
        }
        ("POST", "webhooks", Some("batch"), _) if state.options.batch => batch(&sent, state, home),
        ("GET", "webhooks", _, Some(id)) => {
            single(existing(id, state).map(|webhook| shown(webhook, home)), 200)
        }
        ("PUT" | "POST" | "PATCH", "webhooks", _, Some(id)) => {
            single(update(id, &sent, state, home), 200)
        }
        ("DELETE", "webhooks", _, Some(id)) => {
            if !asked.query.contains("force=true") {
                return error(
                    501,
                    "woocommerce_rest_trash_not_supported",
                    "Webhooks do not support trashing.",
                );
            }
            single(delete(id, state, home), 200)
        }
        ("GET", "orders" | "products" | "customers" | "coupons", None, _) => {
            page_of(listed(resource, state, &asked.query), &asked.query)
        }
        ("GET", "orders" | "products" | "customers" | "coupons", _, Some(id)) => {
            let entity = state.entities.get(&(resource.to_owned(), id)).cloned();
            single(entity.ok_or_else(|| vanished(resource, state)), 200)
        }
        _ => error(
            404,
            "rest_no_route",
            "No route was found matching the URL and request method.",
        ),
    }
}

fn single(result: Result<Value, Value>, status: u16) -> Reply {
    match result {
        Ok(value) => Reply::json(status, &value),
        Err(problem) => {
            let status = problem["data"]["status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok());
            Reply::json(status.expect("a status"), &problem)
        }
    }
}

fn vanished(resource: &str, state: &State) -> Value {
    let code = match resource {
        "orders" => "woocommerce_rest_shop_order_invalid_id",
        "products" => "woocommerce_rest_product_invalid_id",
        "coupons" => "woocommerce_rest_shop_coupon_invalid_id",
        _ if state.is_at_least(10, 0) => "wc_user_invalid_id",
        _ => "woocommerce_rest_invalid_id",
    };
    problem(404, code, "Invalid ID.")
}

/// By default webhooks are sorted by their date, and those of one second have no order of their own: each page after the
/// first repeats the last row of the page before, and the last row of all is left out.
fn page_of_webhooks(mut all: Vec<Value>, query: &str) -> Reply {
    if query.contains("orderby=id") {
        if query.contains("order=asc") {
            all.reverse();
        }
    } else if all.len() > 100 {
        let repeated = all[99].clone();
        all.insert(100, repeated);
        all.pop();
    }
    page_of(all, query)
}

fn page_of(all: Vec<Value>, query: &str) -> Reply {
    let number = |name: &str| {
        let value = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(known, _)| *known == name);
        value.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (per_page, page) = (
        number("per_page").unwrap_or(10),
        number("page").unwrap_or(1),
    );
    if !(1..=100).contains(&per_page) {
        return error(400, "rest_invalid_param", "Invalid parameter(s): per_page");
    }
    let shown: Vec<Value> = all
        .iter()
        .skip((page.max(1) - 1) * per_page)
        .take(per_page)
        .cloned()
        .collect();
    Reply::json(200, &Value::Array(shown))
        .with("X-WP-Total", all.len().to_string())
        .with("X-WP-TotalPages", all.len().div_ceil(per_page).to_string())
}

fn system_status(state: &State, home: &str, query: &str) -> Value {
    let mut whole = json!({
        "environment": {
            "home_url": home, "site_url": home, "version": state.options.version, "wp_version": "6.0.9",
            "language": "en_US", "php_version": "8.2.35",
        },
        "database": { "wc_database_version": state.options.version },
        "settings": { "api_enabled": false, "currency": "EUR", "currency_symbol": "&euro;", "number_of_decimals": 2 },
    });
    if let Some(fields) = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("_fields="))
    {
        let fields = fields.replace("%2C", ",");
        let members = whole.as_object_mut().expect("an object");
        members.retain(|name, _| fields.split(',').any(|field| field == name));
    }
    whole
}

fn shown(webhook: &Webhook, home: &str) -> Value {
    let (resource, event) = webhook
        .topic
        .split_once('.')
        .unwrap_or((&webhook.topic, ""));
    let modified = format!(
        "2026-11-21T{:02}:{:02}:{:02}",
        webhook.modified / 3600,
        webhook.modified / 60 % 60,
        webhook.modified % 60
    );
    json!({
        "id": webhook.id, "name": webhook.name, "status": webhook.status, "topic": webhook.topic, "resource": resource,
        "event": event, "hooks": [], "delivery_url": webhook.delivery_url, "date_created": "2026-11-20T19:00:00",
        "date_created_gmt": "2026-11-21T00:00:00", "date_modified": modified, "date_modified_gmt": modified,
        "_links": {
            "self": [{ "href": format!("{home}/wp-json/wc/v3/webhooks/{}", webhook.id) }],
            "collection": [{ "href": format!("{home}/wp-json/wc/v3/webhooks") }],
        },
    })
}

fn existing(id: u64, state: &State) -> Result<&Webhook, Value> {
    let status = if state.is_at_least(9, 0) { 404 } else { 400 };
    state.webhooks.get(&id).ok_or_else(|| {
        problem(
            status,
            "woocommerce_rest_shop_webhook_invalid_id",
            "Invalid ID.",
        )
    })
}

fn is_topic(topic: &str, state: &State) -> bool {
    if state.options.refused_topics.contains(&topic) {
        return false;
    }
    match topic.split_once('.') {
        Some(("action", hook)) => hook.starts_with("woocommerce_") || hook.starts_with("wc_"),
        Some(("product", "published")) => state.is_at_least(10, 9),
        Some(("customer", "restored")) => !state.is_at_least(10, 9),
        Some(("coupon" | "customer" | "order" | "product", event)) => {
            ["created", "updated", "deleted", "restored"].contains(&event)
        }
        _ => false,
    }
}

fn create(
    sent: &Value,
    state: &mut State,
    home: &str,
    pings: &mut Vec<(u64, String)>,
) -> Result<Value, Value> {
    let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
    if text("topic").is_empty() {
        return Err(problem(
            400,
            "rest_missing_callback_param",
            "Missing parameter(s): topic",
        ));
    }
    if !is_topic(&text("topic"), state) {
        return Err(problem(
            400,
            "woocommerce_rest_shop_webhook_invalid_topic",
            "Webhook topic is required and must be valid.",
        ));
    }
    if !text("delivery_url").starts_with("http") {
        let code = "woocommerce_rest_shop_webhook_invalid_delivery_url";
        return Err(problem(
            400,
            code,
            "Webhook delivery URL must be a valid URL starting with http:// or https://.",
        ));
    }
    let secret = if text("secret").is_empty() {
        "made by the shop".to_owned()
    } else {
        text("secret")
    };
    let name = if text("name").is_empty() {
        format!("Webhook created for {}", text("topic"))
    } else {
        text("name")
    };
    // Whatever status was sent: a new webhook is active.
    let (topic, delivery_url) = (text("topic"), text("delivery_url"));
    let webhook = Webhook {
        id: 0,
        name,
        status: "active",
        topic,
        delivery_url,
        secret,
        failures: 0,
        modified: 0,
        changed_at: jiff::Timestamp::now(),
    };
    let id = state.add(webhook);
    let webhook = &state.webhooks[&id];
    if state.options.pings {
        pings.push((id, webhook.delivery_url.clone()));
    }
    Ok(shown(webhook, home))
}

fn update(id: u64, sent: &Value, state: &mut State, home: &str) -> Result<Value, Value> {
    existing(id, state)?;
    let status = match sent["status"].as_str() {
        None => None,
        Some(status) => Some(
            ["active", "paused", "disabled"]
                .into_iter()
                .find(|known| *known == status)
                .ok_or_else(|| {
                    problem(400, "rest_invalid_param", "Invalid parameter(s): status")
                })?,
        ),
    };
    if sent["topic"]
        .as_str()
        .is_some_and(|topic| !is_topic(topic, state))
    {
        return Err(problem(
            400,
            "woocommerce_rest_shop_webhook_invalid_topic",
            "Webhook topic must be valid.",
        ));
    }
    let modified = state.tick();
    let webhook = state.webhooks.get_mut(&id).expect("it is there");
    // As on a real shop, the count of failures stays.
    webhook.status = status.unwrap_or(webhook.status);
    webhook.modified = modified;
    webhook.changed_at = jiff::Timestamp::now();
    for (field, name) in [
        (&mut webhook.name, "name"),
        (&mut webhook.topic, "topic"),
        (&mut webhook.delivery_url, "delivery_url"),
        (&mut webhook.secret, "secret"),
    ] {
        if let Some(text) = sent[name].as_str() {
            text.clone_into(field);
        }
    }
    Ok(shown(webhook, home))
}

fn delete(id: u64, state: &mut State, home: &str) -> Result<Value, Value> {
    let gone = shown(existing(id, state)?, home);
    state.webhooks.remove(&id);
    Ok(gone)
}

/// Each item by itself: what fails is told in its place, in an answer of 200.
fn batch(sent: &Value, state: &mut State, home: &str) -> Reply {
    let items = |name: &str| sent[name].as_array().cloned().unwrap_or_default();
    let place = |id: u64, result: Result<Value, Value>| {
        result.unwrap_or_else(|problem| json!({ "id": id, "error": problem }))
    };
    let mut pings = Vec::new();
    let mut told = serde_json::Map::new();
    let created: Vec<Value> = items("create")
        .iter()
        .map(|item| place(0, create(item, state, home, &mut pings)))
        .collect();
    let mut updated = Vec::new();
    for item in items("update") {
        let id = item["id"].as_u64().unwrap_or_default();
        updated.push(place(id, update(id, &item, state, home)));
    }
    let mut deleted = Vec::new();
    for item in items("delete") {
        let id = item.as_u64().unwrap_or_default();
        deleted.push(place(id, delete(id, state, home)));
    }
    for (name, list) in [
        ("create", created),
        ("update", updated),
        ("delete", deleted),
    ] {
        if !list.is_empty() {
            told.insert(name.to_owned(), Value::Array(list));
        }
    }
    Reply {
        pings,
        ..Reply::json(200, &Value::Object(told))
    }
}
