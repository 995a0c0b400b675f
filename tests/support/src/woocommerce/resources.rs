//! WooCommerce's v3 routes and their pages.

use serde_json::{Value, json};

use super::lists::{listed, variations_of};
use super::options::{Fault, ListFault};
use super::reply::Reply;
use super::state::{ShopRequest, State};

use super::problem::{error, problem};
use super::webhooks::{batch, create, delete, existing, shown, update};

pub(super) fn woocommerce(
    requested: &ShopRequest,
    route: &str,
    state: &mut State,
    home: &str,
) -> Reply {
    let mut parts = route.split('/');
    let (resource, id) = (parts.next().unwrap_or_default(), parts.next());
    let sent: Value = serde_json::from_str(&requested.body).unwrap_or(Value::Null);
    let number = id.and_then(|id| id.parse::<u64>().ok());
    match (requested.method.as_str(), resource, id, number) {
        ("GET", "system_status", None, _) => {
            Reply::json(200, &system_status(state, home, &requested.query))
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
            page_of_webhooks(all, &requested.query)
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
            if !requested.query.contains("force=true") {
                return error(
                    501,
                    "woocommerce_rest_trash_not_supported",
                    "Webhooks do not support trashing.",
                );
            }
            single(delete(id, state, home), 200)
        }
        ("GET", "orders" | "products" | "customers" | "coupons", None, _) => {
            let page = page_of(listed(resource, state, &requested.query), &requested.query);
            match state.fault {
                Fault::InLists(fault) => {
                    state.faulty_pages += 1;
                    spoiled(page, fault, state.faulty_pages > 1)
                }
                _ => page,
            }
        }
        ("GET", "products", _, Some(id)) if parts.next() == Some("variations") => {
            page_of(variations_of(id, state), &requested.query)
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
            Reply::json(status.expect("the status should be a number"), &problem)
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

/// WooCommerce sorts webhooks by date by default, and rows of the same second have no stable order. The double
/// simulates one effect: a second page starts with the last row of the first page, and the last row of the list is
/// missing.
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

/// A page with a fault.
fn spoiled(page: Reply, fault: ListFault, is_later: bool) -> Reply {
    let mut rows: Vec<Value> = serde_json::from_str(&page.body).expect("a page");
    let counted = |reply: Reply, pages: &str| Reply {
        headers: vec![("X-WP-TotalPages", pages.to_owned())],
        ..reply
    };
    match fault {
        ListFault::Captcha if is_later => Reply::html(202, "Are you human?"),
        ListFault::ServerError if is_later => Reply::html(500, "There has been a critical error."),
        ListFault::Cut if is_later => Reply {
            body: page.body[..page.body.len() / 2].to_owned(),
            ..page
        },
        ListFault::Captcha | ListFault::ServerError | ListFault::Cut => page,
        ListFault::CountsNone => counted(page, "0"),
        ListFault::CountsTooMany => counted(page, "1000"),
        ListFault::Reversed | ListFault::Repeated | ListFault::Short => {
            match fault {
                ListFault::Reversed => rows.reverse(),
                ListFault::Repeated => {
                    rows = rows
                        .into_iter()
                        .flat_map(|row| [row.clone(), row])
                        .collect();
                }
                _ => drop(rows.drain(..1.min(rows.len()))),
            }
            Reply {
                body: Value::Array(rows).to_string(),
                ..page
            }
        }
    }
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
        let members = whole
            .as_object_mut()
            .expect("the response should be an object");
        members.retain(|name, _| fields.split(',').any(|field| field == name));
    }
    whole
}
