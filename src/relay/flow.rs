//! How much of a route may be in flight, and when. Pure.
//!
//! A route is all events with one routing key. Its state never affects another route:
//! - **window**: starts small and doubles while events are accepted, so that a queue that refuses or hangs has few copies;
//! - **back off**: after a refusal one event at a time is tried, with growing pauses, until one is accepted;
//! - **hanging**: events whose confirm is overdue while later ones of other routes are confirmed. Nothing more is sent, and
//!   nothing is sent again: the broker may still confirm.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::backoff;

/// The window of a new or idle route.
const FIRST_WINDOW: usize = 16;
const MAX_WINDOW: usize = 256;
/// A confirm is overdue after this, if events that were sent later are confirmed.
const OVERDUE: Duration = Duration::from_secs(2);
/// The later event must have been sent this long after.
const OVERTAKEN: Duration = Duration::from_millis(200);

/// The state of a route.
#[derive(Debug)]
pub(super) struct Flow {
    in_flight: BTreeSet<(Instant, u64)>,
    window: usize,
    /// Below it the window doubles; above it the window grows by one.
    threshold: usize,
    accepted: usize,
    failures: u32,
    refused_at: Option<Instant>,
    not_before: Option<Instant>,
    is_hanging: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            in_flight: BTreeSet::new(),
            window: FIRST_WINDOW,
            threshold: MAX_WINDOW,
            accepted: 0,
            failures: 0,
            refused_at: None,
            not_before: None,
            is_hanging: false,
        }
    }
}

impl Flow {
    /// `true` if one more event may be sent.
    #[must_use]
    pub(super) fn may_send(&self, now: Instant) -> bool {
        // A hanging route whose events all came back is not hanging any more.
        (!self.is_hanging || self.in_flight.is_empty())
            && self.in_flight.len() < self.window
            && self.not_before.is_none_or(|instant| now >= instant)
    }

    /// `true` if the last event was refused. The next event is then a probe.
    #[must_use]
    pub(super) fn is_refused(&self) -> bool {
        self.failures > 0
    }

    /// When a probe may be sent.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Instant> {
        self.not_before
    }

    /// An event was sent.
    pub(super) fn sent(&mut self, now: Instant, flight: u64) {
        self.in_flight.insert((now, flight));
    }

    /// An event came back, with whatever result.
    pub(super) fn landed(&mut self, sent_at: Instant, flight: u64) {
        self.in_flight.remove(&(sent_at, flight));
    }

    /// The broker accepted an event.
    pub(super) fn accepted(&mut self) {
        if self.is_hanging || self.failures > 0 {
            (self.window, self.accepted) = (1, 0);
        }
        (self.failures, self.not_before, self.is_hanging) = (0, None, false);
        self.accepted += 1;
        let grows = self.window < self.threshold || self.accepted >= self.window;
        if grows && self.window < MAX_WINDOW {
            self.window += 1;
            self.accepted = 0;
        }
    }

    /// The broker refused an event. Events of the same window count once.
    pub(super) fn refused(&mut self, sent_at: Instant, now: Instant) {
        if self.refused_at.is_some_and(|before| sent_at < before) {
            return;
        }
        if self.failures == 0 {
            self.threshold = (self.window / 2).max(1);
        }
        self.failures = self.failures.saturating_add(1);
        (self.window, self.accepted) = (1, 0);
        self.refused_at = Some(now);
        self.not_before = Some(now + backoff::after(self.failures));
    }

    /// Marks the route as hanging if its oldest confirm is overdue. Returns `true` if it was not marked before.
    pub(super) fn mark_overdue(&mut self, now: Instant, newest_confirmed: Option<Instant>) -> bool {
        let Some((oldest, _)) = self.in_flight.first() else {
            self.is_hanging = false;
            return false;
        };
        let is_overdue = now.saturating_duration_since(*oldest) > OVERDUE
            && newest_confirmed.is_some_and(|newest| newest > *oldest + OVERTAKEN);
        let is_new = is_overdue && !self.is_hanging;
        self.is_hanging |= is_overdue;
        is_new
    }

    /// `true` if a confirm is overdue.
    #[must_use]
    pub(super) fn is_hanging(&self) -> bool {
        self.is_hanging
    }

    /// `true` if the route has no state to keep.
    #[must_use]
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_route_sends_one_probe_after_each_pause_until_accepted() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        for flight in 0..16 {
            assert!(flow.may_send(start));
            flow.sent(start, flight);
        }
        assert!(!flow.may_send(start), "the first window is full");
        let mut now = start + Duration::from_millis(5);
        for flight in 0..16 {
            flow.landed(start, flight);
            flow.refused(start, now);
        }
        let mut probes = 0;
        while now < start + Duration::from_secs(90) {
            now += Duration::from_millis(10);
            if flow.may_send(now) {
                flow.sent(now, 100);
                assert!(!flow.may_send(now), "one probe at a time");
                flow.landed(now, 100);
                flow.refused(now, now);
                probes += 1;
            }
        }
        assert!((5..12).contains(&probes), "{probes}");
        flow.accepted();
        assert!(flow.may_send(now) && !flow.is_refused());
    }

    #[test]
    fn a_confirm_is_overdue_only_if_later_ones_were_given() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        flow.sent(start, 1);
        let later = start + Duration::from_secs(60);
        assert!(
            !flow.mark_overdue(later, None),
            "the whole broker may be slow"
        );
        assert!(!flow.mark_overdue(later, Some(start)));
        assert!(flow.mark_overdue(later, Some(start + Duration::from_secs(1))));
        assert!(!flow.may_send(later));
        flow.landed(start, 1);
        flow.accepted();
        assert!(flow.may_send(later));
    }

    #[test]
    fn a_hanging_route_whose_events_were_lost_goes_on_at_once() {
        let (mut flow, start) = (Flow::default(), Instant::now());
        flow.sent(start, 1);
        let later = start + Duration::from_secs(60);
        assert!(flow.mark_overdue(later, Some(start + Duration::from_secs(1))));
        flow.landed(start, 1);
        assert!(flow.may_send(later), "nothing is left that could be judged");
    }
}
