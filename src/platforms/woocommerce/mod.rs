//! WooCommerce.

use jiff::Timestamp;

use super::{ConnectionKind, InvalidKey, Normalised, Platform, Rejection, SignedRequest, Unsigned, VerificationKey, Verified};
use crate::delivery::{JournaledDelivery, RawDelivery};

/// WooCommerce.
pub struct WooCommerce;

impl Platform for WooCommerce {
    fn name(&self) -> &'static str {
        "woocommerce"
    }

    fn connection_kinds(&self) -> &'static [ConnectionKind] {
        &[]
    }

    fn verification_key(&self, _material: &str) -> Result<VerificationKey, InvalidKey> {
        Err(InvalidKey(String::new()))
    }

    fn verify(&self, _raw: &RawDelivery<'_>, _keys: &[VerificationKey], _now: Timestamp) -> Result<Verified, Rejection> {
        Err(Rejection::Unreadable)
    }

    fn normalise(&self, _delivery: &JournaledDelivery) -> Normalised {
        Normalised::Unreadable { reason: "unreadable" }
    }

    fn sign(&self, _unsigned: &Unsigned<'_>, _key: &str, _now: Timestamp) -> Result<SignedRequest, InvalidKey> {
        Err(InvalidKey(String::new()))
    }
}
