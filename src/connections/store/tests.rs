//! Stored states, and the order of installations.

use super::super::state::Condition;
use super::*;
use crate::database::MIGRATIONS;

#[test]
fn installations_that_removed_the_app_come_last() {
    let sqlite = Sqlite::open_in_memory().expect("a database");
    sqlite.execute_batch(MIGRATIONS[0]).expect("tables");
    let named = |name: &str| ConnectionId::new(name).expect("an id");
    let at = |second| Timestamp::from_second(second).expect("a time");
    for name in ["a", "b", "c", "d"] {
        let connection = Connection {
            parent: Some(named("app")),
            ..Connection::new(named(name), "platform", "instance", at(0))
        };
        assert!(add(&sqlite, &connection, &[]).expect("added"));
    }
    let set = |name: &str, condition, second| {
        let state = LifecycleState {
            condition,
            is_paused: false,
        };
        set_state(&sqlite, &named(name), state, at(second)).expect("set");
    };
    set("b", Condition::Degraded(Some("silent")), 1);
    set("c", Condition::Disconnected(Some("app_removed")), 2);
    set("a", Condition::Disconnected(Some("app_removed")), 3);
    let some = |limit| some_installations(&sqlite, &named("app"), limit).expect("some");
    assert_eq!(some(2), ["b", "d"].map(named));
    assert_eq!(some(20), ["b", "d", "a", "c"].map(named));
}

#[test]
fn a_state_is_read_as_stored_and_a_hidden_change_keeps_the_time() {
    let sqlite = Sqlite::open_in_memory().expect("a database");
    sqlite.execute_batch(MIGRATIONS[0]).expect("tables");
    let id = ConnectionId::new("shop").expect("an id");
    let at = |second| Timestamp::from_second(second).expect("a time");
    let connection = Connection::new(id.clone(), "platform", "kind", at(0));
    assert!(add(&sqlite, &connection, &[]).expect("added"));
    let state = |condition, is_paused| LifecycleState {
        condition,
        is_paused,
    };
    let steps = [
        (state(Condition::Degraded(Some("silent")), false), at(1)),
        (state(Condition::Degraded(Some("silent")), true), at(2)),
        (state(Condition::Disconnected(None), true), at(2)),
        (state(Condition::Connected, true), at(2)),
        (state(Condition::Connected, false), at(5)),
    ];
    for (second, (state, changed_at)) in (1..).zip(steps) {
        set_state(&sqlite, &id, state, at(second)).expect("set");
        let stored = get(&sqlite, &id).expect("read").expect("it exists");
        assert_eq!((stored.state(), stored.changed_at), (state, changed_at));
    }
}
