//! Reading the connections through the journal's readers.

use jiff::Timestamp;

use super::damaged::DamagedRow;
use super::reader::Reader;
use crate::connections::{self, SealedSecret, store};
use crate::delivery::ConnectionId;

impl Reader {
    /// All connections.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connections(&self) -> rusqlite::Result<Vec<connections::Connection>> {
        let listed = store::list(&self.0)?;
        for (id, error) in listed.damaged {
            self.1.note(DamagedRow {
                table: "connections",
                row: id,
                error,
            });
        }
        Ok(listed.connections)
    }

    /// One connection.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connection(
        &self,
        id: &ConnectionId,
    ) -> rusqlite::Result<Option<connections::Connection>> {
        store::get(&self.0, id)
    }

    /// The names of some of the installations that an app connection serves.
    ///
    /// # Errors
    /// SQLite's.
    pub fn installations(
        &self,
        parent: &ConnectionId,
        most: u32,
    ) -> rusqlite::Result<Vec<ConnectionId>> {
        store::some_installations(&self.0, parent, most)
    }

    /// A connection's secrets that are valid now, sealed.
    ///
    /// # Errors
    /// SQLite's.
    pub fn secrets(
        &self,
        id: &ConnectionId,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<SealedSecret>> {
        store::secrets(&self.0, id, now)
    }

    /// Renews the directory's snapshot.
    ///
    /// # Errors
    /// SQLite's.
    pub fn refresh(
        &self,
        directory: &connections::Directory,
        seal: &connections::Seal,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<connections::DirectoryError>> {
        directory.refresh(&self.0, seal, now)
    }
}
