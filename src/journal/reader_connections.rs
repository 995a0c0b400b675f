//! Reading the connections through the journal's readers.

use jiff::Timestamp;

use super::damaged::DamagedRow;
use super::reader::Reader;
use crate::connections::{self, ContextError, Seal, SealedSecret, context, store};
use crate::delivery::ConnectionId;
use crate::platforms::api::ConnectionContext;

impl Reader {
    /// All connections.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connections(&self) -> rusqlite::Result<Vec<connections::Connection>> {
        let listed = store::list(&self.0)?;
        for damaged in listed.damaged {
            self.1.note(DamagedRow {
                table: "connections",
                row: damaged.id,
                error: damaged.error,
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

    /// Reads the context of a connection for requests to its store; `None` if it does not exist. `public_url` takes
    /// precedence over the stored delivery URL.
    ///
    /// # Errors
    /// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
    pub fn connection_context(
        &self,
        seal: &Seal,
        id: &ConnectionId,
        public_url: Option<&str>,
    ) -> Result<Option<ConnectionContext>, ContextError> {
        context::of_connection(&self.0, seal, id, public_url)
    }

    /// As [`Reader::connection_context`], for a delivery: an installation that is not a connection yet gets the data of its
    /// app. `None` if the connection does not belong to the delivery's endpoint.
    ///
    /// # Errors
    /// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
    pub fn delivery_context(
        &self,
        seal: &Seal,
        connection: &ConnectionId,
        endpoint: &ConnectionId,
    ) -> Result<Option<ConnectionContext>, ContextError> {
        context::of_delivery(&self.0, seal, connection, endpoint)
    }

    /// Returns the ids of at most `limit` installations of an app's connection.
    ///
    /// # Errors
    /// SQLite's.
    pub fn installations(
        &self,
        parent: &ConnectionId,
        limit: u32,
    ) -> rusqlite::Result<Vec<ConnectionId>> {
        store::some_installations(&self.0, parent, limit)
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
        seal: &Seal,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<connections::DirectoryError>> {
        directory.refresh(&self.0, seal, now)
    }
}
