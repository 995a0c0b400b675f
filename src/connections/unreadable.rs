//! Verified deliveries that could not be read, per connection, since the last readable one.
//!
//! In memory only: `monitor` stores a long run in the connection's settings, and restores it after a restart.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::delivery::{ConnectionId, Reason, ReasonCode};

/// Maximum number of connections in memory: a sender with a key can name any number of installations.
const MAX_CONNECTIONS: usize = 20_000;

/// Unreadable deliveries without a readable one between them that make a finding.
const MIN_DELIVERIES: usize = 5;

/// An unbroken run of unreadable deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableRun {
    /// The reason code of the latest one.
    pub reason: Reason,
    /// When the first one was processed.
    pub since: Timestamp,
    /// Unreadable deliveries in the run.
    pub count: u64,
    /// The id of the latest one.
    pub delivery: String,
}

impl fmt::Display for UnreadableRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            since,
            count,
            delivery,
        } = self;
        write!(f, "{} {since:.0} {count} {delivery}", reason.as_str())
    }
}

/// A stored run has another form than [`UnreadableRun`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRun;

impl FromStr for UnreadableRun {
    type Err = InvalidRun;

    fn from_str(text: &str) -> Result<Self, InvalidRun> {
        let mut fields = text.split_whitespace();
        let mut field = || fields.next().ok_or(InvalidRun);
        Ok(Self {
            reason: Reason::from_text(field()?.to_owned()),
            since: field()?.parse().map_err(|_| InvalidRun)?,
            count: field()?.parse().map_err(|_| InvalidRun)?,
            delivery: field()?.to_owned(),
        })
    }
}

/// A verified delivery that could not be read.
#[derive(Clone, Copy, Debug)]
pub struct UnreadableDelivery<'a> {
    /// The delivery's id.
    pub id: &'a str,
    /// The dead letter's reason code.
    pub reason: ReasonCode,
    pub body: &'a [u8],
}

impl UnreadableDelivery<'_> {
    /// A captured body can be sent again with other headers if the platform does not sign them. Such copies are topic
    /// mismatches, and count as one delivery.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if self.reason == ReasonCode::TopicMismatch {
            self.body.hash(&mut hasher);
        } else {
            self.id.hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[derive(Debug, Default)]
struct History {
    run: Option<UnreadableRun>,
    /// Fingerprints of the run's first deliveries, at most [`MIN_DELIVERIES`].
    distinct: Vec<u64>,
    /// `true` if the run is a finding.
    is_established: bool,
    /// `true` after the stored run was taken over, so that it is counted once.
    is_restored: bool,
    readable_at: Option<Timestamp>,
    /// When a run last became a finding, or ended as one.
    changed_at: Option<Timestamp>,
}

/// The unreadable deliveries of all connections.
#[derive(Debug, Default)]
pub struct UnreadableBodies(Mutex<HashMap<ConnectionId, History>>);

impl UnreadableBodies {
    fn all(&self) -> MutexGuard<'_, HashMap<ConnectionId, History>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a verified delivery that became a dead letter because it could not be read.
    pub fn count(&self, id: &ConnectionId, delivery: UnreadableDelivery<'_>, now: Timestamp) {
        let mut all = self.all();
        if all.len() >= MAX_CONNECTIONS && !all.contains_key(id) {
            return;
        }
        let history = all.entry(id.clone()).or_default();
        let run = history.run.get_or_insert_with(|| UnreadableRun {
            reason: delivery.reason.into(),
            since: now,
            count: 0,
            delivery: String::new(),
        });
        run.count += 1;
        run.reason = delivery.reason.into();
        delivery.id.clone_into(&mut run.delivery);
        let fingerprint = delivery.fingerprint();
        if history.distinct.len() < MIN_DELIVERIES && !history.distinct.contains(&fingerprint) {
            history.distinct.push(fingerprint);
        }
        if !history.is_established && history.distinct.len() >= MIN_DELIVERIES {
            history.is_established = true;
            history.changed_at = Some(now);
        }
    }

    /// Ends the run: a delivery of the connection could be read.
    pub fn end(&self, id: &ConnectionId, now: Timestamp) {
        let mut all = self.all();
        if all.len() >= MAX_CONNECTIONS && !all.contains_key(id) {
            return;
        }
        if !all.contains_key(id) {
            all.insert(id.clone(), History::default());
        }
        let Some(history) = all.get_mut(id) else {
            return;
        };
        // The first one after a start may end a stored run.
        if history.is_established || history.readable_at.is_none() {
            history.changed_at = Some(now);
        }
        history.readable_at = Some(now);
        history.run = None;
        history.distinct.clear();
        history.is_established = false;
    }

    /// Takes over the run that an earlier process established, unless it has ended since. Later calls do nothing.
    pub fn restore(&self, id: &ConnectionId, stored: Option<UnreadableRun>) {
        let mut all = self.all();
        if all.len() >= MAX_CONNECTIONS && !all.contains_key(id) {
            return;
        }
        let history = all.entry(id.clone()).or_default();
        if std::mem::replace(&mut history.is_restored, true) || history.readable_at.is_some() {
            return;
        }
        let Some(stored) = stored else {
            return;
        };
        history.is_established = true;
        history.run = Some(match history.run.take() {
            Some(run) => UnreadableRun {
                since: stored.since,
                count: run.count.saturating_add(stored.count),
                ..run
            },
            None => stored,
        });
    }

    /// Drops the run, because the operator declared the problem to be repaired.
    pub fn forget(&self, id: &ConnectionId) {
        if let Some(history) = self.all().get_mut(id) {
            history.run = None;
            history.distinct.clear();
            history.is_established = false;
        }
    }

    /// The run of a connection, if it is long enough for a finding.
    #[must_use]
    pub fn established(&self, id: &ConnectionId) -> Option<UnreadableRun> {
        let all = self.all();
        let history = all.get(id)?;
        if history.is_established {
            history.run.clone()
        } else {
            None
        }
    }

    /// When a delivery of the connection was last read, since the program started.
    #[must_use]
    pub fn readable_at(&self, id: &ConnectionId) -> Option<Timestamp> {
        self.all().get(id)?.readable_at
    }

    /// When a run of the connection last became a finding, or may have ended as one.
    #[must_use]
    pub fn changed_at(&self, id: &ConnectionId) -> Option<Timestamp> {
        self.all().get(id)?.changed_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn count(bodies: &UnreadableBodies, shop: &ConnectionId, second: i64, reason: ReasonCode) {
        let (id, body) = (format!("d{second}"), format!("body {second}"));
        let delivery = UnreadableDelivery {
            id: &id,
            reason,
            body: body.as_bytes(),
        };
        bodies.count(shop, delivery, at(second));
    }

    #[test]
    fn a_run_of_five_is_established_and_ends_with_a_readable_delivery() {
        let (bodies, shop) = (
            UnreadableBodies::default(),
            ConnectionId::new("shop").expect("an id"),
        );
        for second in 0..4 {
            count(&bodies, &shop, second, ReasonCode::NotJson);
        }
        bodies.end(&shop, at(4));
        for second in 5..9 {
            count(&bodies, &shop, second, ReasonCode::EmptyBody);
        }
        assert_eq!(bodies.established(&shop), None, "one between them was read");
        count(&bodies, &shop, 9, ReasonCode::TopicMismatch);
        let run = bodies.established(&shop).expect("a finding");
        assert_eq!(run.to_string(), "topic_mismatch 1970-01-01T00:00:05Z 5 d9");
        assert_eq!(run.to_string().parse(), Ok(run));
        assert_eq!(bodies.changed_at(&shop), Some(at(9)));
        bodies.end(&shop, at(10));
        assert_eq!(bodies.established(&shop), None);
        assert_eq!(bodies.changed_at(&shop), Some(at(10)));
    }

    #[test]
    fn one_body_under_many_headers_is_no_finding() {
        let (bodies, shop) = (
            UnreadableBodies::default(),
            ConnectionId::new("shop").expect("an id"),
        );
        for number in 0..100 {
            let id = format!("d{number}");
            let copy = UnreadableDelivery {
                id: &id,
                reason: ReasonCode::TopicMismatch,
                body: b"{}",
            };
            bodies.count(&shop, copy, at(number));
        }
        assert_eq!(bodies.established(&shop), None);
    }

    #[test]
    fn a_stored_run_goes_on_after_a_restart_unless_it_has_ended() {
        let shop = ConnectionId::new("shop").expect("an id");
        let stored = || "not_json 1970-01-01T00:00:01Z 7 d1".parse().ok();
        let bodies = UnreadableBodies::default();
        count(&bodies, &shop, 20, ReasonCode::NotJson);
        bodies.restore(&shop, stored());
        bodies.restore(&shop, stored());
        let run = bodies.established(&shop).expect("a finding");
        assert_eq!(run.to_string(), "not_json 1970-01-01T00:00:01Z 8 d20");
        let bodies = UnreadableBodies::default();
        bodies.end(&shop, at(20));
        bodies.restore(&shop, stored());
        assert_eq!(bodies.established(&shop), None);
    }
}
