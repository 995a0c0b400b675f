//! The requests to the platform's API, and the meaning of its responses. This module does no I/O: `outbound` sends the
//! requests.
//!
//! `caller` adds the credentials to a request. `token` obtains an installation's access token. `refusal` finds the cause of a
//! refusal. `check` selects the check of a connection: `instance` checks apps and their installations, `site` checks sites by
//! API key. `fetch_request` and `fetch` get the details that a delivery leaves out. `reading`, `query` and `resource` read a
//! site's entities page by page. `scopes` lists the necessary permissions.
//!
//! An operator configures webhooks in the app's dashboard, so this module neither registers nor removes webhooks.

mod caller;
mod check;
mod fetch;
mod fetch_request;
mod instance;
mod query;
mod reading;
mod refusal;
mod resource;
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
pub(super) use reading::{READABLE, read_page};
pub(super) use resource::topic;
pub(super) use scopes::SCOPES;
pub(super) use settings::granted_permissions;
