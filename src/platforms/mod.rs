//! The platforms: pure functions from what they send to our vocabulary, and back for tests and replay.
//!
//! No I/O, no async, no clock, no logging: `now` is an argument, and what a store is asked is described here and executed
//! in `outbound`. A third platform is a new folder, a line in [`PLATFORMS`] and a folder of fixtures; routes, commands,
//! labels and golden tests read the slice.

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
use api::{Dialogue, Examination, Finding, Intent, Pace, Scope, Subject, Told, Unanswered};

/// Every platform there is.
pub const PLATFORMS: &[&dyn Platform] = &[&woocommerce::WooCommerce, &wix::Wix];

/// The platform of a name, as it stands in URLs and in the journal.
#[must_use]
pub fn platform(name: &str) -> Option<&'static dyn Platform> {
    PLATFORMS
        .iter()
        .copied()
        .find(|platform| platform.name() == name)
}

/// The platform and the description of a kind of connection.
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
    /// Its name in URLs, event attributes and labels.
    fn name(&self) -> &'static str;

    /// The sorts of connection that an operator can add.
    fn connection_kinds(&self) -> &'static [ConnectionKind];

    /// Reads a verification key as an operator gives it.
    ///
    /// # Errors
    /// [`InvalidKey`] says what is wrong with it: a bad key is refused when it is configured, not at the first delivery.
    fn verification_key(&self, material: &str) -> Result<VerificationKey, InvalidKey>;

    /// What a request's headers leave possible, before any of its body is read: the longest body that it may have.
    /// [`Platform::verify`] refuses whatever is refused here; nothing that it would take is.
    ///
    /// # Errors
    /// [`Rejection`] where no body at all can make it genuine.
    fn longest_body(&self, headers: &Headers<'_>) -> Result<usize, Rejection>;

    /// Checks that the sender is who he says he is, with any of the keys, and finds out what makes this delivery the same
    /// as another.
    ///
    /// # Errors
    /// [`Rejection`] says why not, for us; the sender learns nothing of it.
    fn verify(
        &self,
        raw: &RawDelivery<'_>,
        keys: &[VerificationKey],
        now: Timestamp,
    ) -> Result<Verified, Rejection>;

    /// Puts a delivery into our words. Never fails: what cannot be read is [`Normalized::Unreadable`].
    fn normalize(&self, delivery: &JournaledDelivery) -> Normalized;

    /// Makes the request that this platform would send for a payload: for fixtures, replay and tests.
    ///
    /// # Errors
    /// [`InvalidKey`] where the key cannot sign.
    fn sign(
        &self,
        unsigned: &Unsigned<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<SignedRequest, InvalidKey>;

    /// How often one connection's API may be asked.
    fn pace(&self) -> Pace;

    /// Can this connection's API be asked: are the credentials for it there?
    fn can_ask(&self, subject: &Subject) -> bool;

    /// `true` if the connection itself can be examined. It differs from [`Platform::can_ask`] for a connection that has
    /// credentials and no store of its own, such as an app.
    fn can_examine(&self, subject: &Subject) -> bool {
        self.can_ask(subject)
    }

    /// Looks at a connection through its API, from the address and the credentials to the webhooks, and puts right or
    /// removes what the intent says.
    ///
    /// # Errors
    /// [`Unanswered`] where something has to be asked yet.
    fn examine(
        &self,
        subject: &Subject,
        intent: Intent,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Examination, Unanswered>;

    /// What to ask the store for, where a delivery tells less than the whole; `None` where it tells enough. Deliveries with the
    /// same word are completed by one answer that came after all of them.
    fn lacks(&self, delivery: &JournaledDelivery, drafts: &[Draft]) -> Option<String>;

    /// Asks the store for what a delivery lacks: the word is that of [`Platform::lacks`]. [`Platform::normalize`] reads what
    /// is told, as the delivery's completion.
    ///
    /// # Errors
    /// [`Unanswered`] where something has to be asked yet.
    fn complete(
        &self,
        lacking: &str,
        subject: &Subject,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Told, Unanswered>;

    /// What keeps a store from delivering to the subject's delivery URL, as far as the URL alone shows it. No request is made.
    fn delivery_url_findings(&self, _subject: &Subject) -> Vec<Finding> {
        Vec::new()
    }

    /// The webhooks that a connection's store is known to have for us, by the connection's settings.
    fn registered_webhooks(&self, _settings: &BTreeMap<String, String>) -> RegisteredWebhooks {
        RegisteredWebhooks::default()
    }

    /// `true` if what [`Platform::lacks`] named is in doubt: the delivery has a form that the platform does not send, so it
    /// counts as unconfirmed also where the store cannot be asked.
    fn must_be_confirmed(&self, _lacking: &str) -> bool {
        false
    }

    /// The webhook that a request claims to be of, where the platform names it outside the signature.
    fn claimed_webhook(&self, _headers: &Headers<'_>) -> Option<ClaimedWebhook> {
        None
    }

    /// The same of a stored delivery.
    fn webhook_of(&self, _delivery: &JournaledDelivery) -> Option<ClaimedWebhook> {
        None
    }

    /// The permissions that the features in use need at the platform.
    fn scopes(&self) -> &'static [Scope];
}

/// A webhook as a delivery's headers name it: not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedWebhook {
    /// The store's id of it.
    pub id: String,
    /// The platform's event type.
    pub topic: String,
}

/// A sort of connection, with what has to be known to make one.
#[derive(Debug)]
pub struct ConnectionKind {
    /// As typed: `connections add NAME`.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Does the platform send it webhooks? Then it has an endpoint.
    pub receives_webhooks: bool,
    /// The settings that tell stores apart: two connections that agree in one of them are of the same store.
    pub identified_by: &'static [&'static str],
    /// Can we register the webhooks at the store? Then there is `--no-register`.
    pub registers_webhooks: bool,
    /// What has to be known.
    pub fields: &'static [Field],
    /// What the operator does next at the platform, shown after adding; `{url}` stands for the endpoint's URL.
    pub next_step: &'static str,
}

/// Something that has to be known to make a connection. A secret one is read from a file (`--NAME-file`).
#[derive(Debug)]
pub struct Field {
    /// As typed: `--NAME VALUE` or `--NAME-file FILE`.
    pub name: &'static str,
    /// The value's name in `--help`.
    pub value: &'static str,
    /// One line for `--help`.
    pub help: &'static str,
    /// Must it be given?
    pub required: bool,
    /// What it is for.
    pub role: FieldRole,
    /// Tidies and checks what was typed; the error says what is right.
    pub check: fn(&str) -> Result<String, String>,
}

/// What a connection's field is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// Shown to everybody.
    Setting,
    /// Sealed at rest: for asking the store, or for signing fixtures.
    Credential,
    /// Sealed at rest: proves deliveries. Several can be valid at once.
    VerificationKey,
    /// As [`FieldRole::VerificationKey`], and made by us where none is given.
    GeneratedVerificationKey,
}

impl Field {
    /// Is it read from a file and sealed at rest?
    #[must_use]
    pub fn is_secret(&self) -> bool {
        !matches!(self.role, FieldRole::Setting)
    }

    /// Does it prove deliveries?
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(
            self.role,
            FieldRole::VerificationKey | FieldRole::GeneratedVerificationKey
        )
    }
}

/// A key that was read once and verifies many deliveries.
#[derive(Clone)]
pub enum VerificationKey {
    /// Keyed states of HMAC-SHA-256: all readings of one secret.
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

/// A key that cannot be used, and what would be right. Never contains the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKey(pub String);

/// What a sender who proved himself has sent.
#[derive(Debug)]
pub enum Verified {
    /// A test of the address; nothing to keep.
    Ping,
    /// A delivery to keep.
    Delivery(Box<VerifiedDelivery>),
}

/// A delivery whose sender proved himself. Only platforms can make one, and the journal takes nothing else.
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
    /// The store's connection: the installation's own where the endpoint serves many.
    pub connection: ConnectionId,
    /// The platform's event type; empty where the sender named none.
    pub topic: String,
    /// What makes two deliveries the same.
    pub key: DeliveryKey,
    /// What normalizing needs of the headers.
    pub headers: Vec<(&'static str, String)>,
    /// What is kept of the body: all that its sender said. Where the platform wraps it, the innermost layer, and the headers
    /// hold what stands beside the layers.
    pub body: Bytes,
    /// When it arrived.
    pub received_at: Timestamp,
}

impl VerifiedDelivery {
    /// Only for `verify`: this type is the proof that it was called.
    fn new(parts: DeliveryParts) -> Self {
        Self { parts }
    }

    /// What was proved.
    #[must_use]
    pub fn parts(&self) -> &DeliveryParts {
        &self.parts
    }

    /// As it will come back from the journal.
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

/// Why a request on a webhook route was turned away. The words are ours, for metrics, logs and the journal: the sender
/// gets one answer for all of the first group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// No signature.
    SignatureMissing,
    /// Not even the form of a signature.
    SignatureMalformed,
    /// No key fits.
    SignatureWrong,
    /// No key fits, and the body is not as the platform writes it: something on the way wrote it anew.
    BodyReencoded,
    /// Signed in a way that this platform does not use.
    AlgorithmRefused,
    /// The token's time is over.
    TokenExpired,
    /// The token's time has not come.
    TokenNotYetValid,
    /// What was signed is not what this platform sends.
    Unreadable,
    /// A header stands twice or is no text, so that we cannot know which delivery this is.
    HeaderAmbiguous,
}

impl Rejection {
    /// A bounded word for metrics and lists.
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

    /// Did the sender fail to prove who he is?
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

/// What a delivery means.
#[derive(Debug)]
pub enum Normalized {
    /// It tells these facts.
    Events {
        /// The facts, in order.
        drafts: Vec<Draft>,
        /// The platform's payload, byte for byte.
        raw: Box<RawValue>,
        /// What it says about the connection itself.
        signal: Option<ConnectionSignal>,
    },
    /// It tells nothing, on purpose.
    Ignored {
        /// A bounded word.
        reason: &'static str,
    },
    /// It cannot be read: a dead letter.
    Unreadable {
        /// A bounded word.
        reason: &'static str,
    },
}

/// Why a delivery degrades its connection where its sender signs an error in place of an entity: whoever the store sends
/// webhooks for may not read it any more. No API shows whether that is mended.
pub const OWNER_LOST_RIGHTS: &str = "webhook_owner_lost_rights";

/// What a delivery says about its connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionSignal {
    /// It was installed.
    Installed {
        /// What is now known of it, without secrets.
        settings: BTreeMap<String, String>,
        /// When the sender signed the delivery, where the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// It was removed.
    Removed {
        /// When the sender signed the delivery, where the signature covers a time.
        signed_at: Option<Timestamp>,
    },
    /// It lost rights.
    Degraded(&'static str),
}

impl ConnectionSignal {
    /// When the delivery that installed or removed the connection was signed, where that is known.
    #[must_use]
    pub fn signed_at(&self) -> Option<Timestamp> {
        match self {
            ConnectionSignal::Installed { signed_at, .. }
            | ConnectionSignal::Removed { signed_at } => *signed_at,
            ConnectionSignal::Degraded(_) => None,
        }
    }
}

/// A payload to be signed as its platform would.
#[derive(Clone, Copy, Debug)]
pub struct Unsigned<'a> {
    /// The platform's event type.
    pub topic: &'a str,
    /// The payload: for nested envelopes the innermost one.
    pub payload: &'a [u8],
    /// Tells deliveries of one payload apart.
    pub nonce: u64,
    /// What else the platform needs to know: see the platform's `sign`.
    pub options: &'a BTreeMap<String, String>,
}

/// A request, ready to be sent to a webhook endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRequest {
    /// Headers besides those of HTTP itself.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}
