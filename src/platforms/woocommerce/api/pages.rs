//! Where the pages of a list begin. Pure.
//!
//! The pages of a list of changes begin at the last second of the page before, because a set that is read by page number shifts
//! while it changes. Only within one full second, and for lists that are sorted by id, pages are counted.

use std::collections::BTreeSet;

use crate::platforms::api::PageIds;

/// WooCommerce's maximum.
pub(super) const ROWS_PER_PAGE: usize = 100;
/// Maximum number of counted pages. A store that ignores the page number returns the first page for ever.
const MAX_COUNTED_PAGES: u32 = 100_000;

/// Where a page begins: `{list}.{after}.{page}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// `true` for the trash, which is read after the other rows.
    pub(super) is_trash: bool,
    /// The exclusive lower bound: seconds of a list of changes, else the last id of the page before.
    pub(super) after: i64,
    pub(super) page: u32,
}

/// `true` if no page follows. A plugin may hide rows of a full page, so a short page is the last one only if the store does not
/// count more pages. `pages` is the store's number of pages, which may be wrong: then an empty page ends the list.
pub(super) fn is_last(rows: usize, cursor: Cursor, pages: Option<u32>) -> bool {
    let has_more = pages.is_some_and(|pages| pages > cursor.page);
    rows == 0 || rows < ROWS_PER_PAGE && !has_more
}

/// There are too many pages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WithoutEnd;

impl Cursor {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let cursor = Self {
            is_trash: parts.next()? == "trash",
            after: parts.next()?.parse().ok()?,
            page: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(cursor)
    }

    pub(super) fn text(self) -> String {
        let list = if self.is_trash { "trash" } else { "all" };
        format!("{list}.{}.{}", self.after, self.page)
    }

    /// A place on the same page, for a page that is read in parts.
    pub(super) fn within_page(self, rows_before: usize) -> Self {
        Self {
            after: i64::try_from(rows_before).unwrap_or_default(),
            ..self
        }
    }

    /// The next page of a list whose pages are only counted.
    pub(super) fn next_page(self, is_last: bool) -> Result<Option<Self>, WithoutEnd> {
        if is_last { Ok(None) } else { self.counted() }
    }

    /// The next page of the same rows, by number.
    fn counted(self) -> Result<Option<Self>, WithoutEnd> {
        if self.page >= MAX_COUNTED_PAGES {
            return Err(WithoutEnd);
        }
        Ok(Some(Self {
            page: self.page + 1,
            ..self
        }))
    }
}

/// The next page of a list of changes; `None` after the last page of the trash. `first` is the first page, `times` are the
/// times of the page's rows.
pub(super) fn next_of_changes(
    first: Cursor,
    cursor: Cursor,
    times: &[Option<i64>],
    is_last: bool,
) -> Result<Option<Cursor>, WithoutEnd> {
    if is_last {
        let trash = Cursor {
            is_trash: true,
            ..first
        };
        return Ok((!cursor.is_trash).then_some(trash));
    }
    let is_ascending = times.iter().all(Option::is_some) && times.is_sorted();
    if is_ascending
        && let Some(Some(last)) = times.last()
        && last - 1 > cursor.after
    {
        return Ok(Some(Cursor {
            after: last - 1,
            page: 1,
            ..cursor
        }));
    }
    cursor.counted()
}

/// The next page of a list that is sorted by id, and the ids that this page covers. `None` in place of the ids if they are not
/// in order.
pub(super) fn next_by_id(
    cursor: Cursor,
    ids: &[Option<u64>],
    is_last: bool,
) -> Result<(Option<Cursor>, Option<PageIds>), WithoutEnd> {
    let after = u64::try_from(cursor.after).unwrap_or_default();
    let known: Option<Vec<u64>> = ids.iter().copied().collect();
    let sorted = known.filter(|ids| {
        ids.is_sorted_by(|left, right| left < right) && ids.first().is_none_or(|id| *id > after)
    });
    let last = sorted.as_ref().and_then(|ids| ids.last()).copied();
    let covered = sorted.map(|ids| PageIds {
        after,
        to: match last {
            Some(last) if !is_last => last,
            _ => u64::MAX,
        },
        present: BTreeSet::from_iter(ids),
    });
    if is_last {
        return Ok((None, covered));
    }
    let after = last.and_then(|last| i64::try_from(last).ok());
    let next = cursor.counted()?.map(|next| Cursor {
        after: after.unwrap_or(next.after),
        ..next
    });
    Ok((next, covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Cursor = Cursor {
        is_trash: false,
        after: 100,
        page: 1,
    };

    fn after(cursor: Cursor, times: &[i64]) -> Result<Option<Cursor>, WithoutEnd> {
        let times: Vec<_> = times.iter().map(|time| Some(*time)).collect();
        next_of_changes(FIRST, cursor, &times, is_last(times.len(), cursor, None))
    }

    #[test]
    fn next_page_begins_with_the_last_second_of_the_page_before() {
        let times: Vec<i64> = (0..100).map(|row| 101 + row / 2).collect();
        let next = after(FIRST, &times).expect("a page").expect("a cursor");
        assert_eq!((next.after, next.page), (149, 1));
        assert_eq!(Cursor::parse(&next.text()), Some(next));
    }

    #[test]
    fn pages_within_one_second_are_counted() {
        let next = after(FIRST, &[101; 100])
            .expect("a page")
            .expect("a cursor");
        assert_eq!((next.after, next.page), (100, 2));
        let third = after(next, &[101; 100]).expect("a page").expect("a cursor");
        assert_eq!((third.after, third.page), (100, 3));
    }

    #[test]
    fn unsorted_pages_are_counted_and_end() {
        let mut times = [150; 100];
        times[0] = 170;
        let next = after(FIRST, &times).expect("a page").expect("a cursor");
        assert_eq!((next.after, next.page), (100, 2));
        let last = Cursor {
            page: MAX_COUNTED_PAGES,
            ..FIRST
        };
        assert_eq!(after(last, &times), Err(WithoutEnd));
    }

    #[test]
    fn trash_is_read_after_the_other_rows_and_then_the_run_ends() {
        let trash = after(FIRST, &[101; 3]).expect("a page").expect("a cursor");
        assert_eq!((trash.is_trash, trash.after, trash.page), (true, 100, 1));
        assert_eq!(after(trash, &[]), Ok(None));
    }

    fn by_id(
        cursor: Cursor,
        ids: impl IntoIterator<Item = u64>,
    ) -> (Option<Cursor>, Option<PageIds>) {
        let ids: Vec<_> = ids.into_iter().map(Some).collect();
        next_by_id(cursor, &ids, is_last(ids.len(), cursor, None)).expect("a page")
    }

    #[test]
    fn pages_by_id_cover_all_ids_without_a_gap() {
        let first = Cursor { after: 0, ..FIRST };
        let (second, ids) = by_id(first, (1..=100).map(|id| id * 2));
        let ids = ids.expect("ids in order");
        assert_eq!((ids.after, ids.to, ids.present.len()), (0, 200, 100));
        let second = second.expect("a second page");
        assert_eq!((second.after, second.page), (200, 2));
        let (end, ids) = by_id(second, [205]);
        let ids = ids.expect("ids in order");
        assert_eq!((end, ids.after, ids.to), (None, 200, u64::MAX));
        let (_, ids) = by_id(second, []);
        assert_eq!(ids.map(|ids| (ids.after, ids.to)), Some((200, u64::MAX)));
    }

    #[test]
    fn ids_out_of_order_cover_nothing() {
        let first = Cursor { after: 0, ..FIRST };
        assert_eq!(by_id(first, [3, 2]).1, None);
        assert_eq!(by_id(first, [2, 2]).1, None);
        let repeated = Cursor { after: 9, ..FIRST };
        assert_eq!(
            by_id(repeated, [3, 12]).1,
            None,
            "the page before was repeated"
        );
        assert_eq!(next_by_id(first, &[Some(1), None], true), Ok((None, None)));
    }

    #[test]
    fn short_page_is_not_the_last_one_if_the_store_counts_more() {
        for (rows, pages, expected) in [
            (100, None, false),
            (100, Some(1), false),
            (99, Some(2), false),
            (99, Some(1), true),
            (99, None, true),
            (0, Some(9), true),
        ] {
            assert_eq!(is_last(rows, FIRST, pages), expected, "{rows} {pages:?}");
        }
    }
}
