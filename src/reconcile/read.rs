//! Reads one list of one store, page by page.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::classify::RowSource;
use super::report::EntityReport;
use crate::delivery::ConnectionId;
use crate::journal::entry::Position;
use crate::journal::{FoundChange, FoundPage, Gap, Journal, JournalError, StoreRead};
use crate::monitor::check::clock_lead_of;
use crate::outbound::Outbound;
use crate::platforms::StoreApi;
use crate::platforms::api::{
    ConnectionContext, ListKind, PageFailure, PageRequest, ReadableList, StorePage, StoreRow,
};

/// The window of a read begins this long before the watermark, for changes that became visible late.
const OVERLAP: SignedDuration = SignedDuration::from_secs(120);
/// The window ends this long before now, so that webhooks that are on their way are not counted as missing.
pub(super) const LAG: SignedDuration = SignedDuration::from_secs(60);
/// Maximum wait for a store that asks to wait during a read.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Maximum number of pages that one read reads before other stores get their turn. A read that stores no progress reads all.
const MAX_PAGES: usize = 200;

/// A difference of the clocks up to this one is covered by the overlap and the lag.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// A store to read.
pub(super) struct Store<'a> {
    pub(super) journal: &'a Journal,
    pub(super) outbound: &'a Outbound,
    pub(super) api: &'static dyn StoreApi,
    pub(super) context: &'a ConnectionContext,
}

/// The window of a read.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Changes up to this time have been read when the whole window was read.
    pub(super) watermark: Timestamp,
    pub(super) after: Timestamp,
    pub(super) until: Timestamp,
    pub(super) cursor: Option<String>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) stores: Stores,
}

/// What a read stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stores {
    /// The changes, and how far the store has been read. It continues after a crash.
    ChangesAndProgress,
    /// The changes. The read has a window of its own, so the scheduled reads do not continue it.
    Changes,
    /// Nothing: a dry run.
    Nothing,
}

impl Window {
    /// The window of the next read: the rest of an unfinished one, or what changed since the watermark.
    pub(super) fn next(read: Option<&StoreRead>, connected_at: Timestamp, now: Timestamp) -> Self {
        let watermark = read.map_or(connected_at, |read| read.watermark);
        Self {
            watermark,
            after: watermark - OVERLAP,
            until: read.and_then(|read| read.until).unwrap_or(now - LAG),
            cursor: read.and_then(|read| read.cursor.clone()),
            finished_at: read.and_then(|read| read.finished_at),
            stores: Stores::ChangesAndProgress,
        }
    }

    /// The window of a request for changes since a time. Its read does not move the watermark.
    pub(super) fn since(since: Timestamp, now: Timestamp) -> Self {
        Self {
            watermark: since,
            after: since,
            until: now - LAG,
            cursor: None,
            finished_at: None,
            stores: Stores::Changes,
        }
    }

    fn read(&self, entity: &str) -> StoreRead {
        StoreRead {
            entity: entity.to_owned(),
            watermark: self.watermark,
            until: Some(self.until),
            cursor: self.cursor.clone(),
            finished_at: self.finished_at,
            failure: None,
        }
    }
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

/// The begin of a window in the time of a store. It moves only back: a wrong date of a response must not hide a change.
fn earlier(time: Timestamp, clock_lead: SignedDuration) -> Timestamp {
    let lead = clock_lead.min(SignedDuration::ZERO);
    time.saturating_add(lead).unwrap_or(time)
}

/// The end of a window in the time of a store. It moves only forward.
fn later(time: Timestamp, clock_lead: SignedDuration) -> Timestamp {
    let lead = clock_lead.max(SignedDuration::ZERO);
    time.saturating_add(lead).unwrap_or(time)
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
        let max_pages = match window.stores {
            Stores::ChangesAndProgress => MAX_PAGES,
            Stores::Changes | Stores::Nothing => usize::MAX,
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
            if let Some(ids) = &page.ids {
                if matches!(list.kind, ListKind::Ids { .. }) {
                    progress.report.read += ids.present.len() as u64;
                }
                changes.extend(self.deletions(source, ids, progress.newest).await?);
            }
            progress.count(&changes);
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
