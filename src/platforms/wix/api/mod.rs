//! The requests to the platform's API, and the meaning of its answers. Pure: `outbound` sends the requests.
//!
//! `caller` adds the credentials to a request. `token` obtains an installation's access token, and `refusal` finds the cause of a refusal. `check` chooses the check: `instance` checks apps and
//! their installations, `site` checks sites by API key. `fetch_request` and `fetch` get the details that a delivery leaves
//! out. `scopes` lists the necessary permissions. Webhooks are configured in the app's dashboard, so this module registers
//! and removes none.

mod caller;
mod check;
mod fetch;
mod fetch_request;
mod instance;
mod refusal;
mod scopes;
#[cfg(test)]
mod script;
mod settings;
mod site;
mod token;

pub(super) use check::{PACE, can_check, can_request, check};
pub(super) use fetch::fetch;
pub(super) use fetch_request::{FetchKind, FetchRequest};
pub(super) use instance::known;
pub(super) use scopes::SCOPES;
pub(super) use settings::granted_permissions;
