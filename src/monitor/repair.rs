//! Repairs webhooks that a store disabled, lost or changed, without an operator.
//!
//! Only webhooks that the gateway registered are repaired. If a repair does not last, it is repeated after increasing
//! waits. The next check assesses the result.

use tokio::time::Instant;

use super::background::BackgroundMonitor;
use super::check;
use super::repairs::Repairs;
use super::store_lock::StoreLock;
use crate::connections::{Assessment, Connection};
use crate::journal::ConnectionChange;
use crate::platforms::api::{CheckMode, CheckReport, ConnectionContext, Severity};
use crate::platforms::store_api;
use crate::report::ErrorChain;

impl BackgroundMonitor {
    /// Requests a repair if a check found repairable webhooks. Returns `true` if the repair is due now.
    pub(super) fn request_repair(
        &self,
        repairs: &mut Repairs,
        connection: &Connection,
        report: Option<&CheckReport>,
    ) -> bool {
        if self.is_auto_repair && report.is_some_and(|report| is_repairable(connection, report)) {
            repairs.request(Instant::now());
        }
        repairs.is_due
    }

    /// Repairs the webhooks of a connection.
    pub(super) async fn repair(&self, connection: &Connection, context: &ConnectionContext) {
        let folder = self.folder.clone();
        let locking = tokio::task::spawn_blocking(move || StoreLock::acquire(&folder));
        let _lock = match locking.await {
            Ok(Ok(lock)) => lock,
            Ok(Err(error)) => {
                tracing::error!(connection = %connection.id, error = %ErrorChain(&error), "cannot lock stores for a repair");
                return;
            }
            Err(_) => return,
        };
        let outcome = check::run(&self.outbound, connection, context, CheckMode::Fix).await;
        let Some(report) = outcome.report else {
            return;
        };
        let problem = report.trouble().map(|problem| problem.code);
        let result = if problem.is_some() { "failed" } else { "done" };
        metrics::counter!("cartwire_repairs_total", "platform" => connection.platform.clone(), "result" => result)
            .increment(1);
        let done = report.done.join("; ");
        match problem {
            None => {
                tracing::warn!(connection = %connection.id, done, "webhooks repaired at the store")
            }
            Some(reason) => {
                tracing::warn!(connection = %connection.id, %reason, done, "webhooks not repaired at the store")
            }
        }
        let change = ConnectionChange::Examined {
            id: connection.id.clone(),
            settings: report.settings,
            // The next check decides.
            assessment: Assessment::Inconclusive,
            began: outcome.began,
        };
        if let Err(error) = self.journal.change_connection(change).await {
            tracing::error!(connection = %connection.id, error = %ErrorChain(&error), "cannot store the result of a repair");
        }
    }
}

/// `true` if all problems are webhooks of the gateway that can be repaired.
fn is_repairable(connection: &Connection, report: &CheckReport) -> bool {
    let Some(api) = store_api(&connection.platform) else {
        return false;
    };
    let has_own = api.registered_webhooks(&connection.settings).are_ours;
    let mut problems = report
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Note)
        .peekable();
    has_own
        && problems.peek().is_some()
        && problems.all(|finding| api.repairable_problems().contains(&finding.code))
}
