//! Requests of the command line to read stores now.

use std::collections::HashSet;

use tokio::task::Id;

use super::report::{ReconcileRequest, StoreReport};
use crate::connections::Directory;
use crate::delivery::ConnectionId;
use crate::journal::Journal;
use crate::report::ErrorChain;

/// A request of the command line that is not finished.
pub(super) struct OpenRequest {
    id: i64,
    pub(super) waiting: Vec<ConnectionId>,
    pub(super) request: ReconcileRequest,
    pub(super) tasks: HashSet<Id>,
    pub(super) reports: Vec<StoreReport>,
}

/// The oldest request without a report.
pub(super) async fn open(journal: &Journal, directory: &Directory) -> Option<OpenRequest> {
    let read = journal.read(|reader| reader.reconcile_request());
    let (id, text) = match read.await {
        Ok(found) => found?,
        Err(error) => {
            tracing::error!(error = %ErrorChain(&error), "cannot read requests to reconcile");
            return None;
        }
    };
    let request: ReconcileRequest = serde_json::from_str(&text).unwrap_or_default();
    let mut waiting: Vec<ConnectionId> = if request.connections.is_empty() {
        directory
            .readable()
            .into_iter()
            .map(|store| store.id)
            .collect()
    } else {
        let ids = request.connections.iter();
        ids.filter_map(|id| ConnectionId::new(id).ok()).collect()
    };
    waiting.sort();
    Some(OpenRequest {
        id,
        waiting,
        request,
        tasks: HashSet::new(),
        reports: Vec::new(),
    })
}

/// Reports a request if its stores are all read.
pub(super) async fn finish(journal: &Journal, request: &mut Option<OpenRequest>) {
    let is_finished = |open: &mut OpenRequest| open.waiting.is_empty() && open.tasks.is_empty();
    let Some(mut open) = request.take_if(is_finished) else {
        return;
    };
    open.reports
        .sort_by(|left, right| left.connection.cmp(&right.connection));
    let report = serde_json::to_string(&open.reports).unwrap_or_default();
    if let Err(error) = journal.answer_reconcile_request(open.id, report).await {
        tracing::error!(error = %ErrorChain(&error), "cannot store the report of a request to reconcile");
    }
}
