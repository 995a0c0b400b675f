//! The HTTP servers of both listeners.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App as ActixApp;
use actix_web::dev::Server;
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use super::build::App;
use super::listen::{self, ListenerOptions};
use super::request_id_layer::name_request;
use super::shared::Shared;
use crate::admin::{Admin, AdminToken};
use crate::journal::APPEND_TIMEOUT;
use crate::publisher::BrokerStatus;
use crate::receiver::{Receiver, ReceiverParts};

/// Maximum number of connections to the admin listener, event streams included.
const MAX_ADMIN_CONNECTIONS: usize = 256;
/// Maximum time without an answer on a connection to the admin listener. An event stream sends something more often.
const ADMIN_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the admin listener needs beside the app.
pub(super) struct AdminParts {
    pub(super) broker_status: Option<watch::Receiver<BrokerStatus>>,
    pub(super) metrics: PrometheusHandle,
    /// Ends event streams.
    pub(super) shutdown: watch::Receiver<bool>,
    /// Ends the listener. It answers until everything else has ended.
    pub(super) end: watch::Receiver<bool>,
}

impl App {
    pub(super) fn public_server(
        &self,
        shared: &Shared,
        shutdown: watch::Receiver<bool>,
    ) -> anyhow::Result<Server> {
        let receiver = Receiver::new(ReceiverParts {
            journal: self.journal.clone(),
            directory: self.directory.clone(),
            rejections: Arc::clone(&shared.rejections),
            accepted: Arc::clone(&shared.accepted),
            max_body_bytes: self.config.max_body_bytes,
            body_timeout: self.config.body_timeout,
        });
        let tls = match &self.certificate {
            Some(certificate) => Some(
                certificate
                    .server_config()
                    .context("cannot offer TLS: no protocol version is supported")?,
            ),
            None => None,
        };
        let options = ListenerOptions {
            workers: std::thread::available_parallelism().map_or(2, NonZero::get),
            max_connections: listen::max_connections(),
            idle_timeout: listen::HEAD_TIMEOUT + self.config.body_timeout + APPEND_TIMEOUT,
            grace: self.config.shutdown_grace,
            tls,
            shutdown,
        };
        let listener = self.listener.try_clone()?;
        Ok(listen::serve("webhooks", listener, options, move || {
            let receiver = receiver.clone();
            ActixApp::new()
                .wrap_fn(name_request)
                .configure(|config| receiver.configure(config))
        })?)
    }

    pub(super) fn admin_server(
        &self,
        shared: &Shared,
        parts: AdminParts,
    ) -> anyhow::Result<Server> {
        let admin = Admin {
            journal: self.journal.with_own_readers(),
            broker_status: parts.broker_status,
            directory: self.directory.clone(),
            rejections: Arc::clone(&shared.rejections),
            findings: shared.findings.clone(),
            metrics: parts.metrics,
            shutdown: parts.shutdown,
            limits: Arc::default(),
            token: self.config.admin_token.clone().map(AdminToken::new),
        };
        let options = ListenerOptions {
            workers: 1,
            max_connections: MAX_ADMIN_CONNECTIONS,
            idle_timeout: ADMIN_IDLE_TIMEOUT,
            grace: Duration::from_secs(2),
            tls: None,
            shutdown: parts.end,
        };
        let listener = self.admin_listener.try_clone()?;
        Ok(listen::serve("admin", listener, options, move || {
            let admin = admin.clone();
            ActixApp::new()
                .wrap_fn(name_request)
                .configure(|config| admin.configure(config))
        })?)
    }
}
