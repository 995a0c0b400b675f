//! `serve`: run the gateway until SIGTERM or SIGINT.

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use crate::app::{self, App};
use crate::config::{Config, DataArgs, ServeArgs};
use crate::telemetry;

pub(super) fn run(data: &DataArgs, args: &ServeArgs) -> anyhow::Result<Exit> {
    let config = Config::new(data, args)?;
    telemetry::log(&config.log, config.log_format).map_err(anyhow::Error::msg)?;
    telemetry::count().map_err(anyhow::Error::msg)?;
    app::raise_open_files();
    super::runtime()?.block_on(async {
        // Before anything else: a signal during the start must not end the process half-way.
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let app = App::build(config).await?;
        app.run_until(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
        Ok(Exit::Success)
    })
}
