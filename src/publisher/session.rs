//! Connections to the broker: addresses, TLS and time limits. Channels and confirms are [`super::rabbitmq`]'s.

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use super::topology::Topology;
use crate::report::ErrorChain;

/// Time limit for opening a connection, from the address lookup to the declared topology.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The addresses of one broker, or of the nodes of one cluster.
#[derive(Clone)]
pub struct Endpoints {
    uri: AMQPUri,
}

impl Endpoints {
    /// One address.
    #[must_use]
    pub fn new(uri: AMQPUri) -> Self {
        Self { uri }
    }

    /// Opens a connection. `name` is shown in the broker's list of connections.
    pub(super) async fn connect(&self, name: &str) -> lapin::Result<Connection> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        Connection::connect_uri(self.uri.clone(), properties).await
    }
}

/// Lists what the broker lacks of `topology`, without changing anything.
///
/// # Errors
/// Why the broker cannot be reached.
pub async fn look(endpoints: &Endpoints, topology: &Topology) -> Result<Vec<String>, String> {
    let looking = async {
        let connection = endpoints.connect("cartwire doctor").await?;
        let missing = topology.missing(&connection).await?;
        let _ = connection.close(200, "bye".into()).await;
        Ok(missing)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, looking).await {
        Ok(found) => found.map_err(|error: lapin::Error| ErrorChain(&error).to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
