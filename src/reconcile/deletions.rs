//! Finds deletions: entities that are known, and that a list of all ids does not contain.
//!
//! A list can lack an entity for other reasons: it shifted while it was read, or something hides rows. So each deletion needs
//! two confirmations by a request for the entity itself: one here, and one by the relay before it publishes the deletion.

use super::classify::RowSource;
use super::read::Store;
use crate::delivery::Enrichment;
use crate::entities::{EntityKey, EntityState, entity_name};
use crate::journal::entry::Position;
use crate::journal::{FoundChange, JournalError};
use crate::platforms::api::{Dialogue, Fetched, PageIds};

/// Maximum number of known ids that are compared with one page. Further ones wait for the next read of the list.
const MAX_KNOWN_IDS: usize = 10_000;
/// Maximum number of entities of a page that the list lacks and that still exist. A store may hide a status in its lists.
const MAX_EXISTING: usize = 10;

impl Store<'_> {
    /// The deletions that a page of ids shows. Ends after some entities that still exist, because the list is not reliable then.
    pub(super) async fn deletions(
        &self,
        source: RowSource<'_>,
        ids: &PageIds,
        newest: Position,
    ) -> Result<Vec<FoundChange>, JournalError> {
        let (mut found, mut existing) = (Vec::new(), 0);
        let Some(entity) = entity_name(source.entity) else {
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
                continue;
            }
            existing += 1;
            if existing == MAX_EXISTING {
                break;
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
