//! The states of a connection, and the only table of transitions between them: [`transition`], a pure function.
//!
//! A connection has a [`Condition`]. The operator can pause it. A pause hides the condition, and the condition of a paused
//! connection continues to change. It becomes visible when the operator resumes the connection.
//!
//! The cells show the new condition and, in parentheses, the announced event. `–` means no change. A new reason of the same
//! condition is stored and not announced.
//!
//! | event | new | connected | degraded | disconnected |
//! |---|---|---|---|---|
//! | added by the operator | connected (connected) | – | – | – |
//! | first delivery of an installation | connected (connected) | – | – | – |
//! | installed, as the platform reports | connected | – | connected | connected |
//! | uninstalled, as the platform reports | disconnected | disconnected | disconnected | new reason |
//! | degraded, as a delivery reports | degraded | degraded (degraded) | new reason | – |
//! | assessed as healthy | – | – | connected (recovered) | connected (recovered) |
//! | assessed as degraded | – | degraded (degraded) | new reason | – |
//! | assessed as disconnected | – | disconnected (disconnected) | disconnected (disconnected) | – |
//! | assessed as inconclusive | – | – | – | – |
//! | resumed by the operator, not paused | – | – | connected (recovered) | – |
//! | removed by the operator | – | disconnected (disconnected) | disconnected (disconnected) | disconnected (disconnected) |
//!
//! The platform's own reports are published as events of their own, so they are not announced a second time. Pausing and
//! resuming a paused connection change no condition and are not announced.
//!
//! `monitor` makes the assessments, and `journal::announce` stores the new state together with the announced event.

use super::state::{Condition, LifecycleState, OPERATOR};
use crate::event::verbs;
use crate::platforms::api::FindingCode;

/// Reason of an installation whose site removed the app.
const APP_REMOVED: &str = "app_removed";

/// An assessment of a connection's condition, from a check and from its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// The connection works.
    Healthy,
    /// A part does not work; with the reason code.
    Degraded(FindingCode),
    /// The store removed the gateway's access; with the reason code.
    Disconnected(FindingCode),
    /// The check proved nothing: the condition stays.
    Inconclusive,
}

/// An event that can change the state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The operator added the connection.
    Added,
    /// The first delivery of an installation arrived, and it reports no change of the installation.
    FirstDelivery,
    /// The operator paused the connection.
    Paused,
    /// The operator resumed a paused connection, or declared a degraded one to be repaired.
    Resumed,
    /// The operator removed the connection.
    Removed,
    /// The platform reported the installation of the app.
    Installed,
    /// The platform reported the removal of the app.
    Uninstalled,
    /// A delivery shows a problem; with the reason code.
    Degraded(FindingCode),
    Assessed(Assessment),
}

/// An event for consumers that announces a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    Connected,
    Degraded,
    Recovered,
    Disconnected,
}

impl Announcement {
    /// The verb in the event's type.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Announcement::Connected => verbs::CONNECTED,
            Announcement::Degraded => verbs::DEGRADED,
            Announcement::Recovered => verbs::RECOVERED,
            Announcement::Disconnected => verbs::DISCONNECTED,
        }
    }
}

/// A change of a connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition<'a> {
    pub state: LifecycleState<'a>,
    /// The event that announces the new condition to consumers.
    pub announcement: Option<Announcement>,
}

impl<'a> Transition<'a> {
    fn of(state: LifecycleState<'a>, change: ConditionChange<'a>) -> Self {
        let ConditionChange {
            condition,
            announcement,
        } = change;
        Self {
            state: LifecycleState { condition, ..state },
            announcement,
        }
    }
}

/// A change of the condition alone.
#[derive(Clone, Copy)]
struct ConditionChange<'a> {
    condition: Condition<'a>,
    announcement: Option<Announcement>,
}

impl<'a> ConditionChange<'a> {
    fn announced(condition: Condition<'a>, announcement: Announcement) -> Self {
        Self {
            condition,
            announcement: Some(announcement),
        }
    }

    fn silent(condition: Condition<'a>) -> Self {
        Self {
            condition,
            announcement: None,
        }
    }
}

/// The transition that an event causes; `None` if the state stays. `state` is `None` for a connection that does not exist.
#[must_use]
pub fn transition<'a>(
    state: Option<LifecycleState<'a>>,
    event: LifecycleEvent,
) -> Option<Transition<'a>> {
    let Some(state) = state else {
        let unpaused = LifecycleState {
            condition: Condition::Connected,
            is_paused: false,
        };
        return first_condition(event).map(|change| Transition::of(unpaused, change));
    };
    let pause = |is_paused| Transition {
        state: LifecycleState { is_paused, ..state },
        announcement: None,
    };
    match event {
        LifecycleEvent::Paused if state.is_paused => None,
        LifecycleEvent::Paused => Some(pause(true)),
        LifecycleEvent::Resumed if state.is_paused => Some(pause(false)),
        LifecycleEvent::Removed => Some(Transition {
            state: LifecycleState {
                condition: Condition::Disconnected(Some(OPERATOR)),
                is_paused: false,
            },
            announcement: Some(Announcement::Disconnected),
        }),
        LifecycleEvent::Added
        | LifecycleEvent::FirstDelivery
        | LifecycleEvent::Resumed
        | LifecycleEvent::Installed
        | LifecycleEvent::Uninstalled
        | LifecycleEvent::Degraded(_)
        | LifecycleEvent::Assessed(_) => {
            next_condition(state.condition, event).map(|change| Transition::of(state, change))
        }
    }
}

/// The first condition of a new connection.
fn first_condition(event: LifecycleEvent) -> Option<ConditionChange<'static>> {
    match event {
        LifecycleEvent::Added | LifecycleEvent::FirstDelivery => Some(ConditionChange::announced(
            Condition::Connected,
            Announcement::Connected,
        )),
        LifecycleEvent::Installed => Some(ConditionChange::silent(Condition::Connected)),
        LifecycleEvent::Uninstalled => Some(ConditionChange::silent(Condition::Disconnected(
            Some(APP_REMOVED),
        ))),
        LifecycleEvent::Degraded(reason) => Some(ConditionChange::silent(Condition::Degraded(
            Some(reason.as_str()),
        ))),
        LifecycleEvent::Paused
        | LifecycleEvent::Resumed
        | LifecycleEvent::Removed
        | LifecycleEvent::Assessed(_) => None,
    }
}

/// The next condition of an existing connection; `None` if the condition stays.
fn next_condition<'a>(
    condition: Condition<'a>,
    event: LifecycleEvent,
) -> Option<ConditionChange<'a>> {
    match event {
        LifecycleEvent::Assessed(Assessment::Healthy) => match condition {
            Condition::Connected => None,
            Condition::Degraded(_) | Condition::Disconnected(_) => Some(recovered()),
        },
        LifecycleEvent::Resumed => match condition {
            Condition::Degraded(_) => Some(recovered()),
            Condition::Connected | Condition::Disconnected(_) => None,
        },
        LifecycleEvent::Degraded(reason)
        | LifecycleEvent::Assessed(Assessment::Degraded(reason)) => {
            degraded(condition, reason.as_str())
        }
        LifecycleEvent::Assessed(Assessment::Disconnected(reason)) => match condition {
            Condition::Disconnected(_) => None,
            Condition::Connected | Condition::Degraded(_) => Some(ConditionChange::announced(
                Condition::Disconnected(Some(reason.as_str())),
                Announcement::Disconnected,
            )),
        },
        LifecycleEvent::Installed => unless_equal(condition, Condition::Connected),
        LifecycleEvent::Uninstalled => {
            unless_equal(condition, Condition::Disconnected(Some(APP_REMOVED)))
        }
        LifecycleEvent::Added
        | LifecycleEvent::FirstDelivery
        | LifecycleEvent::Paused
        | LifecycleEvent::Removed
        | LifecycleEvent::Assessed(Assessment::Inconclusive) => None,
    }
}

fn recovered<'a>() -> ConditionChange<'a> {
    ConditionChange::announced(Condition::Connected, Announcement::Recovered)
}

/// A disconnected connection stays disconnected, because a removed access outweighs a broken part.
fn degraded<'a>(condition: Condition<'a>, reason: &'a str) -> Option<ConditionChange<'a>> {
    let next = Condition::Degraded(Some(reason));
    match condition {
        Condition::Disconnected(_) => None,
        Condition::Degraded(_) => unless_equal(condition, next),
        Condition::Connected => Some(ConditionChange::announced(next, Announcement::Degraded)),
    }
}

fn unless_equal<'a>(condition: Condition<'a>, next: Condition<'a>) -> Option<ConditionChange<'a>> {
    if condition == next {
        None
    } else {
        Some(ConditionChange::silent(next))
    }
}

#[cfg(test)]
mod tests;
