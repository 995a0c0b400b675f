//! Selects the check of a connection by the kind of the connection.

use super::{instance, site};
use crate::platforms::api::{
    CheckMode, CheckReport, ConfiguredFields, ConnectionContext, Dialogue, Pace, Unanswered,
};

/// Rate limit per connection. The platform allows 200 requests per minute for each installation; rate and burst add up to 200.
pub(in crate::platforms::wix) const PACE: Pace = Pace {
    per_minute: 180,
    burst: 20,
};

/// `true` for a site with an API key, and for an installation of an app with a secret: their API can be called.
pub(in crate::platforms::wix) fn can_request(fields: &ConfiguredFields) -> bool {
    if fields.kind == "wix-site" {
        return fields.has("site_id") && fields.has("api-key");
    }
    fields.parent.as_deref().is_some_and(is_app_with_secret)
}

/// As [`can_request`], and also `true` for an app with a secret. A check of the app uses the app's installations.
pub(in crate::platforms::wix) fn can_check(fields: &ConfiguredFields) -> bool {
    can_request(fields) || (fields.kind == "wix-app" && is_app_with_secret(fields))
}

fn is_app_with_secret(app: &ConfiguredFields) -> bool {
    app.has("app_id") && app.has("app-secret")
}

pub(in crate::platforms::wix) fn check(
    context: &ConnectionContext,
    mode: CheckMode,
    dialogue: &mut Dialogue<'_>,
) -> Result<CheckReport, Unanswered> {
    match (mode, context.kind.as_str()) {
        // The gateway registers nothing at the platform, so there is nothing to remove.
        (CheckMode::Remove, _) => Ok(CheckReport::default()),
        (CheckMode::Check | CheckMode::Fix, "wix-app") => instance::examine_app(context, dialogue),
        (CheckMode::Check | CheckMode::Fix, "wix-site") => site::examine(context, dialogue),
        (CheckMode::Check | CheckMode::Fix, _) => instance::examine(context, dialogue),
    }
}
