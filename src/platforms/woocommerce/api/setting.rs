//! The names of the settings that a check stores.

pub(super) const URL: &str = "url";
pub(super) const REST_ROOT: &str = "rest_root";
/// `basic`, `oauth1` or `oauth1_query`.
pub(super) const AUTH: &str = "auth";
/// The REST root as the store knows it, if it differs.
pub(super) const OAUTH_ADDRESS: &str = "oauth_address";
pub(super) const STORE_NAME: &str = "store_name";
pub(super) const CURRENCY: &str = "currency";
pub(super) const TIME_ZONE: &str = "time_zone";
pub(super) const WOOCOMMERCE_VERSION: &str = "woocommerce_version";
pub(super) const WORDPRESS_VERSION: &str = "wordpress_version";
/// `read` or `read_write`, known after the first write.
pub(super) const KEY_PERMISSION: &str = "key_permission";
pub(super) const WEBHOOK_IDS: &str = "webhook_ids";
/// All webhooks of this gateway that the store has ever listed, as `id=topic`.
pub(super) const WEBHOOKS_KNOWN: &str = "webhooks_known";
pub(super) const WEBHOOKS_WATCHED: &str = "webhooks_watched";
pub(super) const DELIVERY_URL: &str = "delivery_url";
