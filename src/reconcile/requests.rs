//! Requests of the command line to read stores now. Several can be open at the same time.

use std::collections::{HashMap, HashSet};

use tokio::task::Id;

use super::report::{ReconcileRequest, StoreReport};
use crate::connections::Directory;
use crate::delivery::ConnectionId;
use crate::journal::Journal;
use crate::report::ErrorChain;

/// The requests that are not finished.
#[derive(Default)]
pub(super) struct Requests(Vec<OpenRequest>);

/// A request that is not finished.
struct OpenRequest {
    id: i64,
    request: ReconcileRequest,
    waiting: Vec<ConnectionId>,
    tasks: HashSet<Id>,
    reports: HashMap<String, StoreReport>,
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
            let mut waiting: Vec<ConnectionId> = if request.connections.is_empty() {
                let stores = directory.readable().into_iter();
                stores.map(|store| store.id).collect()
            } else {
                let ids = request.connections.iter();
                ids.filter_map(|id| ConnectionId::new(id).ok()).collect()
            };
            waiting.sort();
            self.0.push(OpenRequest {
                id,
                request,
                waiting,
                tasks: HashSet::new(),
                reports: HashMap::new(),
            });
        }
    }

    /// Number of running reads.
    pub(super) fn running(&self) -> usize {
        self.0.iter().map(|open| open.tasks.len()).sum()
    }

    /// A store to read now, if one is not busy.
    pub(super) fn next(&mut self, busy: &HashSet<ConnectionId>) -> Option<RequestedRead> {
        self.0.iter_mut().find_map(|open| {
            let index = open.waiting.iter().position(|id| !busy.contains(id))?;
            Some(RequestedRead {
                request_id: open.id,
                connection: open.waiting.remove(index),
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
        let goes_on = report.waits || report.entities.iter().any(|entity| entity.goes_on);
        if let (true, Ok(connection)) = (
            open.request.is_backfill && goes_on,
            ConnectionId::new(&report.connection),
        ) {
            open.waiting.push(connection);
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
            let rows = entities.map(|entity| entity.read).sum();
            if let Err(error) = journal.note_rows_read(open.id, rows).await {
                tracing::error!(error = %ErrorChain(&error), "cannot store the progress of a request to reconcile");
            }
        }
    }
}
