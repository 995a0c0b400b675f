//! Building a gateway: lock the data folder, open the journal, bind the listeners.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::certificate::Certificate;
use super::changes::refresh;
use crate::config::Config;
use crate::connections::{Directory, Seal};
use crate::database::{self, OpenError, is_corrupt};
use crate::journal::{DataFile, Journal, JournalGuard, release_if_full};
use crate::report::ErrorChain;

/// A built gateway: its listeners are bound, and nothing is served yet.
pub struct App {
    /// The address of the public listener.
    pub address: SocketAddr,
    /// The address of the admin listener.
    pub admin_address: SocketAddr,
    pub(super) config: Config,
    pub(super) certificate: Option<Certificate>,
    pub(super) listener: TcpListener,
    pub(super) admin_listener: TcpListener,
    pub(super) journal: Journal,
    pub(super) guard: JournalGuard,
    pub(super) directory: Directory,
    pub(super) seal: Seal,
    pub(super) lock: File,
}

impl App {
    /// Locks the data folder, opens the journal and binds the listeners.
    ///
    /// # Errors
    /// The first failure, for example [`database::LockError`].
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        database::make_folder(&config.data_dir)?;
        let lock = database::lock(&config.data_dir)?;
        let seal = Seal::load(&config.data_dir, config.master_key_file.as_deref())?;
        open_when_there_is_space(&config.data_dir)
            .await?
            .unlock(&seal)?;
        let certificate = config.tls.clone().map(Certificate::load).transpose()?;
        // Before the journal's threads start, so that a failed start leaves no thread behind.
        let bind = |address: SocketAddr| {
            TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address}: does another program use it? (--listen, --admin-listen)")
            })
        };
        let (listener, admin_listener) = (bind(config.listen)?, bind(config.admin_listen)?);
        let (journal, guard) = Journal::open(&config.data_dir, config.budget.clone())?;
        let directory = Directory::default();
        refresh(&journal, &directory, &seal).await?;
        Ok(Self {
            address: listener.local_addr()?,
            admin_address: admin_listener.local_addr()?,
            config,
            certificate,
            listener,
            admin_listener,
            journal,
            guard,
            directory,
            seal,
            lock,
        })
    }

    /// The certificate of the public listener, to be reloaded.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        self.certificate.clone()
    }
}

/// Opens the data file. While the disk is full, it removes the reserve file and tries again each second.
async fn open_when_there_is_space(folder: &Path) -> anyhow::Result<DataFile> {
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        let is_full = release_if_full(folder);
        match DataFile::open_locked(folder) {
            Err(OpenError::Sqlite { source, path }) if is_full && !is_corrupt(&source) => {
                let path = path.display();
                tracing::error!(%path, error = %ErrorChain(&source), "disk is full; waiting for free space to open the data file");
                tokio::time::sleep(PAUSE).await;
            }
            opened => {
                let file = opened?;
                if is_full && let Err(error) = file.truncate_log() {
                    tracing::warn!(error = %ErrorChain(&error), "write-ahead log cannot be folded into the full disk's data file");
                }
                return Ok(file);
            }
        }
    }
}
