//! The kinds of connection and the values that an operator enters for each.

/// The setting that a store is followed by polling although its platform has webhooks.
pub const FOLLOWED_BY: &str = "followed_by";
/// The value of [`FOLLOWED_BY`].
pub const POLLING: &str = "polling";

/// A kind of connection, with the fields that an operator enters.
#[derive(Debug)]
pub struct ConnectionKind {
    /// The name in `connections add NAME`.
    pub name: &'static str,
    /// One line in `--help`.
    pub about: &'static str,
    /// `true` if the connection has a webhook endpoint of its own.
    pub receives_webhooks: bool,
    /// The settings that identify a store. Two connections with the same value of one of them are for the same store.
    pub identified_by: &'static [&'static str],
    /// `true` if the gateway registers the webhooks at the store. The command then has `--no-register`.
    pub registers_webhooks: bool,
    /// `true` if the store's entities can be read, so that the store can be followed without webhooks.
    pub can_be_polled: bool,
    pub fields: &'static [Field],
    /// The operator's next step at the platform, shown after adding. `{url}` is replaced by the endpoint's URL.
    pub next_step: &'static str,
}

/// A value that an operator enters for a connection. Secrets are read from a file (`--NAME-file`).
#[derive(Debug)]
pub struct Field {
    /// The name in `--NAME VALUE` or `--NAME-file FILE`.
    pub name: &'static str,
    /// The value's name in `--help`.
    pub value: &'static str,
    /// One line in `--help`.
    pub help: &'static str,
    /// `true` if the option is mandatory.
    pub required: bool,
    pub role: FieldRole,
    /// Checks and normalizes the entered text. The error says what a valid value is.
    pub check: fn(&str) -> Result<String, String>,
}

/// The use of a field of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// Not secret: shown in lists and in the admin API.
    Setting,
    /// Encrypted on disk. For requests to the store, or for signing fixtures.
    Credential,
    /// Encrypted on disk. Verifies deliveries. Several keys can be valid at the same time.
    VerificationKey,
    /// As [`FieldRole::VerificationKey`]; the gateway generates a key if the operator enters none.
    GeneratedVerificationKey,
}

impl Field {
    /// `true` if the value is read from a file and encrypted on disk.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        !matches!(self.role, FieldRole::Setting)
    }

    /// `true` if the value verifies deliveries.
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(
            self.role,
            FieldRole::VerificationKey | FieldRole::GeneratedVerificationKey
        )
    }
}
