//! The settings of a store's connection, as typed values. They are stored as text.
//!
//! The operator enters the URL. Checks store the other settings.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::platforms::oauth1::Placement;
use crate::platforms::registered::WebhookList;

/// The names of the settings.
pub(super) mod name {
    pub(in super::super) const URL: &str = "url";
    pub(in super::super) const REST_ROOT: &str = "rest_root";
    pub(in super::super) const AUTH: &str = "auth";
    pub(in super::super) const OAUTH_ADDRESS: &str = "oauth_address";
    pub(in super::super) const STORE_NAME: &str = "store_name";
    pub(in super::super) const CURRENCY: &str = "currency";
    pub(in super::super) const TIME_ZONE: &str = "time_zone";
    pub(in super::super) const WOOCOMMERCE_VERSION: &str = "woocommerce_version";
    pub(in super::super) const WORDPRESS_VERSION: &str = "wordpress_version";
    pub(in super::super) const KEY_PERMISSION: &str = "key_permission";
    pub(in super::super) const WEBHOOK_IDS: &str = "webhook_ids";
    pub(in super::super) const WEBHOOKS_KNOWN: &str = "webhooks_known";
    pub(in super::super) const WEBHOOKS_WATCHED: &str = "webhooks_watched";
    pub(in super::super) const DELIVERY_URL: &str = "delivery_url";
}

/// The settings that a check needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreSettings {
    /// The store's URL as the operator entered it.
    pub(super) url: Option<String>,
    /// The address of the REST API that worked, with a slash at its end.
    pub(super) rest_root: Option<String>,
    /// The authentication that worked.
    pub(super) auth: Option<AuthScheme>,
    /// The REST root as the store knows it, if it differs from `rest_root`.
    pub(super) oauth_address: Option<String>,
    pub(super) woocommerce_version: Option<String>,
    /// Known after the first write.
    pub(super) key_permission: Option<KeyPermission>,
    /// The URL that the webhooks were last registered with.
    pub(super) delivery_url: Option<String>,
    /// The ids of the registered webhooks, by topic.
    pub(super) webhook_ids: BTreeMap<String, u64>,
    /// All webhooks of this gateway that the store has ever listed.
    pub(super) known_webhooks: WebhookList,
    /// By topic, the time at which a disabled webhook was enabled again. The next failed delivery disables it.
    pub(super) watched_webhooks: BTreeMap<String, String>,
}

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthScheme {
    Basic,
    OAuth1(Placement),
}

impl AuthScheme {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "basic" => Some(Self::Basic),
            "oauth1" => Some(Self::OAuth1(Placement::Header)),
            "oauth1_query" => Some(Self::OAuth1(Placement::Query)),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::OAuth1(Placement::Header) => "oauth1",
            Self::OAuth1(Placement::Query) => "oauth1_query",
        }
    }
}

/// What the REST API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyPermission {
    Read,
    ReadWrite,
}

impl KeyPermission {
    fn parse(text: &str) -> Self {
        match text {
            "read" => Self::Read,
            _ => Self::ReadWrite,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadWrite => "read_write",
        }
    }
}

impl StoreSettings {
    pub(super) fn parse(settings: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| settings.get(name).filter(|text| !text.is_empty()).cloned();
        let by_topic = |name: &str| parse_by_topic(&text(name).unwrap_or_default());
        let ids = by_topic(name::WEBHOOK_IDS).into_iter();
        Self {
            url: text(name::URL),
            rest_root: text(name::REST_ROOT),
            auth: text(name::AUTH).and_then(|auth| AuthScheme::parse(&auth)),
            oauth_address: text(name::OAUTH_ADDRESS),
            woocommerce_version: text(name::WOOCOMMERCE_VERSION),
            key_permission: text(name::KEY_PERMISSION).map(|text| KeyPermission::parse(&text)),
            delivery_url: text(name::DELIVERY_URL),
            webhook_ids: ids
                .filter_map(|(topic, id)| Some((topic, id.parse().ok()?)))
                .collect(),
            known_webhooks: WebhookList::parse(&text(name::WEBHOOKS_KNOWN).unwrap_or_default()),
            watched_webhooks: by_topic(name::WEBHOOKS_WATCHED),
        }
    }
}

/// Parses `topic=value`, separated by spaces.
fn parse_by_topic(text: &str) -> BTreeMap<String, String> {
    let pairs = text
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(topic, value)| (topic.to_owned(), value.to_owned()))
        .collect()
}

/// Writes values by topic in the stored form.
pub(super) fn stored_by_topic<T: Display>(values: &BTreeMap<String, T>) -> String {
    let pairs: Vec<String> = values
        .iter()
        .map(|(topic, value)| format!("{topic}={value}"))
        .collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parsed_as_written() {
        let ids = BTreeMap::from([
            ("order.created".to_owned(), 3),
            ("order.updated".to_owned(), 4),
        ]);
        let settings = BTreeMap::from([
            (name::AUTH.to_owned(), "oauth1_query".to_owned()),
            (name::KEY_PERMISSION.to_owned(), "read".to_owned()),
            (name::OAUTH_ADDRESS.to_owned(), String::new()),
            (name::WEBHOOK_IDS.to_owned(), stored_by_topic(&ids)),
        ]);
        let parsed = StoreSettings::parse(&settings);
        assert_eq!(parsed.auth, Some(AuthScheme::OAuth1(Placement::Query)));
        assert_eq!(parsed.auth.map(AuthScheme::as_str), Some("oauth1_query"));
        assert_eq!(parsed.key_permission, Some(KeyPermission::Read));
        assert_eq!(parsed.oauth_address, None);
        assert_eq!(parsed.webhook_ids, ids);
    }
}
