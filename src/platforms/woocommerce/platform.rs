//! What the gateway calls of WooCommerce: each method goes to the file that has it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entity_request::EntityRequest;
use super::{api, kind, normalize, sign, verify};
use crate::delivery::{Headers, JournaledDelivery, RawDelivery, ReasonCode};
use crate::event::NormalizedEvent;
use crate::platforms::api::{
    ChangeKind, CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue, Fetched,
    Finding, FindingCode, Pace, PageFailure, PageRequest, ReadableList, Scope, StorePage,
    Unanswered,
};
use crate::platforms::contract::{StoreApi, WebhookPlatform};
use crate::platforms::kind::ConnectionKind;
use crate::platforms::normalized::{Normalized, ReportedProblem};
use crate::platforms::registered::{ClaimedWebhook, RegisteredWebhooks};
use crate::platforms::signing::{SignedRequest, Unsigned};
use crate::platforms::verified::{InvalidKey, Rejection, VerificationKey, Verified};

/// WooCommerce.
pub struct WooCommerce;

impl WebhookPlatform for WooCommerce {
    fn name(&self) -> &'static str {
        verify::NAME
    }

    fn connection_kinds(&self) -> &'static [ConnectionKind] {
        kind::KINDS
    }

    fn verification_key(&self, material: &str) -> Result<VerificationKey, InvalidKey> {
        verify::key(material)
    }

    fn longest_body(&self, headers: &Headers<'_>) -> Result<usize, Rejection> {
        verify::longest_body(headers)
    }

    fn verify(
        &self,
        raw: &RawDelivery<'_>,
        keys: &[VerificationKey],
        _now: Timestamp,
    ) -> Result<Verified, Rejection> {
        verify::verify(raw, keys)
    }

    fn normalize(&self, delivery: &JournaledDelivery) -> Normalized {
        normalize::normalize(delivery)
    }

    fn sign(
        &self,
        unsigned: &Unsigned<'_>,
        key: &str,
        _now: Timestamp,
    ) -> Result<SignedRequest, InvalidKey> {
        sign::sign(unsigned, key)
    }

    fn reported_problems(&self) -> &'static [ReportedProblem] {
        &[normalize::OWNER_LOST_RIGHTS]
    }

    fn unreadable_remedy(&self, reason: ReasonCode) -> Option<&'static str> {
        normalize::BodyFault::from_code(reason)?.remedy()
    }

    fn claimed_webhook(&self, headers: &Headers<'_>) -> Option<ClaimedWebhook> {
        verify::claimed_webhook(headers)
    }

    fn stored_webhook(&self, delivery: &JournaledDelivery) -> Option<ClaimedWebhook> {
        // A proxy may strip one of the two headers. Then the delivery makes no claim.
        let id = delivery.header(verify::WEBHOOK_ID)?.to_owned();
        let topic = delivery.topic.clone();
        if id.is_empty() || topic.is_empty() {
            return None;
        }
        Some(ClaimedWebhook { id, topic })
    }

    fn api(&self) -> Option<&dyn StoreApi> {
        Some(self)
    }
}

impl StoreApi for WooCommerce {
    fn pace(&self) -> Pace {
        api::PACE
    }

    fn can_request(&self, fields: &ConfiguredFields) -> bool {
        api::can_request(fields)
    }

    fn check(
        &self,
        context: &ConnectionContext,
        mode: CheckMode,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<CheckReport, Unanswered> {
        api::check(context, mode, dialogue).map(CheckReport::shown)
    }

    fn repairable_problems(&self) -> &'static [FindingCode] {
        api::REPAIRABLE_PROBLEMS
    }

    fn own_finding_codes(&self) -> &'static [FindingCode] {
        api::OWN_CODES
    }

    fn fetch_request(
        &self,
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<String> {
        let request = EntityRequest::of(delivery, normalized_events)?;
        Some(request.to_string())
    }

    fn fetch(
        &self,
        request: &str,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Fetched, Unanswered> {
        match EntityRequest::parse(request) {
            Some(request) => api::fetch(&request, context, dialogue),
            None => Ok(Fetched::unavailable(ReasonCode::NotAsked)),
        }
    }

    fn must_be_confirmed(&self, request: &str) -> bool {
        let request = EntityRequest::parse(request);
        matches!(
            request,
            Some(EntityRequest::Deletion { has_body: true, .. })
        )
    }

    fn delivery_url_findings(&self, context: &ConnectionContext) -> Vec<Finding> {
        api::delivery_url_findings(context)
    }

    fn registered_webhooks(&self, settings: &BTreeMap<String, String>) -> RegisteredWebhooks {
        api::registered_webhooks(settings)
    }

    fn readable_lists(&self) -> &'static [ReadableList] {
        api::READABLE
    }

    fn deletion_request(&self, entity: &str, id: &str) -> Option<String> {
        api::deletion_request(entity, id)
    }

    fn read_page(
        &self,
        request: &PageRequest<'_>,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<StorePage, PageFailure>, Unanswered> {
        api::read_page(request, context, dialogue)
    }

    fn topic_of_change(&self, entity: &str, change: ChangeKind) -> String {
        api::topic(entity, change)
    }

    fn scopes(&self) -> &'static [Scope] {
        api::SCOPES
    }
}
