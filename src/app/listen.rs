//! Serves routes on a listener: HTTP/1.1, with or without TLS, with limits on connections and idle time.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServiceRequest, ServiceResponse};
use actix_web::{App, Error};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use super::open_connections::OpenConnections;
use super::wire::accepted;
use crate::report::ErrorChain;

/// Maximum time until the first request's head is complete.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Open files of the journal, the broker and the admin listener.
const OWN_FILES: u64 = 512;

/// The options of a listener.
#[derive(Clone)]
pub(super) struct ListenerOptions {
    /// Number of threads.
    pub(super) workers: usize,
    /// Maximum number of connections. A further connection closes the one whose last answer is oldest.
    pub(super) max_connections: usize,
    /// Maximum time without an answer on a connection.
    pub(super) idle_timeout: Duration,
    /// Maximum time for finishing answers at shutdown.
    pub(super) grace: Duration,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    pub(super) shutdown: watch::Receiver<bool>,
}

pub(super) fn serve<F, A, B>(
    name: &str,
    listener: TcpListener,
    options: ListenerOptions,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> App<A> + Clone + Send + 'static,
    A: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    B: MessageBody + 'static,
{
    let open = Arc::new(OpenConnections::new(options.max_connections));
    let server = Server::build()
        .workers(options.workers)
        // Never reached: the server's own limit would leave new clients waiting.
        .max_concurrent_connections(options.max_connections * 2)
        .shutdown_timeout(options.grace.as_secs())
        .disable_signals()
        .listen(name, listener, move || {
            let ListenerOptions {
                tls,
                shutdown,
                idle_timeout,
                ..
            } = options.clone();
            let app = app()
                .into_factory()
                .map_err(|error: Error| error.error_response());
            let http = HttpService::build()
                .client_request_timeout(HEAD_TIMEOUT)
                .graceful_shutdown_signal(move || {
                    let mut shutdown = shutdown.clone();
                    async move { drop(shutdown.wait_for(|shutdown| *shutdown).await) }
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let open = Arc::clone(&open);
            fn_service(move |stream| accepted(stream, tls.clone(), Arc::clone(&open), idle_timeout))
                .map_err(DispatchError::from)
                .and_then(http)
        })?;
    Ok(server.run())
}

/// Lets this process have as many open files as it may: each webhook's connection is one, and the usual soft limit is for
/// programs that use `select`.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::warn!(error = %ErrorChain(&error), "the limit of open files stays as it is");
    }
}

/// As many connections of webhooks as leave the journal and the broker the files that they need, and no more than 16,384:
/// each can hold an unfinished head of 128 KiB and a little of a body, so that all of them at once take some 2 GiB.
pub(super) fn max_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(OWN_FILES).max(files / 2))
        .unwrap_or(usize::MAX)
        .clamp(16, 16 << 10)
}
