//! Whatever a plugin puts into a payload, it is normalized without a panic and without losing the entity.

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::delivery::ConnectionId;
use crate::event::data::{OrderStatus, PaymentStatus};

/// What plugins and older versions put where something else is expected.
const ODDITIES: [&str; 14] = [
    "null",
    "true",
    "\"\"",
    "\"0\"",
    "\"-\"",
    "\"ü\"",
    "0",
    "-1.50",
    "1e400",
    "1e-400",
    "[]",
    "{}",
    "[null,[],{},\"\",7]",
    "{\"a\":{\"b\":[1]}}",
];

/// A payload with a member of every name that is read anywhere.
const EVERYTHING: &str = r#"{"id":5,"status":"processing","type":"variation","currency":"EUR","number":"5","date_created_gmt":"2026-03-02T09:15:00",
"date_modified_gmt":"2026-03-02T09:15:00","date_paid_gmt":"2026-03-02T09:15:00","date_paid":"2026-03-02T09:15:00","total":"1.00","discount_total":"0",
"shipping_total":"0","total_tax":"0","customer_id":1,"billing":{"email":"a@example.test"},"shipping":{"city":"Leith"},"customer_note":"x",
"line_items":[{"id":1,"name":"a","subtotal":"1","total":"1","price":1,"quantity":1,"meta_data":[{"key":"k","value":"v"}]}],
"shipping_lines":[{"id":1}],"fee_lines":[{"total":"1"}],"coupon_lines":[{"code":"c"}],"refunds":[{"id":2,"total":"-1"}],"prices_include_tax":true,
"payment_details":{"paid":true},"name":"n","slug":"s","sku":"k","price":"1","regular_price":"1","sale_price":"1","catalog_visibility":"visible",
"images":[{"id":1,"src":"https://shop.example/a.jpg"}],"categories":[{"id":1,"name":"c"}],"tags":[{"name":"t"}],"attributes":[{"name":"a","option":"b"}],
"variations":[1],"manage_stock":true,"stock_quantity":1,"stock_status":"instock","in_stock":true,"backordered":false,"weight":"1","parent_id":4,
"email":"a@example.test","role":"customer","orders_count":1,"total_spent":"1","code":"c","amount":"1","discount_type":"percent","usage_limit":1,
"usage_limit_per_user":1,"usage_count":1,"product_ids":[1],"excluded_product_ids":[1],"minimum_amount":"1","maximum_amount":"1","date_expires_gmt":null}"#;

fn normalized(topic: &str, body: &str) -> Normalized {
    normalize(&JournaledDelivery {
        platform: "woocommerce".to_owned(),
        endpoint: ConnectionId::new("shop").expect("an id"),
        connection: ConnectionId::new("shop").expect("an id"),
        topic: topic.to_owned(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        received_at: Timestamp::UNIX_EPOCH,
        enriched: None,
    })
}

#[test]
fn no_oddity_in_any_member_loses_the_entity() {
    let whole: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(EVERYTHING).expect("a payload");
    for resource in Resource::ALL {
        let topic = format!("{}.updated", resource.word());
        for name in whole.keys().filter(|name| *name != "id") {
            for oddity in ODDITIES {
                let mut payload = whole.clone();
                payload.insert(name.clone(), serde_json::from_str(oddity).expect("JSON"));
                let body = serde_json::to_string(&payload).expect("JSON");
                let Normalized::Events {
                    normalized_events, ..
                } = normalized(&topic, &body)
                else {
                    panic!("{topic} {name} {oddity}")
                };
                assert_eq!(normalized_events[0].id, "5", "{topic} {name} {oddity}");
                assert_eq!(normalized_events[0].authority, Authority::Full);
            }
        }
    }
}

#[test]
fn no_oddity_in_place_of_a_payload_is_lost_without_a_reason() {
    for topic in [
        "order.updated",
        "product.deleted",
        "action.wc_x",
        "x.y",
        "",
        ".",
        "action.",
        "order.",
    ] {
        for oddity in ODDITIES {
            for body in [
                oddity.to_owned(),
                format!("{{\"id\":{oddity}}}"),
                format!("{{\"order\":{oddity}}}"),
                format!("{{\"arg\":{oddity}}}"),
            ] {
                match normalized(topic, &body) {
                    Normalized::Events {
                        normalized_events, ..
                    } => {
                        assert!(!normalized_events[0].id.is_empty(), "{topic} {body}")
                    }
                    Normalized::Ignored { .. } | Normalized::Unreadable { .. } => {}
                }
            }
        }
    }
}

#[test]
fn an_empty_topic_is_passed_on_under_some_id() {
    let Normalized::Events {
        normalized_events, ..
    } = normalized("", "{}")
    else {
        panic!("no event")
    };
    assert_eq!(
        (
            normalized_events[0].id.as_str(),
            normalized_events[0].entity.name()
        ),
        ("unknown", "unrecognized")
    );
    let Normalized::Events {
        normalized_events, ..
    } = normalized("", r#"{"id":"a\nb"}"#)
    else {
        panic!("no event")
    };
    assert_eq!(normalized_events[0].id, "unknown");
}

#[test]
fn lost_rights_are_a_signal_about_the_connection() {
    let body = r#"{"code":"woocommerce_rest_cannot_view","message":"","data":{"status":403}}"#;
    let Normalized::Events { signal, .. } = normalized("order.updated", body) else {
        panic!("no event")
    };
    assert_eq!(
        signal,
        Some(crate::platforms::normalized::ConnectionSignal::Degraded(
            crate::platforms::api::FindingCode::WebhookOwnerLostRights
        ))
    );
}

#[test]
fn any_hook_is_an_action_with_a_verb_that_a_routing_key_can_carry() {
    let long = "x".repeat(190);
    for (hook, verb) in [
        ("woocommerce_order_refunded", "woocommerce_order_refunded"),
        ("acf/save_post", "acf_save_post"),
        ("My.Hook-1", "my_hook_1"),
        ("save post", "save_post"),
        ("größe", "gr__e"),
        ("a.b#c*d", "a_b_c_d"),
        (long.as_str(), &long[..128]),
    ] {
        let body = r#"{"action":"x","arg":[]}"#;
        let Normalized::Events {
            normalized_events, ..
        } = normalized(&format!("action.{hook}"), body)
        else {
            panic!("no event: {hook}")
        };
        assert_eq!(normalized_events[0].verb, verb);
        let Entity::Action(action) = &normalized_events[0].entity else {
            panic!("no action: {hook}")
        };
        assert_eq!(action.hook.as_deref(), Some(hook), "the name as it is");
        assert_eq!(action.id, hook);
    }
}

#[test]
fn every_part_payment_status_counts_regardless_of_dates() {
    for word in [
        "partial-payment",
        "partially-paid",
        "deposit-paid",
        "partial-paid",
        "deposit",
    ] {
        for prefix in ["", "wc-"] {
            for date in ["null", "\"2026-03-02T09:16:00\"", "\"soon\""] {
                let body = format!(
                    r#"{{"id":5,"status":"{prefix}{word}","total":"10.00","date_paid_gmt":{date}}}"#
                );
                let order = order(&body);
                assert_eq!(
                    order.payment_status,
                    Some(PaymentStatus::PartiallyPaid),
                    "{body}"
                );
                assert_eq!(order.status, Some(OrderStatus::Open));
            }
        }
    }
}

#[test]
fn payment_status_needs_all_members_that_decide_it() {
    const PAID: &str = "\"2026-03-02T09:16:00\"";
    for (status, date, refunds, needs_payment, wanted) in [
        ("processing", PAID, "[]", "false", PaymentStatus::Paid),
        ("processing", PAID, "null", "0", PaymentStatus::Paid),
        ("processing", PAID, "{}", "null", PaymentStatus::Paid),
        ("processing", PAID, "7", "false", PaymentStatus::Unknown),
        ("processing", PAID, "[{}]", "false", PaymentStatus::Unknown),
        ("processing", PAID, "[]", "true", PaymentStatus::Unknown),
        ("processing", PAID, "[]", "[]", PaymentStatus::Unknown),
        ("processing", "true", "[]", "false", PaymentStatus::Unknown),
        ("pending", PAID, "[]", "1", PaymentStatus::Unknown),
        ("pending", "null", "[]", "true", PaymentStatus::Unpaid),
        ("pending", "\"x\"", "[]", "true", PaymentStatus::Unknown),
        ("failed", PAID, "[]", "true", PaymentStatus::Failed),
        ("cancelled", "null", "[]", "false", PaymentStatus::Unpaid),
        ("cancelled", "[]", "[]", "false", PaymentStatus::Unknown),
        ("refunded", PAID, "[]", "false", PaymentStatus::Refunded),
        (
            "refunded",
            PAID,
            r#"{"3":{"total":"-4"}}"#,
            "false",
            PaymentStatus::PartiallyRefunded,
        ),
        (
            "refunded",
            PAID,
            r#"[{"total":"-4"},{"total":"-6.00"}]"#,
            "false",
            PaymentStatus::Refunded,
        ),
        (
            "refunded",
            PAID,
            r#"[{"total":"--4"}]"#,
            "false",
            PaymentStatus::Unknown,
        ),
    ] {
        let body = format!(
            r#"{{"id":5,"status":"{status}","total":"10.00","date_paid_gmt":{date},"refunds":{refunds},"needs_payment":{needs_payment}}}"#
        );
        assert_eq!(order(&body).payment_status, Some(wanted), "{body}");
    }
}

fn order(body: &str) -> Order {
    let Normalized::Events {
        normalized_events, ..
    } = normalized("order.updated", body)
    else {
        panic!("no event: {body}")
    };
    let Entity::Order(order) = &normalized_events[0].entity else {
        panic!("no order: {body}")
    };
    (**order).clone()
}

fn payment_of(order: &str) -> Option<PaymentStatus> {
    let Normalized::Events {
        normalized_events, ..
    } = normalized("order.updated", order)
    else {
        panic!("no event: {order}")
    };
    match &normalized_events[0].entity {
        Entity::Order(order) => order.payment_status,
        other => panic!("no order: {other:?}"),
    }
}

#[test]
fn a_payment_date_of_a_version_without_needs_payment_is_judged_the_same() {
    for needs_payment in ["", r#","needs_payment":true"#] {
        for (status, wanted) in [
            ("pending", PaymentStatus::Unknown),
            ("failed", PaymentStatus::Failed),
        ] {
            let order = format!(
                r#"{{"id":5,"status":"{status}","total":"9.00","date_paid_gmt":"2026-05-04T10:00:30","refunds":[]{needs_payment}}}"#
            );
            assert_eq!(payment_of(&order), Some(wanted), "{order}");
        }
    }
    let free =
        r#"{"id":5,"status":"pending","total":"0.00","date_paid_gmt":"2026-05-04T10:00:30"}"#;
    assert_eq!(payment_of(free), Some(PaymentStatus::Paid));
    let processing =
        r#"{"id":5,"status":"processing","total":"9.00","date_paid_gmt":"2026-05-04T10:00:30"}"#;
    assert_eq!(payment_of(processing), Some(PaymentStatus::Paid));
}

#[test]
fn a_part_payment_is_one_in_every_spelling_of_its_status() {
    for status in ["partially-paid", "wc-partially_paid", "Deposit-Paid"] {
        let order = format!(
            r#"{{"id":5,"status":"{status}","total":"9.00","date_paid_gmt":"2026-05-04T10:00:30"}}"#
        );
        assert_eq!(payment_of(&order), Some(PaymentStatus::PartiallyPaid));
    }
}

#[test]
fn dates_in_the_zone_of_the_store_are_not_taken_for_utc() {
    let created = |body: &str| {
        let Normalized::Events {
            normalized_events, ..
        } = normalized("order.updated", body)
        else {
            panic!("no event: {body}")
        };
        normalized_events[0].entity.clone()
    };
    let of = |entity: Entity| match entity {
        Entity::Order(order) => order.created_at.map(|at| at.to_string()),
        other => panic!("no order: {other:?}"),
    };
    let v1 = r#"{"id":5,"date_created":"2026-05-04T12:00:00"}"#;
    assert_eq!(of(created(v1)).as_deref(), Some("2026-05-04T12:00:00Z"));
    let without_gmt = r#"{"id":5,"date_created":"2026-05-04T12:00:00","meta_data":[]}"#;
    assert_eq!(of(created(without_gmt)), None);
}

#[test]
fn meta_data_that_maps_names_to_values_keeps_every_name() {
    let body = r#"{"id":5,"line_items":[{"id":1,"meta_data":{"name":"Anna","title":"Dr.","_own":"x"}},
        {"id":2,"meta_data":{"id":7,"key":"pa_color","display_key":"Color","display_value":"Red"}}]}"#;
    let Normalized::Events {
        normalized_events, ..
    } = normalized("order.updated", body)
    else {
        panic!("no event")
    };
    let Entity::Order(order) = &normalized_events[0].entity else {
        panic!("no order")
    };
    let shown: Vec<Vec<String>> = order
        .line_items
        .iter()
        .flatten()
        .map(|line| {
            let options = line.options.iter().flatten();
            options
                .map(|option| {
                    let (name, value) = (option.name.as_deref(), option.value.as_deref());
                    format!(
                        "{}: {}",
                        name.unwrap_or_default(),
                        value.unwrap_or_default()
                    )
                })
                .collect()
        })
        .collect();
    assert_eq!(
        shown,
        [vec!["name: Anna", "title: Dr."], vec!["Color: Red"]]
    );
}
