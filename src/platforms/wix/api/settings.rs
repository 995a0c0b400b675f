//! The settings of apps, installations and sites as typed values. The connection stores settings as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::platforms::api::ConnectionContext;

/// The name of the setting with an installation's permission ids, separated by spaces.
pub(super) const PERMISSIONS: &str = "permissions";

const DEFAULT_API_BASE: &str = "https://www.wixapis.com";

/// The settings that requests to the API need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings<'a> {
    /// Of an app: its id at the platform.
    pub(super) app_id: Option<&'a str>,
    /// Of a site: its id at the platform.
    pub(super) site_id: Option<&'a str>,
    /// Of a site: the id of the account that owns the site.
    pub(super) account_id: Option<&'a str>,
    /// The currency of the site, which a check stores.
    pub(super) currency: Option<&'a str>,
    /// The base URL of the API. Only tests configure another one than the default.
    pub(super) api_base: &'a str,
}

impl<'a> Settings<'a> {
    pub(super) fn of(context: &'a ConnectionContext) -> Self {
        Self {
            app_id: context.setting("app_id"),
            site_id: context.setting("site_id"),
            account_id: context.setting("account_id"),
            currency: context.setting("currency"),
            api_base: context.setting("api_base").unwrap_or(DEFAULT_API_BASE),
        }
    }
}

/// The permissions as the setting stores them; `None` if there are none.
pub(super) fn stored_permissions(permissions: Vec<String>) -> Option<String> {
    if permissions.is_empty() {
        return None;
    }
    // Sorted, because the order of the platform's list varies, and another order must not look like a change.
    let sorted: Vec<String> = BTreeSet::from_iter(permissions).into_iter().collect();
    Some(sorted.join(" "))
}

/// Parses the stored permissions of an installation; `None` if they are unknown.
pub(in crate::platforms::wix) fn granted_permissions(
    settings: &BTreeMap<String, String>,
) -> Option<BTreeSet<&str>> {
    let permissions = settings.get(PERMISSIONS)?;
    Some(permissions.split_whitespace().collect())
}
