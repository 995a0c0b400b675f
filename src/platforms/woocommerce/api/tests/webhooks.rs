//! Webhooks are registered, compared, repaired and removed. Webhooks of others are not changed.

use super::*;
use crate::platforms::api::Severity;
use crate::platforms::registered::WebhookList;
use crate::platforms::woocommerce::api::webhooks::{TOPICS, Webhook, is_same_endpoint, known_with};

const SHOP: &str = "https://shop.example";

/// A store that was connected.
fn connected() -> (Store, ConnectionContext) {
    let (mut store, mut context) = (Store::default(), context(SHOP));
    let report = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(report.done.len(), TOPICS.len() + 1, "{:?}", report.done);
    (store, context)
}

fn severity(report: &CheckReport, code: &str) -> Option<Severity> {
    report
        .findings
        .iter()
        .find(|finding| finding.code.as_str() == code)
        .map(|finding| finding.severity)
}

#[test]
fn registering_twice_changes_nothing() {
    let (mut store, mut context) = connected();
    let ids: Vec<u64> = store.webhooks.keys().copied().collect();
    let settings = context.settings.clone();
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Fix)),
        [] as [&str; 0]
    );
    assert_eq!(store.webhooks.keys().copied().collect::<Vec<_>>(), ids);
    assert_eq!(context.settings, settings);
}

#[test]
fn wrong_webhooks_are_reported_and_repaired() {
    let (mut store, mut context) = connected();
    let others = store.add("order.created", "https://others.example/hook");
    let theirs = store.webhooks[&others].clone();
    store.set(store.id_of("order.updated"), "status", "disabled");
    store.set(store.id_of("order.deleted"), "status", "paused");
    let gone = store.id_of("coupon.created");
    store.webhooks.remove(&gone);
    store.add(
        "customer.updated",
        &format!("{}/", TARGET.replacen("hooks", "HOOKS", 1)),
    );
    let report = drive_on(&mut store, &mut context, CheckMode::Check);
    for code in ["webhook_disabled", "webhook_paused", "webhook_missing"] {
        assert_eq!(severity(&report, code), Some(Severity::Broken), "{code}");
    }
    assert_eq!(severity(&report, "webhook_doubled"), Some(Severity::Note));
    let repaired = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(codes(&repaired), ["webhook_watched"]);
    assert_eq!(
        store.webhooks[&others], theirs,
        "another's webhook is left alone"
    );
    assert_eq!(store.webhooks.len(), TOPICS.len() + 2);
    assert!(
        store
            .webhooks
            .values()
            .all(|webhook| webhook["status"] == "active")
    );
}

#[test]
fn a_disabled_webhook_is_watched_until_it_delivers() {
    let (mut store, mut context) = connected();
    let id = store.id_of("order.updated");
    store.set(id, "status", "disabled");
    drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Check)),
        ["webhook_watched"]
    );
    // A second repair changes the date of the webhook, but it is no delivery.
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Fix)),
        ["webhook_watched"]
    );
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Check)),
        ["webhook_watched"]
    );
    let mut failing = (store.webhooks.clone(), context.clone());
    store.set(id, "date_modified_gmt", "2026-11-21T01:00:00");
    let report = drive_on(&mut store, &mut context, CheckMode::Check);
    assert_eq!(codes(&report), [] as [&str; 0]);
    assert!(
        report
            .good
            .iter()
            .any(|good| good == "order.updated delivers again")
    );
    assert_eq!(context.setting("webhooks_watched"), Some(""));
    std::mem::swap(&mut store.webhooks, &mut failing.0);
    store.set(id, "status", "disabled");
    let report = drive(&mut store, &failing.1, CheckMode::Check);
    assert!(
        report.findings[0].cause.contains("reactivated before"),
        "{:?}",
        report.findings
    );
}

#[test]
fn webhooks_that_a_person_created_for_us_are_recreated() {
    let (mut store, mut context) = (Store::default(), context(SHOP));
    let old = store.add("order.created", TARGET);
    let action = store.add("action.woocommerce_thankyou", TARGET);
    let report = drive(&mut store, &context, CheckMode::Check);
    assert!(
        report.trouble().is_none(),
        "a person who adds webhooks by hand chooses the topics: {:?}",
        report.findings
    );
    assert_eq!(
        severity(&report, "webhook_version_unknown"),
        Some(Severity::Note)
    );
    drive_on(&mut store, &mut context, CheckMode::Fix);
    assert!(
        !store.webhooks.contains_key(&old),
        "its version cannot be seen"
    );
    assert_eq!(
        store.webhooks[&action]["secret"], "ours",
        "a topic of one's own stays"
    );
}

#[test]
fn webhooks_move_to_a_new_delivery_url() {
    let (mut store, mut context) = connected();
    context.delivery_url = Some("https://new.example/webhooks/woocommerce/shop".to_owned());
    assert_eq!(
        drive(&mut store, &context, CheckMode::Check).findings[0]
            .code
            .as_str(),
        "webhook_other_url"
    );
    let many = store.webhooks.len();
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Fix)),
        [] as [&str; 0]
    );
    assert_eq!(store.webhooks.len(), many);
    assert!(
        store
            .webhooks
            .values()
            .all(|webhook| webhook["delivery_url"] == context.delivery_url.clone().expect("set"))
    );
}

#[test]
fn the_webhooks_of_another_cartwire_are_left_alone_whatever_their_ids() {
    let (mut store, mut context) = connected();
    // The shop came from a backup, and staging was registered first: under the ids that we remember.
    for webhook in store.webhooks.values_mut() {
        webhook["delivery_url"] = json!("https://staging.example/webhooks/woocommerce/shop");
    }
    let theirs = store.webhooks.clone();
    let report = drive(&mut store, &context, CheckMode::Check);
    assert_eq!(codes(&report), ["webhook_missing"]);
    drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(store.webhooks.len(), 2 * theirs.len());
    assert!(
        theirs
            .iter()
            .all(|(id, webhook)| store.webhooks[id] == *webhook)
    );
    drive_on(&mut store, &mut context, CheckMode::Remove);
    assert_eq!(store.webhooks, theirs);
}

#[test]
fn webhook_with_a_changed_url_is_repaired_and_not_doubled() {
    let (mut store, mut context) = connected();
    let (id, all) = (store.id_of("order.updated"), store.webhooks.len());
    store.set(id, "delivery_url", "https://elsewhere.example/hook");
    let report = drive(&mut store, &context, CheckMode::Check);
    assert_eq!(codes(&report), ["webhook_other_url"]);
    let fixed = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(fixed.trouble(), None);
    assert_eq!(store.webhooks.len(), all);
    assert_eq!(store.webhooks[&id]["delivery_url"], json!(TARGET));
}

#[test]
fn remembered_ids_of_a_reinstalled_shop_belong_to_others() {
    let (mut store, mut context) = connected();
    store.webhooks.clear();
    for topic in TOPICS {
        store.add(topic, "https://others.example/hook");
    }
    let theirs = store.webhooks.clone();
    drive_on(&mut store, &mut context, CheckMode::Fix);
    assert!(
        theirs
            .iter()
            .all(|(id, webhook)| store.webhooks[id] == *webhook)
    );
    drive_on(&mut store, &mut context, CheckMode::Remove);
    assert_eq!(store.webhooks, theirs);
}

#[test]
fn all_pages_are_read() {
    let (mut store, context) = connected();
    for _ in 0..230 {
        store.add("order.created", "https://others.example/hook");
    }
    assert_eq!(
        codes(&drive(&mut store, &context, CheckMode::Check)),
        [] as [&str; 0]
    );
    assert_eq!(store.count("webhooks.list"), 3);
}

#[test]
fn full_pages_are_followed_by_another_request() {
    let (mut store, context) = connected();
    let all: Vec<Value> = store.webhooks.values().cloned().collect();
    let others = |from: u64| {
        (from..from + 100)
            .map(|id| json!({ "id": id, "topic": "order.created", "delivery_url": "x" }))
    };
    let untold = move |request: &ApiRequest| {
        let page = if request.url.ends_with("&page=1") {
            json!(others(1000).collect::<Vec<_>>())
        } else {
            json!(all)
        };
        (request.call == "webhooks.list").then(|| Ok(reported(200, &page)))
    };
    store.fault = Some(Box::new(untold));
    assert_eq!(
        codes(&drive(&mut store, &context, CheckMode::Check)),
        [] as [&str; 0]
    );
    assert_eq!(store.count("webhooks.list"), 2);
}

#[test]
fn a_list_without_an_end_is_not_read_for_ever() {
    let endless = |items: u64, padding: usize| {
        move |request: &ApiRequest| {
            let (_, page) = request.url.split_once("&page=")?;
            let first = page.parse::<u64>().expect("a page") * 1_000_000;
            let item =
                |id| json!({ "id": id, "topic": "order.created", "name": "x".repeat(padding) });
            let mut page = reported(
                200,
                &json!((first..first + items).map(item).collect::<Vec<_>>()),
            );
            page.headers
                .push(("x-wp-totalpages".to_owned(), "4000000000".to_owned()));
            Some(Ok(page))
        }
    };
    for (items, padding, pages, code) in [
        (100, 0, 10, "webhook_missing"),
        (101, 0, 1, "webhook_missing"),
        (100, 11_000, 1, "answer_too_large"),
    ] {
        let mut store = Store::with(endless(items, padding));
        let report = drive(&mut store, &context(SHOP), CheckMode::Check);
        assert_eq!(
            (codes(&report), store.count("webhooks.list")),
            (vec![code], pages),
            "{items} of {padding}"
        );
    }
}

#[test]
fn webhook_on_two_pages_counts_once() {
    let (mut store, context) = connected();
    let (all, there): (Vec<Value>, usize) = (
        store.webhooks.values().cloned().collect(),
        store.webhooks.len(),
    );
    let shifted = move |request: &ApiRequest| {
        let mut page = reported(200, &json!(all));
        page.headers
            .push(("x-wp-totalpages".to_owned(), "9".to_owned()));
        (request.call == "webhooks.list").then_some(Ok(page))
    };
    store.fault = Some(Box::new(shifted));
    assert_eq!(
        codes(&drive(&mut store, &context, CheckMode::Fix)),
        [] as [&str; 0]
    );
    assert_eq!(
        (store.count("webhooks.list"), store.webhooks.len()),
        (2, there),
        "none of them is too much"
    );
}

#[test]
fn more_webhooks_than_there_should_ever_be_take_several_runs() {
    let (mut store, mut context) = connected();
    for _ in 0..200 {
        store.add("order.created", TARGET);
    }
    let first = drive_on(&mut store, &mut context, CheckMode::Remove);
    assert_eq!(
        (severity(&first, "webhook_left"), first.done.len()),
        (Some(Severity::Broken), 150)
    );
    assert_eq!(
        codes(&drive_on(&mut store, &mut context, CheckMode::Remove)),
        [] as [&str; 0]
    );
    assert!(store.webhooks.is_empty());
}

#[test]
fn a_store_without_batches_is_served_one_by_one() {
    let mut store = Store {
        has_batch: false,
        ..Store::default()
    };
    assert_eq!(
        codes(&drive(&mut store, &context(SHOP), CheckMode::Fix)),
        [] as [&str; 0]
    );
    assert_eq!(
        (store.count("webhooks.batch"), store.webhooks.len()),
        (1, TOPICS.len() + 1)
    );
}

#[test]
fn batch_without_an_answer_is_not_sent_twice() {
    let mut store = Store::default();
    // It was done, and its answer lost.
    for topic in &TOPICS[..5] {
        let made = json!({ "topic": topic, "delivery_url": TARGET, "name": format!("Cartwire {topic}"), "secret": "ours" });
        store.create(&made).expect("made");
    }
    let done = store.webhooks.clone();
    store.webhooks.clear();
    let mut answers = Vec::new();
    let context = context(SHOP);
    let report = loop {
        match examine(&context, CheckMode::Fix, &mut Dialogue::new(&answers)) {
            Ok(report) => break report,
            Err(Unanswered(request)) if request.call == "webhooks.batch" => {
                store.webhooks.clone_from(&done);
                answers.push(Err(CallFailure::TimedOut));
            }
            Err(Unanswered(request)) => answers.push(store.answer(&request)),
        }
    };
    assert_eq!(codes(&report), [] as [&str; 0]);
    assert_eq!(store.webhooks.len(), TOPICS.len() + 1);
}

#[test]
fn refused_item_of_a_batch_is_reported_with_its_code() {
    let refuse = |request: &ApiRequest| {
        let sent: Value = serde_json::from_slice(request.body.as_ref()?).ok()?;
        let items = sent["create"].as_array()?;
        let reported = |item: &Value| match item["topic"].as_str() {
            Some("order.created") => json!({ "id": 0, "error": problem(403, "plugin_says_no") }),
            _ => {
                let mut webhook = item.clone();
                webhook["id"] = json!(
                    7000 + item["topic"]
                        .to_string()
                        .bytes()
                        .map(u64::from)
                        .sum::<u64>()
                );
                webhook
            }
        };
        Some(Ok(super::reported(
            200,
            &json!({ "create": items.iter().map(reported).collect::<Vec<_>>() }),
        )))
    };
    let report = drive(&mut Store::with(refuse), &context(SHOP), CheckMode::Fix);
    assert_eq!(codes(&report), ["webhook_refused"]);
    assert!(
        report.findings[0]
            .cause
            .contains("order.created: plugin_says_no")
    );
}

#[test]
fn a_key_that_may_only_read_tries_to_write_once() {
    let (mut store, mut context) = (
        Store {
            may_write: false,
            ..Store::default()
        },
        context(SHOP),
    );
    let report = drive(&mut store, &context, CheckMode::Fix);
    assert_eq!(
        report.trouble().map(|found| found.code.as_str()),
        Some("key_read_only")
    );
    assert_eq!(
        store.count("webhooks.batch") + store.count("webhooks.create"),
        1
    );
    context.settings.extend(report.settings);
    assert_eq!(context.setting("key_permission"), Some("read"));
    store.requested.clear();
    let report = drive(&mut store, &context, CheckMode::Check);
    assert_eq!(severity(&report, "key_read_only"), Some(Severity::Note));
    assert_eq!(store.count("webhooks.batch"), 0);
}

#[test]
fn removing_deletes_ours_and_only_ours() {
    for version in ["11.0.1", "6.0.0"] {
        let (mut store, mut context) = (
            Store {
                version,
                ..Store::default()
            },
            context(SHOP),
        );
        drive_on(&mut store, &mut context, CheckMode::Fix);
        let others = store.add("order.created", "https://others.example/hook");
        store.add("action.wc_x", TARGET);
        let report = drive_on(&mut store, &mut context, CheckMode::Remove);
        assert_eq!(codes(&report), [] as [&str; 0]);
        assert_eq!(store.webhooks.keys().collect::<Vec<_>>(), [&others]);
        assert_eq!(
            codes(&drive_on(&mut store, &mut context, CheckMode::Remove)),
            [] as [&str; 0],
            "nothing is left to do"
        );
    }
    let (mut store, mut context) = connected();
    store.may_write = false;
    let report = drive_on(&mut store, &mut context, CheckMode::Remove);
    assert_eq!(severity(&report, "webhook_left"), Some(Severity::Broken));
}

#[test]
fn an_address_is_the_same_in_other_writings() {
    for same in [
        "https://HOOKS.example/a/",
        "http://hooks.example/a",
        "https://hooks.example:443/a",
    ] {
        assert!(is_same_endpoint(same, "https://hooks.example/a"), "{same}");
    }
    for other in [
        "https://hooks.example/b",
        "https://hooks.example:8443/a",
        "https://hooks.example/a?x",
        "",
        "https://x/a",
    ] {
        assert!(
            !is_same_endpoint(other, "https://hooks.example/a"),
            "{other}"
        );
    }
}

#[test]
fn lists_that_arrive_as_objects_with_keys_are_lists() {
    let (mut store, mut context) = connected();
    store.has_keyed_lists = true;
    let lost = store.id_of("order.updated");
    store.webhooks.remove(&lost);
    let report = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(report.done, ["registered order.updated"]);
    assert_eq!(store.webhooks.len(), TOPICS.len() + 1);
    // The store is searched from the beginning, so the list of namespaces is read too.
    context.settings.remove("rest_root");
    let report = drive_on(&mut store, &mut context, CheckMode::Check);
    assert!(codes(&report).is_empty(), "{:?}", report.findings);
}

#[test]
fn a_webhook_that_the_store_has_is_known_however_many_there_were() {
    let webhook = |id: u64| Webhook {
        id,
        name: String::new(),
        status: "active".to_owned(),
        topic: "order.updated".to_owned(),
        delivery_url: TARGET.to_owned(),
        modified: String::new(),
    };
    let mut known = WebhookList::default();
    for id in 2..500 {
        known = known_with(&known, &[webhook(1), webhook(id)]);
    }
    let has = |id: &str| known.0.iter().any(|known| known.id == id);
    assert!(has("1") && has("499") && has("400"));
    assert!(!has("200"));
    assert_eq!(known.0.len(), 200);
}
