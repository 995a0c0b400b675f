//! Wix: apps' webhooks, signed as JSON Web Tokens.
//!
//! `verify` checks the signature and makes the key of the delivery. `payload` opens the layers of the token, and `normalize`
//! makes events of the content. `sign` makes such tokens for tests. `api` describes the requests to the platform's API, and
//! `enrichment` reads the answers into events that came without details.

mod api;
mod app;
mod catalog_v1;
mod catalog_v3;
mod category;
mod checkout;
mod domain;
mod enrichment;
mod key;
mod kinds;
mod legacy_order;
mod normalize;
mod order;
mod payload;
mod payment;
mod people;
mod shapes;
mod sign;
mod unrecognized;
mod verify;

use jiff::Timestamp;

use super::api::{
    CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue, Pace, Scope, Told,
    Unanswered,
};
use super::contract::{StoreApi, WebhookPlatform};
use super::kind::ConnectionKind;
use super::normalized::Normalized;
use super::signing::{SignedRequest, Unsigned};
use super::verified::{InvalidKey, Rejection, VerificationKey, Verified};
use crate::delivery::{Headers, JournaledDelivery, RawDelivery};
use crate::event::Draft;

const NAME: &str = "wix";

/// The platform Wix.
pub struct Wix;

impl WebhookPlatform for Wix {
    fn name(&self) -> &'static str {
        NAME
    }

    fn connection_kinds(&self) -> &'static [ConnectionKind] {
        kinds::KINDS
    }

    fn verification_key(&self, material: &str) -> Result<VerificationKey, InvalidKey> {
        key::public_key(material).map(|key| VerificationKey::Rs256(Box::new(key.decoding)))
    }

    /// The signature is in the body, so the headers exclude nothing.
    fn longest_body(&self, _headers: &Headers<'_>) -> Result<usize, Rejection> {
        Ok(usize::MAX)
    }

    fn verify(
        &self,
        raw: &RawDelivery<'_>,
        keys: &[VerificationKey],
        now: Timestamp,
    ) -> Result<Verified, Rejection> {
        verify::verify(raw, keys, now)
    }

    fn normalize(&self, delivery: &JournaledDelivery) -> Normalized {
        normalize::normalize(delivery)
    }

    fn sign(
        &self,
        unsigned: &Unsigned<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<SignedRequest, InvalidKey> {
        sign::sign(unsigned, key, now)
    }

    fn api(&self) -> Option<&dyn StoreApi> {
        Some(self)
    }
}

impl StoreApi for Wix {
    fn pace(&self) -> Pace {
        api::PACE
    }

    fn can_request(&self, fields: &ConfiguredFields) -> bool {
        api::can_request(fields)
    }

    fn can_check(&self, fields: &ConfiguredFields) -> bool {
        api::can_check(fields)
    }

    fn check(
        &self,
        context: &ConnectionContext,
        mode: CheckMode,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<CheckReport, Unanswered> {
        api::examine(context, mode, dialogue).map(CheckReport::shown)
    }

    fn fetch_request(&self, delivery: &JournaledDelivery, drafts: &[Draft]) -> Option<String> {
        api::FetchRequest::of(delivery, drafts).map(|request| request.text())
    }

    fn fetch(
        &self,
        request: &str,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Told, Unanswered> {
        api::fetch(request, context, dialogue)
    }

    fn scopes(&self) -> &'static [Scope] {
        api::SCOPES
    }
}
