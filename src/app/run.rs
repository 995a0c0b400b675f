//! Running a gateway until it is stopped. The shutdown follows the flow of data: first no new requests, then the relay, then
//! the broker, and last the journal.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::build::App;
use super::changes::ChangeWatcher;
use super::servers::AdminParts;
use super::shared::Shared;
use super::watched::{Ends, TaskEnded, Watch};
use super::{broker, notify};
use crate::admin::log_lost_cursors;
use crate::journal::{Journal, Marks};
use crate::monitor::BackgroundMonitor;
use crate::outbound::Outbound;
use crate::publisher::rabbitmq::RabbitMq;
use crate::publisher::{EventLogOnly, ExchangePublisher, Publish};
use crate::receiver;
use crate::reconcile::Reconciler;
use crate::relay::{Fetcher, Relay};
use crate::report::ErrorChain;
use crate::telemetry;

/// Maximum duration of a shutdown beyond its grace time, if a part of the gateway has stopped working.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// The background tasks, and the signals that end them.
struct Tasks {
    relay: JoinHandle<()>,
    stop_relay: watch::Sender<bool>,
    monitor: Option<JoinHandle<()>>,
    reconciler: JoinHandle<()>,
    changes: JoinHandle<()>,
    metrics_upkeep: JoinHandle<()>,
    summaries: [JoinHandle<()>; 2],
    /// Stops what takes in new work.
    shutdown: watch::Sender<bool>,
    /// Stops what works until everything else has ended.
    end: watch::Sender<bool>,
    ends: Ends,
}

/// Both HTTP servers.
struct Servers {
    public: JoinHandle<std::io::Result<()>>,
    public_handle: ServerHandle,
    admin: JoinHandle<std::io::Result<()>>,
    admin_handle: ServerHandle,
}

impl App {
    /// Serves until `stop` is done, then shuts down.
    ///
    /// # Errors
    /// If a listener or a task that must not end fails.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        match self.config.broker.clone() {
            Some(broker) => {
                let mut topology = broker.topology;
                let obsolete = broker::note_bindings(&self.config.data_dir, &mut topology)?;
                let publisher = RabbitMq::start(broker.endpoints, topology);
                let follow = tokio::spawn(broker::follow(
                    self.journal.clone(),
                    publisher.status(),
                    obsolete,
                    self.config.max_event_bytes.clone(),
                ));
                let exchanges = Some(publisher.exchanges());
                let result = self.run(publisher, exchanges, stop).await;
                follow.abort();
                result
            }
            None => self.run(EventLogOnly, None, stop).await,
        }
    }

    async fn run<P: Publish>(
        self,
        publisher: P,
        exchanges: Option<ExchangePublisher>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let shared = Shared::default();
        let publisher = Arc::new(publisher);
        let outbound = Outbound::new(&self.config.stores)?;
        let metrics = telemetry::count().map_err(anyhow::Error::msg)?;
        let publishers = (&publisher, exchanges);
        let mut tasks = self
            .start_tasks(publishers, &shared, &outbound, &metrics)
            .await?;
        let admin_parts = AdminParts {
            broker_status: publisher.status(),
            metrics,
            shutdown: tasks.shutdown.subscribe(),
            end: tasks.end.subscribe(),
        };
        let public = self.public_server(&shared, tasks.shutdown.subscribe())?;
        let admin = self.admin_server(&shared, admin_parts)?;
        let mut servers = Servers::start(public, admin);
        tracing::info!(webhooks = %self.address, admin = %self.admin_address, broker = self.config.broker.is_some(), "gateway started");
        notify::notify(notify::READY);
        let ended: Option<anyhow::Error> = tokio::select! {
            () = stop => None,
            error = servers.ended() => Some(error),
            ended = tasks.ends.first() => Some(ended.into()),
            thread = self.guard.ended() => Some(TaskEnded(thread).into()),
            () = publisher.ended() => Some(TaskEnded("publisher").into()),
        };
        notify::notify(notify::STOPPING);
        if let Some(error) = &ended {
            tracing::error!(error = %ErrorChain(&**error), "gateway stops");
            exit_after(self.config.shutdown_grace + LAST_GRACE);
        }
        tasks.stop(&servers, &*publisher).await;
        self.guard.close().await;
        drop(self.lock);
        ended.map_or(Ok(()), Err)
    }

    async fn start_tasks<P: Publish>(
        &self,
        (publisher, exchanges): (&Arc<P>, Option<ExchangePublisher>),
        shared: &Shared,
        outbound: &Outbound,
        metrics: &PrometheusHandle,
    ) -> anyhow::Result<Tasks> {
        let (watch, ends) = Watch::new();
        let (shutdown, end) = (watch::Sender::new(false), watch::Sender::new(false));
        let watcher = ChangeWatcher {
            journal: self.journal.clone(),
            directory: self.directory.clone(),
            seal: self.seal.clone(),
            accepted: Arc::clone(&shared.accepted),
        };
        let (sender, counters) = watch::channel(watcher.counters().await);
        let changes = watch.spawn(
            "search for changes",
            watcher.run(sender, shutdown.subscribe()),
        );
        let stop_relay = watch::Sender::new(false);
        let comparing_since = self.journal.entity_memory_since().await?;
        let relay = self
            .relay(publisher, shared, outbound, counters)
            .comparing(self.config.comparison.clone(), comparing_since);
        let relay = watch.spawn("relay", self.run_relay(relay, stop_relay.subscribe()));
        let monitor = self
            .monitor(shared, outbound)
            .map(|monitor| watch.spawn("monitor", monitor.run(shutdown.subscribe())));
        let reconciler = Reconciler {
            journal: self.journal.with_own_readers(),
            directory: self.directory.clone(),
            seal: self.seal.clone(),
            outbound: outbound.clone(),
            exchanges,
            max_event_bytes: self.config.max_event_bytes.clone(),
            interval: self.config.reconcile_interval,
            poll_interval: self.config.poll_interval,
        };
        let reconciler = watch.spawn("reconciler", reconciler.run(shutdown.subscribe()));
        let upkeep = telemetry::keep_bounded(metrics.clone());
        let metrics_upkeep = watch.spawn("upkeep of metrics", upkeep);
        let refusals = receiver::log_refusals(end.subscribe());
        let lost = log_lost_cursors(end.subscribe());
        let summaries = [
            watch.spawn("log of refusals", refusals),
            watch.spawn("log of lost cursors", lost),
        ];
        Ok(Tasks {
            relay,
            stop_relay,
            monitor,
            reconciler,
            changes,
            metrics_upkeep,
            summaries,
            shutdown,
            end,
            ends,
        })
    }

    fn relay<P: Publish>(
        &self,
        publisher: &Arc<P>,
        shared: &Shared,
        outbound: &Outbound,
        counters: watch::Receiver<Marks>,
    ) -> Relay<P> {
        let (journal, directory) = (self.journal.clone(), self.directory.clone());
        let relay = Relay::new(journal, Arc::clone(publisher), directory, counters)
            .limiting_events(self.config.max_event_bytes.clone())
            .counting_unreadable(Arc::clone(&shared.unreadable));
        match self.config.complete_within {
            Some(max_wait) => relay.enriching(Fetcher {
                outbound: outbound.without_retries(),
                seal: self.seal.clone(),
                max_wait,
            }),
            None => relay,
        }
    }

    fn run_relay<P: Publish>(
        &self,
        relay: Relay<P>,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<P> {
        let grace = self.config.shutdown_grace;
        let has_broker = self.config.broker.is_some();
        let journal = self.journal.clone();
        async move {
            // Before the relay starts, so that older events are published before new ones.
            if has_broker {
                reopen_logged(&journal, stop.clone()).await;
            }
            relay.run(stop, grace).await;
        }
    }

    /// The task that checks the connections; `None` if checks are turned off.
    fn monitor(&self, shared: &Shared, outbound: &Outbound) -> Option<BackgroundMonitor> {
        let interval = self.config.check_interval?;
        Some(BackgroundMonitor {
            folder: self.config.data_dir.clone(),
            journal: self.journal.clone(),
            directory: self.directory.clone(),
            seal: self.seal.clone(),
            outbound: outbound.clone(),
            rejections: Arc::clone(&shared.rejections),
            accepted: Arc::clone(&shared.accepted),
            unreadable: Arc::clone(&shared.unreadable),
            findings: shared.findings.clone(),
            public_url: self.config.public_url.clone(),
            interval,
            is_auto_repair: self.config.is_auto_repair,
        })
    }
}

impl Tasks {
    async fn stop<P: Publish>(self, servers: &Servers, publisher: &P) {
        tracing::info!("shutting down: finishing requests, then publishing events in flight");
        self.shutdown.send_replace(true);
        servers.public_handle.stop(true).await;
        self.stop_relay.send_replace(true);
        if !self.relay.is_finished() {
            let _ = self.relay.await;
        }
        self.end.send_replace(true);
        servers.admin_handle.stop(true).await;
        for summary in self.summaries {
            let _ = summary.await;
        }
        publisher.close().await;
        if let Some(monitor) = self.monitor {
            let _ = monitor.await;
        }
        let _ = self.reconciler.await;
        self.changes.abort();
        self.metrics_upkeep.abort();
    }
}

impl Servers {
    fn start(public: Server, admin: Server) -> Self {
        Self {
            public_handle: public.handle(),
            admin_handle: admin.handle(),
            public: tokio::spawn(public),
            admin: tokio::spawn(admin),
        }
    }

    /// Waits until a listener ends by itself.
    async fn ended(&mut self) -> anyhow::Error {
        let (name, result) = tokio::select! {
            result = &mut self.public => ("public listener", result),
            result = &mut self.admin => ("admin listener", result),
        };
        match result {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => TaskEnded(name).into(),
        }
    }
}

/// Ends the process after a while, in case the shutdown waits for a part that has stopped working.
fn exit_after(limit: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        tracing::error!("gateway did not shut down in time");
        telemetry::flush_log();
        std::process::exit(70);
    });
}

/// Re-opens the deliveries whose events were only logged because there was no broker.
async fn reopen_logged(journal: &Journal, mut stop: watch::Receiver<bool>) {
    loop {
        match journal.reopen_logged().await {
            Ok(0) => return,
            Ok(reopened) => {
                return tracing::info!(
                    reopened,
                    "publishing events that were logged without a broker"
                );
            }
            Err(error) => {
                tracing::error!(error = %ErrorChain(&error), "events that were logged without a broker cannot be re-opened yet")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}
