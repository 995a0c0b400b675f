//! Sends changes of a store's webhooks: several in a batch, or one by one.
//!
//! Returns the result of each change, and stops where every further change would fail. `repair` decides what is changed.

use serde_json::{Value, json};

use super::body::json as parsed;
use super::change::{ChangeResult, Repaired, Stop, Wanted, WebhookChange};
use super::client::{rest_error, wrong_role};
use super::refusal;
use super::session::CheckSession;
use super::webhooks::{Webhook, name};
use crate::platforms::api::{ApiRequest, Method, StoreResponse};
use crate::platforms::lenient::Node;

/// The body of one change.
fn body(wanted: &Wanted<'_>, change: &WebhookChange) -> Value {
    let (target, secret) = (&wanted.own.target, wanted.secret);
    match change {
        WebhookChange::Create(topic) => {
            json!({ "name": name(topic), "topic": topic, "delivery_url": target, "secret": secret, "status": "active" })
        }
        WebhookChange::Update(id, _) => {
            json!({ "id": id, "delivery_url": target, "secret": secret, "status": "active" })
        }
        WebhookChange::Delete(id, _) => json!(id),
    }
}

/// Sends changes in one request.
pub(super) fn batch(
    session: &mut CheckSession<'_, '_>,
    wanted: &Wanted<'_>,
    changes: &[WebhookChange],
    repaired: &mut Repaired,
) -> Result<Vec<ChangeResult>, Stop> {
    let request = session.caller.request(
        "webhooks.batch",
        Method::Post,
        "webhooks/batch",
        Some(&batch_body(wanted, changes)),
    );
    let url = request.url.clone();
    let Ok(answer) = session.ask(request)? else {
        return Err(Stop::BatchFailed);
    };
    let Some(document) = parsed(answer).filter(|_| answer.is_good()) else {
        return Err(whole_refusal(answer, &url, repaired).unwrap_or(Stop::BatchFailed));
    };
    repaired.may_write = Some(true);
    let root = Node::root(&document);
    let items = |name: &str| {
        let items = root.get(name).scalars().known();
        items.unwrap_or_default().into_iter()
    };
    let mut created = items("create");
    let mut updated = items("update");
    let mut deleted = items("delete");
    let result = |change: &WebhookChange| {
        let item = match change {
            WebhookChange::Create(_) => created.next(),
            WebhookChange::Update(..) => updated.next(),
            WebhookChange::Delete(..) => deleted.next(),
        };
        let item = item.unwrap_or_else(Node::nowhere);
        match item.get("error").get("code").str() {
            Some(code) => Err(code.to_owned()),
            None => webhook_of(item),
        }
    };
    Ok(changes.iter().map(result).collect())
}

fn batch_body(wanted: &Wanted<'_>, changes: &[WebhookChange]) -> Value {
    let mut lists = serde_json::Map::new();
    for change in changes {
        let name = match change {
            WebhookChange::Create(_) => "create",
            WebhookChange::Update(..) => "update",
            WebhookChange::Delete(..) => "delete",
        };
        let list = lists
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(body(wanted, change));
        }
    }
    Value::Object(lists)
}

fn webhook_of(item: Node<'_>) -> ChangeResult {
    match Webhook::of(item) {
        Some(webhook) => Ok(Some(webhook)),
        None => Err("no_answer".to_owned()),
    }
}

/// Sends changes one by one.
pub(super) fn single(
    session: &mut CheckSession<'_, '_>,
    wanted: &Wanted<'_>,
    changes: &[WebhookChange],
    repaired: &mut Repaired,
) -> Result<Vec<ChangeResult>, Stop> {
    let mut results = Vec::new();
    for change in changes {
        let request = single_request(session, wanted, change);
        let url = request.url.clone();
        let answer = match session.ask(request)? {
            Ok(answer) => answer,
            Err(failure) => return Err(Stop::Trouble(refusal::of_failure(failure, &url))),
        };
        if let Some(document) = parsed(answer).filter(|_| answer.is_good()) {
            repaired.may_write = Some(true);
            results.push(webhook_of(Node::root(&document)));
            continue;
        }
        let other = || refusal::of_answer(answer, &url).map(Stop::Trouble);
        if let Some(stop) = whole_refusal(answer, &url, repaired).or_else(other) {
            return Err(stop);
        }
        let code = rest_error(answer).map_or_else(|| answer.status.to_string(), |(code, _)| code);
        results.push(Err(code));
    }
    Ok(results)
}

fn single_request(
    session: &CheckSession<'_, '_>,
    wanted: &Wanted<'_>,
    change: &WebhookChange,
) -> ApiRequest {
    let body = body(wanted, change);
    let (call, method, path, body) = match change {
        WebhookChange::Create(_) => (
            "webhooks.create",
            Method::Post,
            "webhooks".to_owned(),
            Some(&body),
        ),
        WebhookChange::Update(id, _) => (
            "webhooks.update",
            Method::Put,
            format!("webhooks/{id}"),
            Some(&body),
        ),
        WebhookChange::Delete(id, _) => (
            "webhooks.delete",
            Method::Delete,
            format!("webhooks/{id}?force=true"),
            None,
        ),
    };
    session.caller.request(call, method, &path, body)
}

/// The stop for a refusal that every further change would meet too; `None` if the refusal may concern this change only.
fn whole_refusal(answer: &StoreResponse, url: &str, repaired: &mut Repaired) -> Option<Stop> {
    if answer.status == 429 {
        return refusal::of_answer(answer, url).map(Stop::Trouble);
    }
    let (code, _) = rest_error(answer)?;
    match (answer.status, code.as_str()) {
        // The store has just accepted the same key for reading, so only the write permission can be missing.
        (401, "woocommerce_rest_authentication_error") => {
            repaired.may_write = Some(false);
            Some(Stop::ReadOnly)
        }
        (401 | 403, code) if code.starts_with("woocommerce_rest_cannot_") => {
            Some(Stop::Trouble(wrong_role(code)))
        }
        _ => None,
    }
}
