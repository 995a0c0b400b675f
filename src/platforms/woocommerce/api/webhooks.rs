//! A store's webhooks: which are there, which are ours, and what is wrong with those.
//!
//! REST shows neither a webhook's secret, nor its API version, nor its failures. The version is ours where we made it, and
//! what we made is known by its id or its name; a secret that differs shows in rejected signatures alone.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use url::Url;

use crate::platforms::api::{CheckReport, Severity, WebhookState};
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

    fn is_at_target(&self, webhook: &Webhook) -> bool {
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

/// Compares what is there with what should be. `told` are topics whose trouble is told already.
pub(super) fn compare(own: &Own, webhooks: &[Webhook], told: &[String], report: &mut CheckReport) {
    let sorted = own.sort(webhooks);
    let is_told = |topic: &str| told.iter().any(|told| told == topic);
    let missing: Vec<&str> = TOPICS
        .into_iter()
        .filter(|topic| !sorted.kept.contains_key(topic) && !is_told(topic))
        .collect();
    let of = |fits: &dyn Fn(&Ours<'_>) -> bool| -> Vec<&str> {
        let ours = sorted.kept.values().chain(&sorted.extra);
        ours.filter(|ours| fits(ours) && !is_told(&ours.webhook.topic))
            .map(|ours| ours.webhook.topic.as_str())
            .collect()
    };
    let disabled = of(&|ours| ours.webhook.status == "disabled");
    let paused = of(&|ours| ours.webhook.status != "disabled" && ours.webhook.status != "active");
    let elsewhere = of(&|ours| !own.is_at_target(ours.webhook));
    let by_hand = of(&|ours| !ours.is_made_by_us);
    if !disabled.is_empty() {
        let again = if disabled
            .iter()
            .any(|topic| own.watched.contains_key(*topic))
        {
            " Some of them were turned on again before and failed at the next delivery."
        } else {
            ""
        };
        report.add(
            Severity::Broken,
            "webhook_disabled",
            format!(
                "Webhooks are disabled at the store, and what happens there is lost: {}. WooCommerce disables a webhook after seven \
                 failed deliveries in a row; a person may have done it too.{again}",
                disabled.join(", ")
            ),
            "See that the store reaches this gateway, then run `cartwire connections check --fix`.",
        );
    }
    if !missing.is_empty() {
        // A person who adds webhooks by hand chooses the topics.
        let is_chosen = own.ids.is_empty()
            && !by_hand.is_empty()
            && by_hand.len() == sorted.kept.len() + sorted.extra.len();
        let all = missing.len() == TOPICS.len();
        let which = if all {
            "none of them".to_owned()
        } else {
            format!("missing are {}", missing.join(", "))
        };
        report.add(
            if is_chosen {
                Severity::Note
            } else {
                Severity::Broken
            },
            "webhook_missing",
            format!(
                "The store does not have all webhooks that deliver to {}: {which}{}.",
                own.target,
                if all { " is there" } else { "" }
            ),
            "Run `cartwire connections check --fix`, which registers them.",
        );
    }
    if !paused.is_empty() {
        report.add(
            Severity::Broken,
            "webhook_paused",
            format!(
                "A person paused webhooks at the store, and what happens there is lost: {}.",
                paused.join(", ")
            ),
            "Run `cartwire connections check --fix`, or set them to \"Active\" under WooCommerce > Settings > Advanced > Webhooks.",
        );
    }
    if !elsewhere.is_empty() {
        report.add(
            Severity::Broken,
            "webhook_other_url",
            format!(
                "Webhooks of ours deliver to another address than {}: {}.",
                own.target,
                elsewhere.join(", ")
            ),
            "Run `cartwire connections check --fix`.",
        );
    }
    if !sorted.surplus.is_empty() {
        let mut topics: Vec<&str> = sorted
            .surplus
            .iter()
            .map(|ours| ours.webhook.topic.as_str())
            .collect();
        topics.dedup();
        report.add(
            Severity::Note,
            "webhook_doubled",
            format!(
                "The store delivers more than once to us: {}.",
                topics.join(", ")
            ),
            "Run `cartwire connections check --fix`, which keeps one of each.",
        );
    }
    if !by_hand.is_empty() {
        report.add(
            Severity::Note,
            "webhook_version_unknown",
            format!(
                "Webhooks that deliver to us were made by hand, and their API version cannot be seen: {}.",
                by_hand.join(", ")
            ),
            "See that it is \"WP REST API Integration v3\", or run `cartwire connections check --fix`, which recreates the webhooks.",
        );
    }
    let well = sorted
        .kept
        .values()
        .filter(|ours| ours.webhook.status == "active" && own.is_at_target(ours.webhook))
        .count();
    if well > 0 {
        report.good.push(format!(
            "{well} webhooks are active and deliver to {}",
            own.target
        ));
    }
}

/// What became of those that were turned on again: those that are still watched, and since when.
pub(super) fn watch(
    own: &Own,
    webhooks: &[Webhook],
    report: &mut CheckReport,
) -> BTreeMap<String, String> {
    let sorted = own.sort(webhooks);
    let mut watched = own.watched.clone();
    // A failure would have disabled it again, so one that is active and has moved since has delivered.
    watched.retain(|topic, since| {
        let Some(ours) = sorted.kept.get(topic.as_str()).or_else(|| {
            sorted
                .extra
                .iter()
                .find(|ours| ours.webhook.topic == *topic)
        }) else {
            return false;
        };
        let has_delivered = ours.webhook.status == "active" && ours.webhook.modified > *since;
        if has_delivered {
            report.good.push(format!("{topic} delivers again"));
        }
        !has_delivered
    });
    watched
}
