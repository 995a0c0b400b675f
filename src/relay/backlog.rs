//! The connections that may have pending entries, and the order in which they are claimed. Pure.
//!
//! Claims visit the connections in turns, so a long backlog of one does not delay others. The backlog stores one position per
//! connection, not the entries.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::journal::{PendingConnections, Want};

/// Maximum number of connections that one claim visits.
const MAX_WANTS: usize = 64;

/// How much of a connection may be claimed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// A part of the free space in flight.
    Some {
        /// Maximum number of entries.
        entries: usize,
        /// Bytes after which the claim stops.
        bytes: usize,
    },
    /// The connection is paused: only announcements.
    Paused,
    /// Nothing at the moment.
    None,
}

/// Connections with unclaimed entries.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// All pending entries up to this position were searched. `None`: no search was made yet.
    through: Option<Position>,
    /// The first position that may be pending, by connection.
    from: HashMap<String, Position>,
    /// The turns of the connections in `from`.
    turns: VecDeque<String>,
    /// Connections that are not visited before an instant.
    backing_off: HashMap<String, Instant>,
}

impl Backlog {
    /// Where the search for arrivals begins; `None` for a search of all pending entries.
    #[must_use]
    pub(super) fn since(&self) -> Option<Position> {
        self.through
    }

    /// Searches all pending entries again at the next claim.
    pub(super) fn restart(&mut self) {
        self.through = None;
    }

    /// Adds the result of a search.
    pub(super) fn found(&mut self, found: PendingConnections) {
        self.through = Some(found.through);
        for (connection, position) in found.connections {
            self.reopen(connection, position);
        }
    }

    /// A connection may have an unclaimed entry at this position.
    pub(super) fn reopen(&mut self, connection: String, position: Position) {
        match self.from.get_mut(&connection) {
            Some(from) => *from = position.min(*from),
            None => {
                self.from.insert(connection.clone(), position);
                self.turns.push_back(connection);
            }
        }
    }

    /// `true` if the connection may have unclaimed entries.
    #[must_use]
    pub(super) fn has(&self, connection: &ConnectionId) -> bool {
        self.from.contains_key(connection.as_str())
    }

    /// Nothing of the connection is claimed before this instant.
    pub(super) fn back_off(&mut self, connection: String, until: Instant) {
        self.backing_off.insert(connection, until);
    }

    /// The end of the next back-off.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Instant> {
        self.backing_off.values().min().copied()
    }

    /// Takes the next connections that may get something. Each one must be returned with [`Backlog::visited`].
    pub(super) fn wants(
        &mut self,
        now: Instant,
        mut grant: impl FnMut(&str) -> Grant,
    ) -> Vec<Want> {
        self.backing_off.retain(|_, until| *until > now);
        let mut wants = Vec::new();
        for _ in 0..self.turns.len() {
            if wants.len() == MAX_WANTS {
                break;
            }
            let Some(connection) = self.turns.pop_front() else {
                break;
            };
            let granted = if self.backing_off.contains_key(&connection) {
                Grant::None
            } else {
                grant(&connection)
            };
            let (entries, bytes, is_paused) = match granted {
                Grant::Some { entries, bytes } if entries > 0 => (entries, bytes, false),
                Grant::Paused => (16, 1 << 20, true),
                Grant::Some { .. } | Grant::None => {
                    self.turns.push_back(connection);
                    continue;
                }
            };
            let from = self.from.remove(&connection).unwrap_or_default();
            wants.push(Want {
                connection,
                from,
                entries,
                bytes,
                is_paused,
            });
        }
        wants
    }

    /// Returns a visited connection. `next` is where its next claim begins; `None` if it has no more entries.
    pub(super) fn visited(&mut self, connection: String, next: Option<Position>) {
        if let Some(next) = next {
            self.reopen(connection, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ALL: Grant = Grant::Some {
        entries: 10,
        bytes: 1 << 20,
    };

    fn arrivals(names: &[&str]) -> PendingConnections {
        PendingConnections {
            connections: names.iter().map(|name| ((*name).to_owned(), 1)).collect(),
            through: 9,
            is_complete: true,
        }
    }

    fn names(wants: &[Want]) -> Vec<&str> {
        wants.iter().map(|want| want.connection.as_str()).collect()
    }

    #[test]
    fn a_long_backlog_takes_turns_with_a_new_delivery() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        backlog.found(arrivals(&["flood"]));
        assert_eq!(names(&backlog.wants(now, |_| ALL)), ["flood"]);
        backlog.visited("flood".to_owned(), Some(11));
        backlog.found(arrivals(&["honest"]));
        assert_eq!(names(&backlog.wants(now, |_| ALL)), ["flood", "honest"]);
        backlog.visited("flood".to_owned(), Some(21));
        backlog.visited("honest".to_owned(), None);
        let wants = backlog.wants(now, |_| ALL);
        assert_eq!(names(&wants), ["flood"]);
        assert_eq!(wants[0].from, 21);
    }

    #[test]
    fn a_backing_off_or_full_connection_keeps_its_place() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        backlog.found(arrivals(&["a", "b"]));
        backlog.back_off("a".to_owned(), now + Duration::from_secs(1));
        let full = |name: &str| if name == "b" { Grant::None } else { ALL };
        assert!(backlog.wants(now, full).is_empty());
        assert_eq!(backlog.wake(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(names(&backlog.wants(later, full)), ["a"]);
    }
}
