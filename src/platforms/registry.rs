//! All supported platforms.

use std::collections::BTreeMap;

use super::contract::{StoreApi, WebhookPlatform};
use super::kind::ConnectionKind;
use super::normalized::ReportedProblem;
use super::registered::RegisteredWebhooks;
use super::{wix, woocommerce};

/// All supported platforms.
pub const PLATFORMS: &[&dyn WebhookPlatform] = &[&woocommerce::WooCommerce, &wix::Wix];

/// Finds a platform by its name in URLs and in the journal.
#[must_use]
pub fn platform(name: &str) -> Option<&'static dyn WebhookPlatform> {
    PLATFORMS
        .iter()
        .copied()
        .find(|platform| platform.name() == name)
}

/// Finds the API of a platform's stores by the platform's name.
#[must_use]
pub fn store_api(name: &str) -> Option<&'static dyn StoreApi> {
    platform(name)?.api()
}

/// The gateway's webhooks at a store, as recorded in the connection's settings; none for a platform without an API.
#[must_use]
pub fn registered_webhooks(
    platform: &dyn WebhookPlatform,
    settings: &BTreeMap<String, String>,
) -> RegisteredWebhooks {
    platform
        .api()
        .map_or_else(RegisteredWebhooks::default, |api| {
            api.registered_webhooks(settings)
        })
}

/// Finds a problem that a platform's deliveries report, by its reason code.
#[must_use]
pub fn reported_problem(platform_name: &str, code: &str) -> Option<&'static ReportedProblem> {
    let mut problems = platform(platform_name)?.reported_problems().iter();
    problems.find(|problem| problem.code.as_str() == code)
}

/// Finds a connection kind by its name, with its platform.
#[must_use]
pub fn connection_kind(
    name: &str,
) -> Option<(&'static dyn WebhookPlatform, &'static ConnectionKind)> {
    PLATFORMS.iter().find_map(|platform| {
        platform
            .connection_kinds()
            .iter()
            .find(|kind| kind.name == name)
            .map(|kind| (*platform, kind))
    })
}
