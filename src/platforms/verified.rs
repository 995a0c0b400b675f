//! What verifying a request gives: a delivery whose signature is proved, or a rejection.

use bytes::Bytes;
use jiff::Timestamp;

use crate::delivery::{ConnectionId, DeliveryKey, JournaledDelivery};

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
    pub(super) fn new(parts: DeliveryParts) -> Self {
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
            enriched: None,
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
