//! The reason codes of findings.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! finding_codes {
    ($($code:ident = $name:literal,)+) => {
        /// The reason code of a finding: a metric label, and the reason of a connection's status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum FindingCode {
            $($code,)+
            /// A code of one platform, which defines its name.
            OfPlatform(&'static str),
        }

        impl FindingCode {
            /// All codes but those of one platform, sorted by name.
            pub const COMMON: &[Self] = &[$(Self::$code,)+];

            /// The name in output, metrics and stored states.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                    Self::OfPlatform(name) => name,
                }
            }
        }
    };
}

finding_codes! {
    AccessRefused = "access_refused",
    AccountRefused = "account_refused",
    AccountUnconfirmed = "account_unconfirmed",
    AnswerTooLarge = "answer_too_large",
    AnswerUnreadable = "answer_unreadable",
    ApiKeyMissing = "api_key_missing",
    ApiKeyRefused = "api_key_refused",
    AppRemoved = "app_removed",
    AppSecretMissing = "app_secret_missing",
    AppSecretRefused = "app_secret_refused",
    AppSecretUntried = "app_secret_untried",
    AuthorizationDropped = "authorization_dropped",
    BasicAuthInFront = "basic_auth_in_front",
    BodiesUnreadable = "bodies_unreadable",
    BodyReencoded = "body_reencoded",
    CatalogVersionUnknown = "catalog_version_unknown",
    ClockOff = "clock_off",
    ClockWrong = "clock_wrong",
    CloudflareBlocked = "cloudflare_blocked",
    CutOff = "cut_off",
    DeliveryUrlHttp = "delivery_url_http",
    DeliveryUrlInvalid = "delivery_url_invalid",
    DeliveryUrlPort = "delivery_url_port",
    DeliveryUrlPrivate = "delivery_url_private",
    HostUnknown = "host_unknown",
    KeyCut = "key_cut",
    KeyNotSeen = "key_not_seen",
    KeyReadOnly = "key_read_only",
    KeyRole = "key_role",
    KeySecretWrong = "key_secret_wrong",
    KeyUnknown = "key_unknown",
    KeyWriteOnly = "key_write_only",
    Maintenance = "maintenance",
    NoKeys = "no_keys",
    NotWordpress = "not_wordpress",
    PermalinksPlain = "permalinks_plain",
    PermissionMissing = "permission_missing",
    PingMissing = "ping_missing",
    PrivateAddress = "private_address",
    PublicUrlMissing = "public_url_missing",
    RateLimited = "rate_limited",
    RedirectElsewhere = "redirect_elsewhere",
    RedirectLoop = "redirect_loop",
    RedirectToHttp = "redirect_to_http",
    Redirected = "redirected",
    RestBlocked = "rest_blocked",
    RestDisabled = "rest_disabled",
    RestHtml = "rest_html",
    RestNotFound = "rest_not_found",
    ScopesMissing = "scopes_missing",
    SignatureWrong = "signature_wrong",
    Silent = "silent",
    SiteUnknown = "site_unknown",
    StatusUnknown = "status_unknown",
    StoreError = "store_error",
    StoreRefuses = "store_refuses",
    StoreUnreachable = "store_unreachable",
    TimedOut = "timed_out",
    TlsBroken = "tls_broken",
    TlsMissing = "tls_missing",
    TokenRefused = "token_refused",
    Unreachable = "unreachable",
    UrlInvalid = "url_invalid",
    UrlWrong = "url_wrong",
    WebhookDisabled = "webhook_disabled",
    WebhookDoubled = "webhook_doubled",
    WebhookLeft = "webhook_left",
    WebhookMissing = "webhook_missing",
    WebhookOtherUrl = "webhook_other_url",
    WebhookOwnerLostRights = "webhook_owner_lost_rights",
    WebhookPaused = "webhook_paused",
    WebhookRefused = "webhook_refused",
    WebhookSecretMissing = "webhook_secret_missing",
    WebhookVersionUnknown = "webhook_version_unknown",
    WebhookWatched = "webhook_watched",
}

impl fmt::Display for FindingCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for FindingCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
