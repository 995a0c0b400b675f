//! The contract of a platform: [`WebhookPlatform`] verifies and normalizes its webhooks, and [`StoreApi`] describes the
//! requests to its stores.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::api::{
    ChangeKind, CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue,
    FailureScope, Fetched, Finding, FindingCode, Pace, PageFailure, PageRequest, ReadableList,
    Scope, StorePage, Unanswered,
};
use super::kind::ConnectionKind;
use super::normalized::{Normalized, ReportedProblem};
use super::registered::{ClaimedWebhook, RegisteredWebhooks};
use super::signing::{SignedRequest, Unsigned};
use super::verified::{InvalidKey, Rejection, VerificationKey, Verified};
use crate::delivery::{Headers, JournaledDelivery, RawDelivery, ReasonCode};
use crate::event::NormalizedEvent;

/// A platform that sends webhooks.
pub trait WebhookPlatform: Send + Sync {
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
    /// [`WebhookPlatform::verify`] would reject every request that is rejected here.
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

    /// Event types, by entity and verb, that the platform sends for every change of this kind, so that the gateway need not
    /// derive them from changed entities.
    fn sent_types(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The problems that the platform's deliveries report.
    fn reported_problems(&self) -> &'static [ReportedProblem] {
        &[]
    }

    /// What the operator has to do at the store about deliveries that are unreadable for this reason code, if the platform
    /// knows.
    fn unreadable_remedy(&self, _reason: ReasonCode) -> Option<&'static str> {
        None
    }

    /// The webhook that the request's headers name, if the signature does not cover them. Not proved.
    fn claimed_webhook(&self, _headers: &Headers<'_>) -> Option<ClaimedWebhook> {
        None
    }

    /// As [`WebhookPlatform::claimed_webhook`], for a stored delivery.
    fn stored_webhook(&self, _delivery: &JournaledDelivery) -> Option<ClaimedWebhook> {
        None
    }

    /// The API of the platform's stores; `None` for a platform without one.
    fn api(&self) -> Option<&dyn StoreApi>;
}

/// The API of a platform's stores.
pub trait StoreApi: WebhookPlatform {
    /// The request rate that is allowed for one connection's API.
    fn pace(&self) -> Pace;

    /// `true` if the connection has the credentials for requests to its API.
    fn can_request(&self, fields: &ConfiguredFields) -> bool;

    /// `true` if the connection itself can be checked. It differs from [`StoreApi::can_request`] for a connection that has
    /// credentials and no store of its own, such as an app.
    fn can_check(&self, fields: &ConfiguredFields) -> bool {
        self.can_request(fields)
    }

    /// Checks a connection: address, credentials and webhooks. Repairs or removes webhooks if the mode says so.
    ///
    /// # Errors
    /// [`Unanswered`] with the next request to execute.
    fn check(
        &self,
        context: &ConnectionContext,
        mode: CheckMode,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<CheckReport, Unanswered>;

    /// The findings that a check with [`CheckMode::Fix`] puts right.
    fn repairable_problems(&self) -> &'static [FindingCode] {
        &[]
    }

    /// The codes of findings that only this platform has.
    fn own_finding_codes(&self) -> &'static [FindingCode] {
        &[]
    }

    /// The object to fetch from the store if the delivery is thin, serialized; `None` if the delivery is complete.
    /// Deliveries that need the same object share one request that starts after all of them arrived.
    fn fetch_request(
        &self,
        delivery: &JournaledDelivery,
        normalized_events: &[NormalizedEvent],
    ) -> Option<String>;

    /// Fetches the object that [`StoreApi::fetch_request`] named. The journal stores the result beside the delivery, and
    /// [`WebhookPlatform::normalize`] reads both.
    ///
    /// # Errors
    /// [`Unanswered`] with the next request to execute.
    fn fetch(
        &self,
        request: &str,
        context: &ConnectionContext,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Fetched, Unanswered>;

    /// `true` if the delivery has a form that the platform does not send. Such a delivery counts as unconfirmed, also if
    /// the store's API cannot be used.
    fn must_be_confirmed(&self, _request: &str) -> bool {
        false
    }

    /// Problems of the delivery URL that are visible from the URL alone. No request is made.
    fn delivery_url_findings(&self, _context: &ConnectionContext) -> Vec<Finding> {
        Vec::new()
    }

    /// The gateway's webhooks at the store, as recorded in the connection's settings.
    fn registered_webhooks(&self, _settings: &BTreeMap<String, String>) -> RegisteredWebhooks {
        RegisteredWebhooks::default()
    }

    /// The permissions of an installation, as a check stored them; `None` if they are unknown.
    fn granted_permissions<'a>(
        &self,
        _settings: &'a BTreeMap<String, String>,
    ) -> Option<BTreeSet<&'a str>> {
        None
    }

    /// The lists that can be read from a store, in the order of reading.
    fn readable_lists(&self) -> &'static [ReadableList] {
        &[]
    }

    /// The request by which [`StoreApi::fetch`] confirms the deletion of an entity, serialized; `None` if the platform has none.
    fn deletion_request(&self, _entity: &str, _id: &str) -> Option<String> {
        None
    }

    /// Reads a page of a list from a store.
    ///
    /// # Errors
    /// [`Unanswered`] with the next request to execute. The inner error says why the page cannot be read.
    fn read_page(
        &self,
        _request: &PageRequest<'_>,
        _context: &ConnectionContext,
        _dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<StorePage, PageFailure>, Unanswered> {
        Ok(Err(PageFailure::new(
            ReasonCode::NotReadable,
            FailureScope::Store,
        )))
    }

    /// The topic of the webhook that would report a change that was found by reading. `resource` is that of the row, or the
    /// name of the entity.
    fn topic_of_change(&self, resource: &str, _change: ChangeKind) -> String {
        resource.to_owned()
    }

    /// The permissions that the gateway's features need at the platform.
    fn scopes(&self) -> &'static [Scope];
}
