//! `serve`: runs the gateway until SIGTERM or SIGINT. SIGHUP reloads the certificate and the log filter.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use crate::app::{self, App, Certificate};
use crate::config::{Config, DataArgs, ServeArgs, read_filter};
use crate::telemetry;

pub(super) fn run(data: &DataArgs, args: &ServeArgs) -> anyhow::Result<Exit> {
    let config = Config::new(data, args)?;
    telemetry::log(&config.log.filter, config.log.format).map_err(anyhow::Error::msg)?;
    telemetry::count().map_err(anyhow::Error::msg)?;
    app::raise_open_files();
    let result = super::data::runtime()?.block_on(serve(config));
    telemetry::flush_log();
    result.map(|()| Exit::Success)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // The handlers come first, so that a signal during the start does not kill the process.
    let (mut terminate, mut interrupt, hang_up) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    );
    let log_filter_file = config.log.filter_file.clone();
    let app = tokio::select! {
        app = App::build(config) => app?,
        // A start can wait for free disk space.
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let files = Reloaded {
        certificate: app.certificate(),
        log_filter_file,
    };
    app.run_until(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = files.reload_on(hang_up) => {}
        }
    })
    .await
}

/// The files that SIGHUP reloads.
struct Reloaded {
    certificate: Option<Certificate>,
    log_filter_file: Option<PathBuf>,
}

impl Reloaded {
    /// Never returns.
    async fn reload_on(&self, mut hang_up: Signal) {
        while hang_up.recv().await.is_some() {
            self.reload();
        }
        std::future::pending().await
    }

    fn reload(&self) {
        if let Some(certificate) = &self.certificate {
            match certificate.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => {
                    tracing::error!(
                        %error,
                        "certificate cannot be reloaded; keeping the previous one"
                    );
                }
            }
        }
        if let Some(path) = &self.log_filter_file {
            let set = read_filter(path).and_then(|filter| telemetry::set_log_filter(&filter));
            match set {
                Ok(()) => tracing::info!("log filter reloaded"),
                Err(error) => {
                    tracing::error!(
                        error,
                        "log filter cannot be reloaded; keeping the previous one"
                    );
                }
            }
        }
        if self.certificate.is_none() && self.log_filter_file.is_none() {
            tracing::info!("nothing to reload: neither --tls-cert nor --log-filter-file is set");
        }
    }
}
