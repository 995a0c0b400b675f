//! Changes connections from the command line.

use serde_json::json;

use super::exit::Exit;
use super::output::Output;
use super::stores::no_such;
use crate::config::DataArgs;
use crate::delivery::ConnectionId;
use crate::journal::{Changed, ConnectionChange, DataFile};

/// The result of a change, to be printed.
pub(super) struct Change {
    id: ConnectionId,
    is_changed: bool,
}

/// Changes a connection.
pub(super) fn change(
    data: &DataArgs,
    id: &ConnectionId,
    change: impl FnOnce(ConnectionId) -> ConnectionChange,
) -> anyhow::Result<Change> {
    let changed = DataFile::open(&data.data_dir)?.change_connection(&change(id.clone()))?;
    match changed {
        Changed::NoSuchConnection | Changed::Taken => Err(no_such(id)),
        Changed::Yes | Changed::No | Changed::Stale | Changed::Removed => Ok(Change {
            id: id.clone(),
            is_changed: changed == Changed::Yes,
        }),
    }
}

impl Change {
    /// Prints the result; `done` completes the sentence that begins with the connection's name.
    pub(super) fn print(&self, done: &str, output: Output) -> anyhow::Result<Exit> {
        output.value(
            &json!({"connection": self.id, "changed": self.is_changed}),
            || format!("connection {} {done}", self.id),
        )?;
        Ok(Exit::Success)
    }
}
