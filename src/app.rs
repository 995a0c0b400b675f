//! The gateway put together: build it, then run it until it is told to stop.
//!
//! The only place that knows all rooms. Shutdown goes with the flow of data: first no new requests, then the relay, then
//! the broker, last the journal.

mod broker;
mod http_error;
mod listen;
mod notify;
mod open_connections;
mod request_id;
mod watched;
mod wire;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App as ActixApp;
use actix_web::dev::{Server, Service};
use actix_web::http::header::{HeaderName, HeaderValue};
use anyhow::Context;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use crate::sqlite::is_served;
use listen::Terms;
pub use listen::raise_open_files;
pub use watched::TaskEnded;
use watched::Watch;

use crate::admin::{Admin, AdminToken, log_lost_cursors};
use crate::config::Config;
use crate::connections::{Accepted, Assessment, Directory, Rejections, Seal, UnreadableBodies};
use crate::journal::{
    APPEND_TIMEOUT, ConnectionChange, DataFile, Journal, JournalGuard, Marks, release_if_full,
};
use crate::monitor::{BackgroundMonitor, Findings, PINGED_AT};
use crate::publisher::rabbitmq::RabbitMq;
use crate::publisher::{BrokerStatus, EventLogOnly, Publish};
use crate::receiver::{self, Receiver, ReceiverParts};
use crate::relay::{Asking, Relay};
use crate::report::ErrorChain;
use crate::sqlite::{OpenError, is_corrupt};
use crate::telemetry;

/// How often changes by other processes are looked for: they take effect within two seconds.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// The admin listener's connections at most, streams of events among them.
const ADMIN_CONNECTIONS: usize = 256;
/// How long they may go without an answer; a stream says something more often than that.
const ADMIN_PATIENCE: Duration = Duration::from_secs(60);

/// How long a shutdown may take beyond its grace time when a part of the gateway has stopped working.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// Another gateway uses the data folder.
#[derive(Debug, thiserror::Error)]
#[error(
    "another cartwire serves the data folder {0}: stop it first, or give this one a folder of its own (--data-dir)"
)]
pub struct AlreadyRunning(String);

/// A built gateway: its listeners are bound, nothing is served yet.
pub struct App {
    /// Where webhooks come in.
    pub address: SocketAddr,
    /// Where the admin API is.
    pub admin_address: SocketAddr,
    config: Config,
    listener: TcpListener,
    admin_listener: TcpListener,
    journal: Journal,
    guard: JournalGuard,
    directory: Directory,
    seal: Seal,
    lock: File,
}

impl App {
    /// Takes the data folder, opens the journal and binds the listeners.
    ///
    /// # Errors
    /// Where any of it is not to be had; [`AlreadyRunning`] among them.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        crate::sqlite::make_folder(&config.data_dir)?;
        let lock = lock(&config.data_dir)?;
        let seal = Seal::load(&config.data_dir, config.master_key_file.as_deref())?;
        open_when_there_is_room(&config.data_dir)
            .await?
            .unlock(&seal)?;
        // Before the journal's threads run: a start that fails leaves nothing behind.
        let bind = |address: SocketAddr| {
            TcpListener::bind(address)
                .with_context(|| format!("cannot listen on {address}: is another program there? (--listen, --admin-listen)"))
        };
        let (listener, admin_listener) = (bind(config.listen)?, bind(config.admin_listen)?);
        let (journal, guard) = Journal::open(&config.data_dir, config.budget.clone())?;
        let directory = Directory::default();
        refresh(&journal, &directory, &seal).await?;
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
        Ok(Self {
            address,
            admin_address,
            config,
            listener,
            admin_listener,
            journal,
            guard,
            directory,
            seal,
            lock,
        })
    }

    /// Serves until `stop` is done, then shuts down in order.
    ///
    /// # Errors
    /// Where a listener fails.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        match self.config.broker.clone() {
            Some(broker) => {
                let mut topology = broker.topology;
                let obsolete = broker::note_bindings(&self.config.data_dir, &mut topology)?;
                let publisher = RabbitMq::start(broker.endpoints, topology);
                let broker_status = publisher.status();
                let follow = tokio::spawn(broker::follow(
                    self.journal.clone(),
                    broker_status,
                    obsolete,
                    self.config.max_event_bytes.clone(),
                ));
                let result = self.run(publisher, stop).await;
                follow.abort();
                result
            }
            None => self.run(EventLogOnly, stop).await,
        }
    }

    async fn run<P: Publish>(
        self,
        publisher: P,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let shutdown = watch::Sender::new(false);
        let broker_status = publisher.status();
        let publisher = Arc::new(publisher);
        let (watch, mut ends) = Watch::new();
        let (rejections, accepted) = (
            Arc::new(Rejections::default()),
            Arc::new(Accepted::default()),
        );
        let unreadable = Arc::new(UnreadableBodies::default());
        let (marks, look) = self
            .look_for_changes(&watch, Arc::clone(&accepted), shutdown.subscribe())
            .await;
        let relay = Relay::new(
            self.journal.clone(),
            Arc::clone(&publisher),
            self.directory.clone(),
            marks,
        )
        .limiting_events(self.config.max_event_bytes.clone())
        .counting_unreadable(Arc::clone(&unreadable));
        let relay = match self.config.complete_within {
            Some(within) => {
                let outbound = self.config.outbound.without_retries();
                relay.asking(Asking {
                    outbound,
                    seal: self.seal.clone(),
                    within,
                })
            }
            None => relay,
        };
        let relay_shutdown = watch::Sender::new(false);
        // It answers until everything else has ended.
        let admin_shutdown = watch::Sender::new(false);
        let (stop_relay, grace) = (relay_shutdown.subscribe(), self.config.shutdown_grace);
        let logged = self.config.broker.is_some().then(|| self.journal.clone());
        let relay = watch.spawn("relay", async move {
            // Before the relay begins, so that what was logged long ago goes out before what arrives now.
            if let Some(journal) = logged {
                reopen_logged(&journal, stop_relay.clone()).await;
            }
            relay.run(stop_relay, grace).await;
        });
        let findings = Findings::default();
        let health = self
            .health(&rejections, &accepted, &unreadable, &findings)
            .map(|health| watch.spawn("health check", health.run(shutdown.subscribe())));
        let metrics = telemetry::count().map_err(anyhow::Error::msg)?;
        let upkeep = watch.spawn(
            "upkeep of metrics",
            telemetry::keep_bounded(metrics.clone()),
        );
        let refusals = watch.spawn(
            "log of refusals",
            receiver::log_refusals(admin_shutdown.subscribe()),
        );
        let lost = watch.spawn(
            "log of lost cursors",
            log_lost_cursors(admin_shutdown.subscribe()),
        );
        let public = self.public_server(&rejections, &accepted, shutdown.subscribe())?;
        let admin = self.admin_server(
            broker_status,
            rejections,
            findings,
            metrics,
            shutdown.subscribe(),
            admin_shutdown.subscribe(),
        )?;
        let (public_handle, admin_handle) = (public.handle(), admin.handle());
        tracing::info!(webhooks = %self.address, admin = %self.admin_address, broker = self.config.broker.is_some(), "cartwire serves");

        let (mut public, mut admin) = (tokio::spawn(public), tokio::spawn(admin));
        notify::notify(notify::READY);
        let ended: Option<anyhow::Error> = tokio::select! {
            () = stop => None,
            result = &mut public => Some(listener_ended("public listener", result)),
            result = &mut admin => Some(listener_ended("admin listener", result)),
            ended = ends.first() => Some(ended.into()),
            thread = self.guard.ended() => Some(TaskEnded(thread).into()),
            () = publisher.ended() => Some(TaskEnded("publisher").into()),
        };
        notify::notify(notify::STOPPING);
        if let Some(error) = &ended {
            tracing::error!(error = %ErrorChain(&**error), "gateway stops");
            end_after(self.config.shutdown_grace + LAST_GRACE);
        }
        tracing::info!("shutting down: finishing requests, then publishing what is under way");
        shutdown.send_replace(true);
        public_handle.stop(true).await;
        relay_shutdown.send_replace(true);
        if !relay.is_finished() {
            let _ = relay.await;
        }
        admin_shutdown.send_replace(true);
        admin_handle.stop(true).await;
        let _ = tokio::join!(refusals, lost);
        publisher.close().await;
        if let Some(health) = health {
            let _ = health.await;
        }
        look.abort();
        upkeep.abort();
        self.guard.close().await;
        drop(self.lock);
        ended.map_or(Ok(()), Err)
    }

    fn public_server(
        &self,
        rejections: &Arc<Rejections>,
        accepted: &Arc<Accepted>,
        shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<Server> {
        let receiver = Receiver::new(ReceiverParts {
            journal: self.journal.clone(),
            directory: self.directory.clone(),
            rejections: Arc::clone(rejections),
            accepted: Arc::clone(accepted),
            max_body_bytes: self.config.max_body_bytes,
            body_timeout: self.config.body_timeout,
        });
        let tls = match &self.config.tls {
            Some(certificate) => Some(
                certificate
                    .server_config()
                    .context("cannot offer TLS: no protocol version is supported")?,
            ),
            None => None,
        };
        let terms = Terms {
            workers: std::thread::available_parallelism().map_or(2, NonZero::get),
            connections: listen::most_connections(),
            patience: listen::HEAD + self.config.body_timeout + APPEND_TIMEOUT,
            grace: self.config.shutdown_grace,
            tls,
            shutdown,
        };
        Ok(listen::serve(
            "webhooks",
            self.listener.try_clone()?,
            terms,
            move || {
                let receiver = receiver.clone();
                ActixApp::new()
                    .wrap_fn(name_request)
                    .configure(|config| receiver.configure(config))
            },
        )?)
    }

    fn admin_server(
        &self,
        broker_status: Option<watch::Receiver<BrokerStatus>>,
        rejections: Arc<Rejections>,
        findings: Findings,
        metrics: PrometheusHandle,
        shutdown: watch::Receiver<bool>,
        last: watch::Receiver<bool>,
    ) -> anyhow::Result<Server> {
        let admin = Admin {
            journal: self.journal.with_own_readers(),
            broker_status,
            directory: self.directory.clone(),
            rejections,
            findings,
            metrics,
            shutdown,
            limits: Arc::default(),
            token: self.config.admin_token.clone().map(AdminToken::new),
        };
        let terms = Terms {
            workers: 1,
            connections: ADMIN_CONNECTIONS,
            patience: ADMIN_PATIENCE,
            grace: Duration::from_secs(2),
            tls: None,
            shutdown: last,
        };
        Ok(listen::serve(
            "admin",
            self.admin_listener.try_clone()?,
            terms,
            move || {
                let admin = admin.clone();
                ActixApp::new()
                    .wrap_fn(name_request)
                    .configure(|config| admin.configure(config))
            },
        )?)
    }

    /// What checks the connections, where that is not turned off.
    fn health(
        &self,
        rejections: &Arc<Rejections>,
        accepted: &Arc<Accepted>,
        unreadable: &Arc<UnreadableBodies>,
        findings: &Findings,
    ) -> Option<BackgroundMonitor> {
        self.config
            .check_interval
            .map(|interval| BackgroundMonitor {
                folder: self.config.data_dir.clone(),
                journal: self.journal.clone(),
                directory: self.directory.clone(),
                seal: self.seal.clone(),
                outbound: self.config.outbound.clone(),
                rejections: Arc::clone(rejections),
                accepted: Arc::clone(accepted),
                unreadable: Arc::clone(unreadable),
                findings: findings.clone(),
                public_url: self.config.public_url.clone(),
                interval,
            })
    }

    /// Renews the directory when connections change, whoever changed them, and then tells the relay.
    async fn look_for_changes(
        &self,
        watch: &Watch,
        accepted: Arc<Accepted>,
        mut shutdown: watch::Receiver<bool>,
    ) -> (watch::Receiver<Marks>, JoinHandle<()>) {
        let (journal, directory, seal) = (
            self.journal.clone(),
            self.directory.clone(),
            self.seal.clone(),
        );
        // The snapshot that `build` made is older than this: whatever changed since is found by comparing with it.
        let mut seen = journal
            .read(|reader| reader.marks())
            .await
            .unwrap_or_default();
        let (sender, receiver) = watch::channel(seen);
        let mut renew = true;
        let look = watch.spawn("search for changes", async move {
            loop {
                keep_pings(&journal, &accepted).await;
                match journal.read(|reader| reader.marks()).await {
                    Ok(marks) if marks != seen || renew => {
                        renew = false;
                        if let Err(error) = refresh(&journal, &directory, &seal).await {
                            tracing::error!(error = %ErrorChain(&*error), "the connections cannot be read; the last known ones stay");
                            renew = true;
                        }
                        seen = marks;
                        sender.send_replace(marks);
                        if !renew && let Err(error) = journal.note_applied(marks.connections).await
                        {
                            tracing::debug!(error = %ErrorChain(&error), "applied changes cannot be noted");
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(error = %ErrorChain(&error), "changes cannot be looked for")
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    _ = shutdown.wait_for(|shutdown| *shutdown) => return,
                }
            }
        });
        (receiver, look)
    }
}

/// Writes down which stores have reached the gateway by a ping.
async fn keep_pings(journal: &Journal, accepted: &Accepted) {
    for (id, at) in accepted.take_pings() {
        let ping = ConnectionChange::Examined {
            id: id.clone(),
            settings: BTreeMap::from([(PINGED_AT.to_owned(), at.to_string())]),
            assessment: Assessment::Inconclusive,
            began: at,
        };
        if let Err(error) = journal.change_connection(ping).await {
            tracing::debug!(connection = %id, error = %ErrorChain(&error), "ping cannot be noted");
        }
    }
}

/// Opens the data file. While the disk is too full for that, it waits: every second the reserve file is given up, where
/// it is, and opening is tried again.
async fn open_when_there_is_room(folder: &Path) -> anyhow::Result<DataFile> {
    const PAUSE: Duration = Duration::from_secs(1);
    loop {
        let is_full = release_if_full(folder);
        match DataFile::open_locked(folder) {
            Err(OpenError::Sqlite { source, path }) if is_full && !is_corrupt(&source) => {
                let path = path.display();
                tracing::error!(%path, error = %ErrorChain(&source), "disk is full; waiting for room to open the data file");
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

/// How a listener ended by itself.
fn listener_ended(
    name: &'static str,
    result: Result<std::io::Result<()>, tokio::task::JoinError>,
) -> anyhow::Error {
    match result {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) | Err(_) => TaskEnded(name).into(),
    }
}

/// Ends the process after a while, in case that the shutdown waits for the part that stopped working.
fn end_after(longest: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(longest);
        tracing::error!("gateway did not shut down in time");
        telemetry::flush_log();
        std::process::exit(70);
    });
}

/// What was logged without a broker is published now that there is one.
async fn reopen_logged(journal: &Journal, mut stop: watch::Receiver<bool>) {
    loop {
        match journal.reopen_logged().await {
            Ok(0) => return,
            Ok(reopened) => {
                return tracing::info!(
                    reopened,
                    "what was logged without a broker is published now"
                );
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "what was logged without a broker cannot be re-opened yet")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn refresh(journal: &Journal, directory: &Directory, seal: &Seal) -> anyhow::Result<()> {
    let (directory, seal) = (directory.clone(), seal.clone());
    for broken in journal
        .read(move |reader| reader.refresh(&directory, &seal, Timestamp::now()))
        .await?
    {
        tracing::error!(error = %ErrorChain(&broken), "a connection cannot verify webhooks as it should");
    }
    Ok(())
}

/// Holds the data folder for this process; the lock goes when the process does, however it ends.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join(crate::sqlite::LOCK_FILE);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let locked = match file.try_lock() {
        // A command that looks whether it is locked holds it for a moment.
        Err(std::fs::TryLockError::WouldBlock) => {
            std::thread::sleep(Duration::from_millis(100));
            file.try_lock()
        }
        locked => locked,
    };
    match locked {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(AlreadyRunning(folder.display().to_string()).into())
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Gives each answer an `x-request-id`.
fn name_request<S, B>(
    request: actix_web::dev::ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<actix_web::dev::ServiceResponse<B>, actix_web::Error>> + use<S, B>
where
    S: Service<
            actix_web::dev::ServiceRequest,
            Response = actix_web::dev::ServiceResponse<B>,
            Error = actix_web::Error,
        >,
{
    let id = request_id::next();
    let answer = service.call(request);
    async move {
        let mut response = answer.await?;
        if let Ok(id) = HeaderValue::from_str(&id) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-request-id"), id);
        }
        Ok(response)
    }
}
