//! The doctor's look at the broker. Nothing is changed there.

use std::time::Duration;

use super::session::Endpoints;
use super::topology::Topology;
use crate::report::ErrorChain;

/// Time limit of the whole look, beside that of connecting.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Lists what the broker lacks of `topology`, without changing anything.
///
/// # Errors
/// Why the broker cannot be reached.
pub async fn look(endpoints: &Endpoints, topology: &Topology) -> Result<Vec<String>, String> {
    let session = endpoints
        .connect("cartwire doctor")
        .await
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(LOOK_TIMEOUT, topology.missing(&session.connection)).await {
        Ok(found) => {
            session.close().await;
            found.map_err(|error| ErrorChain(&error).to_string())
        }
        Err(_) => Err("no answer in time".to_owned()),
    }
}
