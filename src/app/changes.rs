//! Changes of connections by other processes: they take effect within two seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::connections::{Accepted, Assessment, Directory, Seal};
use crate::journal::{ConnectionChange, Journal, Marks};
use crate::monitor::PINGED_AT;
use crate::report::ErrorChain;

/// The time between two searches for changes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Renews the directory when the connections change.
pub(super) struct ChangeWatcher {
    pub(super) journal: Journal,
    pub(super) directory: Directory,
    pub(super) seal: Seal,
    pub(super) accepted: Arc<Accepted>,
}

impl ChangeWatcher {
    /// The change counters now. The directory is older, so each change since then is found by a comparison.
    pub(super) async fn counters(&self) -> Marks {
        let read = self.journal.read(|reader| reader.marks());
        read.await.unwrap_or_default()
    }

    /// Runs until `shutdown`. Sends the new counters after each renewal of the directory.
    pub(super) async fn run(
        self,
        counters: watch::Sender<Marks>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut seen = *counters.borrow();
        let mut is_outdated = true;
        loop {
            store_pings(&self.journal, &self.accepted).await;
            match self.journal.read(|reader| reader.marks()).await {
                Ok(now) if now != seen || is_outdated => {
                    is_outdated = !self.renew(now).await;
                    seen = now;
                    counters.send_replace(now);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error = %ErrorChain(&error), "cannot search for changes of connections");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                _ = shutdown.wait_for(|shutdown| *shutdown) => return,
            }
        }
    }

    /// Renews the directory, and records this for the commands that wait for it. `false` if the connections cannot be read.
    async fn renew(&self, counters: Marks) -> bool {
        if let Err(error) = refresh(&self.journal, &self.directory, &self.seal).await {
            tracing::error!(error = %ErrorChain(&*error), "connections cannot be read; the last known ones stay in use");
            return false;
        }
        if let Err(error) = self.journal.note_applied(counters.connections).await {
            tracing::debug!(error = %ErrorChain(&error), "applied changes cannot be recorded");
        }
        true
    }
}

/// Reads all connections into the directory.
pub(super) async fn refresh(
    journal: &Journal,
    directory: &Directory,
    seal: &Seal,
) -> anyhow::Result<()> {
    let (directory, seal) = (directory.clone(), seal.clone());
    let broken = journal
        .read(move |reader| reader.refresh(&directory, &seal, Timestamp::now()))
        .await?;
    for error in broken {
        tracing::error!(error = %ErrorChain(&error), "a connection cannot verify webhooks with all of its keys");
    }
    Ok(())
}

/// Stores which stores reached the gateway with a ping.
async fn store_pings(journal: &Journal, accepted: &Accepted) {
    for (id, at) in accepted.take_pings() {
        let ping = ConnectionChange::Examined {
            id: id.clone(),
            settings: BTreeMap::from([(PINGED_AT.to_owned(), at.to_string())]),
            assessment: Assessment::Inconclusive,
            began: at,
        };
        if let Err(error) = journal.change_connection(ping).await {
            tracing::debug!(connection = %id, error = %ErrorChain(&error), "ping cannot be stored");
        }
    }
}
