//! Reads a connection's settings and decrypted secrets for requests to its store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Connection as Sqlite;
use secrecy::SecretString;

use super::connection::{Connection, INSTALLATION_KIND};
use super::seal::{Seal, SealError};
use super::store;
use crate::delivery::ConnectionId;
use crate::platforms::api::ConnectionContext;

/// The setting with the URL that the store sends its webhooks to. A platform changes it when it registers webhooks for
/// another URL.
pub const DELIVERY_URL: &str = "delivery_url";

/// Maximum number of an app's installations in a context: enough to try requests with.
const MAX_INSTALLATIONS: u32 = 20;

/// Why a connection's context could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("the connection cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// A secret could not be decrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Reads the context of a connection; `None` if it does not exist. `public_url` takes precedence over the stored delivery
/// URL.
///
/// # Errors
/// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
pub(crate) fn of_connection(
    sqlite: &Sqlite,
    seal: &Seal,
    id: &ConnectionId,
    public_url: Option<&str>,
) -> Result<Option<ConnectionContext>, ContextError> {
    let Some(connection) = store::get(sqlite, id)? else {
        return Ok(None);
    };
    let mut context = alone(sqlite, seal, &connection, public_url)?;
    if let Some(parent) = &connection.parent
        && let Some(parent) = store::get(sqlite, parent)?
    {
        let mut app = alone(sqlite, seal, &parent, public_url)?;
        // The other installations show whether only this installation was removed or the whole app is refused.
        app.installations = store::some_installations(sqlite, &parent.id, MAX_INSTALLATIONS)?;
        context.parent = Some(Box::new(app));
    }
    if connection
        .described_kind()
        .is_some_and(|kind| kind.receives_webhooks)
    {
        context.installations = store::some_installations(sqlite, id, MAX_INSTALLATIONS)?;
    }
    Ok(Some(context))
}

/// As [`of_connection`], for a delivery. An installation that is not a connection yet gets the data of its app. `None` if
/// the connection does not belong to the delivery's endpoint.
///
/// # Errors
/// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
pub(crate) fn of_delivery(
    sqlite: &Sqlite,
    seal: &Seal,
    connection: &ConnectionId,
    endpoint: &ConnectionId,
) -> Result<Option<ConnectionContext>, ContextError> {
    if let Some(known) = of_connection(sqlite, seal, connection, None)? {
        let belongs_to_endpoint = connection == endpoint
            || known
                .parent
                .as_ref()
                .is_some_and(|parent| parent.id == *endpoint);
        return Ok(if belongs_to_endpoint {
            Some(known)
        } else {
            None
        });
    }
    let Some(parent) = store::get(sqlite, endpoint)? else {
        return Ok(None);
    };
    Ok(Some(ConnectionContext {
        id: connection.clone(),
        kind: INSTALLATION_KIND.to_owned(),
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        delivery_url: None,
        parent: Some(Box::new(alone(sqlite, seal, &parent, None)?)),
        installations: Vec::new(),
    }))
}

/// The context without the app and the installations.
fn alone(
    sqlite: &Sqlite,
    seal: &Seal,
    connection: &Connection,
    public_url: Option<&str>,
) -> Result<ConnectionContext, ContextError> {
    let mut secrets: BTreeMap<String, SecretString> = BTreeMap::new();
    for sealed in store::secrets(sqlite, &connection.id, Timestamp::now())? {
        // A previous secret verifies deliveries, but is not used for requests.
        if sealed.valid_until.is_none() {
            let secret = sealed.open(seal, &connection.id)?;
            secrets.insert(sealed.name, secret);
        }
    }
    let delivery_url = match public_url {
        Some(public_url) => Some(connection.webhook_url(public_url)),
        None => connection.settings.get(DELIVERY_URL).cloned(),
    };
    Ok(ConnectionContext {
        id: connection.id.clone(),
        kind: connection.kind.clone(),
        settings: connection.settings.clone(),
        secrets,
        delivery_url,
        parent: None,
        installations: Vec::new(),
    })
}
