//! Requests one page of a list of WooCommerce's REST API.

use serde_json::value::RawValue;

use super::body::json_text;
use super::client::{StoreClient, rest_error};
use super::rows::rows;
use crate::delivery::ReasonCode;
use crate::platforms::api::{
    Dialogue, FailureScope, Method, PageFailure, StoreResponse, Unanswered, usable_response,
};
use crate::platforms::text::replace_lone_surrogates;

/// A page of a list.
pub(super) struct ListPage {
    /// JSON.
    text: String,
    /// Number of pages of the list, as the store counts. The number may be wrong.
    pub(super) pages: Option<u32>,
    /// Number of rows of the list, as the store counts.
    pub(super) count: Option<u32>,
}

impl ListPage {
    /// Requests a page. `path` is below the API.
    pub(super) fn request(
        caller: &StoreClient,
        path: &str,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<Self, PageFailure>, Unanswered> {
        let found = Self::request_existing(caller, path, dialogue)?;
        Ok(found.and_then(|page| page.ok_or(list_failure(ReasonCode::StoreRefuses))))
    }

    /// As [`ListPage::request`]; `None` for a list of an entity that does not exist.
    pub(super) fn request_existing(
        caller: &StoreClient,
        path: &str,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<Option<Self>, PageFailure>, Unanswered> {
        let answer = dialogue.ask(caller.request("entities.list", Method::Get, path, None))?;
        Ok(match usable_response(answer) {
            Ok(answer) if answer.status == 200 => Ok(Some(Self::of(answer))),
            Ok(answer) if is_missing(answer) => Ok(None),
            Ok(_) => Err(list_failure(ReasonCode::StoreRefuses)),
            Err(fetched) => Err(PageFailure::of_store(fetched)),
        })
    }

    fn of(answer: &StoreResponse) -> Self {
        let counted = |name: &str| answer.header(name)?.trim().parse::<u32>().ok();
        Self {
            text: replace_lone_surrogates(json_text(answer)).into_owned(),
            pages: counted("x-wp-totalpages"),
            count: counted("x-wp-total"),
        }
    }

    /// The rows of the page.
    pub(super) fn rows(&self) -> Result<Vec<&RawValue>, PageFailure> {
        // A page of a firewall or a cut response is often temporary.
        rows(&self.text).ok_or(PageFailure::new(ReasonCode::NoJson, FailureScope::Page))
    }
}

fn is_missing(answer: &StoreResponse) -> bool {
    rest_error(answer).is_some_and(|(code, _)| code.ends_with("invalid_id"))
}

/// A failure that perhaps concerns only the list.
pub(super) const fn list_failure(reason: ReasonCode) -> PageFailure {
    PageFailure::new(reason, FailureScope::List)
}
