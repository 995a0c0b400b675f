//! A scripted store: a function from request to answer that holds webhooks, and drives a dialogue to its end.
//!
//! It answers over https, which the shop of the integration tests cannot; signatures are checked there, and here only which
//! address is signed.

mod enrichment;
mod refusals;
mod stores;
mod webhooks;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check as examine;
use crate::delivery::ConnectionId;
use crate::platforms::api::{
    ApiRequest, Auth, CallFailure, CallResult, CheckMode, CheckReport, ConnectionContext, Dialogue,
    Method, StoreResponse, Unanswered,
};

const KEY: &str = "ck_0123456789abcdef0123456789abcdef01234567";
const SECRET: &str = "cs_76543210fedcba9876543210fedcba9876543210";
const TARGET: &str = "https://hooks.example/webhooks/woocommerce/shop";

/// Answers in place of the store, where it has an answer.
type Fault = Box<dyn Fn(&ApiRequest) -> Option<CallResult>>;

struct Store {
    /// Where it is reached, with its folder.
    url: &'static str,
    /// How it knows itself.
    home: &'static str,
    /// What the root's path begins with below the folder.
    root: &'static str,
    /// What the Link header names, where it names another root.
    link: Option<&'static str>,
    version: &'static str,
    /// Does WordPress notice the TLS?
    notices_tls: bool,
    may_write: bool,
    has_batch: bool,
    /// Lists arrive as objects with keys, as PHP writes a list with gaps.
    has_keyed_lists: bool,
    namespaces: &'static [&'static str],
    webhooks: BTreeMap<u64, Value>,
    fault: Option<Fault>,
    requested: Vec<String>,
    clock: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "https://shop.example",
            home: "https://shop.example",
            root: "/wp-json/",
            link: None,
            version: "11.0.1",
            notices_tls: true,
            may_write: true,
            has_batch: true,
            has_keyed_lists: false,
            namespaces: &["wp/v2", "wc/v1", "wc/v2", "wc/v3"],
            webhooks: BTreeMap::new(),
            fault: None,
            requested: Vec::new(),
            clock: 0,
        }
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> StoreResponse {
    StoreResponse {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: body.to_owned().into(),
        received_at: "2026-11-21T00:30:00Z".parse::<Timestamp>().expect("a time"),
    }
}

fn page(status: u16, text: &str) -> StoreResponse {
    answer(
        status,
        &[("content-type", "text/html")],
        &format!("<html><body>{text}</body></html>"),
    )
}

fn reported(status: u16, body: &Value) -> StoreResponse {
    answer(
        status,
        &[
            ("content-type", "application/json"),
            ("date", "Sat, 21 Nov 2026 00:30:01 GMT"),
        ],
        &body.to_string(),
    )
}

fn problem(status: u16, code: &str) -> Value {
    json!({ "code": code, "message": "In der Sprache des Ladens.", "data": { "status": status } })
}

fn refusal(status: u16, code: &str) -> StoreResponse {
    reported(status, &problem(status, code))
}

impl Store {
    fn with(fault: impl Fn(&ApiRequest) -> Option<CallResult> + 'static) -> Self {
        Self {
            fault: Some(Box::new(fault)),
            ..Self::default()
        }
    }

    fn answer(&mut self, request: &ApiRequest) -> CallResult {
        assert!(
            !request.url.contains("ck_") && !request.url.contains("cs_"),
            "no keys in a query"
        );
        if !matches!(request.auth, Auth::None) {
            assert!(
                request.url.starts_with(self.url),
                "keys go to the store alone, not to {}",
                request.url
            );
        }
        self.requested
            .push(format!("{} {}", request.call, request.url));
        if let Some(answer) = self.fault.as_ref().and_then(|fault| fault(request)) {
            return answer;
        }
        let (address, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
        let Some(path) = address.strip_prefix(self.url) else {
            return Err(CallFailure::HostUnknown);
        };
        if path.is_empty() || path == "/" {
            let link = self
                .link
                .map_or_else(|| format!("{}{}", self.home, self.root), str::to_owned);
            let link = format!(
                "<{link}>; rel=\"https://api.w.org/\", <{}/>; rel=shortlink",
                self.home
            );
            return Ok(answer(200, &[("link", &link)], "<html></html>"));
        }
        let Some(route) = path.strip_prefix(self.root) else {
            return Ok(page(404, "Not found"));
        };
        if route.is_empty() {
            return Ok(reported(
                200,
                &json!({
                    "name": "Caf\u{e9} &amp; Shop", "home": self.home, "gmt_offset": "-3.5", "timezone_string": "",
                    "namespaces": self.listed(self.namespaces),
                }),
            ));
        }
        Ok(self.unproved(request).unwrap_or_else(|| {
            self.woocommerce(request, route.trim_start_matches("wc/v3/"), query)
        }))
    }

    /// WooCommerce looks at Basic over TLS that it notices, and at signatures of the address that it knows.
    fn unproved(&self, request: &ApiRequest) -> Option<StoreResponse> {
        match &request.auth {
            Auth::Header("authorization", value)
                if self.notices_tls && self.url.starts_with("https") =>
            {
                use base64::Engine as _;
                use secrecy::ExposeSecret as _;
                let right =
                    base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:{SECRET}"));
                assert_eq!(value.expose_secret(), format!("Basic {right}"));
            }
            Auth::OAuth1(oauth) => {
                let signed = oauth.address.as_deref().unwrap_or(&request.url);
                let scheme = if self.notices_tls { "https" } else { "http" };
                let known = format!(
                    "{scheme}://{}",
                    self.home.split_once("://").expect("a home").1
                );
                if !signed.starts_with(&format!("{known}{}", self.root)) {
                    return Some(refusal(401, "woocommerce_rest_authentication_error"));
                }
            }
            Auth::None | Auth::Header(..) | Auth::Token(_) => {
                return Some(refusal(401, "woocommerce_rest_cannot_view"));
            }
        }
        let writes = request.method != Method::Get;
        (writes && !self.may_write).then(|| refusal(401, "woocommerce_rest_authentication_error"))
    }

    fn woocommerce(&mut self, request: &ApiRequest, route: &str, query: &str) -> StoreResponse {
        let sent: Value = request.body.as_ref().map_or(Value::Null, |body| {
            serde_json::from_slice(body).expect("JSON")
        });
        match (
            request.method,
            route.strip_prefix("webhooks").unwrap_or(route),
        ) {
            (Method::Get, "system_status") => reported(
                200,
                &json!({
                    "environment": { "version": self.version, "wp_version": "7.1" }, "settings": { "currency": "EUR" },
                }),
            ),
            (Method::Get, "") => {
                let page: usize = query
                    .rsplit("page=")
                    .next()
                    .and_then(|page| page.parse().ok())
                    .expect("a page");
                // By date, webhooks of one second have no order: each further page repeats a row and leaves one out.
                let is_stable = query.contains("orderby=id&order=asc");
                let all: Vec<&Value> = self.webhooks.values().collect();
                let start = (page - 1) * 100 - usize::from(page > 1 && !is_stable);
                let shown: Vec<&&Value> = all.iter().skip(start).take(100).collect();
                let mut answer = reported(200, &self.listed(&shown));
                answer.headers.push((
                    "x-wp-totalpages".to_owned(),
                    all.len().div_ceil(100).to_string(),
                ));
                answer
            }
            (Method::Post, "/batch") if self.has_batch => {
                let items = |name: &str| sent[name].as_array().cloned().unwrap_or_default();
                let place = |result: Result<Value, Value>| {
                    result.unwrap_or_else(|error| json!({ "id": 0, "error": error }))
                };
                let create: Vec<Value> = items("create")
                    .iter()
                    .map(|item| place(self.create(item)))
                    .collect();
                let update: Vec<Value> = items("update")
                    .iter()
                    .map(|item| place(self.update(item["id"].as_u64().expect("an id"), item)))
                    .collect();
                let delete: Vec<Value> = items("delete")
                    .iter()
                    .map(|item| place(self.delete(item.as_u64().expect("an id"))))
                    .collect();
                reported(
                    200,
                    &json!({
                        "create": self.listed(&create), "update": self.listed(&update), "delete": self.listed(&delete),
                    }),
                )
            }
            (Method::Post, "") => single(self.create(&sent)),
            (Method::Put, path) => single(self.update(path[1..].parse().expect("an id"), &sent)),
            (Method::Delete, path) => {
                assert_eq!(query, "force=true");
                single(self.delete(path[1..].parse().expect("an id")))
            }
            _ => refusal(404, "rest_no_route"),
        }
    }

    fn listed<T: serde::Serialize>(&self, items: &[T]) -> Value {
        if !self.has_keyed_lists {
            return json!(items);
        }
        let keyed = items
            .iter()
            .enumerate()
            .map(|(index, item)| ((index * 2).to_string(), json!(item)));
        Value::Object(keyed.collect())
    }

    fn modified(&mut self) -> String {
        self.clock += 1;
        format!("2026-11-21T00:00:{:02}", self.clock)
    }

    fn create(&mut self, sent: &Value) -> Result<Value, Value> {
        let optional = sent["topic"] == "product.published" && !self.version.starts_with("11");
        if sent["topic"] == "customer.restored" || optional {
            return Err(problem(400, "woocommerce_rest_shop_webhook_invalid_topic"));
        }
        let id = self.webhooks.keys().last().map_or(1, |last| last + 1);
        let mut webhook = sent.clone();
        webhook["id"] = json!(id);
        webhook["status"] = json!("active");
        webhook["date_modified_gmt"] = json!(self.modified());
        self.webhooks.insert(id, webhook.clone());
        Ok(webhook)
    }

    fn update(&mut self, id: u64, sent: &Value) -> Result<Value, Value> {
        let modified = self.modified();
        let missing = problem(
            if self.version.starts_with('6') {
                400
            } else {
                404
            },
            "woocommerce_rest_shop_webhook_invalid_id",
        );
        let webhook = self.webhooks.get_mut(&id).ok_or(missing)?;
        for (name, value) in sent.as_object().expect("an object") {
            webhook[name.as_str()] = value.clone();
        }
        webhook["date_modified_gmt"] = json!(modified);
        Ok(webhook.clone())
    }

    fn delete(&mut self, id: u64) -> Result<Value, Value> {
        let missing = problem(
            if self.version.starts_with('6') {
                400
            } else {
                404
            },
            "woocommerce_rest_shop_webhook_invalid_id",
        );
        self.webhooks.remove(&id).ok_or(missing)
    }

    /// A webhook that a person created by hand.
    fn add(&mut self, topic: &str, delivery_url: &str) -> u64 {
        let made = self.create(&json!({ "topic": topic, "delivery_url": delivery_url, "name": "By hand", "secret": "theirs" }));
        made.expect("made")["id"].as_u64().expect("an id")
    }

    fn set(&mut self, id: u64, member: &str, value: &str) {
        self.webhooks.get_mut(&id).expect("there")[member] = json!(value);
    }

    fn id_of(&self, topic: &str) -> u64 {
        *self
            .webhooks
            .iter()
            .find(|(_, webhook)| webhook["topic"] == topic)
            .expect("there")
            .0
    }

    /// How often something was called.
    fn count(&self, call: &str) -> usize {
        self.requested
            .iter()
            .filter(|requested| requested.starts_with(call))
            .count()
    }
}

fn single(result: Result<Value, Value>) -> StoreResponse {
    match result {
        Ok(value) => reported(200, &value),
        Err(problem) => reported(
            problem["data"]["status"]
                .as_u64()
                .and_then(|s| u16::try_from(s).ok())
                .expect("a status"),
            &problem,
        ),
    }
}

fn context(url: &str) -> ConnectionContext {
    ConnectionContext {
        id: ConnectionId::new("shop").expect("an id"),
        kind: "woocommerce".to_owned(),
        settings: BTreeMap::from([("url".to_owned(), url.to_owned())]),
        secrets: [
            ("consumer-key", KEY),
            ("consumer-secret", SECRET),
            ("webhook-secret", "ours"),
        ]
        .map(|(name, secret)| (name.to_owned(), secret.into()))
        .into(),
        delivery_url: Some(TARGET.to_owned()),
        parent: None,
        installations: Vec::new(),
    }
}

/// Asks until the check comes to its end.
fn drive(store: &mut Store, context: &ConnectionContext, mode: CheckMode) -> CheckReport {
    let mut answers = Vec::new();
    loop {
        match examine(context, mode, &mut Dialogue::new(&answers)) {
            Ok(report) => return report,
            Err(Unanswered(request)) => answers.push(store.answer(&request)),
        }
        assert!(
            answers.len() < 100,
            "no conversation is that long: {:?}",
            store.requested
        );
    }
}

/// As [`drive`], and keeps what was learned.
fn drive_on(store: &mut Store, context: &mut ConnectionContext, mode: CheckMode) -> CheckReport {
    let report = drive(store, context, mode);
    context.settings.extend(report.settings.clone());
    store.requested.clear();
    report
}

fn codes(report: &CheckReport) -> Vec<&'static str> {
    report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}
