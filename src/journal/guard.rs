//! The threads of the journal, and closing it.

use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::command::Command;
use crate::database::checkpoint::Checkpointer;

/// The threads of an open journal.
pub struct JournalGuard {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) thread: JoinHandle<()>,
    pub(super) checkpointer: Checkpointer,
    pub(super) ended: watch::Receiver<Option<&'static str>>,
}

impl JournalGuard {
    /// Waits until a thread of the journal ends before [`JournalGuard::close`], which is a fault. Returns its name.
    pub fn ended(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await.map(|name| *name) {
                Ok(Some(name)) => name,
                Ok(None) | Err(_) => "journal",
            }
        }
    }

    /// Writes all waiting commands, makes a last checkpoint and closes the file.
    pub async fn close(self) {
        let _ = self.commands.send(Command::Close).await;
        let ended = tokio::task::spawn_blocking(move || {
            self.checkpointer.stop();
            self.thread.join()
        });
        let _ = ended.await;
    }
}
