//! The table of transitions, cell by cell.

use super::super::state::Status;
use super::*;
use crate::platforms::api::FindingCode;

const OLD: &str = "old_reason";
const NEW: FindingCode = FindingCode::WebhookDisabled;

/// The columns of the table.
const STATES: [Option<Condition<'static>>; 4] = [
    None,
    Some(Condition::Connected),
    Some(Condition::Degraded(Some(OLD))),
    Some(Condition::Disconnected(Some(OLD))),
];

const EVENTS: [LifecycleEvent; 12] = [
    LifecycleEvent::Added,
    LifecycleEvent::FirstDelivery,
    LifecycleEvent::Installed,
    LifecycleEvent::Uninstalled,
    LifecycleEvent::Degraded(NEW),
    LifecycleEvent::Assessed(Assessment::Healthy),
    LifecycleEvent::Assessed(Assessment::Degraded(NEW)),
    LifecycleEvent::Assessed(Assessment::Disconnected(NEW)),
    LifecycleEvent::Assessed(Assessment::Inconclusive),
    LifecycleEvent::Paused,
    LifecycleEvent::Resumed,
    LifecycleEvent::Removed,
];

/// The row of an event: the new status with its reason, and the announced verb in parentheses. `-` means no change.
fn row(event: LifecycleEvent) -> [&'static str; 4] {
    match event {
        LifecycleEvent::Added | LifecycleEvent::FirstDelivery => {
            ["connected (connected)", "-", "-", "-"]
        }
        LifecycleEvent::Installed => ["connected", "-", "connected", "connected"],
        LifecycleEvent::Uninstalled => ["disconnected app_removed"; 4],
        LifecycleEvent::Degraded(_) => [
            "degraded webhook_disabled",
            "degraded webhook_disabled (degraded)",
            "degraded webhook_disabled",
            "-",
        ],
        LifecycleEvent::Assessed(Assessment::Healthy) => {
            ["-", "-", "connected (recovered)", "connected (recovered)"]
        }
        LifecycleEvent::Assessed(Assessment::Degraded(_)) => [
            "-",
            "degraded webhook_disabled (degraded)",
            "degraded webhook_disabled",
            "-",
        ],
        LifecycleEvent::Assessed(Assessment::Disconnected(_)) => [
            "-",
            "disconnected webhook_disabled (disconnected)",
            "disconnected webhook_disabled (disconnected)",
            "-",
        ],
        LifecycleEvent::Assessed(Assessment::Inconclusive) => ["-"; 4],
        LifecycleEvent::Paused => ["-", "paused operator", "paused operator", "paused operator"],
        LifecycleEvent::Resumed => ["-", "-", "connected (recovered)", "-"],
        LifecycleEvent::Removed => [
            "-",
            "disconnected operator (disconnected)",
            "disconnected operator (disconnected)",
            "disconnected operator (disconnected)",
        ],
    }
}

fn cell(transition: Option<Transition<'_>>) -> String {
    let Some(Transition {
        state,
        announcement,
    }) = transition
    else {
        return "-".to_owned();
    };
    let mut text = state.status().as_str().to_owned();
    if let Some(reason) = state.reason() {
        text = format!("{text} {reason}");
    }
    if let Some(announcement) = announcement {
        text = format!("{text} ({})", announcement.verb());
    }
    text
}

fn state(condition: Condition<'_>, is_paused: bool) -> LifecycleState<'_> {
    LifecycleState {
        condition,
        is_paused,
    }
}

#[test]
fn every_cell_of_the_table_gives_its_transition() {
    for event in EVENTS {
        for (condition, expected) in STATES.into_iter().zip(row(event)) {
            let before = condition.map(|condition| state(condition, false));
            assert_eq!(
                cell(transition(before, event)),
                expected,
                "{before:?}, {event:?}"
            );
        }
    }
}

#[test]
fn a_paused_connection_changes_its_condition_like_another_one() {
    let of_operator = [
        LifecycleEvent::Paused,
        LifecycleEvent::Resumed,
        LifecycleEvent::Removed,
    ];
    for event in EVENTS {
        if of_operator.contains(&event) {
            continue;
        }
        for condition in STATES.into_iter().flatten() {
            let running = transition(Some(state(condition, false)), event);
            let paused = transition(Some(state(condition, true)), event);
            let expected = running.map(|running| Transition {
                state: state(running.state.condition, true),
                ..running
            });
            assert_eq!(paused, expected, "{condition:?}, {event:?}");
        }
    }
}

#[test]
fn a_pause_hides_the_condition_and_is_not_announced() {
    for condition in STATES.into_iter().flatten() {
        let (running, paused) = (state(condition, false), state(condition, true));
        let to = |state| {
            Some(Transition {
                state,
                announcement: None,
            })
        };
        assert_eq!(
            transition(Some(running), LifecycleEvent::Paused),
            to(paused)
        );
        assert_eq!(transition(Some(paused), LifecycleEvent::Paused), None);
        assert_eq!(
            transition(Some(paused), LifecycleEvent::Resumed),
            to(running)
        );
        let removed = transition(Some(paused), LifecycleEvent::Removed);
        assert_eq!(cell(removed), "disconnected operator (disconnected)");
        assert_eq!(paused.status(), Status::Paused);
    }
}

#[test]
fn an_event_that_repeats_the_reason_changes_nothing() {
    let degraded = state(Condition::Degraded(Some(NEW.as_str())), false);
    for event in [
        LifecycleEvent::Degraded(NEW),
        LifecycleEvent::Assessed(Assessment::Degraded(NEW)),
    ] {
        assert_eq!(transition(Some(degraded), event), None);
    }
    let removed = state(Condition::Disconnected(Some(APP_REMOVED)), false);
    assert_eq!(transition(Some(removed), LifecycleEvent::Uninstalled), None);
}
