//! Changes of a store's webhooks: what is wanted, one change, its result, and why changing stopped.

use std::collections::BTreeMap;

use super::outcome::{End, finding};
use super::webhooks::{Own, Webhook};
use crate::platforms::api::{Finding, FindingCode, Severity, Unanswered};

/// One change of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum WebhookChange {
    /// Creates a webhook for a topic.
    Create(String),
    /// Sets address, secret and status of one of our webhooks, given by id and topic.
    Update(u64, String),
    /// Deletes one of our webhooks, given by id and topic.
    Delete(u64, String),
}

/// The result of a repair.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// Our webhooks at the store afterwards.
    pub(super) webhooks: Vec<Webhook>,
    /// Topics that have a finding of their own already.
    pub(super) reported: Vec<String>,
    /// The topics of webhooks that were reactivated, with the time of that change as the store shows it.
    pub(super) reenabled: BTreeMap<String, String>,
    /// `Some(true)` after a successful write, `Some(false)` if the store refused a write by this key.
    pub(super) may_write: Option<bool>,
    /// `true` if all changes were sent.
    pub(super) is_finished: bool,
}

impl Repaired {
    /// Replaces a webhook by its new state, or adds it. Returns the state before.
    pub(super) fn replace(&mut self, webhook: Webhook) -> Option<Webhook> {
        let known = self
            .webhooks
            .iter_mut()
            .find(|known| known.id == webhook.id);
        match known {
            Some(known) => Some(std::mem::replace(known, webhook)),
            None => {
                self.webhooks.push(webhook);
                None
            }
        }
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.webhooks.retain(|webhook| webhook.id != id);
    }
}

/// What our webhooks have to be.
pub(super) struct Wanted<'a> {
    pub(super) own: &'a Own,
    pub(super) secret: &'a str,
    /// `true` if the store's version has the optional topic.
    pub(super) with_optional: bool,
}

/// Why sending stopped.
pub(super) enum Stop {
    /// The batch failed as a whole, or its result is unknown.
    BatchFailed,
    /// The key may not write, as [`Repaired::may_write`] has it now.
    ReadOnly,
    /// Every further change would fail for the same reason.
    Trouble(Finding),
    End(End),
}

impl From<Unanswered> for Stop {
    fn from(unanswered: Unanswered) -> Self {
        Self::End(unanswered.into())
    }
}

/// The result of one change: the webhook, or the store's error code.
pub(super) type ChangeResult = Result<Option<Webhook>, String>;

/// The finding for a key without write permission.
pub(super) fn read_only(severity: Severity) -> Finding {
    finding(
        severity,
        FindingCode::KeyReadOnly,
        "The REST API key may read, but not write, so webhooks cannot be registered or repaired.",
        "Under WooCommerce > Settings > Advanced > REST API, give the key the permission Read/Write and run `cartwire \
         connections check --fix`, or add the webhooks by hand.",
    )
}
