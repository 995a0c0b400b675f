//! Data files of older formats keep their content.

use rusqlite::Connection;

use crate::database::{self, MIGRATIONS};
use crate::journal::{Budget, EventCursor, EventFilter, Journal, LogRead, PageLimit};

/// A file as it was before keys had an index of their own.
fn older(rows: u8) -> Connection {
    let sqlite = Connection::open_in_memory().expect("a file");
    sqlite
        .execute_batch(&MIGRATIONS[..2].concat())
        .expect("its tables");
    for number in 0..rows {
        let insert =
            "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                      VALUES (?1, 0, 1, 'p', 'e', 'c', 't', 7, '[]', x'7b7d')";
        sqlite.execute(insert, [[number; 16]]).expect("written");
    }
    sqlite
}

fn number(sqlite: &Connection, query: &str) -> i64 {
    sqlite
        .query_row(query, [], |row| row.get(0))
        .expect("a result")
}

#[test]
fn an_older_file_keeps_its_deliveries_and_finds_them_by_their_keys() {
    let sqlite = older(3);
    sqlite.execute_batch(MIGRATIONS[2]).expect("migrated");
    let matching = "SELECT count(*) FROM keys k JOIN deliveries d ON d.position = k.position AND d.key = k.key";
    assert_eq!(number(&sqlite, matching), 3);
    assert_eq!(
        number(&sqlite, "SELECT version FROM marks WHERE name = 'indexed'"),
        3
    );
}

#[tokio::test]
async fn oldest_format_is_opened_with_its_deliveries_events_and_pending_entries() {
    let folder = tempfile::tempdir().expect("a folder");
    let older = database::open(folder.path(), &MIGRATIONS[..2]).expect("made");
    for (number, state) in [(1_u8, 1), (2, 0), (3, 5), (4, 0)] {
        let shop = if number == 4 { "b" } else { "a" };
        let insert =
            "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                      VALUES (?1, 0, 1, 'woocommerce', ?2, ?2, 'order.created', 7, '[]', x'7b7d')";
        older
            .execute(insert, ([number; 16], shop))
            .expect("written");
        let entry = "INSERT INTO entries (position, state) VALUES (?1, ?2)";
        older.execute(entry, [number, state]).expect("written");
    }
    let event = "INSERT INTO events (delivery, idx, type, subject) VALUES (1, 0, 't', 's')";
    older.execute(event, []).expect("written");
    drop(older);
    let budget = Budget {
        reserve: 0,
        ..Budget::default()
    };
    let (journal, guard) = Journal::open(folder.path(), budget).expect("opened");
    let found = journal.read(|reader| {
        let (cursor, limit) = (EventCursor::default(), PageLimit::rows(9));
        let log = reader.log_after(cursor, limit, &EventFilter::default())?;
        let events = match log {
            LogRead::Page { page, .. } => page.rows.len(),
            LogRead::Ahead { .. } | LogRead::Lost { .. } => 0,
        };
        Ok((
            events,
            reader.pending_after(0)?.connections,
            reader.troubles()?,
        ))
    });
    let (events, pending, troubles) = found.await.expect("read");
    assert_eq!(events, 1);
    assert_eq!(pending, [("a".to_owned(), 2), ("b".to_owned(), 4)]);
    assert_eq!(troubles, (0, 1));
    guard.close().await;
    let migrated = database::open(folder.path(), MIGRATIONS).expect("opened");
    let since = number(&migrated, "SELECT since FROM entity_memory");
    let age = jiff::Timestamp::now().as_millisecond() - since;
    assert!((0..600_000).contains(&age), "states are known from now on");
    let known = "SELECT count(*) FROM keys k JOIN deliveries d ON d.position = k.position AND d.key = k.key";
    assert_eq!(number(&migrated, known), 4, "duplicates are still found");
    let sums = "SELECT count(*) FROM usage u WHERE entries = (SELECT count(*) FROM entries e WHERE e.usage = u.id)
         AND bytes = (SELECT sum(bytes) FROM entries e WHERE e.usage = u.id)
         AND pending_bytes = (SELECT sum(bytes) FROM entries e WHERE e.usage = u.id AND state = 0)";
    assert_eq!(number(&migrated, sums), 2);
}

#[test]
fn positions_never_come_again_even_where_everything_was_removed() {
    let sqlite = older(3);
    sqlite
        .execute("DELETE FROM deliveries", [])
        .expect("removed");
    sqlite.execute_batch(MIGRATIONS[2]).expect("migrated");
    let insert =
        "INSERT INTO deliveries (key, kind, recurs, platform, endpoint, connection, topic, received_at, headers, body)
                  VALUES (x'00', 0, 0, '', '', '', '', 0, '', '')";
    sqlite.execute(insert, []).expect("written");
    assert_eq!(sqlite.last_insert_rowid(), 4);
}

#[test]
fn ids_in_the_form_of_a_uuid_become_lower_case() {
    let sqlite = older(2);
    sqlite
        .execute_batch(&MIGRATIONS[2..4].concat())
        .expect("migrated");
    let (upper, shop) = ("3BBCABC7-EBB7-4FC8-8829-13EA0E142123", "Shop-A-xxx");
    for id in [upper, shop] {
        let added = "INSERT INTO connections (id, platform, kind, parent, status, settings, created_at, changed_at)
                     VALUES (?1, 'p', 'k', 'My-App', 'connected', '{}', 1, 1)";
        sqlite.execute(added, [id]).expect("added");
    }
    let moved = "UPDATE deliveries SET connection = ?1 WHERE position = 1";
    sqlite.execute(moved, [upper]).expect("changed");
    sqlite.execute_batch(MIGRATIONS[4]).expect("migrated");
    let lower = upper.to_lowercase();
    for id in [shop, lower.as_str()] {
        let found = format!("SELECT count(*) FROM connections WHERE id = '{id}'");
        assert_eq!(number(&sqlite, &found), 1, "{id}");
    }
    let known = format!("SELECT count(*) FROM deliveries WHERE connection = '{lower}'");
    assert_eq!(number(&sqlite, &known), 1);
    assert_eq!(
        number(
            &sqlite,
            "SELECT count(*) FROM connections WHERE parent = 'My-App'"
        ),
        2
    );
}
