//! Which lists of a store a read covers.

use jiff::Timestamp;

use super::report::ReconcileRequest;
use super::window::{Stores, Window};
use crate::platforms::api::ReadableList;

/// The lists of a store that are read.
pub(super) enum Lists {
    /// The lists of changes.
    Changes,
    /// The lists of all entities that are due.
    Full,
    /// The lists that a request of the command line names.
    Requested(ReconcileRequest),
}

impl Lists {
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self, Lists::Changes | Lists::Full)
    }

    /// The window in which a list is read; `None` if it is not read. `scheduled` is the window of the list's scheduled read.
    pub(super) fn window(
        &self,
        list: ReadableList,
        scheduled: Window,
        is_due: bool,
    ) -> Option<Window> {
        let is_full = list.kind.interval().is_some();
        match self {
            Lists::Changes => (!is_full).then_some(scheduled),
            Lists::Full => (is_full && is_due).then_some(scheduled),
            Lists::Requested(request) => {
                let is_named = request.entity.as_deref() == Some(list.entity);
                let is_wanted =
                    is_named || request.entity.is_none() && (is_due || request.since.is_some());
                let window = match request.since {
                    Some(since) => Window::since(since, Timestamp::now()),
                    None => scheduled,
                };
                is_wanted.then_some(if request.dry_run {
                    Window {
                        stores: Stores::Nothing,
                        ..window
                    }
                } else {
                    window
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::platforms::api::ListKind;

    /// Whether a list of changes, and lists of all entities that are due and not due, are read.
    fn read(lists: &Lists) -> [bool; 3] {
        let all = ListKind::All {
            interval: SignedDuration::from_hours(24),
        };
        [(ListKind::Changes, true), (all, true), (all, false)].map(|(kind, is_due)| {
            let list = ReadableList {
                name: "list",
                entity: "order",
                kind,
            };
            let now = Timestamp::UNIX_EPOCH;
            let scheduled = Window::next(None, now, now);
            lists.window(list, scheduled, is_due).is_some()
        })
    }

    #[test]
    fn scheduled_reads_of_changes_do_not_wait_for_lists_of_all_entities() {
        assert_eq!(read(&Lists::Changes), [true, false, false]);
        assert_eq!(read(&Lists::Full), [false, true, false]);
    }

    #[test]
    fn request_reads_all_lists_that_it_names() {
        let requested = |entity: Option<&str>, since: Option<Timestamp>| {
            read(&Lists::Requested(ReconcileRequest {
                entity: entity.map(str::to_owned),
                since,
                ..ReconcileRequest::default()
            }))
        };
        assert_eq!(requested(None, None), [true, true, false]);
        assert_eq!(requested(Some("order"), None), [true; 3]);
        assert_eq!(requested(None, Some(Timestamp::UNIX_EPOCH)), [true; 3]);
        assert_eq!(requested(Some("coupon"), None), [false; 3]);
    }
}
