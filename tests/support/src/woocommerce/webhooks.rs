//! WooCommerce's webhooks, as its REST API creates, changes and shows them.

use serde_json::{Value, json};

use super::reply::Reply;
use super::state::{State, Webhook};

use super::problem::problem;

pub(super) fn shown(webhook: &Webhook, home: &str) -> Value {
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

pub(super) fn existing(id: u64, state: &State) -> Result<&Webhook, Value> {
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

pub(super) fn create(
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
    // WooCommerce ignores the status in the request: a new webhook is always active.
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

pub(super) fn update(id: u64, sent: &Value, state: &mut State, home: &str) -> Result<Value, Value> {
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
    let webhook = state
        .webhooks
        .get_mut(&id)
        .expect("the webhook should exist");
    // A real shop keeps the failure count, too.
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

pub(super) fn delete(id: u64, state: &mut State, home: &str) -> Result<Value, Value> {
    let gone = shown(existing(id, state)?, home);
    state.webhooks.remove(&id);
    Ok(gone)
}

/// Executes each item on its own. The response is 200, with the error of a failed item in its place.
pub(super) fn batch(sent: &Value, state: &mut State, home: &str) -> Reply {
    let items = |name: &str| sent[name].as_array().cloned().unwrap_or_default();
    let place = |id: u64, result: Result<Value, Value>| {
        result.unwrap_or_else(|problem| json!({ "id": id, "error": problem }))
    };
    let mut pings = Vec::new();
    let mut reported = serde_json::Map::new();
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
            reported.insert(name.to_owned(), Value::Array(list));
        }
    }
    Reply {
        pings,
        ..Reply::json(200, &Value::Object(reported))
    }
}
