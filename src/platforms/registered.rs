//! The gateway's webhooks at a store, with their topics, as the store's API returned them.
//!
//! WooCommerce signs only the body. The headers with the webhook's id and topic are not signed, so they are compared with
//! these webhooks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The webhook that a delivery's headers name. Not proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedWebhook {
    /// The webhook's id at the store.
    pub id: String,
    /// The platform's event type.
    pub topic: String,
}

/// Webhooks with their topics. The stored form is `id=topic`, separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookList(pub Vec<ClaimedWebhook>);

impl WebhookList {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        let webhooks = pairs.map(|(id, topic)| ClaimedWebhook {
            id: id.to_owned(),
            topic: topic.to_owned(),
        });
        Self(webhooks.collect())
    }
}

impl fmt::Display for WebhookList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ClaimedWebhook { id, topic }) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { " " };
            write!(f, "{separator}{id}={topic}")?;
        }
        Ok(())
    }
}

/// The webhooks of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisteredWebhooks {
    topics: BTreeMap<String, BTreeSet<String>>,
    /// `true` if the gateway registered the webhooks. Then no other webhook has one of their topics.
    pub are_ours: bool,
}

impl RegisteredWebhooks {
    pub fn add(&mut self, id: &str, topic: &str) {
        let topics = self.topics.entry(id.to_owned()).or_default();
        topics.insert(topic.to_owned());
    }

    /// `true` if a webhook with this id and topic exists.
    #[must_use]
    pub fn contains(&self, id: &str, topic: &str) -> bool {
        self.topics
            .get(id)
            .is_some_and(|topics| topics.contains(topic))
    }

    /// `false` if the webhook with this id has other topics, or if another webhook of the gateway has this topic.
    #[must_use]
    pub fn fits(&self, id: &str, topic: &str) -> bool {
        match self.topics.get(id) {
            Some(topics) => topics.contains(topic),
            None => !self.are_ours || !self.topics.values().any(|topics| topics.contains(topic)),
        }
    }

    /// The id of a webhook with this topic.
    #[must_use]
    pub fn id_of(&self, topic: &str) -> Option<&str> {
        let mut webhooks = self.topics.iter();
        webhooks
            .find(|(_, topics)| topics.contains(topic))
            .map(|(id, _)| id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_list_is_parsed_as_written() {
        let webhook = |id: &str, topic: &str| ClaimedWebhook {
            id: id.to_owned(),
            topic: topic.to_owned(),
        };
        let list = WebhookList(vec![
            webhook("3", "order.updated"),
            webhook("4", "order.deleted"),
        ]);
        assert_eq!(list.to_string(), "3=order.updated 4=order.deleted");
        assert_eq!(WebhookList::parse(&list.to_string()), list);
        assert_eq!(WebhookList::parse(""), WebhookList::default());
    }

    #[test]
    fn a_topic_fits_the_webhook_that_was_registered_for_it() {
        let mut registered = RegisteredWebhooks::default();
        registered.add("3", "order.updated");
        registered.add("4", "order.deleted");
        assert!(registered.fits("3", "order.updated"));
        assert!(!registered.fits("3", "order.deleted"));
        assert!(!registered.fits("3", "action.woocommerce_anything"));
        assert!(registered.fits("9", "order.deleted"), "made by hand");
        registered.are_ours = true;
        assert!(!registered.fits("9", "order.deleted"));
        assert!(registered.fits("9", "action.woocommerce_anything"));
        assert!(RegisteredWebhooks::default().fits("1", "order.updated"));
    }
}
