//! The webhooks of a store: which exist, which are the gateway's, and which of these have a problem.
//!
//! The REST API shows neither a webhook's secret, nor its API version, nor its failures. The version is known for webhooks that
//! the gateway made; it recognizes them by id or name. Only rejected signatures show that a secret differs.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

use crate::platforms::api::WebhookState;
use crate::platforms::lenient::Node;
use crate::platforms::registered::{ClaimedWebhook, WebhookList};

/// The topics that a store must send. `customer.restored` is missing: no version sends it, and new versions refuse it.
pub(super) const TOPICS: [&str; 15] = [
    "coupon.created",
    "coupon.updated",
    "coupon.deleted",
    "coupon.restored",
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "order.created",
    "order.updated",
    "order.deleted",
    "order.restored",
    "product.created",
    "product.updated",
    "product.deleted",
    "product.restored",
];
/// A topic that newer stores can send. It is never reported as missing.
pub(super) const OPTIONAL: &str = "product.published";

/// Prefix of the names of webhooks that the gateway made.
const OUR_NAME: &str = "Cartwire ";

/// The name of a webhook in the store's administration.
pub(super) fn name(topic: &str) -> String {
    format!("{OUR_NAME}{topic}")
}

/// A webhook as the REST API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) topic: String,
    pub(super) delivery_url: String,
    /// When the webhook was last changed or used: in UTC, as text that sorts.
    pub(super) modified: String,
}

impl Webhook {
    pub(super) fn of(node: Node<'_>) -> Option<Self> {
        let text = |name: &str| node.get(name).text().unwrap_or_default();
        let id = node.get("id").id()?.parse().ok()?;
        // A failed item of a batch has an id too.
        node.get("topic").str()?;
        Some(Self {
            id,
            name: text("name"),
            status: text("status"),
            topic: text("topic"),
            delivery_url: text("delivery_url"),
            modified: text("date_modified_gmt"),
        })
    }

    /// The webhook for other rooms. WooCommerce changes `date_modified_gmt` at each delivery.
    pub(super) fn state(&self) -> WebhookState {
        let modified: Option<DateTime> = self.modified.parse().ok();
        WebhookState {
            id: self.id.to_string(),
            topic: self.topic.clone(),
            is_active: self.status == "active",
            tried_at: modified
                .and_then(|modified| modified.to_zoned(TimeZone::UTC).ok())
                .map(|modified| modified.timestamp()),
        }
    }
}

/// What the settings contain about the gateway's webhooks at a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// The delivery URL.
    pub(super) target: String,
    /// The delivery URL when the webhooks were last registered.
    pub(super) former: Option<String>,
    /// The registered webhooks, by topic.
    pub(super) ids: BTreeMap<String, u64>,
    /// Webhooks that were disabled and reactivated, with the time of the reactivation. The next failure disables them again.
    pub(super) watched: BTreeMap<String, String>,
}

/// Maximum number of known webhooks, unless the store has more: 16 topics, each made a dozen times.
const MAX_KNOWN: usize = 200;

/// The known webhooks together with those that the store has now, which are always kept. Of the others, the oldest are dropped
/// if there are more than [`MAX_KNOWN`].
pub(super) fn known_with(former: &WebhookList, webhooks: &[Webhook]) -> WebhookList {
    let mut listed: Vec<ClaimedWebhook> = webhooks
        .iter()
        .filter(|webhook| !webhook.topic.contains(char::is_whitespace))
        .map(|webhook| ClaimedWebhook {
            id: webhook.id.to_string(),
            topic: webhook.topic.clone(),
        })
        .collect();
    listed.sort_by_key(|webhook| format!("{}={}", webhook.id, webhook.topic));
    listed.dedup();
    let mut known: Vec<ClaimedWebhook> = former
        .0
        .iter()
        .filter(|webhook| !listed.contains(webhook))
        .cloned()
        .collect();
    let kept = MAX_KNOWN.saturating_sub(listed.len()).min(known.len());
    known.drain(..known.len() - kept);
    known.extend(listed);
    WebhookList(known)
}

/// A webhook of the gateway.
#[derive(Clone, Debug)]
pub(super) struct Ours<'a> {
    pub(super) webhook: &'a Webhook,
    /// `true` if the gateway made it, so that its API version is known.
    pub(super) is_made_by_us: bool,
}

impl Own {
    /// `true` if the webhook delivers to this gateway, or if it has a remembered id and delivers to the former URL.
    pub(super) fn is_for_us(&self, webhook: &Webhook) -> bool {
        let is_former = self
            .former
            .as_ref()
            .is_some_and(|former| is_same_endpoint(&webhook.delivery_url, former));
        is_same_endpoint(&webhook.delivery_url, &self.target)
            || (is_former && self.ids.values().any(|id| *id == webhook.id))
    }

    /// `true` if the webhook has the id and the topic of a webhook that the gateway registered.
    pub(super) fn is_remembered(&self, webhook: &Webhook) -> bool {
        self.ids.get(&webhook.topic) == Some(&webhook.id)
    }

    /// A webhook of the gateway. `listing::list` has already removed webhooks of others with remembered ids.
    pub(super) fn claim<'a>(&self, webhook: &'a Webhook) -> Option<Ours<'a>> {
        if !self.is_for_us(webhook) && !self.is_remembered(webhook) {
            return None;
        }
        Some(Ours {
            webhook,
            is_made_by_us: self.ids.values().any(|id| *id == webhook.id)
                || webhook.name.starts_with(OUR_NAME),
        })
    }

    /// All of them.
    pub(super) fn ours<'a>(&self, webhooks: &'a [Webhook]) -> Vec<Ours<'a>> {
        webhooks
            .iter()
            .filter_map(|webhook| self.claim(webhook))
            .collect()
    }

    /// The gateway's webhooks, sorted by what a repair does with them.
    pub(super) fn sort<'a>(&self, webhooks: &'a [Webhook]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        let mut ours = self.ours(webhooks);
        // The best webhook of a topic comes first: made by the gateway, active, with the right URL, the oldest.
        ours.sort_by_key(|ours| {
            let webhook = ours.webhook;
            (
                !ours.is_made_by_us,
                webhook.status != "active",
                !self.is_at_target(webhook),
                webhook.id,
            )
        });
        for ours in ours {
            let topic = ours.webhook.topic.as_str();
            if !TOPICS.contains(&topic) && topic != OPTIONAL {
                sorted.extra.push(ours);
            } else if sorted.kept.contains_key(topic) {
                sorted.surplus.push(ours);
            } else {
                sorted.kept.insert(topic, ours);
            }
        }
        sorted
    }

    pub(super) fn is_at_target(&self, webhook: &Webhook) -> bool {
        let scheme = |url: &str| {
            Url::parse(url)
                .map(|url| url.scheme().to_owned())
                .unwrap_or_default()
        };
        is_same_endpoint(&webhook.delivery_url, &self.target)
            && scheme(&webhook.delivery_url) == scheme(&self.target)
    }
}

/// The gateway's webhooks at a store.
#[derive(Debug, Default)]
pub(super) struct Sorted<'a> {
    /// The webhook that stays, by topic.
    pub(super) kept: BTreeMap<&'a str, Ours<'a>>,
    /// Further webhooks for the same topics.
    pub(super) surplus: Vec<Ours<'a>>,
    /// Webhooks for topics that a person added.
    pub(super) extra: Vec<Ours<'a>>,
}

/// `true` for the same address. Scheme, case of the host and a slash at the end do not matter.
pub(super) fn is_same_endpoint(one: &str, other: &str) -> bool {
    let parts = |url: &str| {
        let url = Url::parse(url.trim()).ok()?;
        let path = url.path().trim_end_matches('/').to_owned();
        Some((
            url.host_str()?.to_owned(),
            url.port(),
            path,
            url.query().map(str::to_owned),
        ))
    };
    parts(one).is_some() && parts(one) == parts(other)
}
