//! Reads a connection's settings and decrypted secrets from the data file for a dialogue.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::connections::{Connection, INSTANCE, Seal, SealError};
use crate::delivery::ConnectionId;
use crate::journal::Reader;
use crate::platforms::api::ConnectionContext;

/// Maximum number of an app's installations that a dialogue gets: enough to try requests with.
const MAX_INSTALLATIONS: u32 = 20;

/// Why a connection could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("the connection cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// A secret could not be decrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Reads a connection for a dialogue; `None` if it does not exist. `public_url` takes precedence over the stored delivery
/// URL.
///
/// # Errors
/// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
pub fn connection_context(
    reader: &Reader,
    seal: &Seal,
    id: &ConnectionId,
    public_url: Option<&str>,
) -> Result<Option<ConnectionContext>, ContextError> {
    let Some(connection) = reader.connection(id)? else {
        return Ok(None);
    };
    let mut context = alone(reader, seal, &connection, public_url)?;
    if let Some(parent) = &connection.parent
        && let Some(parent) = reader.connection(parent)?
    {
        let mut app = alone(reader, seal, &parent, public_url)?;
        // The other installations show whether only this installation was removed or the whole app is refused.
        app.installations = reader.installations(&parent.id, MAX_INSTALLATIONS)?;
        context.parent = Some(Box::new(app));
    }
    if connection
        .described_kind()
        .is_some_and(|kind| kind.receives_webhooks)
    {
        context.installations = reader.installations(id, MAX_INSTALLATIONS)?;
    }
    Ok(Some(context))
}

/// As [`connection_context`], for a delivery. An installation that is not a connection yet gets the data of its app. `None` if the
/// connection does not belong to the delivery's endpoint.
///
/// # Errors
/// [`ContextError`] if the data file cannot be read or a secret cannot be decrypted.
pub fn context_of_delivery(
    reader: &Reader,
    seal: &Seal,
    connection: &ConnectionId,
    endpoint: &ConnectionId,
) -> Result<Option<ConnectionContext>, ContextError> {
    if let Some(known) = connection_context(reader, seal, connection, None)? {
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
    let Some(parent) = reader.connection(endpoint)? else {
        return Ok(None);
    };
    Ok(Some(ConnectionContext {
        id: connection.clone(),
        kind: INSTANCE.to_owned(),
        settings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        delivery_url: None,
        parent: Some(Box::new(alone(reader, seal, &parent, None)?)),
        installations: Vec::new(),
    }))
}

fn alone(
    reader: &Reader,
    seal: &Seal,
    connection: &Connection,
    public_url: Option<&str>,
) -> Result<ConnectionContext, ContextError> {
    let mut secrets: BTreeMap<String, SecretString> = BTreeMap::new();
    // Only current secrets: previous ones verify deliveries, but are not used for requests.
    for sealed in reader
        .secrets(&connection.id, Timestamp::now())?
        .into_iter()
        .filter(|sealed| sealed.valid_until.is_none())
    {
        let secret = sealed.open(seal, &connection.id)?;
        secrets.insert(sealed.name, secret);
    }
    let path = format!("/webhooks/{}/{}", connection.platform, connection.id);
    let remembered = connection.settings.get("delivery_url").cloned();
    Ok(ConnectionContext {
        id: connection.id.clone(),
        kind: connection.kind.clone(),
        settings: connection.settings.clone(),
        secrets,
        delivery_url: public_url.map(|url| format!("{url}{path}")).or(remembered),
        parent: None,
        installations: Vec::new(),
    })
}
