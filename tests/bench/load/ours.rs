//! The gateway: the real binary, started as by an operator.

use std::fs::File;
use std::process::{Command, Stdio};

use super::broker::Broker;
use super::journal;
use super::requests::Shop;
use super::server::{Server, folder};
use support::free_port;

/// The content of the data folder before the start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before {
    /// This many connections.
    Connections(u32),
    /// One connection, and this many deliveries that were published long ago.
    Settled { bytes: usize, many: u64 },
    /// One connection, and this many known orders.
    Known { bytes: usize, many: u64 },
}

impl Before {
    pub(crate) fn connections(self) -> u32 {
        match self {
            Before::Connections(many) => many,
            Before::Settled { .. } | Before::Known { .. } => 1,
        }
    }
}

/// Starts a gateway. Without a broker, the broker URL leads nowhere.
pub(crate) fn start(shop: Shop, before: Before, broker: Option<&Broker>) -> Server {
    let folder = folder();
    let data = folder.path().join("data");
    match before {
        Before::Connections(many) => journal::with_connections(&data, shop, many),
        Before::Settled { bytes, many } => journal::with_settled(&data, shop, bytes, many),
        Before::Known { bytes, many } => journal::with_known(&data, shop, bytes, many),
    }
    let (port, admin, nowhere) = (free_port(), free_port(), free_port());
    let url = broker.map_or_else(|| format!("amqp://127.0.0.1:{nowhere}/%2f"), Broker::url);
    if let Some(broker) = broker {
        broker.purge();
    }
    let mut command = Command::new(support::program());
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARTWIRE_"))
    {
        command.env_remove(name);
    }
    let log =
        File::create(folder.path().join("serve.log")).expect("the log file should be created");
    command
        .arg("--data-dir")
        .arg(&data)
        .arg("serve")
        // The senders repeat a set of signed bodies. Without this option, deliveries with known content would not be
        // published.
        .arg("--publish-unchanged")
        .args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args([
        "--admin-listen",
        &format!("127.0.0.1:{admin}"),
        "--amqp-url",
        &url,
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let server = Server::start(command, port, folder);
    if let Some(broker) = broker {
        // The gateway first publishes an announcement of each connection.
        broker.wait_for(u64::from(before.connections()));
    }
    server
}
