//! Compares the webhooks of a store with those that should be there. Each difference is a finding.

use std::collections::BTreeMap;

use super::webhooks::{Ours, Own, Sorted, TOPICS, Webhook};
use crate::platforms::api::{CheckReport, FindingCode, Severity};

/// Problems of the gateway's webhooks that a repair puts right. A webhook that a person paused is not one of them.
pub(in crate::platforms::woocommerce) const REPAIRABLE_PROBLEMS: &[FindingCode] = &[
    FindingCode::WebhookDisabled,
    FindingCode::WebhookMissing,
    FindingCode::WebhookOtherUrl,
];

/// Compares a store's webhooks with those that should be there. Topics in `reported` have a finding of their own already.
pub(super) fn compare(
    own: &Own,
    webhooks: &[Webhook],
    reported: &[String],
    report: &mut CheckReport,
) {
    let comparison = Comparison {
        own,
        sorted: own.sort(webhooks),
        reported,
    };
    comparison.disabled(report);
    comparison.missing(report);
    comparison.paused(report);
    comparison.elsewhere(report);
    comparison.doubled(report);
    comparison.by_hand(report);
    comparison.good(report);
}

struct Comparison<'a> {
    own: &'a Own,
    sorted: Sorted<'a>,
    reported: &'a [String],
}

impl Comparison<'_> {
    /// The topics of those webhooks that meet the condition.
    fn topics(&self, condition: impl Fn(&Ours<'_>) -> bool) -> Vec<&str> {
        let ours = self.sorted.kept.values().chain(&self.sorted.extra);
        ours.filter(|ours| condition(ours) && !self.is_reported(&ours.webhook.topic))
            .map(|ours| ours.webhook.topic.as_str())
            .collect()
    }

    fn is_reported(&self, topic: &str) -> bool {
        self.reported.iter().any(|reported| reported == topic)
    }

    fn made_by_hand(&self) -> Vec<&str> {
        self.topics(|ours| !ours.is_made_by_us)
    }

    fn disabled(&self, report: &mut CheckReport) {
        let disabled = self.topics(|ours| ours.webhook.status == "disabled");
        if disabled.is_empty() {
            return;
        }
        let is_watched = |topic: &&str| self.own.watched.contains_key(*topic);
        let again = if disabled.iter().any(is_watched) {
            " Some of them were reactivated before and failed at the next delivery."
        } else {
            ""
        };
        report.add(
            Severity::Broken,
            FindingCode::WebhookDisabled,
            format!(
                "Webhooks are disabled at the store, and their events are lost: {}. WooCommerce disables a webhook after seven \
                 failed deliveries in a row. A person may also have disabled them.{again}",
                disabled.join(", ")
            ),
            "Make sure that the store reaches this gateway, then run `cartwire connections check --fix`.",
        );
    }

    fn missing(&self, report: &mut CheckReport) {
        let is_missing =
            |topic: &&str| !self.sorted.kept.contains_key(topic) && !self.is_reported(topic);
        let missing: Vec<&str> = TOPICS.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return;
        }
        let by_hand = self.made_by_hand();
        // A person who adds webhooks by hand chooses the topics.
        let is_chosen = self.own.ids.is_empty()
            && !by_hand.is_empty()
            && by_hand.len() == self.sorted.kept.len() + self.sorted.extra.len();
        let which = if missing.len() == TOPICS.len() {
            "none of them is there".to_owned()
        } else {
            format!("missing are {}", missing.join(", "))
        };
        report.add(
            if is_chosen {
                Severity::Note
            } else {
                Severity::Broken
            },
            FindingCode::WebhookMissing,
            format!(
                "The store does not have all webhooks that deliver to {}: {which}.",
                self.own.target
            ),
            "Run `cartwire connections check --fix`, which registers them.",
        );
    }

    fn paused(&self, report: &mut CheckReport) {
        let paused = self.topics(|ours| !matches!(&*ours.webhook.status, "disabled" | "active"));
        if paused.is_empty() {
            return;
        }
        report.add(
            Severity::Broken,
            FindingCode::WebhookPaused,
            format!(
                "A person paused webhooks at the store, and their events are lost: {}.",
                paused.join(", ")
            ),
            "Run `cartwire connections check --fix`, or set them to \"Active\" under WooCommerce > Settings > Advanced > Webhooks.",
        );
    }

    fn elsewhere(&self, report: &mut CheckReport) {
        let elsewhere = self.topics(|ours| !self.own.is_at_target(ours.webhook));
        if elsewhere.is_empty() {
            return;
        }
        report.add(
            Severity::Broken,
            FindingCode::WebhookOtherUrl,
            format!(
                "Webhooks of this gateway deliver to another URL than {}: {}.",
                self.own.target,
                elsewhere.join(", ")
            ),
            "Run `cartwire connections check --fix`.",
        );
    }

    fn doubled(&self, report: &mut CheckReport) {
        let surplus = self.sorted.surplus.iter();
        let mut topics: Vec<&str> = surplus.map(|ours| ours.webhook.topic.as_str()).collect();
        topics.dedup();
        if topics.is_empty() {
            return;
        }
        report.add(
            Severity::Note,
            FindingCode::WebhookDoubled,
            format!(
                "Several webhooks for the same topic deliver to this gateway: {}.",
                topics.join(", ")
            ),
            "Run `cartwire connections check --fix`, which keeps one for each topic.",
        );
    }

    fn by_hand(&self, report: &mut CheckReport) {
        let by_hand = self.made_by_hand();
        if by_hand.is_empty() {
            return;
        }
        report.add(
            Severity::Note,
            FindingCode::WebhookVersionUnknown,
            format!(
                "A person created webhooks that deliver to this gateway, and the store does not show their API version: {}.",
                by_hand.join(", ")
            ),
            "Make sure that it is \"WP REST API Integration v3\", or run `cartwire connections check --fix`, which recreates the webhooks.",
        );
    }

    fn good(&self, report: &mut CheckReport) {
        let is_good = |ours: &&Ours<'_>| {
            ours.webhook.status == "active" && self.own.is_at_target(ours.webhook)
        };
        let count = self.sorted.kept.values().filter(is_good).count();
        if count > 0 {
            report.good.push(format!(
                "{count} webhooks are active and deliver to {}",
                self.own.target
            ));
        }
    }
}

/// The reactivated webhooks that are still watched, with the time of their reactivation.
pub(super) fn watch(
    own: &Own,
    webhooks: &[Webhook],
    report: &mut CheckReport,
) -> BTreeMap<String, String> {
    let sorted = own.sort(webhooks);
    let mut watched = own.watched.clone();
    // A failure would have disabled the webhook again. So an active webhook with a newer date has delivered.
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
