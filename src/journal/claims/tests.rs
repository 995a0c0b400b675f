//! Tests of claims: order, paused connections, damaged rows.

use super::*;
use crate::database::MIGRATIONS;
use crate::journal::damaged::DamagedRows;

/// A journal with these connections' pending entries, in this order.
fn journal(connections: &[&str]) -> Reader {
    let sqlite = Sqlite::open_in_memory().expect("a file");
    sqlite
        .execute_batch(&MIGRATIONS.concat())
        .expect("its tables");
    for (number, connection) in connections.iter().enumerate() {
        let key = [u8::try_from(number).expect("few"); 16];
        sqlite
            .execute(
                "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                 VALUES (?1, 0, 'p', ?2, ?2, 't', 7, '[]', x'7b7d')",
                params![key, connection],
            )
            .expect("written");
        let position = sqlite.last_insert_rowid();
        sqlite
            .execute(
                "INSERT OR IGNORE INTO usage (connection) VALUES (?1)",
                [connection],
            )
            .expect("written");
        sqlite
            .execute(
                "INSERT INTO entries (position, state, usage) SELECT ?1, 0, id FROM usage WHERE connection = ?2",
                params![position, connection],
            )
            .expect("written");
    }
    Reader(sqlite, DamagedRows::default())
}

fn want(connection: &str, entries: usize) -> Want {
    Want {
        connection: connection.to_owned(),
        from: 0,
        entries,
        bytes: 1 << 20,
        is_paused: false,
    }
}

fn positions(claimed: &Claimed) -> Vec<Position> {
    claimed.entries.iter().map(|entry| entry.position).collect()
}

#[test]
fn a_claim_takes_the_oldest_entries_of_each_connection() {
    let reader = journal(&["a", "a", "a", "b", "a", "b"]);
    let found = reader.pending_connections().expect("read");
    assert_eq!(
        found.connections,
        [("a".to_owned(), 0), ("b".to_owned(), 0)]
    );
    assert_eq!(found.through, 6);
    let after = reader.pending_after(3).expect("read").connections;
    assert_eq!(after, [("b".to_owned(), 4), ("a".to_owned(), 5)]);
    let excluded = Excluded {
        in_flight: HashSet::from([2]),
        ..Excluded::default()
    };
    let claimed = reader
        .claim(&[want("a", 2), want("b", 9)], &excluded)
        .expect("read");
    assert_eq!(positions(&claimed[0]), [1, 3]);
    assert_eq!(claimed[0].next, Some(5));
    assert_eq!(positions(&claimed[1]), [4, 6]);
    assert_eq!(claimed[1].next, None);
}

#[test]
fn damaged_rows_are_reported_and_do_not_fail_the_claim() {
    for damage in [
        "UPDATE deliveries SET headers = 'no JSON' WHERE position = 2",
        "UPDATE deliveries SET headers = x'ff' WHERE position = 2",
        "UPDATE deliveries SET body = 7 WHERE position = 2",
        "UPDATE deliveries SET key = x'00' WHERE position = 2",
        "UPDATE deliveries SET endpoint = '../..' WHERE position = 2",
        "UPDATE deliveries SET connection = '' WHERE position = 2",
        "UPDATE deliveries SET kind = 'x' WHERE position = 2",
        "UPDATE deliveries SET received_at = 9223372036854775807 WHERE position = 2",
        "UPDATE deliveries SET platform = x'ff' WHERE position = 2",
        "UPDATE deliveries SET topic = x'fe' WHERE position = 2",
        "UPDATE entries SET attempts = -1 WHERE position = 2",
        "UPDATE entries SET attempts = 'x' WHERE position = 2",
        "UPDATE entries SET redriven = 'x' WHERE position = 2",
        "DELETE FROM deliveries WHERE position = 2",
        "INSERT INTO completions VALUES (2, 0, NULL, NULL, 'x')",
        "INSERT INTO completions VALUES (2, 'x', NULL, NULL, 7)",
        "INSERT INTO completions VALUES (2, 2, x'ff', NULL, 7)",
    ] {
        let reader = journal(&["a", "a", "a"]);
        reader.0.execute(damage, []).expect("damaged");
        let claimed = reader
            .claim(&[want("a", 9)], &Excluded::default())
            .expect("read");
        assert_eq!(positions(&claimed[0]), [1, 3], "{damage}");
        let damaged = &claimed[0].damaged;
        assert_eq!(damaged.len(), 1, "{damage}");
        assert!(damaged[0].position == 2 && damaged[0].is_final, "{damage}");
    }
}

#[test]
fn a_paused_connection_gives_announcements_before_its_first_delivery_only() {
    let reader = journal(&["a", "a", "a"]);
    let paused = Want {
        is_paused: true,
        ..want("a", 9)
    };
    let announce = |position: Position| {
        reader
            .0
            .execute(
                "UPDATE deliveries SET kind = 1 WHERE position = ?1",
                [position],
            )
            .expect("written")
    };
    announce(3);
    let claim = |in_flight: &[Position]| {
        let excluded = Excluded {
            in_flight: in_flight.iter().copied().collect(),
            ..Excluded::default()
        };
        let claimed = reader.claim(std::slice::from_ref(&paused), &excluded);
        positions(&claimed.expect("read")[0])
    };
    assert!(claim(&[]).is_empty());
    announce(1);
    assert_eq!(claim(&[]), [1]);
    assert!(claim(&[1]).is_empty(), "it must not overtake");
}

#[test]
fn an_entity_is_known_once_an_event_other_than_its_deletion_was_told() {
    let reader = journal(&["a"]);
    let insert = "INSERT INTO events (delivery, idx, type, subject, usage) VALUES (1, ?1, ?2, 'product/7', 1)";
    let known = |connection: &str| {
        let id = ConnectionId::new(connection).expect("an id");
        reader.is_known(&id, "product/7").expect("read")
    };
    reader
        .0
        .execute(insert, params![0, "cartwire.product.deleted"])
        .expect("written");
    assert!(!known("a"));
    reader
        .0
        .execute(insert, params![1, "cartwire.product.updated"])
        .expect("written");
    assert!(known("a") && !known("b"));
}
