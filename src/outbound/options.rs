//! The options for calls to stores.

use std::path::PathBuf;

/// Options for calls to stores.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `true` if stores may be in a private network.
    pub allow_private_stores: bool,
    /// PEM file with certificate authorities that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why the client for stores could not be created.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The file with certificate authorities is invalid.
    #[error("{path} is not a PEM file with certificates")]
    Authority {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP client could not be created.
    #[error("cannot create the HTTP client for stores")]
    Client(#[from] reqwest::Error),
}
