//! What the journal stores about the broker: declared bindings, and the problem that commands show.

use std::path::Path;

use tokio::sync::watch;

use crate::event::SizeLimit;
use crate::journal::{DataFile, DeclaredBinding, Journal, JournalError};
use crate::publisher::BrokerStatus;
use crate::publisher::topology::{Queue, Topology, TopologyMode};
use crate::report::ErrorChain;

/// Stores the bindings that will be declared, and adds those of an earlier configuration to `topology.obsolete`.
///
/// Only bindings of configured queues are removed. A queue that is not configured any more may belong to another program.
///
/// # Errors
/// If the data file cannot be written.
pub(super) fn note_bindings(
    folder: &Path,
    topology: &mut Topology,
) -> anyhow::Result<Vec<DeclaredBinding>> {
    if topology.mode != TopologyMode::Create {
        return Ok(Vec::new());
    }
    let exchange = topology.exchange.clone();
    let of = |queue: &Queue| DeclaredBinding {
        exchange: exchange.clone(),
        queue: queue.name.clone(),
        pattern: queue.pattern.clone(),
    };
    let wanted: Vec<DeclaredBinding> = topology.queues.iter().map(of).collect();
    let mut obsolete = DataFile::open(folder)?.note_bindings(&wanted)?;
    obsolete.retain(|binding| {
        binding.exchange == exchange && wanted.iter().any(|wanted| wanted.queue == binding.queue)
    });
    topology.obsolete = obsolete
        .iter()
        .map(|binding| Queue {
            name: binding.queue.clone(),
            pattern: binding.pattern.clone(),
        })
        .collect();
    Ok(obsolete)
}

/// Keeps the maximum size of events at or below the broker's limit, stores the broker's problem, and deletes the records of bindings
/// that were removed.
pub(super) async fn follow(
    journal: Journal,
    broker_status: Option<watch::Receiver<BrokerStatus>>,
    obsolete: Vec<DeclaredBinding>,
    max_event_bytes: SizeLimit,
) {
    let Some(mut broker_status) = broker_status else {
        return;
    };
    let mut obsolete = Some(obsolete);
    loop {
        let now = broker_status.borrow_and_update().clone();
        if now.established
            && let Some(gone) = obsolete.take()
            && !gone.is_empty()
        {
            log_failure(journal.forget_bindings(gone).await);
        }
        max_event_bytes.set_broker_limit(now.max_message_bytes);
        let detail = now.trouble.map(|trouble| trouble.detail);
        log_failure(journal.note_broker_trouble(detail).await);
        if broker_status.changed().await.is_err() {
            return;
        }
    }
}

fn log_failure(result: Result<(), JournalError>) {
    if let Err(error) = result {
        tracing::warn!(error = %ErrorChain(&error), "broker's state not written to the journal");
    }
}
