//! The task that keeps a connection to the broker, and replaces it after a failure.
//!
//! lapin's own recovery is not used: a new connection has no returned messages of the old one, and no channel in an error
//! state.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::broker_status::{Trouble, TroubleCode};
use super::channel;
use super::keeper::{self, Keeper};
use super::live::Live;
use super::session::Endpoints;
use crate::backoff::Backoff;
use crate::report::ErrorChain;

/// Time limit for the topology of a new connection.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay before the next attempt to connect.
pub(super) const CONNECT_BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    max: Duration::from_secs(5),
};

/// Keeps a connection alive until the publisher is closed.
pub(super) async fn supervise(
    endpoints: Endpoints,
    keeper: Arc<Keeper>,
    sender: watch::Sender<Option<Arc<Live>>>,
    mut closing: watch::Receiver<bool>,
) {
    let mut failures = 0_u32;
    let mut failing = false;
    loop {
        let connected = tokio::select! {
            connected = connect(&endpoints, &keeper) => connected,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match connected {
            Ok(live) => {
                failing = false;
                tracing::info!(exchange = keeper.exchange(), "connected to the broker");
                keeper.set_connected();
                sender.send_replace(Some(Arc::clone(&live)));
                tokio::select! {
                    () = watch_over(&live, &mut closing) => {}
                    () = keeper.keep(&live.session.connection) => {}
                }
                live.link.set_blocked(false);
                live.link.set_broken();
                sender.send_replace(None);
                keeper.set_disconnected(None);
                live.session.close().await;
                if *closing.borrow() {
                    return;
                }
                // A connection without a confirmed event does not reset the back-off.
                if live.link.has_confirmed() {
                    failures = 0;
                }
            }
            Err(why) => {
                complain(&mut failing, &why.detail);
                keeper.set_disconnected(Some(why));
            }
        }
        failures = failures.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(CONNECT_BACKOFF.delay(failures)) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
    }
}

/// One line when it begins to fail, then silence until it works again: it is tried every few seconds.
fn complain(failing: &mut bool, error: &str) {
    metrics::counter!("cartwire_broker_connect_failures_total").increment(1);
    if *failing {
        tracing::debug!(error, "the broker is still not reached");
    } else {
        tracing::warn!(
            error,
            "the broker is not reached; webhooks are kept and published when it is"
        );
    }
    *failing = true;
}

async fn connect(endpoints: &Endpoints, keeper: &Arc<Keeper>) -> Result<Arc<Live>, Trouble> {
    let unreachable = |detail: String| Trouble {
        code: TroubleCode::Unreachable,
        detail,
    };
    let session = endpoints
        .connect("cartwire publisher")
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(SETUP_TIMEOUT, keeper.establish(&session.connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            return Err(keeper::trouble(&error).unwrap_or_else(|| unreachable(error.to_string())));
        }
        Err(_) => return Err(unreachable("no answer in time".to_owned())),
    }
    Ok(Arc::new(Live::new(session, keeper)))
}

/// Returns when the connection is no longer good, or is to be closed.
async fn watch_over(live: &Live, closing: &mut watch::Receiver<bool>) {
    let mut events = std::pin::pin!(live.session.connection.events_listener());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(lapin::Event::ConnectionBlocked(reason)) => {
                    live.link.set_blocked(true);
                    tracing::warn!(reason, "the broker takes nothing at the moment; webhooks are kept meanwhile");
                }
                Some(lapin::Event::ConnectionUnblocked) => {
                    live.link.set_blocked(false);
                    tracing::info!("the broker takes events again");
                }
                // Channels are replaced one by one.
                Some(lapin::Event::Error(error)) if channel::is_channel_error(&error) => {}
                Some(lapin::Event::Error(error)) => {
                    tracing::warn!(error = %ErrorChain(&error), "the connection to the broker broke");
                    break;
                }
                Some(_) => {}
                None => break,
            },
            () = live.link.wait_broken() => break,
            _ = closing.wait_for(|closing| *closing) => break,
        }
    }
    live.link.set_blocked(false);
}
