//! The platforms: pure functions that verify and normalize webhooks, and that sign fixtures for tests and replay.
//!
//! No I/O, no async, no clock, no logging. The current time is an argument. A request to a store is described here and
//! executed in `outbound`. A new platform needs a folder, a line in [`PLATFORMS`] and a folder of fixtures. Routes,
//! commands, labels and golden tests read that slice.

pub mod api;
mod json;
mod lenient;
pub mod oauth1;
mod reading;
mod registered;
mod text;
pub mod wix;
pub mod woocommerce;

pub use registered::{RegisteredWebhooks, TOPIC_MISMATCH};

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::delivery::{ConnectionId, DeliveryKey, Headers, JournaledDelivery, RawDelivery};
use crate::event::Draft;
use api::{
    CheckMode, CheckReport, ConnectionContext, Dialogue, Finding, Pace, Scope, Told, Unanswered,
};

/// All supported platforms.
pub const PLATFORMS: &[&dyn Platform] = &[&woocommerce::WooCommerce, &wix::Wix];

/// Finds a platform by its name in URLs and in the journal.
#[must_use]
pub fn platform(name: &str) -> Option<&'static dyn Platform> {
    PLATFORMS
        .iter()
        .copied()
        .find(|platform| platform.name() == name)
}

/// Finds a connection kind by its name, with its platform.
#[must_use]
pub fn connection_kind(name: &str) -> Option<(&'static dyn Platform, &'static ConnectionKind)> {
    PLATFORMS.iter().find_map(|platform| {
        platform
            .connection_kinds()
            .iter()
            .find(|kind| kind.name == name)
            .map(|kind| (*platform, kind))
    })
}

/// A platform that sends webhooks.
pub trait Platform: Send + Sync {
    /// The platform's name in URLs, event attributes and metric labels.
    fn name(&self) -> &'static str;

    /// The kinds of connection that an operator can add.
    fn connection_kinds(&self) -> &'static [ConnectionKind];

    /// Parses a verification key as an operator enters it.
    ///
    /// # Errors
    /// [`InvalidKey`] with the fault. An invalid key is thus rejected when it is configured, not at the first delivery.
    fn verification_key(&self, material: &str) -> Result<VerificationKey, InvalidKey>;

    /// Checks the headers before the body is read, and returns the maximum length of the body in bytes.
    /// [`Platform::verify`] would reject every request that is rejected here.
    ///
    /// # Errors
    /// [`Rejection`] if no body could make the request genuine.
    fn longest_body(&self, headers: &Headers<'_>) -> Result<usize, Rejection>;

    /// Verifies the signature with any of the keys, and computes the key that identifies duplicates.
    ///
    /// # Errors
    /// [`Rejection`] with the reason for metrics and logs. The response to the sender does not contain the reason.
    fn verify(
        &self,
        raw: &RawDelivery<'_>,
        keys: &[VerificationKey],
        now: Timestamp,
    ) -> Result<Verified, Rejection>;

    /// Converts a delivery into events. Never fails: an invalid payload gives [`Normalized::Unreadable`].
    fn normalize(&self, delivery: &JournaledDelivery) -> Normalized;

    /// Creates the signed request that this platform would send for a payload. For fixtures, replay and tests.
    ///
    /// # Errors
    /// [`InvalidKey`] if the key cannot sign.
    fn sign(
        &self,
        unsigned: &Unsigned<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<SignedRequest, InvalidKey>;

    /// The request rate that is allowed for one connection's API.
    fn pace(&self) -> Pace;

    /// `true` if the connection has the credentials for requests to its API.
    fn can_ask(&self, subject: &ConnectionContext) -> bool;

    /// `true` if the connection itself can be checked. It differs from [`Platform::can_ask`] for a connection that has
    /// credentials and no store of its own, such as an app.
    fn can_examine(&self, subject: &ConnectionContext) -> bool {
        self.can_ask(subject)
    }

    /// Checks a connection through its API: address, credentials and webhooks. Repairs or removes webhooks if the mode
    /// says so.
    ///
    /// # Errors
    /// [`Unanswered`] with the next request to execute.
    fn examine(
        &self,
        subject: &ConnectionContext,
        mode: CheckMode,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<CheckReport, Unanswered>;

    /// The object to fetch from the store if the delivery is thin, serialized; `None` if the delivery is complete.
    /// Deliveries that need the same object share one request that starts after all of them arrived.
    fn lacks(&self, delivery: &JournaledDelivery, drafts: &[Draft]) -> Option<String>;

    /// Fetches the object that [`Platform::lacks`] named. The journal stores the result beside the delivery, and
    /// [`Platform::normalize`] reads both.
    ///
    /// # Errors
    /// [`Unanswered`] with the next request to execute.
    fn complete(
        &self,
        lacking: &str,
        subject: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Told, Unanswered>;

    /// Problems of the delivery URL that are visible from the URL alone. No request is made.
    fn delivery_url_findings(&self, _subject: &ConnectionContext) -> Vec<Finding> {
        Vec::new()
    }

    /// The gateway's webhooks at the store, as recorded in the connection's settings.
    fn registered_webhooks(&self, _settings: &BTreeMap<String, String>) -> RegisteredWebhooks {
        RegisteredWebhooks::default()
    }

    /// `true` if the delivery has a form that the platform does not send. Such a delivery counts as unconfirmed, also if the
    /// store's API cannot be used.
    fn must_be_confirmed(&self, _lacking: &str) -> bool {
        false
    }

    /// The webhook that the request's headers name, if the signature does not cover them. Not proved.
    fn claimed_webhook(&self, _headers: &Headers<'_>) -> Option<ClaimedWebhook> {
        None
    }

    /// As [`Platform::claimed_webhook`], for a stored delivery.
    fn webhook_of(&self, _delivery: &JournaledDelivery) -> Option<ClaimedWebhook> {
        None
    }

    /// The permissions that the gateway's features need at the platform.
    fn scopes(&self) -> &'static [Scope];
}

/// The webhook that a delivery's headers name. Not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedWebhook {
    /// The webhook's id at the store.
    pub id: String,
    /// The platform's event type.
    pub topic: String,
}

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

/// A parsed key that verifies deliveries.
#[derive(Clone)]
pub enum VerificationKey {
    /// HMAC-SHA-256 states, one for each possible decoding of the secret.
    HmacSha256(Vec<hmac::Hmac<sha2::Sha256>>),
    /// An RSA public key for RS256.
    Rs256(Box<jsonwebtoken::DecodingKey>),
}

impl std::fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            VerificationKey::HmacSha256(_) => "HmacSha256(…)",
            VerificationKey::Rs256(_) => "Rs256(…)",
        })
    }
}

/// The fault of a key, and what a valid key is. Never contains the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKey(pub String);

/// A verified request.
#[derive(Debug)]
pub enum Verified {
    /// The platform's test of the URL. Not stored.
    Ping,
    /// A delivery for the journal.
    Delivery(Box<VerifiedDelivery>),
}

/// A delivery with a verified signature. Only platforms can create this type, and the journal accepts no other.
#[derive(Clone, Debug)]
pub struct VerifiedDelivery {
    parts: DeliveryParts,
}

/// The parts of a [`VerifiedDelivery`].
#[derive(Clone, Debug)]
pub struct DeliveryParts {
    /// The platform's name.
    pub platform: &'static str,
    /// The connection that the URL names.
    pub endpoint: ConnectionId,
    /// The store's connection. For an app's endpoint this is the connection of the installation.
    pub connection: ConnectionId,
    /// The platform's event type; empty if the request names none.
    pub topic: String,
    /// Identifies duplicates.
    pub key: DeliveryKey,
    /// The headers that normalizing needs.
    pub headers: Vec<(&'static str, String)>,
    /// The body as stored. For nested envelopes this is the innermost payload, and `headers` contains the members of the
    /// outer layers.
    pub body: Bytes,
    /// When the request's body was complete.
    pub received_at: Timestamp,
}

impl VerifiedDelivery {
    /// Only for `verify`: a value of this type proves that `verify` succeeded.
    fn new(parts: DeliveryParts) -> Self {
        Self { parts }
    }

    #[must_use]
    pub fn parts(&self) -> &DeliveryParts {
        &self.parts
    }

    /// The delivery as the journal will return it.
    #[must_use]
    pub fn to_journaled(&self) -> JournaledDelivery {
        let parts = &self.parts;
        JournaledDelivery {
            platform: parts.platform.to_owned(),
            endpoint: parts.endpoint.clone(),
            connection: parts.connection.clone(),
            topic: parts.topic.clone(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            body: parts.body.clone(),
            received_at: parts.received_at,
            completion: None,
        }
    }
}

/// Why a request on a webhook route was rejected. The reasons are for metrics, logs and the journal. The response is the
/// same for all rejections with [`Rejection::is_unauthorized`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request has no signature.
    SignatureMissing,
    /// The signature has an invalid form.
    SignatureMalformed,
    /// The signature matches no key.
    SignatureWrong,
    /// The signature matches no key, and the body is not in the platform's form: a proxy has probably re-encoded it.
    BodyReencoded,
    /// The platform does not use this signature algorithm.
    AlgorithmRefused,
    /// The signed token has expired.
    TokenExpired,
    /// The signed token is not valid yet.
    TokenNotYetValid,
    /// The signature is valid, but the content is not what this platform sends.
    Unreadable,
    /// A header is repeated or is not UTF-8, so the delivery cannot be identified.
    HeaderAmbiguous,
}

impl Rejection {
    /// The reason code for metrics and lists.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Rejection::SignatureMissing => "signature_missing",
            Rejection::SignatureMalformed => "signature_malformed",
            Rejection::SignatureWrong => "signature_wrong",
            Rejection::BodyReencoded => "body_reencoded",
            Rejection::AlgorithmRefused => "algorithm_refused",
            Rejection::TokenExpired => "token_expired",
            Rejection::TokenNotYetValid => "token_not_yet_valid",
            Rejection::Unreadable => "unreadable",
            Rejection::HeaderAmbiguous => "header_ambiguous",
        }
    }

    /// `true` if the request could not be authenticated.
    #[must_use]
    pub fn is_unauthorized(self) -> bool {
        match self {
            Rejection::SignatureMissing
            | Rejection::SignatureMalformed
            | Rejection::SignatureWrong
            | Rejection::BodyReencoded
            | Rejection::AlgorithmRefused
            | Rejection::TokenExpired
            | Rejection::TokenNotYetValid => true,
            Rejection::Unreadable | Rejection::HeaderAmbiguous => false,
        }
    }
}

/// The result of normalizing a delivery.
#[derive(Debug)]
pub enum Normalized {
    /// The delivery gives events.
    Events {
        /// The events, in order.
        drafts: Vec<Draft>,
        /// The platform's payload, byte for byte.
        raw: Box<RawValue>,
        /// A change of the connection itself.
        signal: Option<ConnectionSignal>,
    },
    /// The delivery gives no event, by design.
    Ignored {
        /// Reason code.
        reason: &'static str,
    },
    /// The payload is invalid: the delivery is dead-lettered.
    Unreadable {
        /// Reason code.
        reason: &'static str,
    },
}

/// Reason code of a delivery that contains a signed error in place of an entity. The user that owns the store's webhook
/// may no longer read the entity, so the connection is degraded. No API shows whether this has been repaired.
pub const OWNER_LOST_RIGHTS: &str = "webhook_owner_lost_rights";

/// A change of the connection that a delivery reports.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionSignal {
    /// The app was installed.
    Installed {
        /// The new settings of the connection, without secrets.
        settings: BTreeMap<String, String>,
        /// When the platform signed the delivery, if the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// The app was removed.
    Removed {
        /// When the platform signed the delivery, if the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// The connection lost permissions; with a reason code.
    Degraded(&'static str),
}

impl ConnectionSignal {
    /// When the delivery that installed or removed the connection was signed, if known.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        match self {
            ConnectionSignal::Installed { signed_at, .. }
            | ConnectionSignal::Removed { signed_at } => *signed_at,
            ConnectionSignal::Degraded(_) => None,
        }
    }
}

/// A payload to sign as its platform would.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The platform's event type.
    pub topic: &'a str,
    /// The payload; for nested envelopes the innermost one.
    pub payload: &'a [u8],
    /// Makes deliveries of the same payload different.
    pub nonce: u64,
    /// Further values that the platform's `sign` needs.
    pub options: &'a BTreeMap<String, String>,
}

/// A signed request for a webhook endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRequest {
    /// Headers except those of HTTP itself.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}
