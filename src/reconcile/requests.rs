//! Requests of the command line to read stores now. Several can be open at the same time.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::Id;
use tokio::time::Instant;

use super::report::{ReconcileRequest, StoreReport};
use crate::connections::Directory;
use crate::delivery::ConnectionId;
use crate::journal::{Journal, RowCount};
use crate::report::ErrorChain;

/// A backfill waits for this time after a failure that may pass by itself.
const FAILURE_WAIT: Duration = Duration::from_secs(60);
/// Number of these waits without progress after which a backfill gives up.
const MAX_FAILURES: u32 = 30;

/// The requests that are not finished.
#[derive(Default)]
pub(super) struct Requests(Vec<OpenRequest>);

/// A request that is not finished.
struct OpenRequest {
    id: i64,
    request: ReconcileRequest,
    waiting: Vec<WaitingStore>,
    tasks: HashSet<Id>,
    reports: HashMap<String, StoreReport>,
    /// By connection: the number of failures without progress, and the finished lists.
    backfills: HashMap<ConnectionId, BackfillProgress>,
}

#[derive(Default)]
struct BackfillProgress {
    failures: u32,
    finished_lists: Vec<String>,
}

/// A store that a request has still to read.
struct WaitingStore {
    connection: ConnectionId,
    not_before: Instant,
}

impl OpenRequest {
    /// When the read of a store goes on after this part of it; `None` if it is finished.
    fn next_part(&mut self, connection: &ConnectionId, report: &StoreReport) -> Option<Instant> {
        if !self.request.is_backfill {
            return None;
        }
        let progress = self.backfills.entry(connection.clone()).or_default();
        let finished = report.entities.iter().filter(|list| list.failure.is_none());
        let before = progress.finished_lists.len();
        progress
            .finished_lists
            .extend(finished.map(|list| list.entity.clone()));
        let has_finished_a_list = progress.finished_lists.len() > before;
        let goes_on = report.entities.iter().any(|list| list.goes_on);
        if goes_on || has_finished_a_list {
            progress.failures = 0;
        }
        let passes =
            report.is_journal_failure || report.entities.iter().any(|list| list.is_passing_failure);
        if goes_on || report.waits {
            Some(Instant::now())
        } else if passes && progress.failures < MAX_FAILURES {
            progress.failures += 1;
            Some(Instant::now() + FAILURE_WAIT)
        } else {
            None
        }
    }
}

/// A store to read for a request.
pub(super) struct RequestedRead {
    request_id: i64,
    pub(super) connection: ConnectionId,
    pub(super) request: ReconcileRequest,
}

impl Requests {
    /// Adds the new requests.
    pub(super) async fn open(&mut self, journal: &Journal, directory: &Directory) {
        let read = journal.read(|reader| reader.reconcile_requests());
        let stored = match read.await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "cannot read requests to reconcile");
                return;
            }
        };
        for (id, text) in stored {
            if self.0.iter().any(|open| open.id == id) {
                continue;
            }
            let request: ReconcileRequest = serde_json::from_str(&text).unwrap_or_default();
            let mut connections: Vec<ConnectionId> = if request.connections.is_empty() {
                let stores = directory.readable().into_iter();
                stores.map(|store| store.id).collect()
            } else {
                let ids = request.connections.iter();
                ids.filter_map(|id| ConnectionId::new(id).ok()).collect()
            };
            connections.sort();
            let now = Instant::now();
            let at_once = |connection| WaitingStore {
                connection,
                not_before: now,
            };
            self.0.push(OpenRequest {
                id,
                request,
                waiting: connections.into_iter().map(at_once).collect(),
                tasks: HashSet::new(),
                reports: HashMap::new(),
                backfills: HashMap::new(),
            });
        }
    }

    /// Number of running reads.
    pub(super) fn running(&self) -> usize {
        self.0.iter().map(|open| open.tasks.len()).sum()
    }

    /// A store to read now, if one is not busy.
    pub(super) fn next(
        &mut self,
        busy: &HashSet<ConnectionId>,
        now: Instant,
    ) -> Option<RequestedRead> {
        let is_ready = |waiting: &WaitingStore| {
            waiting.not_before <= now && !busy.contains(&waiting.connection)
        };
        let index = self
            .0
            .iter()
            .position(|open| open.waiting.iter().any(is_ready))?;
        // The requests take turns.
        let mut open = self.0.remove(index);
        let store = open.waiting.iter().position(is_ready);
        let connection = store.map(|store| open.waiting.remove(store).connection);
        let read = connection.map(|connection| {
            let progress = open.backfills.get(&connection);
            let finished_lists = progress.map(|progress| progress.finished_lists.clone());
            RequestedRead {
                request_id: open.id,
                connection,
                request: ReconcileRequest {
                    id: open.id,
                    finished_lists: finished_lists.unwrap_or_default(),
                    ..open.request.clone()
                },
            }
        });
        self.0.push(open);
        read
    }

    pub(super) fn began(&mut self, read: &RequestedRead, task: Id) {
        let open = self.0.iter_mut().find(|open| open.id == read.request_id);
        if let Some(open) = open {
            open.tasks.insert(task);
        }
    }

    /// A read has ended; `None` for a read that failed by a fault of the program. A read that goes on waits for its next turn.
    pub(super) fn ended(&mut self, task: Id, report: Option<StoreReport>) {
        let Some(open) = self.0.iter_mut().find(|open| open.tasks.contains(&task)) else {
            return;
        };
        open.tasks.remove(&task);
        let Some(report) = report else {
            return;
        };
        if let Ok(connection) = ConnectionId::new(&report.connection)
            && let Some(not_before) = open.next_part(&connection, &report)
        {
            open.waiting.push(WaitingStore {
                connection,
                not_before,
            });
        }
        match open.reports.entry(report.connection.clone()) {
            std::collections::hash_map::Entry::Occupied(mut earlier) => {
                earlier.get_mut().continue_with(report);
            }
            std::collections::hash_map::Entry::Vacant(place) => drop(place.insert(report)),
        }
    }

    /// Stores the reports of the requests whose stores are all read, and how far the others are.
    pub(super) async fn report(&mut self, journal: &Journal) {
        let is_finished = |open: &mut OpenRequest| open.waiting.is_empty() && open.tasks.is_empty();
        for open in self.0.extract_if(.., is_finished) {
            let mut reports: Vec<_> = open.reports.into_values().collect();
            reports.sort_by(|left, right| left.connection.cmp(&right.connection));
            let report = serde_json::to_string(&reports).unwrap_or_default();
            if let Err(error) = journal.answer_reconcile_request(open.id, report).await {
                tracing::error!(error = %ErrorChain(&error), "cannot store the report of a request to reconcile");
            }
        }
        for open in &self.0 {
            let entities = open.reports.values().flat_map(|report| &report.entities);
            let count = entities.fold(RowCount::default(), |count, entity| RowCount {
                read: count.read + entity.read,
                expected: count.expected + entity.expected.max(entity.read),
            });
            if let Err(error) = journal.note_rows(open.id, count).await {
                tracing::error!(error = %ErrorChain(&error), "cannot store the progress of a request to reconcile");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::report::EntityReport;

    fn open(is_backfill: bool) -> OpenRequest {
        OpenRequest {
            id: 1,
            request: ReconcileRequest {
                is_backfill,
                ..ReconcileRequest::default()
            },
            waiting: Vec::new(),
            tasks: HashSet::new(),
            reports: HashMap::new(),
            backfills: HashMap::new(),
        }
    }

    fn report(entities: Vec<EntityReport>) -> StoreReport {
        StoreReport {
            connection: "shop".to_owned(),
            skipped: None,
            is_polled: false,
            waits: false,
            is_journal_failure: false,
            entities,
        }
    }

    #[test]
    fn backfill_goes_on_after_failures_but_not_without_progress_for_ever() {
        let connection = ConnectionId::new("shop").expect("an id");
        let list = |name: &str| EntityReport {
            entity: name.to_owned(),
            ..EntityReport::default()
        };
        let failed = |name| EntityReport {
            failure: Some("store_unavailable".to_owned()),
            is_passing_failure: true,
            ..list(name)
        };
        let part = EntityReport {
            failure: Some("continues_later".to_owned()),
            goes_on: true,
            ..list("order")
        };
        let mut backfill = open(true);
        let mut next = |entities| backfill.next_part(&connection, &report(entities));
        for _ in 0..2 {
            for _ in 0..MAX_FAILURES {
                let next = next(vec![failed("order")]);
                assert!(next.is_some_and(|next| next > Instant::now()));
            }
            // Progress of one list begins the count again, also if another list fails each time.
            let next = next(vec![part.clone(), failed("customer")]);
            assert!(next.is_some_and(|next| next <= Instant::now()));
        }
        assert!(next(vec![list("order"), failed("customer")]).is_some());
        for _ in 1..MAX_FAILURES {
            assert!(next(vec![failed("customer")]).is_some());
        }
        assert!(next(vec![failed("customer")]).is_none());
        assert!(next(vec![list("customer")]).is_none(), "it is finished");
        assert_eq!(
            backfill.backfills[&connection].finished_lists,
            ["order", "customer"]
        );
        let refused = EntityReport {
            failure: Some("credentials_refused".to_owned()),
            ..list("order")
        };
        let refused = report(vec![refused]);
        assert!(open(true).next_part(&connection, &refused).is_none());
        let part = report(vec![part]);
        assert!(open(false).next_part(&connection, &part).is_none());
    }

    #[test]
    fn requests_take_turns() {
        let now = Instant::now();
        let request = |id| OpenRequest {
            id,
            waiting: ["a", "b"]
                .map(|name| WaitingStore {
                    connection: ConnectionId::new(name).expect("an id"),
                    not_before: now,
                })
                .into(),
            ..open(true)
        };
        let mut requests = Requests(vec![request(1), request(2)]);
        let busy = HashSet::new();
        let order = std::iter::from_fn(|| requests.next(&busy, now));
        let order: Vec<_> = order.map(|read| read.request_id).collect();
        assert_eq!(order, [1, 2, 1, 2]);
    }
}
