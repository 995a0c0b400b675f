//! What becomes of events that arrive in any order and more than once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Comparison, Observation, Rules, compare};
use crate::entities::form::EntityForm;
use crate::entities::state::{EntityState, EntityVersion};
use crate::platforms::ContentDigest;

const RULES: Rules<'static> = Rules {
    complete_since: jiff::Timestamp::UNIX_EPOCH,
    platform_types: &[],
    low_stock: None,
    publishes_unchanged: false,
    publishes_stale: false,
};

/// An order that was changed at this second, with these statuses.
fn order(second: i64, status: &str, payment: &str) -> Value {
    json!({
        "id": "727",
        "status": status,
        "payment_status": payment,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": jiff::Timestamp::from_second(second).expect("a time").to_string(),
    })
}

fn form_of(form: &Value) -> EntityForm {
    EntityForm::from_text(form.to_string().into())
}

fn digest(form: &Value) -> ContentDigest {
    let mut content = form.clone();
    content
        .as_object_mut()
        .expect("an object")
        .remove("updated_at");
    let mut bytes = [0; 16];
    for (index, byte) in content.to_string().bytes().enumerate() {
        bytes[index % 16] = byte
            .wrapping_mul(31)
            .wrapping_add(bytes[index % 16])
            .rotate_left(3);
    }
    ContentDigest::from_bytes(bytes)
}

fn seen(verb: &'static str, form: Value) -> Observation<'static> {
    let time = form.get("updated_at").and_then(Value::as_str);
    let time: Option<jiff::Timestamp> = time.map(|time| time.parse().expect("a time"));
    Observation {
        entity: "order",
        verb,
        content: digest(&form),
        version: EntityVersion {
            sequence: None,
            updated_at: time,
        },
        form: form_of(&form),
        time: time.unwrap_or_default(),
        position: 0,
        is_whole: true,
    }
}

/// Feeds observations in this order, and collects what would be published: verbs, and derived verbs with a plus.
fn published(observations: Vec<Observation<'_>>, rules: &Rules<'_>) -> Vec<String> {
    let mut state: Option<EntityState> = None;
    let mut verbs = Vec::new();
    for seen in observations {
        match compare(state.as_ref(), &seen, rules) {
            Comparison::Unchanged(version) => {
                if let Some(state) = &mut state {
                    state.version = version;
                }
            }
            Comparison::Stale => {}
            Comparison::StaleButNews(next) => {
                verbs.push(format!("{}?", seen.verb));
                state = Some(*next);
            }
            Comparison::Changed {
                derived,
                next,
                is_created_again,
                ..
            } => {
                let verb = if is_created_again {
                    "updated"
                } else {
                    seen.verb
                };
                verbs.push(verb.to_owned());
                let derived = derived.iter().map(|derived| derived.transition.verb());
                verbs.extend(derived.map(|verb| format!("+{verb}")));
                state = Some(*next);
            }
        }
    }
    verbs
}

#[test]
fn created_and_identical_update_are_one_event() {
    let created = seen("created", order(10, "open", "pending"));
    let updated = seen("updated", order(10, "open", "pending"));
    let touched = seen("updated", order(15, "open", "pending"));
    assert_eq!(
        published(vec![created, updated, touched], &RULES),
        ["created"]
    );
}

#[test]
fn second_creation_with_another_content_is_an_update() {
    let created = |second, payment| seen("created", order(second, "open", payment));
    assert_eq!(
        published(vec![created(10, "pending"), created(11, "paid")], &RULES),
        ["created", "updated", "+paid"]
    );
}

#[test]
fn paid_order_is_paid_once_in_whatever_order_its_events_arrive() {
    let all = [
        seen("created", order(10, "open", "pending")),
        seen("updated", order(11, "open", "pending")),
        seen("updated", order(12, "open", "paid")),
        seen("updated", order(13, "open", "paid")),
        seen("updated", order(14, "completed", "paid")),
    ];
    let mut indexes: Vec<usize> = (0..all.len()).collect();
    let mut seen_orders = BTreeSet::new();
    // All 120 permutations, by Heap's algorithm.
    let mut counters = vec![0; indexes.len()];
    let mut index = 0;
    loop {
        let in_order: Vec<_> = indexes.iter().map(|index| all[*index].clone()).collect();
        let verbs = published(in_order, &RULES);
        let paid = verbs.iter().filter(|verb| *verb == "+paid").count();
        assert_eq!(paid, 1, "{indexes:?}: {verbs:?}");
        seen_orders.insert(indexes.clone());
        while index < indexes.len() && counters[index] >= index {
            counters[index] = 0;
            index += 1;
        }
        if index == indexes.len() {
            break;
        }
        let other = if index % 2 == 0 { 0 } else { counters[index] };
        indexes.swap(other, index);
        counters[index] += 1;
        index = 0;
    }
    assert_eq!(seen_orders.len(), 120);
}

#[test]
fn older_update_is_stale_and_older_creation_is_published_as_news() {
    let newest = seen("updated", order(20, "completed", "paid"));
    let older = seen("updated", order(15, "open", "paid"));
    let created = seen("created", order(10, "open", "pending"));
    let again = created.clone();
    let verbs = published(vec![newest, older, created, again], &RULES);
    assert_eq!(verbs, ["updated", "+paid", "created?"]);
}

#[test]
fn update_between_two_versions_of_the_same_content_is_stale() {
    let first = seen("updated", order(10, "open", "pending"));
    let last = seen("updated", order(30, "open", "pending"));
    let between = seen("updated", order(20, "cancelled", "pending"));
    let verbs = published(vec![first, last, between], &RULES);
    assert_eq!(verbs, ["updated"]);
}

#[test]
fn terminal_status_wins_within_one_second() {
    let paid = seen("updated", order(10, "completed", "paid"));
    let pending = seen("updated", order(10, "open", "pending"));
    assert_eq!(
        published(vec![paid.clone(), pending.clone()], &RULES),
        ["updated", "+paid"]
    );
    let verbs = published(vec![pending, paid], &RULES);
    assert_eq!(verbs, ["updated", "updated", "+paid", "+status_changed"]);
}

#[test]
fn deletion_is_published_once_and_a_late_update_does_not_undo_it() {
    let known = seen("created", order(10, "open", "pending"));
    let mut id_only = seen("deleted", json!({"id": "727"}));
    id_only.is_whole = false;
    let late = seen("updated", order(10, "open", "pending"));
    let restored = seen("restored", order(20, "open", "pending"));
    let events = vec![known, id_only.clone(), id_only, late, restored];
    assert_eq!(
        published(events, &RULES),
        ["created", "deleted", "restored"]
    );
}

#[test]
fn unknown_past_of_an_older_order_derives_nothing() {
    let rules = Rules {
        complete_since: "2026-02-01T00:00:00Z".parse().expect("a time"),
        ..RULES
    };
    let updated = seen("updated", order(10, "open", "paid"));
    assert_eq!(published(vec![updated], &rules), ["updated"]);
}

#[test]
fn transition_that_the_platform_reports_is_not_derived_too() {
    let rules = Rules {
        platform_types: &[("order", "cancelled")],
        ..RULES
    };
    let open = seen("created", order(10, "open", "pending"));
    let updated = seen("updated", order(12, "cancelled", "pending"));
    let cancelled = seen("cancelled", order(12, "cancelled", "pending"));
    let again = seen("cancelled", order(12, "cancelled", "pending"));
    let verbs = published(vec![open, updated, cancelled, again], &rules);
    assert_eq!(
        verbs,
        ["created", "updated", "+status_changed", "cancelled"]
    );
}

#[test]
fn derived_verb_is_not_published_again_by_the_platform() {
    let open = seen("created", order(10, "open", "pending"));
    let updated = seen("updated", order(12, "cancelled", "pending"));
    let cancelled = seen("cancelled", order(12, "cancelled", "pending"));
    let verbs = published(vec![open, updated, cancelled], &RULES);
    assert_eq!(
        verbs,
        ["created", "updated", "+cancelled", "+status_changed"]
    );
}

#[test]
fn partial_event_changes_its_members_only() {
    let whole = seen("created", order(10, "open", "pending"));
    let part = |payment: &str| Observation {
        is_whole: false,
        ..seen(
            "payment_updated",
            json!({"id": "727", "payment_status": payment}),
        )
    };
    let Comparison::Changed { next: known, .. } = compare(None, &whole, &RULES) else {
        panic!("a new entity changes");
    };
    let Comparison::Changed { changes, next, .. } = compare(Some(&known), &part("paid"), &RULES)
    else {
        panic!("another payment status changes");
    };
    assert_eq!(
        changes.expect("a known state").pointers,
        ["/payment_status"]
    );
    assert_eq!(next.value()["status"], "open");
    assert!(next.is_whole);
}

#[test]
fn options_publish_unchanged_and_stale_events() {
    let rules = Rules {
        publishes_unchanged: true,
        publishes_stale: true,
        ..RULES
    };
    let created = seen("created", order(10, "open", "pending"));
    let same = seen("updated", order(10, "open", "pending"));
    let newer = seen("updated", order(20, "completed", "pending"));
    let older = seen("updated", order(15, "open", "pending"));
    let verbs = published(vec![created, same, newer, older], &rules);
    assert_eq!(
        verbs,
        [
            "created",
            "updated",
            "updated",
            "+status_changed",
            "updated?"
        ]
    );
}

#[test]
fn transition_that_repeats_is_published_each_time() {
    let orders = [
        seen("created", order(10, "open", "pending")),
        seen("updated", order(11, "completed", "pending")),
        seen("updated", order(12, "open", "pending")),
    ];
    assert_eq!(
        published(orders.to_vec(), &RULES),
        [
            "created",
            "updated",
            "+status_changed",
            "updated",
            "+status_changed"
        ]
    );
    let refunded = |second: i64, amount: &str| {
        let mut form = order(second, "open", "partially_refunded");
        form["totals"] = json!({"refunded": {"amount": amount, "currency": "EUR"}});
        seen("updated", form)
    };
    let refunds = vec![
        seen("created", order(10, "open", "paid")),
        refunded(11, "5.00"),
        refunded(12, "8.00"),
    ];
    let verbs = published(refunds, &RULES);
    let count = verbs.iter().filter(|verb| *verb == "+refunded").count();
    assert_eq!(count, 2, "{verbs:?}");
}

#[test]
fn late_event_of_a_verb_that_repeats_is_published_as_news() {
    let newer = seen("refunded", order(12, "open", "refunded"));
    let older = seen("refunded", order(11, "open", "partially_refunded"));
    let verbs = published(vec![newer, older], &RULES);
    assert_eq!(verbs.last().map(String::as_str), Some("refunded?"));
}

/// A deletion that carries only the id and arrives at this second.
fn deleted(second: i64) -> Observation<'static> {
    Observation {
        is_whole: false,
        version: EntityVersion::default(),
        time: jiff::Timestamp::from_second(second).expect("a time"),
        ..seen("deleted", json!({"id": "727"}))
    }
}

fn at(position: i64, seen: Observation<'static>) -> Observation<'static> {
    Observation { position, ..seen }
}

fn counted(sequence: u64, seen: Observation<'static>) -> Observation<'static> {
    Observation {
        version: EntityVersion {
            sequence: Some(sequence),
            ..seen.version
        },
        ..seen
    }
}

/// The state after these observations.
fn state_after(observations: Vec<Observation<'_>>) -> EntityState {
    let mut state: Option<EntityState> = None;
    for seen in observations {
        match compare(state.as_ref(), &seen, &RULES) {
            Comparison::Changed { next, .. } | Comparison::StaleButNews(next) => {
                state = Some(*next);
            }
            Comparison::Unchanged(_) | Comparison::Stale => {}
        }
    }
    state.expect("a state")
}

#[test]
fn creation_that_is_retried_after_a_deletion_does_not_undo_it() {
    let created = seen("created", order(10, "open", "pending"));
    let all = vec![
        at(1, created.clone()),
        at(2, deleted(20)),
        at(3, created.clone()),
    ];
    assert_eq!(
        published(all.clone(), &RULES),
        ["created", "deleted", "created?"]
    );
    assert!(state_after(all).is_deleted);
    let all = vec![at(1, deleted(20)), at(2, created)];
    assert_eq!(published(all.clone(), &RULES), ["deleted", "created?"]);
    assert!(state_after(all).is_deleted);
}

#[test]
fn late_deletion_does_not_undo_a_restored_entity() {
    let all = vec![
        counted(1, seen("created", order(10, "open", "pending"))),
        counted(3, seen("restored", order(30, "open", "pending"))),
        counted(2, deleted(20)),
    ];
    assert_eq!(
        published(all.clone(), &RULES),
        ["created", "restored", "deleted?"]
    );
    assert!(!state_after(all).is_deleted);
}

#[test]
fn restored_entity_lives_although_its_deletion_arrived_late() {
    let all = vec![
        at(1, seen("created", order(10, "open", "pending"))),
        at(2, deleted(40)),
        at(3, seen("restored", order(30, "open", "pending"))),
    ];
    assert_eq!(
        published(all.clone(), &RULES),
        ["created", "deleted", "restored"]
    );
    assert!(!state_after(all).is_deleted);
}

#[test]
fn update_from_before_a_first_deletion_is_stale() {
    let late = seen("updated", order(10, "open", "pending"));
    assert_eq!(published(vec![deleted(20), late], &RULES), ["deleted"]);
}

#[test]
fn deleted_order_keeps_no_personal_data_and_is_not_paid_twice() {
    let with_address = |second: i64| {
        let mut form = order(second, "completed", "paid");
        form["billing_address"] = json!({"last_name": "Lovelace"});
        form
    };
    let all = vec![at(1, seen("created", with_address(10))), at(2, deleted(20))];
    let known = state_after(all.clone());
    assert!(!known.form.contains("Lovelace"), "{}", known.form);
    assert_eq!(known.value()["payment_status"], "paid");
    let restored = at(3, seen("restored", with_address(30)));
    let all = [all, vec![restored]].concat();
    assert_eq!(
        published(all.clone(), &RULES),
        ["created", "+paid", "deleted", "restored"]
    );
    let known = state_after(all);
    assert!(known.is_whole && known.form.contains("Lovelace"));
}

#[test]
fn restored_order_is_compared_with_its_status_before_the_trash() {
    let form = |second: i64, platform_status: &str, fulfillment: &str| {
        let mut form = order(second, "completed", "paid");
        form["platform_status"] = json!(platform_status);
        form["fulfillment_status"] = json!(fulfillment);
        form
    };
    let all = vec![
        at(1, seen("created", form(10, "completed", "fulfilled"))),
        at(2, seen("deleted", form(20, "trash", "unknown"))),
        at(3, seen("restored", form(30, "completed", "fulfilled"))),
        at(4, seen("updated", form(40, "refunded", "fulfilled"))),
    ];
    assert_eq!(
        published(all, &RULES),
        [
            "created",
            "+paid",
            "+fulfilled",
            "deleted",
            "restored",
            "updated",
            "+status_changed"
        ]
    );
}

#[test]
fn events_without_versions_count_in_the_order_of_their_arrival() {
    let without = |position: i64, status: &str| Observation {
        version: EntityVersion::default(),
        ..at(position, seen("updated", order(10, status, "pending")))
    };
    let all = vec![
        without(1, "open"),
        without(3, "completed"),
        without(2, "open"),
    ];
    let state = state_after(all.clone());
    assert_eq!(
        (state.status.as_deref(), state.revision),
        (Some("completed"), 2)
    );
    assert_eq!(
        published(all, &RULES).len(),
        3,
        "no event is published for the older one"
    );
}
