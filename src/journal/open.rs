//! Opening the journal: the data file and the threads.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{Notify, mpsc, watch};

use super::budget::Budget;
use super::guard::JournalGuard;
use super::handle::Journal;
use super::health::{JournalHealth, Unwritable};
use super::readers::Readers;
use super::signals::Signals;
use super::writer::{Writer, WriterParts};
use crate::database::checkpoint::{Checkpointer, LogLength};
use crate::database::{self, DATA_FILE, DataFolder, MIGRATIONS, OpenError, ThreadEnd};

/// Maximum number of commands that wait for the writer.
const MAX_WAITING_COMMANDS: usize = 4096;

impl Journal {
    /// Opens the journal of a data folder, creates it if it is missing, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(folder: &Path, budget: Budget) -> Result<(Self, JournalGuard), OpenError> {
        let sqlite = database::open(folder, MIGRATIONS)?;
        let (commands, waiting) = mpsc::channel(MAX_WAITING_COMMANDS);
        let health = Arc::new(JournalHealth::default());
        let signals = Signals {
            arrived: Arc::new(Notify::new()),
            logged: watch::Sender::new(0),
        };
        let log = LogLength::new(budget.log_limit());
        let data_folder = Arc::new(DataFolder::new(folder.to_owned()));
        let writer = Writer::new(WriterParts {
            data_folder: Arc::clone(&data_folder),
            sqlite,
            commands: waiting,
            health: Arc::clone(&health),
            signals: signals.clone(),
            budget,
            log: log.clone(),
        });
        let writer = writer.map_err(|source| OpenError::Sqlite {
            path: folder.join(DATA_FILE),
            source,
        })?;
        let failed = |source| OpenError::Folder {
            path: folder.to_owned(),
            source,
        };
        let (ends, ended) = watch::channel(None);
        let end = ThreadEnd {
            ended: ends.clone(),
            name: "checkpoints of the journal",
        };
        let checkpointer =
            Checkpointer::start(Arc::clone(&data_folder), log, end).map_err(failed)?;
        let thread = start_writer(writer, Arc::clone(&health), ends).map_err(failed)?;
        let guard = JournalGuard {
            commands: commands.clone(),
            thread,
            checkpointer,
            ended,
        };
        let readers = Readers::new(data_folder);
        Ok((Self::new(commands, health, signals, readers), guard))
    }
}

fn start_writer(
    writer: Writer,
    health: Arc<JournalHealth>,
    ends: watch::Sender<Option<&'static str>>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let end = ThreadEnd {
        ended: ends,
        name: "writer of the journal",
    };
    let work = move || {
        let _end = end;
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run(&runtime)));
        let reason = if result.is_ok() {
            "the journal is closed"
        } else {
            "the writer of the journal stopped: restart the gateway"
        };
        health.set(Some(Unwritable::Failing(reason.to_owned())));
    };
    std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(work)
}
