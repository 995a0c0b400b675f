//! Finds deletions: entities that are known, and that a list of all ids does not contain.
//!
//! A list can lack an entity for other reasons: it shifted while it was read, or something hides rows. So each deletion needs
//! two confirmations by a request for the entity itself: one here, and one by the relay before it publishes the deletion.

use super::classify::RowSource;
use super::store::Store;
use crate::delivery::Enrichment;
use crate::entities::{EntityKey, EntityState, entity_name};
use crate::journal::entry::Position;
use crate::journal::{FoundChange, JournalError};
use crate::platforms::api::{Dialogue, Fetched, PageIds};

/// Maximum number of known ids that are compared with one page. Further ones wait for the next read of the list.
const MAX_KNOWN_IDS: usize = 10_000;
/// Maximum number of entities of a page that the list lacks and that still exist. A store may hide a status in its lists.
const MAX_EXISTING: usize = 10;

/// A page of ids whose absent entities may be deleted.
pub(super) struct DeletionSearch<'a> {
    pub(super) source: RowSource<'a>,
    /// `None` for a page that shows no deletions.
    pub(super) ids: Option<&'a PageIds>,
    /// The newest delivery before the page was requested.
    pub(super) newest: Position,
    /// Maximum number of deletions to find.
    pub(super) limit: usize,
}

impl Store<'_> {
    /// The deletions that a page of ids shows. Ends after some entities that still exist, because the list is not reliable then.
    pub(super) async fn deletions(
        &self,
        search: DeletionSearch<'_>,
    ) -> Result<Vec<FoundChange>, JournalError> {
        let DeletionSearch {
            source,
            ids,
            newest,
            limit,
        } = search;
        let (mut found, mut existing) = (Vec::new(), 0);
        let (Some(entity), Some(ids)) = (entity_name(source.entity), ids) else {
            return Ok(found);
        };
        let (connection, range) = (self.connection().clone(), ids.after..=ids.to);
        let known = self
            .journal
            .read(move |reader| reader.known_ids(&connection, entity, range, MAX_KNOWN_IDS));
        let absent = known
            .await?
            .into_iter()
            .filter(|id| !ids.present.contains(id));
        for id in absent {
            if found.len() >= limit || existing >= MAX_EXISTING {
                break;
            }
            let key = EntityKey {
                connection: self.connection().clone(),
                entity,
                id: id.to_string(),
            };
            let states = self.journal.entity_states(vec![key.clone()], usize::MAX);
            let is_current = |state: &EntityState| !state.is_deleted && state.position <= newest;
            let Some(known) = states.await?.into_iter().flatten().find(is_current) else {
                continue;
            };
            if self.is_deleted(&key).await {
                found.push(source.deletion(&key, &known));
            } else {
                existing += 1;
            }
        }
        Ok(found)
    }

    /// `true` if the store itself states that the entity does not exist or is in the trash.
    async fn is_deleted(&self, key: &EntityKey) -> bool {
        let Some(request) = self.api.deletion_request(key.entity, &key.id) else {
            return false;
        };
        let fetch = |dialogue: &mut Dialogue<'_>| self.api.fetch(&request, self.context, dialogue);
        let fetched = self.outbound.converse(self.api, self.connection(), fetch);
        matches!(
            fetched.await,
            Fetched::Done(Enrichment::NotFound | Enrichment::Complete(_))
        )
    }
}
