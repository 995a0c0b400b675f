//! Requests to the admin listener, against a journal with some entries: a line with path and query, then header lines.
//! An invalid request must be answered 400, 404 or 405, never 5xx.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use actix_web::App;
use actix_web::dev::Service;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::rt::System;
use actix_web::test::{TestRequest, init_service, read_body};
use cartwire::admin::Admin;
use cartwire::delivery::ReasonCode;
use cartwire::journal::entry::{LoggedEvent, Outcome, Settlement};
use cartwire::journal::{Budget, Journal, JournalGuard};
use cartwire::platforms::Unsigned;
use cartwire_fuzz::{Request, Sender, now};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Status and body of a response; no body for a stream. `None` if the input is not a request.
type Ask = dyn Fn(&str, &[(String, &[u8])]) -> Option<(u16, Option<Vec<u8>>)>;

fuzz_target!(|input: &[u8]| {
    thread_local!(static LISTENER: &'static Ask = listener_with_orders());
    let ask = LISTENER.with(|listener| *listener);
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let Ok(target) = std::str::from_utf8(&input[..end]) else {
        return;
    };
    let head = [input.get(end + 1..).unwrap_or_default(), b"\n\n"].concat();
    let headers = Request::read(&head).headers;
    let Some((status, body)) = ask(target, &headers) else {
        return;
    };
    assert!(
        matches!(status, 200 | 400 | 401 | 403 | 404 | 405),
        "{target:?} was answered {status}"
    );
    assert_eq!(
        ask(target, &headers).map(|(status, _)| status),
        Some(status),
        "a repeated request should get the same status"
    );
    let Some(body) = body else { return };
    if target.starts_with("/api/") {
        let body: Value = serde_json::from_slice(&body).expect("the API should respond in JSON");
        assert!(
            status == 200 || body["error"].is_string(),
            "an error response should have an error code"
        );
        if let Some(next) = body["next"].as_str() {
            assert!(
                next.parse::<i64>().is_ok_and(|next| next >= 0),
                "a cursor should be a number"
            );
        }
    }
});

/// The admin listener's routes on a journal with a few orders in several states.
///
/// The value lives as long as the program, because a journal must not be dropped while it works.
fn listener_with_orders() -> &'static Ask {
    let system = System::new();
    let folder = tempfile::tempdir().expect("a temporary folder should be created");
    let (journal, guard) = system.block_on(journal_with_orders(folder.path()));
    let (stop, shutdown) = tokio::sync::watch::channel(false);
    let admin = Admin {
        broker_status: None,
        journal,
        directory: cartwire::connections::Directory::default(),
        rejections: Arc::default(),
        findings: cartwire::monitor::Findings::default(),
        metrics: cartwire::telemetry::count().expect("the metrics should be registered"),
        shutdown,
        limits: Default::default(),
        token: None,
    };
    let service = system.block_on(init_service(
        App::new().configure(|config| admin.configure(config)),
    ));
    Box::leak(Box::new(
        move |target: &str, headers: &[(String, &[u8])]| {
            let _kept = (&folder, &guard, &stop);
            // The HTTP parser rejects an invalid request target.
            let uri: Uri = target.parse().ok()?;
            let mut request = TestRequest::default()
                .method(Method::GET)
                .uri(&uri.to_string());
            for (name, value) in headers {
                let (Ok(name), Ok(value)) =
                    (name.parse::<HeaderName>(), HeaderValue::from_bytes(value))
                else {
                    continue;
                };
                request = request.append_header((name, value));
            }
            system.block_on(async {
                let answer = match service.call(request.to_request()).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        return Some((error.as_response_error().status_code().as_u16(), None));
                    }
                };
                let status = answer.status().as_u16();
                // The stream never ends.
                let is_whole = answer
                    .headers()
                    .get("content-type")
                    .is_none_or(|kind| kind != "text/event-stream");
                Some((
                    status,
                    if is_whole {
                        Some(read_body(answer).await.to_vec())
                    } else {
                        None
                    },
                ))
            })
        },
    ))
}

async fn journal_with_orders(folder: &Path) -> (Journal, JournalGuard) {
    let (journal, guard) = Journal::open(
        folder,
        Budget {
            reserve: 1,
            ..Budget::default()
        },
    )
    .expect("the journal should open");
    let shop = Sender::new("woocommerce");
    for nonce in 1..=8 {
        let options = BTreeMap::new();
        let payload = format!(r#"{{"id":{nonce},"total":"{nonce}.50","currency":"EUR"}}"#);
        let unsigned = Unsigned {
            topic: "order.updated",
            payload: payload.as_bytes(),
            nonce,
            options: &options,
        };
        let signed = shop
            .platform
            .sign(&unsigned, &shop.signing_key, now())
            .expect("the order should be signed");
        let headers = signed
            .headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_bytes()))
            .collect();
        let delivery = shop
            .prove(&Request {
                headers,
                body: &signed.body,
            })
            .expect("the order should be verified");
        journal
            .append(delivery)
            .await
            .expect("the order should be stored");
    }
    let want = cartwire::journal::Want {
        connection: "shop".to_owned(),
        from: 0,
        entries: 6,
        bytes: usize::MAX,
        is_paused: false,
    };
    let mut claimed = journal
        .claim(vec![want], Default::default())
        .await
        .expect("the entries should be claimed");
    let claim = claimed.pop().expect("one claim should be returned");
    let settlement = |(index, entry): (usize, cartwire::journal::entry::Entry)| {
        let subject = format!("order/{}", entry.position);
        let event = LoggedEvent {
            index: 0,
            event_type: "cartwire.order.updated".to_owned(),
            subject,
            omits_raw: false,
        };
        let outcome = if index < 4 {
            Outcome::Logged(vec![event])
        } else {
            Outcome::DeadLettered(ReasonCode::TooDeep)
        };
        Settlement {
            position: entry.position,
            redriven: false,
            attempts: 0,
            comparison: None,
            outcome,
        }
    };
    journal
        .settle(
            claim
                .entries
                .into_iter()
                .enumerate()
                .map(settlement)
                .collect(),
        )
        .await
        .expect("the entries should be settled");
    (journal, guard)
}
