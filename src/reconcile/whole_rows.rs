//! Rows that have only a part of their entity: those that differ from the known states are fetched as a whole.

use jiff::Timestamp;

use super::classify::RowSource;
use super::store::Store;
use crate::delivery::{Enrichment, ReasonCode};
use crate::journal::JournalError;
use crate::platforms::api::{FailureScope, Fetched, PageFailure, StoreRow};

/// A row to fetch as a whole.
struct WholeRow {
    /// The platform's name of the resource.
    resource: &'static str,
    /// The request, serialized.
    request: String,
}

impl Store<'_> {
    /// Replaces each row with a part of an entity by the whole entity, or leaves it out if nothing of it is news. `after` is the
    /// begin of the window.
    ///
    /// # Errors
    /// [`JournalError`]. The inner error says why an entity cannot be fetched.
    pub(super) async fn whole_rows(
        &self,
        source: RowSource<'_>,
        rows: Vec<StoreRow>,
        after: Timestamp,
    ) -> Result<Result<Vec<StoreRow>, PageFailure>, JournalError> {
        let (mut whole, mut parts, mut to_fetch) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let Some(request) = row.whole.clone() else {
                whole.push(row);
                continue;
            };
            let fetch = WholeRow {
                resource: row.resource,
                request,
            };
            match source.read(row) {
                Ok(part) => parts.push((fetch, part)),
                // The whole entity may be readable.
                Err(_) => to_fetch.push(fetch),
            }
        }
        let keys = parts.iter().map(|(_, part)| part.key.clone()).collect();
        let states = self.journal.entity_states(keys, usize::MAX).await?;
        for ((fetch, part), known) in parts.into_iter().zip(states) {
            let is_news = match &self.exchange {
                Some(_) => source.is_past(&part, after),
                None => source.change(part, known.as_ref(), after).is_some(),
            };
            if is_news {
                to_fetch.push(fetch);
            }
        }
        for fetch in to_fetch {
            match self.fetch(fetch).await {
                Ok(row) => whole.extend(row),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        Ok(Ok(whole))
    }

    /// Fetches an entity; `None` if it does not exist any more.
    async fn fetch(&self, row: WholeRow) -> Result<Option<StoreRow>, PageFailure> {
        let fetch = self
            .outbound
            .converse(self.api, self.connection(), |dialogue| {
                self.api.fetch(&row.request, self.context, dialogue)
            });
        match fetch.await {
            Fetched::Done(Enrichment::Complete(body)) => Ok(Some(StoreRow {
                resource: row.resource,
                body: body.to_vec(),
                details: None,
                is_in_trash: false,
                whole: None,
            })),
            Fetched::Done(Enrichment::NotFound | Enrichment::Contradicted(_)) => Ok(None),
            Fetched::Done(Enrichment::Unavailable(reason))
                if reason.code() == Some(ReasonCode::NotThere) =>
            {
                Ok(None)
            }
            failed @ (Fetched::Done(Enrichment::Unavailable(_)) | Fetched::Retry { .. }) => {
                let failure = PageFailure::of_store(failed);
                let scope = match failure.scope {
                    FailureScope::Store => FailureScope::List,
                    scope => scope,
                };
                Err(PageFailure { scope, ..failure })
            }
        }
    }
}
