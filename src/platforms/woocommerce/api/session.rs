//! A conversation with a store whose address is known and which accepts the key.

use super::client::StoreClient;
use super::settings::StoreSettings;
use crate::platforms::api::{
    ApiRequest, CallResult, CheckReport, ConnectionContext, Dialogue, Unanswered,
};

/// What each step of the conversation needs.
pub(super) struct CheckSession<'s, 'a> {
    pub(super) context: &'s ConnectionContext,
    pub(super) settings: &'s StoreSettings,
    pub(super) caller: StoreClient,
    pub(super) dialogue: &'s mut Dialogue<'a>,
    pub(super) report: &'s mut CheckReport,
}

impl<'a> CheckSession<'_, 'a> {
    pub(super) fn ask(&mut self, request: ApiRequest) -> Result<&'a CallResult, Unanswered> {
        self.dialogue.ask(request)
    }
}
