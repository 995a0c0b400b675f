//! The interface of Wix to the gateway. Each method delegates to the module that implements it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{api, key, kinds, normalize, sign, verify};
use crate::delivery::{Headers, JournaledDelivery, RawDelivery};
use crate::event::{NormalizedEvent, verbs};
use crate::platforms::api::{
    ChangeKind, CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue, Fetched,
    Pace, PageFailure, PageRequest, ReadableList, Scope, StorePage, Unanswered,
};
use crate::platforms::contract::{StoreApi, WebhookPlatform};
use crate::platforms::kind::ConnectionKind;
use crate::platforms::normalized::Normalized;
use crate::platforms::signing::{SignedRequest, Unsigned};
use crate::platforms::verified::{InvalidKey, Rejection, VerificationKey, Verified};

/// The platform Wix.
pub struct Wix;

/// The platform sends its own event when an order is canceled or fulfilled, and for each change of stock.
const SENT_TYPES: &[(&str, &str)] = &[
    ("order", verbs::CANCELLED),
    ("order", verbs::FULFILLED),
    ("inventory", verbs::UPDATED),
];

impl WebhookPlatform for Wix {
    fn name(&self) -> &'static str {
        verify::NAME
    }

    fn connection_kinds(&self) -> &'static [ConnectionKind] {
        kinds::KINDS
    }

    fn verification_key(&self, material: &str) -> Result<VerificationKey, InvalidKey> {
        key::public_key(material).map(|key| VerificationKey::Rs256(Box::new(key.decoding)))
    }

    /// No limit: the signature is in the body, so no request can be rejected by its headers.
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

    fn sent_types(&self) -> &'static [(&'static str, &'static str)] {
        SENT_TYPES
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
        api::check(context, mode, dialogue).map(CheckReport::shown)
    }

    fn fetch_request(
        &self,
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<String> {
        api::FetchRequest::of(delivery, normalized_events).map(|request| request.text())
    }

    fn fetch(
        &self,
        request: &str,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Fetched, Unanswered> {
        api::fetch(request, context, dialogue)
    }

    fn granted_permissions<'a>(
        &self,
        settings: &'a BTreeMap<String, String>,
    ) -> Option<BTreeSet<&'a str>> {
        api::granted_permissions(settings)
    }

    fn readable_lists(&self) -> &'static [ReadableList] {
        api::READABLE
    }

    fn read_page(
        &self,
        request: &PageRequest<'_>,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<StorePage, PageFailure>, Unanswered> {
        api::read_page(request, context, dialogue)
    }

    fn topic_of_change(&self, resource: &str, change: ChangeKind) -> String {
        api::topic(resource, change)
    }

    fn scopes(&self) -> &'static [Scope] {
        api::SCOPES
    }
}
