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

/// A backfill waits for this time when the store is away.
const OUTAGE_WAIT: Duration = Duration::from_secs(60);
/// Number of these waits in a row after which a backfill gives up.
const MAX_OUTAGES: u32 = 30;

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
    /// By connection: the number of outages in a row.
    outages: HashMap<ConnectionId, u32>,
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
        let is_outage = report.entities.iter().any(|entity| entity.is_outage);
        if is_outage {
            let outages = self.outages.entry(connection.clone()).or_default();
            *outages += 1;
            return (*outages <= MAX_OUTAGES).then(|| Instant::now() + OUTAGE_WAIT);
        }
        self.outages.remove(connection);
        let goes_on = report.waits || report.entities.iter().any(|entity| entity.goes_on);
        goes_on.then(Instant::now)
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
                outages: HashMap::new(),
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
        self.0.iter_mut().find_map(|open| {
            let index = open.waiting.iter().position(is_ready)?;
            Some(RequestedRead {
                request_id: open.id,
                connection: open.waiting.remove(index).connection,
                request: open.request.clone(),
            })
        })
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
            outages: HashMap::new(),
        }
    }

    fn report(entity: EntityReport) -> StoreReport {
        StoreReport {
            connection: "shop".to_owned(),
            skipped: None,
            is_polled: false,
            waits: false,
            entities: vec![entity],
        }
    }

    #[test]
    fn backfill_goes_on_after_an_outage_but_not_for_ever() {
        let connection = ConnectionId::new("shop").expect("an id");
        let outage = report(EntityReport {
            is_outage: true,
            ..EntityReport::default()
        });
        let part = report(EntityReport {
            goes_on: true,
            ..EntityReport::default()
        });
        let finished = report(EntityReport::default());
        let mut backfill = open(true);
        for _ in 0..2 {
            for _ in 0..MAX_OUTAGES {
                let next = backfill.next_part(&connection, &outage);
                assert!(next.is_some_and(|next| next > Instant::now()));
            }
            // A part that was read begins the count again.
            assert!(backfill.next_part(&connection, &part).is_some());
        }
        assert!(backfill.next_part(&connection, &finished).is_none());
        let outages = (0..=MAX_OUTAGES).map(|_| backfill.next_part(&connection, &outage));
        assert!(outages.last().flatten().is_none());
        assert!(open(false).next_part(&connection, &part).is_none());
    }
}
