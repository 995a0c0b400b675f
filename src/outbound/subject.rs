//! What a dialogue has to know of a connection: read from the data file, with its secrets opened.

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::connections::{Connection, INSTANCE, Seal, SealError};
use crate::delivery::ConnectionId;
use crate::journal::Reader;
use crate::platforms::api::Subject;

/// Installations of an app that its dialogues hear of: enough to try something with.
const INSTALLATIONS: u32 = 20;

/// Why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// SQLite refuses.
    #[error("the connection cannot be read")]
    Sqlite(#[from] rusqlite::Error),
    /// A secret does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Reads a connection for a dialogue; `None` where there is none. A public URL that is
/// given counts more than the address that its webhooks are remembered to go to.
///
/// # Errors
/// [`SubjectError`].
pub fn subject(
    reader: &Reader,
    seal: &Seal,
    id: &ConnectionId,
    public_url: Option<&str>,
) -> Result<Option<Subject>, SubjectError> {
    let Some(connection) = reader.connection(id)? else {
        return Ok(None);
    };
    let mut subject = alone(reader, seal, &connection, public_url)?;
    if let Some(parent) = &connection.parent
        && let Some(parent) = reader.connection(parent)?
    {
        let mut app = alone(reader, seal, &parent, public_url)?;
        // Whether an installation is gone or the app is refused shows at the others.
        app.installations = reader.installations(&parent.id, INSTALLATIONS)?;
        subject.parent = Some(Box::new(app));
    }
    if connection
        .described_kind()
        .is_some_and(|kind| kind.receives_webhooks)
    {
        subject.installations = reader.installations(id, INSTALLATIONS)?;
    }
    Ok(Some(subject))
}

/// As [`subject`], for a delivery: of an installation that is no connection yet, what its app lets us know. `None` where the
/// delivery speaks of somebody else's connection.
///
/// # Errors
/// [`SubjectError`].
pub fn subject_of_delivery(
    reader: &Reader,
    seal: &Seal,
    connection: &ConnectionId,
    endpoint: &ConnectionId,
) -> Result<Option<Subject>, SubjectError> {
    if let Some(known) = subject(reader, seal, connection, None)? {
        let is_its_own = connection == endpoint
            || known
                .parent
                .as_ref()
                .is_some_and(|parent| parent.id == *endpoint);
        return Ok(Some(known).filter(|_| is_its_own));
    }
    let Some(parent) = reader.connection(endpoint)? else {
        return Ok(None);
    };
    Ok(Some(Subject {
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
) -> Result<Subject, SubjectError> {
    let mut secrets: BTreeMap<String, SecretString> = BTreeMap::new();
    // Current ones come first, and nobody is asked by a previous one.
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
    Ok(Subject {
        id: connection.id.clone(),
        kind: connection.kind.clone(),
        settings: connection.settings.clone(),
        secrets,
        delivery_url: public_url.map(|url| format!("{url}{path}")).or(remembered),
        parent: None,
        installations: Vec::new(),
    })
}
