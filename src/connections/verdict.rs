//! What was made out about a connection, and how it stands after that: pure decisions.
//!
//! Who makes it out (`setup`) and who writes it down (`journal::announce`) are elsewhere.

use super::{Connection, Status};
use crate::event::verbs;

/// What was made out about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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

impl Verdict {
    /// What becomes of a connection; `None` where it stands like that already. Of a paused one: what it will return to.
    #[must_use]
    pub fn moves(self, connection: &Connection) -> Option<Move> {
        let (status, reason) = connection.standing();
        match (self, status) {
            (Verdict::Open, _) | (Verdict::Well, Status::Connected) => None,
            (Verdict::Well, Status::Degraded | Status::Disconnected | Status::Paused) => {
                Some(Move {
                    status: Status::Connected,
                    reason: None,
                    verb: Some(verbs::RECOVERED),
                })
            }
            // Removed is more than broken.
            (Verdict::Degraded(_) | Verdict::Gone(_), Status::Disconnected) => None,
            (Verdict::Degraded(now), Status::Degraded) if reason == Some(now) => None,
            (Verdict::Degraded(now), Status::Degraded) => Some(Move {
                status: Status::Degraded,
                reason: Some(now),
                verb: None,
            }),
            (Verdict::Degraded(now), Status::Connected | Status::Paused) => Some(Move {
                status: Status::Degraded,
                reason: Some(now),
                verb: Some(verbs::DEGRADED),
            }),
            (Verdict::Gone(now), Status::Connected | Status::Degraded | Status::Paused) => {
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
        verdict: Verdict,
        status: Status,
        reason: Option<&str>,
    ) -> Option<(Status, Option<&'static str>, Option<&'static str>)> {
        verdict
            .moves(&standing(status, reason))
            .map(|to| (to.status, to.reason, to.verb))
    }

    #[test]
    fn a_connection_is_degraded_disconnected_and_recovers() {
        use Status::{Connected, Degraded, Disconnected};
        let disabled = Verdict::Degraded("webhook_disabled");
        assert_eq!(
            moved(disabled, Connected, None),
            Some((Degraded, Some("webhook_disabled"), Some("degraded")))
        );
        assert_eq!(
            moved(disabled, Degraded, Some("silent")),
            Some((Degraded, Some("webhook_disabled"), None))
        );
        assert_eq!(
            moved(Verdict::Gone("app_removed"), Degraded, None),
            Some((Disconnected, Some("app_removed"), Some("disconnected")))
        );
        assert_eq!(
            moved(Verdict::Well, Degraded, Some("silent")),
            Some((Connected, None, Some("recovered")))
        );
        assert_eq!(
            moved(Verdict::Well, Disconnected, Some("app_removed")),
            Some((Connected, None, Some("recovered")))
        );
    }

    #[test]
    fn nothing_moves_where_nothing_changed_or_nothing_is_known() {
        use Status::{Connected, Degraded, Disconnected};
        assert_eq!(moved(Verdict::Well, Connected, None), None);
        assert_eq!(
            moved(Verdict::Degraded("silent"), Degraded, Some("silent")),
            None
        );
        assert_eq!(
            moved(
                Verdict::Gone("key_revoked"),
                Disconnected,
                Some("app_removed")
            ),
            None
        );
        assert_eq!(
            moved(
                Verdict::Degraded("silent"),
                Disconnected,
                Some("app_removed")
            ),
            None
        );
        for status in [Connected, Degraded, Disconnected] {
            assert_eq!(moved(Verdict::Open, status, Some("anything")), None);
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
        assert_eq!(Verdict::Degraded("silent").moves(&paused), None);
        assert_eq!(
            Verdict::Well.moves(&paused).map(|to| to.status),
            Some(Status::Connected)
        );
    }
}
