//! Reads one list of one store, page by page.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::classify::RowSource;
use super::deletions::DeletionSearch;
use super::past::{PastPage, TargetExchange};
use super::report::EntityReport;
use super::store::Store;
use super::window::{Stores, Window, earlier, later};
use crate::delivery::ReasonCode;
use crate::journal::entry::{EntryKind, Position};
use crate::journal::{FoundChange, FoundPage, Gap, JournalError, StoreRead};
use crate::monitor::check::clock_lead_of;
use crate::platforms::api::{
    FailureScope, ListKind, PageFailure, PageRequest, ReadableList, StorePage, StoreRow,
};

/// Maximum wait for a store that asks to wait during a read.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Maximum number of pages that one read reads before other stores get their turn.
const MAX_PAGES: usize = 200;
/// As [`MAX_PAGES`], for a read without a deadline. A store may return the same pages for ever.
const MAX_REQUESTED_PAGES: usize = 50_000;

/// A store that counts more rows is not believed. The sums of its numbers stay small.
const MAX_COUNTED_ROWS: u64 = 1 << 40;
/// Maximum number of deletions that one read confirms, one request each.
const MAX_CONFIRMED_DELETIONS: usize = 100;
/// A difference of the clocks up to this one is covered by the overlap and the lag.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// The read of one list, and what it has found so far.
struct ListRead {
    list: ReadableList,
    /// The name under which the progress is stored.
    name: String,
    window: Window,
    report: EntityReport,
    /// What the last page had found, or its entities if they go to an exchange of their own.
    found_before: HashSet<Vec<u8>>,
    /// The newest delivery before the page was requested.
    newest: Position,
    /// How far the store's clock is ahead, if it matters.
    clock_lead: SignedDuration,
}

/// How a read goes on after a page.
enum Next {
    Page,
    End,
    /// At the next interval.
    Later,
}

fn identity(change: &FoundChange) -> Vec<u8> {
    [change.id.as_bytes(), b"/", &change.version].concat()
}

impl ListRead {
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

    /// The progress to store.
    fn progress(&self) -> StoreRead {
        self.window.read(&self.name)
    }

    fn max_deletions(&self) -> usize {
        match self.window.stores {
            Stores::ChangesAndProgress => MAX_CONFIRMED_DELETIONS,
            Stores::Changes | Stores::Nothing => usize::MAX,
        }
    }
}

impl Store<'_> {
    /// Reads a list, and stores what the journal lacks.
    ///
    /// # Errors
    /// [`JournalError`]. The read continues with the same page later.
    pub(super) async fn read_window(
        &self,
        (list, name): (ReadableList, String),
        window: Window,
    ) -> Result<EntityReport, JournalError> {
        let max_pages = match self.deadline {
            Some(_) => MAX_PAGES,
            None => MAX_REQUESTED_PAGES,
        };
        let mut read = ListRead {
            list,
            name,
            window,
            report: EntityReport {
                entity: list.name.to_owned(),
                ..EntityReport::default()
            },
            found_before: HashSet::new(),
            newest: 0,
            clock_lead: SignedDuration::ZERO,
        };
        for _ in 0..max_pages {
            match self.read_page(&mut read).await? {
                Next::End => return Ok(read.report),
                Next::Later => break,
                Next::Page if self.is_over() => break,
                Next::Page => tokio::time::sleep(self.pause).await,
            }
        }
        read.report.goes_on = true;
        read.report.failure = Some(ReasonCode::ContinuesLater.to_string());
        Ok(read.report)
    }

    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    async fn read_page(&self, read: &mut ListRead) -> Result<Next, JournalError> {
        read.newest = self.journal.read(|reader| reader.newest_position()).await?;
        let (page, lead) = self.page(read).await;
        if let Some(lead) = lead.filter(|lead| lead.abs() > CLOCK_TOLERANCE)
            && read.clock_lead.is_zero()
        {
            // The page is read again with a window in the store's time.
            read.clock_lead = lead;
            return Ok(Next::Page);
        }
        match page {
            Ok(page) => self.take_page(read, page).await,
            Err(failure) => self.page_failed(read, failure).await,
        }
    }

    /// Ends the read. It goes on with the same page later.
    async fn page_failed(
        &self,
        read: &mut ListRead,
        failure: PageFailure,
    ) -> Result<Next, JournalError> {
        read.report.failure = Some(failure.reason.to_string());
        read.report.is_known_failure = read.report.failure == read.window.last_failure;
        read.report.is_passing_failure = failure.scope.is_passing();
        read.report.is_store_away =
            matches!(failure.scope, FailureScope::Outage | FailureScope::Store);
        if failure.scope == FailureScope::Cursor {
            read.window.cursor = None;
        }
        let progress = StoreRead {
            failure: read.report.failure.clone(),
            ..read.progress()
        };
        self.store(read, progress, Vec::new()).await?;
        Ok(Next::End)
    }

    /// Stores what a page shows, with the position of the read after it.
    async fn take_page(
        &self,
        read: &mut ListRead,
        mut page: StorePage,
    ) -> Result<Next, JournalError> {
        let source = RowSource {
            api: self.api,
            connection: self.connection(),
            entity: read.list.entity,
            read_at: Timestamp::now(),
            is_polled: self.kind == EntryKind::Polled,
        };
        if let Some(left) = page.rows_left {
            read.report.expected = read.report.read + left.min(MAX_COUNTED_ROWS);
        }
        read.report.read += match (read.list.kind, &page.ids) {
            (ListKind::Ids { .. }, Some(ids)) => ids.present.len() as u64,
            _ => page.rows.len() as u64,
        };
        let after = earlier(read.window.after, read.clock_lead);
        page.rows = match self.whole_rows(source, page.rows, after).await? {
            Ok(rows) => rows,
            Err(failure) => return self.page_failed(read, failure).await,
        };
        if let Some(exchange) = &self.exchange {
            return self.publish_page(read, (exchange, source), page).await;
        }
        let mut changes = self.changes(read, source, page.rows).await?;
        let search = DeletionSearch {
            source,
            ids: page.ids.as_ref(),
            newest: read.newest,
            limit: read.max_deletions(),
        };
        let deletions = self.deletions(search).await?;
        let has_more_deletions = deletions.len() >= read.max_deletions();
        changes.extend(deletions);
        read.count(&changes);
        if has_more_deletions {
            // The page is read again later. The deletions that were found are known then.
            self.store(read, read.progress(), changes).await?;
            return Ok(Next::Later);
        }
        self.finish_page(read, page.next, changes).await
    }

    /// Publishes a page to an exchange of its own.
    async fn publish_page(
        &self,
        read: &mut ListRead,
        (exchange, source): (&TargetExchange<'_>, RowSource<'_>),
        page: StorePage,
    ) -> Result<Next, JournalError> {
        let past = PastPage {
            source,
            rows: page.rows,
            after: read.window.after,
            newest: read.newest,
            last_page: &mut read.found_before,
        };
        match exchange.publish(past).await {
            Ok((published, unreadable)) => {
                let counter = metrics::counter!("cartwire_backfilled_events_total", "platform" => self.api.name());
                counter.increment(published.events);
                read.report.unreadable += unreadable;
                let total = read.report.published.get_or_insert_default();
                total.add(published);
                self.finish_page(read, page.next, Vec::new()).await
            }
            Err(failure) => {
                read.report.failure = Some(failure.reason().to_string());
                read.report.is_passing_failure = true;
                Ok(Next::End)
            }
        }
    }

    /// Stores the changes of a page that was read to its end, and where the next page begins.
    async fn finish_page(
        &self,
        read: &mut ListRead,
        next: Option<String>,
        changes: Vec<FoundChange>,
    ) -> Result<Next, JournalError> {
        read.window.cursor = next;
        let mut progress = read.progress();
        let is_last = read.window.cursor.is_none();
        if is_last {
            progress.watermark = progress.watermark.max(read.window.until);
            (progress.until, progress.finished_at) = (None, Some(Timestamp::now()));
        }
        if !self.store(read, progress, changes).await? {
            read.report.failure = Some(ReasonCode::NoSuchConnection.to_string());
            read.report.is_store_away = true;
            return Ok(Next::End);
        }
        Ok(if is_last { Next::End } else { Next::Page })
    }

    /// Reads a page, and returns how far the store's clock is ahead. A store that asks to wait gets one more request after the
    /// wait.
    async fn page(
        &self,
        read: &ListRead,
    ) -> (Result<StorePage, PageFailure>, Option<SignedDuration>) {
        let request = PageRequest {
            list: read.list,
            after: earlier(read.window.after, read.clock_lead),
            until: later(read.window.until, read.clock_lead),
            cursor: read.window.cursor.as_deref(),
        };
        let result = self.request(&request).await;
        match result.0 {
            Err(PageFailure {
                retry_after: Some(wait),
                ..
            }) if wait <= MAX_WAIT => {
                tokio::time::sleep(wait).await;
                self.request(&request).await
            }
            _ => result,
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
        read: &mut ListRead,
        source: RowSource<'_>,
        rows: Vec<StoreRow>,
    ) -> Result<Vec<FoundChange>, JournalError> {
        let after = earlier(read.window.after, read.clock_lead);
        let newest = read.newest;
        // Some lists cannot be filtered by the end of the window. The webhooks of later changes may be on their way.
        let has_webhooks = self.kind == EntryKind::Found;
        let until = has_webhooks.then(|| later(read.window.until, read.clock_lead));
        let (mut entities, mut changes) = (Vec::new(), Vec::new());
        for row in rows {
            match source.read(row) {
                Ok(entity) if until.is_some_and(|until| entity.updated_at() > Some(until)) => {}
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
            .filter(|(entity, known)| {
                known
                    .as_ref()
                    .is_none_or(|known| known.position <= newest || entity.is_newer_than(known))
            })
            .filter_map(|(entity, known)| source.change(entity, known.as_ref(), after));
        changes.extend(found);
        // A page begins with the last rows of the page before.
        let last_page = std::mem::replace(
            &mut read.found_before,
            changes.iter().map(identity).collect(),
        );
        changes.retain(|change| !last_page.contains(&identity(change)));
        Ok(changes)
    }

    /// Stores changes and progress. `false` if the connection was removed.
    async fn store(
        &self,
        read: &ListRead,
        progress: StoreRead,
        changes: Vec<FoundChange>,
    ) -> Result<bool, JournalError> {
        let progress = match read.window.stores {
            Stores::ChangesAndProgress => Some(progress),
            Stores::Changes => None,
            Stores::Nothing => return Ok(true),
        };
        let gaps: Vec<Gap> = changes.iter().map(|change| change.gap).collect();
        let page = FoundPage {
            platform: self.api.name().to_owned(),
            connection: self.connection().clone(),
            kind: self.kind,
            changes,
            read: progress,
        };
        if self.journal.store_found(page).await?.is_none() {
            return Ok(false);
        }
        for gap in gaps {
            let gap = if self.kind == EntryKind::Polled {
                "polled"
            } else {
                gap.as_str()
            };
            metrics::counter!("cartwire_found_changes_total", "platform" => self.api.name(), "gap" => gap).increment(1);
        }
        Ok(true)
    }
}
