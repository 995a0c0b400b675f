//! Cursors of the event log, and the events that retention removed before a reader read them.
//!
//! A cursor is a position of the log: the reader has read the events up to the position. Retention removes events of each
//! connection by the connection's own use of space, so the removed events are not always the oldest of the log. `usage` stores
//! the newest removed position of each connection. A reader with a cursor before that position has lost events. A read reports
//! this once: it returns a cursor that also contains the position up to which the loss was reported. A reader that begins at
//! position 0 loses nothing.
//!
//! ```text
//! 17        the events up to position 17 were read
//! 17~40     the same, and the reader knows that events up to position 40 were removed
//! ```

use std::fmt;
use std::str::FromStr;

use rusqlite::OptionalExtension;

use super::entry::Position;
use super::event_filter::{EventFilter, PageLimit};
use super::event_log::LogPage;
use super::reader::Reader;

/// How far a consumer has read the event log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCursor {
    /// The position of the last event that was read, or 0.
    pub position: Position,
    /// The consumer knows that events up to this position were removed.
    known_loss: Position,
}

impl EventCursor {
    /// The cursor after an event.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self {
            position,
            known_loss: 0,
        }
    }

    /// The position up to which the consumer has read the events, or knows that they were removed.
    #[must_use]
    pub fn known(self) -> Position {
        self.position.max(self.known_loss)
    }

    /// The cursor of the same consumer at a later position.
    #[must_use]
    pub fn advanced(self, position: Position) -> Self {
        Self { position, ..self }
    }
}

impl fmt::Display for EventCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.known_loss > self.position {
            write!(f, "{}~{}", self.position, self.known_loss)
        } else {
            write!(f, "{}", self.position)
        }
    }
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use a cursor from \"next\", such as 17 or 17~40, or 0")]
pub struct InvalidCursor;

impl FromStr for EventCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse().ok() } else { None };
            number.ok_or(InvalidCursor)
        };
        let (position, known_loss) = text.split_once('~').unwrap_or((text, "0"));
        Ok(Self {
            position: number(position)?,
            known_loss: number(known_loss)?,
        })
    }
}

/// The result of a read of the event log.
pub enum LogRead {
    /// The events after the cursor.
    Page {
        /// The events, and the position of the last row that was read.
        page: LogPage,
        /// The cursor at which the page begins. Its known loss is not reported again.
        from: EventCursor,
    },
    /// The cursor is after the newest event that was ever published.
    Ahead {
        /// The cursor of the newest event.
        newest: EventCursor,
    },
    /// Events after the cursor were removed before they were read.
    Lost {
        /// Reads all events that are left.
        first: EventCursor,
    },
}

impl Reader {
    /// The events after a cursor, oldest first, or the reason why the cursor cannot be used. A cursor at position 0 reads all
    /// stored events and loses nothing.
    ///
    /// # Errors
    /// SQLite's.
    pub fn log_after(
        &self,
        cursor: EventCursor,
        limit: PageLimit,
        filter: &EventFilter,
    ) -> rusqlite::Result<LogRead> {
        // One snapshot for the page and for the removed positions.
        let snapshot = self.0.unchecked_transaction()?;
        let newest = self.newest_event()?;
        if cursor.position > newest {
            return Ok(LogRead::Ahead {
                newest: EventCursor::at(newest),
            });
        }
        let connection = filter.stored_connection();
        let mut from = cursor;
        if let Some(gap) = self.log_gap(cursor.known(), connection.as_deref())? {
            from.known_loss = gap.removed_through;
        }
        if cursor.position > 0 && from != cursor {
            let (oldest, _) = self.log_bounds()?;
            let left = if oldest == 0 { newest } else { oldest - 1 };
            return Ok(LogRead::Lost {
                first: EventCursor {
                    position: left.max(cursor.position),
                    ..from
                },
            });
        }
        let page = self.log_within(cursor.position, limit, filter)?;
        snapshot.finish()?;
        Ok(LogRead::Page { page, from })
    }

    /// The newest position that was ever used, also if its event was removed.
    fn newest_event(&self) -> rusqlite::Result<Position> {
        let newest = self
            .0
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'events'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(newest.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of `a`, `b`, `a`, `b`, ... without its deliveries' rows in the other tables.
    fn log(events: i64) -> Reader {
        let reader = Reader::empty().expect("a journal");
        for number in 1..=events {
            let connection = if number % 2 == 1 { "a" } else { "b" };
            let insert = "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                          VALUES (?1, 0, 'p', ?2, ?2, 't', 7, '[]', x'7b7d')";
            reader
                .0
                .execute(insert, (i128::from(number).to_be_bytes(), connection))
                .expect("written");
            let insert =
                "INSERT INTO events (delivery, idx, type, subject) VALUES (?1, 0, 't', 's')";
            reader.0.execute(insert, [number]).expect("written");
            let insert = "INSERT INTO entries (position, state) VALUES (?1, 1)";
            reader.0.execute(insert, [number]).expect("written");
        }
        let insert = "INSERT INTO usage (connection) VALUES ('a'), ('b')";
        reader.0.execute(insert, []).expect("written");
        reader
    }

    /// As retention removes it.
    fn remove(reader: &Reader, position: i64) {
        let connection = if position % 2 == 1 { "a" } else { "b" };
        let note = "UPDATE usage SET removed_through = ?1 WHERE connection = ?2";
        let noted = reader.0.execute(note, (position, connection));
        assert_eq!(noted, Ok(1));
        reader
            .0
            .execute("DELETE FROM events WHERE position = ?1", [position])
            .expect("removed");
    }

    fn read(reader: &Reader, cursor: &str, connection: Option<&str>) -> String {
        let filter = EventFilter {
            connection: connection.map(str::to_owned),
            ..EventFilter::default()
        };
        let cursor = cursor.parse().expect("a cursor");
        match reader
            .log_after(cursor, PageLimit::rows(100), &filter)
            .expect("read")
        {
            LogRead::Page { page, .. } => format!("page of {}", page.rows.len()),
            LogRead::Ahead { newest } => format!("ahead of {newest}"),
            LogRead::Lost { first } => format!("lost, go on at {first}"),
        }
    }

    #[test]
    fn cursor_text_is_read_back_and_other_text_is_refused() {
        for text in ["0", "17", "17~40"] {
            let cursor: EventCursor = text.parse().expect("a cursor");
            assert_eq!(cursor.to_string(), text);
        }
        assert_eq!(
            "40~17".parse::<EventCursor>().expect("read").to_string(),
            "40"
        );
        for text in [
            "",
            "-1",
            "+1",
            "x",
            "1~",
            "~1",
            "1~2~3",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<EventCursor>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn cursor_beyond_the_newest_event_is_ahead_also_in_an_emptied_log() {
        let reader = log(3);
        assert_eq!(read(&reader, "3", None), "page of 0");
        assert_eq!(read(&reader, "4", None), "ahead of 3");
        for position in 1..=3 {
            remove(&reader, position);
        }
        assert_eq!(read(&reader, "3", None), "page of 0", "all of it was read");
        assert_eq!(read(&reader, "4", None), "ahead of 3");
        assert_eq!(read(&log(0), "1", None), "ahead of 0");
    }

    #[test]
    fn reader_that_begins_at_zero_is_not_told_of_what_was_removed_before() {
        let reader = log(6);
        for position in [1, 3, 5] {
            remove(&reader, position);
        }
        let (one, filter) = (PageLimit::rows(1), EventFilter::default());
        let begin = EventCursor::default();
        let first = reader.log_after(begin, one, &filter).expect("read");
        let LogRead::Page { page, from } = first else {
            panic!("no page");
        };
        let second = from.advanced(page.next).to_string();
        assert_eq!(second, "2~5");
        assert_eq!(read(&reader, &second, None), "page of 2");
        remove(&reader, 6);
        assert_eq!(read(&reader, &second, None), "lost, go on at 2~6");
    }

    #[test]
    fn cursor_that_lost_events_is_told_once_and_others_go_on() {
        let reader = log(6);
        // Connection a loses its own events. Those of b before them stay.
        for position in [1, 3, 5] {
            remove(&reader, position);
        }
        assert_eq!(read(&reader, "0", None), "page of 3", "from what is kept");
        assert_eq!(read(&reader, "1", None), "lost, go on at 1~5");
        assert_eq!(read(&reader, "1~5", None), "page of 3", "it is known");
        assert_eq!(
            read(&reader, "5", None),
            "page of 1",
            "nothing of it was unread"
        );
        assert_eq!(read(&reader, "1", Some("b")), "page of 3");
        assert_eq!(read(&reader, "1", Some("a")), "lost, go on at 1~5");
        for position in [2, 4, 6] {
            remove(&reader, position);
        }
        assert_eq!(read(&reader, "1~5", None), "lost, go on at 6");
    }
}
