//! Writes the seed corpus: every fixture in the input format of each target. `tests/fuzz/run` calls this program.
//!
//! The corpus is not part of the source. It is generated from the fixtures when it is needed.

use std::collections::BTreeMap;
use std::path::Path;

use cartwire::platforms::{Unsigned, WebhookPlatform};
use cartwire::replay::fixture::Fixture;
use cartwire_fuzz::store::THIN;
use cartwire_fuzz::{RS256, Request, Sender, now};
use serde_json::Value;

/// Maximum size of a seed in bytes. Larger seeds slow the fuzzer down without covering more code.
const LARGEST: usize = 16 << 10;

/// Paths, queries and headers of the admin listener.
const ADMIN: &[&str] = &[
    "/api/events",
    "/api/events?after=0&limit=2&type=cartwire.order.*&connection=store&subject=order%2F1",
    "/api/events?after=9223372036854775807",
    "/api/events/stream?after=1\nlast-event-id: 3",
    "/api/events/00000000000000000000000000000000-0",
    "/api/deliveries?before=7&limit=3&state=pending,logged,dead_lettered&connection=store&platform=woocommerce",
    "/api/deliveries?topic=order.updated&reason=a_reason&since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00%2B02:00",
    "/api/deliveries/00000000000000000000000000000000",
    "/api/connections",
    "/api/connections/store\nhost: localhost\norigin: http://localhost\nsec-fetch-site: cross-site\nauthorization: Bearer x",
    "/api/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
];

const WIX_ANSWERS: &str = include_str!("../../support/src/wix/answers.json");
const WIX_INSTANCE: &str = r#"{"instance":{"appName":"Hafen","appVersion":"1.0","isFree":true,"permissions":["READ-PRODUCTS"]},"site":{"siteDisplayName":"Tee","url":"https://tee.example","siteId":"s","paymentCurrency":"EUR","locale":"de"}}"#;
const WIX_CATALOG: &str = r#"{"catalogVersion":"V3_CATALOG"}"#;

const WOOCOMMERCE_ENTITY: &str = r#"{"id":18,"status":"trash","number":"18","name":"Tee","code":"zehn","email":"a@b.example","currency":"EUR","total":"9.50","price":"9.50","date_modified_gmt":"2026-11-21T00:30:00","line_items":[{"id":1,"product_id":2,"quantity":1,"total":"9.50"}]}"#;

const HOME: &str =
    "200\nlink: <https://shop.example/wp-json/>; rel=\"https://api.w.org/\"\n\n<html></html>";
const ROOT: &str = "200\n\n{\"name\":\"Caf&eacute;\",\"home\":\"https://shop.example\",\"gmt_offset\":\"-3.5\",\"namespaces\":[\"wp/v2\",\"wc/v3\"]}";
const STATUS: &str = "200\ndate: Thu, 28 May 2026 20:26:41 GMT\nage: 1\n\n{\"environment\":{\"version\":\"11.0.1\",\"wp_version\":\"7.1\"},\"settings\":{\"currency\":\"EUR\"}}";
const WEBHOOKS: &str = r#"200
x-wp-totalpages: 1

[{"id":1,"name":"Cartwire order.created","status":"disabled","topic":"order.created","delivery_url":"https://hooks.example/webhooks/shop","date_modified_gmt":"2026-11-21T00:00:00"},
{"id":2,"name":"By hand","status":"paused","topic":"order.updated","delivery_url":"https://hooks.example/webhooks/shop"},
{"id":3,"name":"","status":"active","topic":"order.created","delivery_url":"http://hooks.example/webhooks/shop/"},
{"id":4,"name":"Theirs","status":"active","topic":"order.created","delivery_url":"https://other.example/"},
{"id":5,"name":"Cartwire action.x","status":"active","topic":"action.x","delivery_url":"https://hooks.example/webhooks/shop"}]"#;
const BATCH: &str = r#"200

{"create":[{"id":11,"name":"Cartwire coupon.created","status":"active","topic":"coupon.created","delivery_url":"https://hooks.example/webhooks/shop","date_modified_gmt":"2026-11-21T00:00:01"},{"id":0,"error":{"code":"woocommerce_rest_shop_webhook_invalid_topic"}},{"id":12,"topic":"coupon.deleted"}],"update":[{"id":1,"status":"active","topic":"order.created","delivery_url":"https://hooks.example/webhooks/shop","date_modified_gmt":"2026-11-21T00:00:02"}],"delete":[{"id":3,"topic":"order.created"}]}"#;
const WRITTEN: &str = r#"200

{"id":21,"name":"Cartwire order.created","status":"active","topic":"order.created","delivery_url":"https://hooks.example/webhooks/shop"}"#;
const UNSEEN: &str = "401\n\n{\"code\":\"woocommerce_rest_cannot_view\",\"message\":\"\"}";
const REFUSED: &str =
    "401\n\n{\"code\":\"woocommerce_rest_authentication_error\",\"message\":\"Invalid signature\"}";
const NO_ROUTE: &str = "404\n\n{\"code\":\"rest_no_route\",\"message\":\"\"}";
const PAGE: &str = "403\nserver: cloudflare\n\n<html>wordfence</html>";

const TOKEN: &str = "200\n\n{\"access_token\":\"t.1\",\"expires_in\":14400}";
const NO_TOKEN: &str = "token_refused 400\n\n{\"message\":\"\",\"details\":{\"applicationError\":{\"code\":\"APP_INSTANCE_NOT_FOUND\"}}}";
const NO_APP: &str = "401\n\n{\"error\":\"invalid_client\"}";
const INSTANCE: &str = "200\n\n{\"instance\":{\"permissions\":[\"READ-PRODUCTS\"],\"billing\":{\"packageName\":\"Gold\"}},\"site\":{\"siteDisplayName\":\"Tee\"}}";
const CATALOG: &str = "200\n\n{\"catalogVersion\":\"V1_CATALOG\"}";
const SITE: &str = "200\n\n{\"properties\":{\"siteDisplayName\":\"Tee\",\"timeZone\":\"Europe/Berlin\",\"locale\":{\"languageCode\":\"de\",\"country\":\"DE\"}}}";
const SITES: &str = r#"200

{"sites":[{"id":"1c9d1b7e-8c6f-4b1d-9d43-7a4f1d2b3c4d","displayName":"Tee","viewUrl":"https://tee.example"},{"id":"x","name":"Kaffee"}],"cursorPaging":{"cursor":null}}"#;

/// Dialogues with stores: the task, the responses, and the responses of a second run.
const TALKS: &[&[&str]] = &[
    &[
        "woocommerce examine check",
        HOME,
        ROOT,
        STATUS,
        WEBHOOKS,
        STATUS,
        WEBHOOKS,
    ],
    &[
        "woocommerce examine fix",
        HOME,
        ROOT,
        STATUS,
        WEBHOOKS,
        BATCH,
        BATCH,
        BATCH,
        BATCH,
        BATCH,
        STATUS,
        WEBHOOKS,
        BATCH,
    ],
    &[
        "woocommerce examine fix",
        HOME,
        ROOT,
        STATUS,
        WEBHOOKS,
        NO_ROUTE,
        WEBHOOKS,
        WRITTEN,
        WRITTEN,
        NO_ROUTE,
        REFUSED,
    ],
    &[
        "woocommerce examine remove",
        HOME,
        ROOT,
        STATUS,
        WEBHOOKS,
        BATCH,
        STATUS,
        WEBHOOKS,
        PAGE,
        WEBHOOKS,
        WRITTEN,
        NO_ROUTE,
    ],
    &["woocommerce examine check cycle", STATUS, WEBHOOKS],
    &["woocommerce examine fix cycle", ROOT, WEBHOOKS, BATCH],
    &[
        "woocommerce examine check",
        HOME,
        ROOT,
        UNSEEN,
        REFUSED,
        STATUS,
        WEBHOOKS,
    ],
    &[
        "woocommerce examine check",
        HOME,
        ROOT,
        UNSEEN,
        UNSEEN,
        UNSEEN,
        UNSEEN,
    ],
    &["woocommerce examine check", HOME, ROOT, REFUSED],
    &[
        "woocommerce examine check",
        HOME,
        ROOT,
        "timed_out",
        WEBHOOKS,
        WEBHOOKS,
    ],
    &["woocommerce examine check", HOME, PAGE, PAGE, PAGE, PAGE],
    &[
        "woocommerce examine check",
        "429\nretry-after: 60",
        "503\nretry-after: Thu, 28 May 2026 20:27:41 GMT",
        "500",
    ],
    &[
        "woocommerce examine check",
        "301\nlocation: https://www.shop.example/shop/",
        HOME,
        ROOT,
        REFUSED,
    ],
    &[
        "woocommerce examine check",
        "302\nlocation: http://10.0.0.1/",
        NO_ROUTE,
        ROOT,
        STATUS,
        WEBHOOKS,
    ],
    &[
        "woocommerce examine check",
        "200\n\n<link rel='https://api.w.org/' href='https://shop.example/?rest_route=/'>",
        PAGE,
        PAGE,
        ROOT,
    ],
    &[
        "woocommerce examine check http://shop.example:8080/a/b",
        HOME,
        "301\nlocation: https://shop.example:8080/wp-json",
        ROOT,
        STATUS,
    ],
    &[
        "woocommerce examine check http://b\u{fc}cher.example",
        HOME,
        NO_ROUTE,
        ROOT,
        UNSEEN,
        STATUS,
        WEBHOOKS,
    ],
    &[
        "woocommerce examine check",
        "401\nwww-authenticate: Basic realm=\"x\"",
        "address_invalid",
        "tls_failed",
        "too_large",
    ],
    &["woocommerce examine check", "address_refused"],
    &["woocommerce examine check", "host_unknown", "unreachable"],
    &["woocommerce examine check", HOME, "rate_limited"],
    // Inputs that once violated an invariant.
    &[
        "woocommerce examine check",
        "301\nlocation: https://shop.example/#top",
        HOME,
        ROOT,
        STATUS,
    ],
    &[
        "woocommerce examine check http://shop.example",
        "200\nlink: <https://me:mine@shop.example/wp-json/>; rel=\"https://api.w.org/\"",
        ROOT,
        STATUS,
    ],
    &[
        "woocommerce examine check",
        HOME,
        ROOT,
        "200\n\n{\"environment\":{\"version\":\"11\\u001b[2J\"}}",
        WEBHOOKS,
    ],
    &[
        "woocommerce complete order/4101",
        "503\nretry-after: 18446744073709551615",
    ],
    &[
        "instance examine check",
        "200\n\n{\"access_token\":\"t\",\"expires_in\":18446744073709551615}",
    ],
    &["wix-app examine check", TOKEN, NO_APP, NO_APP],
    &[
        "wix-app examine check",
        "404\n\n{\"message\":\"\"}",
        "403\n\n{\"message\":\"not installed\"}",
    ],
    &[
        "instance examine check",
        INSTANCE,
        CATALOG,
        INSTANCE,
        NO_ROUTE,
    ],
    &[
        "instance examine check",
        NO_TOKEN,
        "token_refused 401",
        TOKEN,
    ],
    &["instance examine check", "401", TOKEN, "401", NO_APP],
    &[
        "instance examine check",
        "404\n\n{\"message\":\"instance\"}",
        "429",
        "cut_off",
    ],
    &[
        "wix-site examine check",
        SITE,
        SITES,
        SITE,
        "401\n\n{\"message\":\"account\"}",
    ],
    &[
        "wix-site examine check",
        "403",
        "200\n\n{\"sites\":[{\"id\":\"x\"}],\"cursorPaging\":{\"cursor\":\"c\"}}",
        SITES,
    ],
    &["wix-site examine check", "401", "401", "403", "403"],
];

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("usage: seeds FOLDER");
    let write = |target: &str, name: &str, content: &[u8]| -> std::io::Result<()> {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        if content.len() > LARGEST {
            Ok(())
        } else {
            std::fs::write(folder.join(name), content)
        }
    };
    let senders: BTreeMap<&str, Sender> = ["woocommerce", "wix"]
        .into_iter()
        .map(|name| (name, Sender::new(name)))
        .collect();
    for (index, fixture) in cartwire_fuzz::store::fixtures().into_iter().enumerate() {
        let name = format!("fixture-{index}");
        match fixture {
            Fixture::Case(case) => {
                let sender = &senders[case.platform.name()];
                let unsigned = Unsigned {
                    topic: &case.topic,
                    payload: &case.payload,
                    nonce: 1,
                    options: &case.options,
                };
                let Ok(signed) = sender.platform.sign(&unsigned, &sender.signing_key, now()) else {
                    continue;
                };
                match case.platform.name() {
                    "wix" => {
                        let claims = claims(sender.platform, &signed.body);
                        write("wix_token", &name, &signed.body)?;
                        write(
                            "wix_token",
                            &format!("{name}-claims"),
                            &[RS256, b"\n", &claims].concat(),
                        )?;
                        write("wix_normalize", &name, &claims)?;
                    }
                    _ => {
                        write(
                            "woocommerce_request",
                            &name,
                            &Request::write(&signed.headers, &signed.body),
                        )?;
                        let line = [case.topic.as_bytes(), b"\n", &case.payload].concat();
                        write("woocommerce_normalize", &name, &line)?;
                    }
                }
                let options: String = case
                    .options
                    .iter()
                    .map(|(name, value)| format!("{name} = {value:?}\n"))
                    .collect();
                let about = format!("shows = {:?}\n[options]\n{options}", case.shows);
                let expected =
                    serde_json::to_vec(&case.expected).expect("the expected events should be JSON");
                let between = b"\n---\n";
                let files = [
                    &case.payload,
                    &between[..],
                    about.as_bytes(),
                    between,
                    &expected,
                ]
                .concat();
                write("fixture_reader", &name, &files)?;
            }
            Fixture::Recorded(recorded) => {
                write(
                    "woocommerce_request",
                    &name,
                    &Request::write(&recorded.headers, &recorded.body),
                )?;
                let body = String::from_utf8_lossy(&recorded.body);
                let file = serde_json::json!({"headers": recorded.headers, "body": body, "shows": recorded.shows});
                write("fixture_reader", &name, file.to_string().as_bytes())?;
            }
        }
    }
    for (index, request) in ADMIN.iter().enumerate() {
        write(
            "admin_query",
            &format!("request-{index}"),
            request.as_bytes(),
        )?;
    }
    for (index, talk) in TALKS.iter().enumerate() {
        let talk: String = talk
            .iter()
            .map(|part| format!("{part}\n"))
            .collect::<Vec<_>>()
            .join("--\n");
        write("store_answers", &format!("talk-{index}"), talk.as_bytes())?;
    }
    for (platform, word) in THIN.keys() {
        for (index, talk) in completions(platform, word).iter().enumerate() {
            write(
                "store_answers",
                &format!("{platform}-{}-{index}", word.replace('/', "-")),
                talk.as_bytes(),
            )?;
        }
    }
    Ok(())
}

/// Two inputs for a fetch request: the store returns the object, and the store responds 404.
fn completions(platform: &str, word: &str) -> Vec<String> {
    let (name, rest) = word
        .split_once('/')
        .expect("a fetch request should contain a slash");
    let id = rest.split('/').next().unwrap_or_default();
    let kind = if platform == "wix" {
        "instance"
    } else {
        platform
    };
    let bodies: Vec<String> = match platform {
        "wix" => told_by_wix(name, id),
        _ => vec![WOOCOMMERCE_ENTITY.replace("18", id)],
    };
    let whole: String = bodies
        .iter()
        .map(|body| format!("--\n200\n\n{body}\n"))
        .collect();
    let none = r#"{"code":"woocommerce_rest_shop_order_invalid_id","message":"Ung\u00fcltige ID.","data":{"status":404}}"#;
    vec![
        format!("{kind} complete {word}\n{whole}"),
        format!("{kind} complete {word}\n--\n404\n\n{none}\n"),
    ]
}

/// The recorded responses, with the id replaced.
fn told_by_wix(name: &str, id: &str) -> Vec<String> {
    let answers: BTreeMap<String, Value> =
        serde_json::from_str(WIX_ANSWERS).expect("the recorded responses should be JSON");
    let paths: &[&str] = match name {
        "product" => &["/stores-reader/v1/products/"],
        "collection" => &["/stores/v1/collections/"],
        "inventory" => &["/stores-reader/v2/inventoryItems/"],
        "product-v3" => &["/stores/v3/products/"],
        "inventory-item" => &["/stores/v3/inventory-items/"],
        "order" | "transactions" => &["/ecom/v1/orders/"],
        "payments" => &["/ecom/v1/orders/", "/ecom/v1/payments/orders/"],
        "fulfillments" => &["/ecom/v1/fulfillments/orders/"],
        "contact" => &["/contacts/v4/contacts/"],
        "member" => &["/members/v1/members/"],
        "abandoned-checkout" => &["/ecom/v1/abandoned-checkout/"],
        "site" => &["/site-properties/v4/properties"],
        _ => return vec![WIX_INSTANCE.to_owned(), WIX_CATALOG.to_owned()],
    };
    let reported = |path: &&str| {
        let (key, answer) = answers.iter().find(|(key, _)| key.contains(path))?;
        let recorded = key
            .rsplit(path)
            .next()?
            .split('/')
            .next()
            .filter(|id| !id.is_empty())
            .unwrap_or("no id");
        Some(answer.to_string().replace(recorded, id))
    };
    paths.iter().filter_map(reported).collect()
}

/// The claims of a token, which the platform stores as the body.
fn claims(platform: &dyn WebhookPlatform, token: &[u8]) -> Vec<u8> {
    let sender = Sender::new(platform.name());
    let delivery = sender.prove(&Request {
        headers: Vec::new(),
        body: token,
    });
    delivery
        .map(|delivery| delivery.parts().body.to_vec())
        .unwrap_or_default()
}
