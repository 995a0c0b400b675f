//! A store's webhooks: which are there, which are ours, and what is wrong with those.
//!
//! REST shows neither a webhook's secret, nor its API version, nor its failures. The version is ours where we made it, and
//! what we made is known by its id or its name; a secret that differs shows in rejected signatures alone.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

use crate::platforms::api::WebhookState;
use crate::platforms::lenient::Node;
use crate::platforms::registered::{ClaimedWebhook, WebhookList};

/// What a store has to tell us of. `customer.restored` is missing: no version ever sends it, and new ones refuse it.
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
/// What newer stores can tell as well; without it nothing is missing.
pub(super) const OPTIONAL: &str = "product.published";

/// What the names of webhooks begin with that we made.
const OUR_NAME: &str = "Cartwire ";

/// A webhook's name in the store's administration.
pub(super) fn name(topic: &str) -> String {
    format!("{OUR_NAME}{topic}")
}

/// A webhook as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) topic: String,
    pub(super) delivery_url: String,
    /// When it was last changed or tried to deliver: in UTC, as text that sorts.
    pub(super) modified: String,
}

impl Webhook {
    pub(super) fn of(node: Node<'_>) -> Option<Self> {
        let text = |name: &str| node.get(name).text().unwrap_or_default();
        let id = node.get("id").id()?.parse().ok()?;
        // An item of a batch that failed has an id as well.
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

    /// The webhook for others. WooCommerce changes `date_modified_gmt` at each attempt to deliver.
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

/// What we know of our webhooks at a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Where they have to deliver.
    pub(super) target: String,
    /// Where they had to, when they were last registered.
    pub(super) former: Option<String>,
    /// By topic, as registered.
    pub(super) ids: BTreeMap<String, u64>,
    /// Those that were disabled and turned on again, with the time of that change: the next failure disables them again.
    pub(super) watched: BTreeMap<String, String>,
}

/// Maximum number of known webhooks, unless the store has more at once: 16 topics, recreated a dozen times.
const MAX_KNOWN: usize = 200;

/// The known webhooks with those that the store has now. Webhooks that the store has now are always kept. Of the others the
/// oldest are dropped if there are more than [`MAX_KNOWN`].
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

/// A webhook of ours.
#[derive(Clone, Debug)]
pub(super) struct Ours<'a> {
    pub(super) webhook: &'a Webhook,
    /// Did we make it? Then its API version is ours.
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

    /// `true` if it has the id and the topic of a webhook that we registered.
    pub(super) fn is_remembered(&self, webhook: &Webhook) -> bool {
        self.ids.get(&webhook.topic) == Some(&webhook.id)
    }

    /// A webhook of ours, with whether we made it. `listing::list` has left out those of others that have remembered ids.
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

    /// All of ours.
    pub(super) fn ours<'a>(&self, webhooks: &'a [Webhook]) -> Vec<Ours<'a>> {
        webhooks
            .iter()
            .filter_map(|webhook| self.claim(webhook))
            .collect()
    }

    /// Ours, sorted by what is to become of them.
    pub(super) fn sort<'a>(&self, webhooks: &'a [Webhook]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        let mut ours = self.ours(webhooks);
        // The best of a topic comes first: made by us, active, at the right address, the oldest.
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

/// Our webhooks at a store.
#[derive(Debug, Default)]
pub(super) struct Sorted<'a> {
    /// The one for each topic.
    pub(super) kept: BTreeMap<&'a str, Ours<'a>>,
    /// More for the same topics.
    pub(super) surplus: Vec<Ours<'a>>,
    /// For topics that a person added.
    pub(super) extra: Vec<Ours<'a>>,
}

/// The same address, whatever its scheme, the case of its host and a slash at its end.
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
