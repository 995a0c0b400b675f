//! Sends changes of a store's webhooks: several in a batch, or one by one.
//!
//! Returns the result of each change, and stops where every further change would fail. `repair` decides what is changed.

use serde_json::{Value, json};

use super::keys::{Caller, rest_error, wrong_role};
use super::refusal;
use super::repair::{Change, Repaired, Stop, Wanted, read_only};
use super::talk::json as parsed;
use super::webhooks::{Webhook, name};
use crate::platforms::api::{Answer, Dialogue, Finding, Method, Severity};
use crate::platforms::lenient::Node;

/// The body of one change.
fn body(wanted: &Wanted<'_>, change: &Change) -> Value {
    let (target, secret) = (&wanted.own.target, wanted.secret);
    match change {
        Change::Create(topic) => {
            json!({ "name": name(topic), "topic": topic, "delivery_url": target, "secret": secret, "status": "active" })
        }
        Change::Update(id, _) => {
            json!({ "id": id, "delivery_url": target, "secret": secret, "status": "active" })
        }
        Change::Delete(id, _) => json!(id),
    }
}

/// The result of one change: the webhook, or the store's error code.
pub(super) type Settled = Result<Option<Webhook>, String>;

pub(super) fn batch(
    caller: &Caller,
    wanted: &Wanted<'_>,
    changes: &[Change],
    repaired: &mut Repaired,
    dialogue: &mut Dialogue<'_>,
) -> Result<Vec<Settled>, Stop> {
    let list_of = |is_one: fn(&Change) -> bool| -> Vec<Value> {
        changes
            .iter()
            .filter(|change| is_one(change))
            .map(|change| body(wanted, change))
            .collect()
    };
    let mut sent = serde_json::Map::new();
    for (name, items) in [
        (
            "create",
            list_of(|change| matches!(change, Change::Create(_))),
        ),
        (
            "update",
            list_of(|change| matches!(change, Change::Update(..))),
        ),
        (
            "delete",
            list_of(|change| matches!(change, Change::Delete(..))),
        ),
    ] {
        if !items.is_empty() {
            sent.insert(name.to_owned(), Value::Array(items));
        }
    }
    let request = caller.request(
        "webhooks.batch",
        Method::Post,
        "webhooks/batch",
        Some(&Value::Object(sent)),
    );
    let url = request.url.clone();
    let Ok(answer) = dialogue.ask(request)? else {
        return Err(Stop::BatchFailed);
    };
    let document = parsed(answer).filter(|_| answer.is_good());
    let Some(document) = document else {
        return Err(whole_refusal(answer, &url, repaired).map_or(Stop::BatchFailed, Stop::Trouble));
    };
    let root = Node::root(&document);
    let mut lists = ["create", "update", "delete"].map(|name| {
        root.get(name)
            .scalars()
            .known()
            .unwrap_or_default()
            .into_iter()
    });
    repaired.may_write = Some(true);
    let take = |change: &Change| {
        let [create, update, delete] = &mut lists;
        let item = match change {
            Change::Create(_) => create.next(),
            Change::Update(..) => update.next(),
            Change::Delete(..) => delete.next(),
        };
        let item = item.unwrap_or_else(Node::nowhere);
        match item.get("error").get("code").str() {
            Some(code) => Err(code.to_owned()),
            None => Webhook::of(item)
                .map(Some)
                .ok_or_else(|| "no_answer".to_owned()),
        }
    };
    Ok(changes.iter().map(take).collect())
}

pub(super) fn single(
    caller: &Caller,
    wanted: &Wanted<'_>,
    changes: &[Change],
    repaired: &mut Repaired,
    dialogue: &mut Dialogue<'_>,
) -> Result<Vec<Settled>, Stop> {
    let mut settled = Vec::new();
    for change in changes {
        let body = body(wanted, change);
        let request = match change {
            Change::Create(_) => {
                caller.request("webhooks.create", Method::Post, "webhooks", Some(&body))
            }
            Change::Update(id, _) => caller.request(
                "webhooks.update",
                Method::Put,
                &format!("webhooks/{id}"),
                Some(&body),
            ),
            Change::Delete(id, _) => caller.request(
                "webhooks.delete",
                Method::Delete,
                &format!("webhooks/{id}?force=true"),
                None,
            ),
        };
        let url = request.url.clone();
        let answer = match dialogue.ask(request)? {
            Ok(answer) => answer,
            Err(failure) => return Err(Stop::Trouble(refusal::of_failure(failure, &url))),
        };
        let document = parsed(answer).filter(|_| answer.is_good());
        if let Some(document) = document {
            repaired.may_write = Some(true);
            settled.push(
                Webhook::of(Node::root(&document))
                    .map(Some)
                    .ok_or_else(|| "no_answer".to_owned()),
            );
            continue;
        }
        if let Some(trouble) =
            whole_refusal(answer, &url, repaired).or_else(|| refusal::of_answer(answer, &url))
        {
            return Err(Stop::Trouble(trouble));
        }
        settled.push(Err(
            rest_error(answer).map_or_else(|| answer.status.to_string(), |(code, _)| code)
        ));
    }
    Ok(settled)
}

/// The finding for a refusal that every further change would meet too; `None` if the refusal may concern this change only.
fn whole_refusal(answer: &Answer, url: &str, repaired: &mut Repaired) -> Option<Finding> {
    if answer.status == 429 {
        return refusal::of_answer(answer, url);
    }
    let (code, _) = rest_error(answer)?;
    match (answer.status, code.as_str()) {
        // The store has just accepted the same key for reading, so only the write permission can be missing.
        (401, "woocommerce_rest_authentication_error") => {
            repaired.may_write = Some(false);
            Some(read_only(Severity::Broken))
        }
        (401 | 403, code) if code.starts_with("woocommerce_rest_cannot_") => Some(wrong_role(code)),
        _ => None,
    }
}
