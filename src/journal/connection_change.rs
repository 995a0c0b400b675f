//! The changes of a connection that the journal writes, and their results.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::entry::Position;
use crate::connections::{Assessment, Connection, SealedSecret};
use crate::delivery::ConnectionId;
use crate::platforms::ConnectionSignal;

/// A change of a connection.
#[derive(Clone, Debug)]
pub enum ConnectionChange {
    /// An operator adds the connection.
    Add(Connection, Vec<SealedSecret>),
    /// An operator pauses it: its deliveries are stored and not published.
    Pause(ConnectionId),
    /// An operator resumes it.
    Resume(ConnectionId),
    /// An operator gives it a new secret. The previous one stays valid for the grace time.
    Rotate(ConnectionId, SealedSecret, SignedDuration),
    /// An operator replaces settings and credentials. The previous values are valid no more.
    Replace {
        id: ConnectionId,
        settings: BTreeMap<String, String>,
        secrets: Vec<SealedSecret>,
    },
    /// An operator removes it, with its installations.
    Remove(ConnectionId),
    /// A check of it has ended.
    Examined {
        /// The connection.
        id: ConnectionId,
        /// New settings from the check, without secrets.
        settings: BTreeMap<String, String>,
        /// The result of the check.
        assessment: Assessment,
        /// When the check began. A state that changed later is newer than the result.
        began: Timestamp,
    },
    /// A delivery of an installation that an app connection serves.
    Seen {
        /// The installation.
        id: ConnectionId,
        /// The app connection.
        parent: ConnectionId,
        /// The platform's name.
        platform: String,
        /// The change of the installation that the delivery reports.
        signal: Option<ConnectionSignal>,
        /// The delivery's position in the journal.
        position: Position,
    },
}

/// The result of a [`ConnectionChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Yes,
    /// The connection was in this state already.
    No,
    /// The delivery was signed before the newest known installation or removal.
    Stale,
    /// The operator removed the installation, and its site has not installed the app since.
    Removed,
    /// The connection does not exist.
    NoSuchConnection,
    /// The id is in use.
    Taken,
}
