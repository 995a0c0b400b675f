//! Reports the state of the service to systemd: `sd_notify` without its library.
//!
//! The protocol is one datagram to the socket in `NOTIFY_SOCKET`. Without this variable nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::report::ErrorChain;

/// The service is ready.
pub(super) const READY: &str = "READY=1";
/// The service shuts down.
pub(super) const STOPPING: &str = "STOPPING=1";

/// Sends a state to systemd, if it started this process as `Type=notify`.
pub(super) fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsString::from_vec(socket.as_bytes().to_vec())),
    }
    .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(state, error = %ErrorChain(&error), "systemd could not be notified");
    }
}
