//! What was made out about a connection, and how it stands after that: pure decisions.
//!
//! Who makes it out (`setup`) and who writes it down (`journal::announce`) are elsewhere.

use super::{Connection, Status};
use crate::event::verbs;

/// What was made out about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assessment {
    /// It is there, and well.
    Well,
    /// Something does not work; why, as a bounded word.
    Degraded(&'static str),
    /// The store removed us; why, as a bounded word.
    Gone(&'static str),
    /// Nothing for certain: it stays as it is.
    Open,
}

/// A change of how a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// How it stands now.
    pub status: Status,
    /// Why.
    pub reason: Option<&'static str>,
    /// The event that tells of it; `None` for a change of the reason alone, because events tell of transitions.
    pub verb: Option<&'static str>,
}

impl Assessment {
    /// What becomes of a connection; `None` where it stands like that already. Of a paused one: what it will return to.
    #[must_use]
    pub fn moves(self, connection: &Connection) -> Option<Move> {
        let (status, reason) = connection.standing();
        match (self, status) {
            (Assessment::Open, _) | (Assessment::Well, Status::Connected) => None,
            (Assessment::Well, Status::Degraded | Status::Disconnected | Status::Paused) => {
                Some(Move {
                    status: Status::Connected,
                    reason: None,
                    verb: Some(verbs::RECOVERED),
                })
            }
            // Removed is more than broken.
            (Assessment::Degraded(_) | Assessment::Gone(_), Status::Disconnected) => None,
            (Assessment::Degraded(now), Status::Degraded) if reason == Some(now) => None,
            (Assessment::Degraded(now), Status::Degraded) => Some(Move {
                status: Status::Degraded,
                reason: Some(now),
                verb: None,
            }),
            (Assessment::Degraded(now), Status::Connected | Status::Paused) => Some(Move {
                status: Status::Degraded,
                reason: Some(now),
                verb: Some(verbs::DEGRADED),
            }),
            (Assessment::Gone(now), Status::Connected | Status::Degraded | Status::Paused) => {
                Some(Move {
                    status: Status::Disconnected,
                    reason: Some(now),
                    verb: Some(verbs::DISCONNECTED),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::super::BeforePause;
    use super::*;
    use crate::delivery::ConnectionId;

    fn standing(status: Status, reason: Option<&str>) -> Connection {
        let id = ConnectionId::new("shop-a").expect("an id");
        let connection = Connection::new(
            id,
            "platform",
            "kind",
            BTreeMap::new(),
            Timestamp::UNIX_EPOCH,
        );
        Connection {
            status,
            reason: reason.map(str::to_owned),
            ..connection
        }
    }

    fn moved(
        assessment: Assessment,
        status: Status,
        reason: Option<&str>,
    ) -> Option<(Status, Option<&'static str>, Option<&'static str>)> {
        assessment
            .moves(&standing(status, reason))
            .map(|to| (to.status, to.reason, to.verb))
    }

    #[test]
    fn a_connection_is_degraded_disconnected_and_recovers() {
        use Status::{Connected, Degraded, Disconnected};
        let disabled = Assessment::Degraded("webhook_disabled");
        assert_eq!(
            moved(disabled, Connected, None),
            Some((Degraded, Some("webhook_disabled"), Some("degraded")))
        );
        assert_eq!(
            moved(disabled, Degraded, Some("silent")),
            Some((Degraded, Some("webhook_disabled"), None))
        );
        assert_eq!(
            moved(Assessment::Gone("app_removed"), Degraded, None),
            Some((Disconnected, Some("app_removed"), Some("disconnected")))
        );
        assert_eq!(
            moved(Assessment::Well, Degraded, Some("silent")),
            Some((Connected, None, Some("recovered")))
        );
        assert_eq!(
            moved(Assessment::Well, Disconnected, Some("app_removed")),
            Some((Connected, None, Some("recovered")))
        );
    }

    #[test]
    fn nothing_moves_where_nothing_changed_or_nothing_is_known() {
        use Status::{Connected, Degraded, Disconnected};
        assert_eq!(moved(Assessment::Well, Connected, None), None);
        assert_eq!(
            moved(Assessment::Degraded("silent"), Degraded, Some("silent")),
            None
        );
        assert_eq!(
            moved(
                Assessment::Gone("key_revoked"),
                Disconnected,
                Some("app_removed")
            ),
            None
        );
        assert_eq!(
            moved(
                Assessment::Degraded("silent"),
                Disconnected,
                Some("app_removed")
            ),
            None
        );
        for status in [Connected, Degraded, Disconnected] {
            assert_eq!(moved(Assessment::Open, status, Some("anything")), None);
        }
    }

    #[test]
    fn a_paused_one_moves_from_where_it_stood_before() {
        let before = BeforePause {
            status: Status::Degraded,
            reason: Some("silent".to_owned()),
        };
        let paused = Connection {
            before_pause: Some(before),
            ..standing(Status::Paused, Some("operator"))
        };
        assert_eq!(Assessment::Degraded("silent").moves(&paused), None);
        assert_eq!(
            Assessment::Well.moves(&paused).map(|to| to.status),
            Some(Status::Connected)
        );
    }
}
