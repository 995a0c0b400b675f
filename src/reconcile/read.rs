//! Reads one list of one store, page by page.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::classify::RowSource;
use super::deletions::DeletionSearch;
use super::report::EntityReport;
use super::window::{Stores, Window, earlier, later};
use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::journal::{FoundChange, FoundPage, Gap, Journal, JournalError, StoreRead};
use crate::monitor::check::clock_lead_of;
use crate::outbound::Outbound;
use crate::platforms::StoreApi;
use crate::platforms::api::{
    ConnectionContext, ListKind, PageFailure, PageRequest, ReadableList, StorePage, StoreRow,
};

/// Maximum wait for a store that asks to wait during a read.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Maximum number of pages that one read reads before other stores get their turn. A read that stores no progress reads all.
const MAX_PAGES: usize = 200;

/// Maximum number of deletions that one read confirms, one request each.
const MAX_CONFIRMED_DELETIONS: usize = 100;
/// A difference of the clocks up to this one is covered by the overlap and the lag.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// A store to read.
pub(super) struct Store<'a> {
    pub(super) journal: &'a Journal,
    pub(super) outbound: &'a Outbound,
    pub(super) api: &'static dyn StoreApi,
    pub(super) context: &'a ConnectionContext,
    /// The read of a list ends with the first page after this time, so that other stores get their turn.
    pub(super) deadline: Option<Instant>,
}

/// What a read has found so far.
#[derive(Default)]
struct Progress {
    report: EntityReport,
    /// The changes of the last page.
    found_before: HashSet<Vec<u8>>,
    /// The newest delivery before the page was requested.
    newest: Position,
    /// How far the store's clock is ahead, if it matters.
    clock_lead: SignedDuration,
}

fn identity(change: &FoundChange) -> Vec<u8> {
    [change.id.as_bytes(), b"/", &change.version].concat()
}

impl Progress {
    fn count(&mut self, changes: &[FoundChange]) {
        let report = &mut self.report;
        for change in changes {
            match change.gap {
                Gap::Missing => report.missing.add(&change.id),
                Gap::Late => report.late.add(&change.id),
                Gap::Deleted => report.deleted.add(&change.id),
                Gap::Unreadable => report.unreadable += 1,
            }
        }
    }
}

impl Store<'_> {
    pub(super) fn connection(&self) -> &ConnectionId {
        &self.context.id
    }

    fn source(&self, list: ReadableList) -> RowSource<'_> {
        RowSource {
            api: self.api,
            connection: self.connection(),
            entity: list.entity,
            read_at: Timestamp::now(),
        }
    }

    /// Reads a list, and stores what the journal lacks.
    ///
    /// # Errors
    /// [`JournalError`]. The read continues with the same page later.
    pub(super) async fn read_window(
        &self,
        list: ReadableList,
        mut window: Window,
    ) -> Result<EntityReport, JournalError> {
        let mut progress = Progress::default();
        progress.report.entity = list.name.to_owned();
        let (max_pages, max_deletions) = match window.stores {
            Stores::ChangesAndProgress => (MAX_PAGES, MAX_CONFIRMED_DELETIONS),
            Stores::Changes | Stores::Nothing => (usize::MAX, usize::MAX),
        };
        for _ in 0..max_pages {
            progress.newest = self.journal.read(|reader| reader.newest_position()).await?;
            let (page, lead) = self.page(list, &window, progress.clock_lead).await;
            if let Some(lead) = lead.filter(|lead| lead.abs() > CLOCK_TOLERANCE)
                && progress.clock_lead.is_zero()
            {
                // The page is read again with a window in the store's time.
                progress.clock_lead = lead;
                continue;
            }
            let page = match page {
                Ok(page) => page,
                Err(failure) => {
                    progress.report.failure = Some(failure.reason.to_owned());
                    progress.report.is_store_away = !failure.is_of_list;
                    let read = StoreRead {
                        failure: progress.report.failure.clone(),
                        ..window.read(list.name)
                    };
                    self.store(&window, read, Vec::new()).await?;
                    return Ok(progress.report);
                }
            };
            let source = self.source(list);
            let mut changes = self
                .changes(source, &window, page.rows, &mut progress)
                .await?;
            let mut has_more_deletions = false;
            if let Some(ids) = &page.ids {
                if matches!(list.kind, ListKind::Ids { .. }) {
                    progress.report.read += ids.present.len() as u64;
                }
                let search = DeletionSearch {
                    source,
                    ids,
                    newest: progress.newest,
                    limit: max_deletions,
                };
                let found = self.deletions(search).await?;
                has_more_deletions = found.len() >= max_deletions;
                changes.extend(found);
            }
            progress.count(&changes);
            if has_more_deletions {
                // The page is read again later. The deletions that were found are known then.
                self.store(&window, window.read(list.name), changes).await?;
                break;
            }
            window.cursor = page.next;
            let mut read = window.read(list.name);
            if window.cursor.is_none() {
                read.watermark = read.watermark.max(window.until);
                (read.until, read.finished_at) = (None, Some(Timestamp::now()));
            }
            self.store(&window, read, changes).await?;
            if window.cursor.is_none() {
                return Ok(progress.report);
            }
            if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                break;
            }
        }
        progress.report.failure = Some("continues_later".to_owned());
        Ok(progress.report)
    }

    /// Reads a page, and returns how far the store's clock is ahead. A store that asks to wait gets one more request after the
    /// wait.
    async fn page(
        &self,
        list: ReadableList,
        window: &Window,
        clock_lead: SignedDuration,
    ) -> (Result<StorePage, PageFailure>, Option<SignedDuration>) {
        let request = PageRequest {
            list,
            after: earlier(window.after, clock_lead),
            until: later(window.until, clock_lead),
            cursor: window.cursor.as_deref(),
        };
        let read = self.request(&request).await;
        match read.0 {
            Err(PageFailure {
                retry_after: Some(wait),
                ..
            }) if wait <= MAX_WAIT => {
                tokio::time::sleep(wait).await;
                self.request(&request).await
            }
            _ => read,
        }
    }

    async fn request(
        &self,
        request: &PageRequest<'_>,
    ) -> (Result<StorePage, PageFailure>, Option<SignedDuration>) {
        let mut lead = None;
        let read = self
            .outbound
            .converse(self.api, self.connection(), |dialogue| {
                let answers = dialogue.answers().iter().flatten();
                // A cached response has an old date, so the smallest difference counts.
                lead = answers
                    .filter_map(clock_lead_of)
                    .min_by_key(|lead| lead.abs());
                self.api.read_page(request, self.context, dialogue)
            });
        let page = read.await;
        (page, lead)
    }

    /// Compares rows with the known states.
    async fn changes(
        &self,
        source: RowSource<'_>,
        window: &Window,
        rows: Vec<StoreRow>,
        progress: &mut Progress,
    ) -> Result<Vec<FoundChange>, JournalError> {
        let Progress {
            report,
            found_before,
            newest,
            clock_lead,
        } = progress;
        let after = earlier(window.after, *clock_lead);
        report.read += rows.len() as u64;
        let (mut entities, mut changes) = (Vec::new(), Vec::new());
        for row in rows {
            match source.read(row) {
                Ok(entity) => entities.push(entity),
                Err(unreadable) => changes.push(*unreadable),
            }
        }
        let keys = entities.iter().map(|entity| entity.key.clone()).collect();
        let states = self.journal.entity_states(keys, usize::MAX).await?;
        let found = entities
            .into_iter()
            .zip(&states)
            // A webhook that arrived after the page was requested can be newer than the row.
            .filter(|(_, known)| known.as_ref().is_none_or(|known| known.position <= *newest))
            .filter_map(|(entity, known)| source.change(entity, known.as_ref(), after));
        changes.extend(found);
        // A page begins with the last rows of the page before.
        let last_page = std::mem::replace(found_before, changes.iter().map(identity).collect());
        changes.retain(|change| !last_page.contains(&identity(change)));
        Ok(changes)
    }

    async fn store(
        &self,
        window: &Window,
        read: StoreRead,
        changes: Vec<FoundChange>,
    ) -> Result<(), JournalError> {
        let read = match window.stores {
            Stores::ChangesAndProgress => Some(read),
            Stores::Changes => None,
            Stores::Nothing => return Ok(()),
        };
        let gaps: Vec<Gap> = changes.iter().map(|change| change.gap).collect();
        let page = FoundPage {
            platform: self.api.name().to_owned(),
            connection: self.connection().clone(),
            changes,
            read,
        };
        self.journal.store_found(page).await?;
        for gap in gaps {
            metrics::counter!("cartwire_found_changes_total", "platform" => self.api.name(), "gap" => gap.as_str()).increment(1);
        }
        Ok(())
    }
}
