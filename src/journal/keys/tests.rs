//! Tests of the key index: lookups in memory, while keys move, and on disk.

use super::*;
use crate::database::MIGRATIONS;

fn file() -> Connection {
    let sqlite = Connection::open_in_memory().expect("a file");
    sqlite
        .execute_batch(&MIGRATIONS.concat())
        .expect("its tables");
    sqlite
}

fn key(number: usize) -> DeliveryKey {
    DeliveryKey::of(&[&number.to_be_bytes()])
}

fn write(transaction: &Transaction<'_>, number: usize) -> Position {
    let insert =
        "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
                  VALUES (?1, 0, '', '', '', '', 0, '', '')";
    transaction
        .execute(insert, [key(number).as_bytes()])
        .expect("written");
    transaction.last_insert_rowid()
}

fn found_by_query(sqlite: &Connection, number: usize) -> Option<Position> {
    sqlite
        .query_row(
            &format!("SELECT {POSITION}"),
            [key(number).as_bytes()],
            |row| row.get(0),
        )
        .expect("a result")
}

#[test]
fn a_key_is_found_in_memory_on_its_way_and_in_the_index_and_after_a_crash() {
    let mut sqlite = file();
    let mut keys = KeyIndex::load(&sqlite).expect("loaded");
    let many = MIN_KEYS_TO_INDEX + MIN_KEYS_TO_INDEX / KEYS_PER_DELIVERY;
    let mut positions = Vec::new();
    for batch in 0..=many / 100 {
        let transaction = sqlite.transaction().expect("begun");
        for number in batch * 100..(batch + 1) * 100 {
            assert_eq!(
                keys.find(&transaction, key(number)).expect("a result"),
                None
            );
            let position = write(&transaction, number);
            keys.add(key(number), position);
            positions.push(position);
        }
        keys.index(&transaction, 100).expect("moved");
        transaction.commit().expect("kept");
        if batch % 50 == 0 || batch == many / 100 {
            let again = KeyIndex::load(&sqlite).expect("loaded");
            let transaction = sqlite.transaction().expect("begun");
            for number in (0..positions.len()).step_by(997) {
                let expected = Some(positions[number]);
                assert_eq!(
                    keys.find(&transaction, key(number)).expect("a result"),
                    expected
                );
                assert_eq!(
                    again.find(&transaction, key(number)).expect("a result"),
                    expected,
                    "after a crash"
                );
            }
            drop(transaction);
            assert_eq!(found_by_query(&sqlite, 0), Some(positions[0]));
            assert_eq!(
                found_by_query(&sqlite, positions.len() - 1),
                positions.last().copied()
            );
        }
    }
    assert!(
        keys.recent.len() < MIN_KEYS_TO_INDEX,
        "{} keys stay in memory",
        keys.recent.len()
    );
    let transaction = sqlite.transaction().expect("begun");
    while !keys.is_indexed() {
        keys.index_more(&transaction, 1000).expect("moved");
    }
    transaction.commit().expect("kept");
    assert!(keys.is_indexed() && KeyIndex::load(&sqlite).expect("loaded").is_indexed());
    assert_eq!(found_by_query(&sqlite, 5), Some(positions[5]));
}

#[test]
fn damaged_key_does_not_keep_the_others_from_being_loaded() {
    let mut sqlite = file();
    let transaction = sqlite.transaction().expect("begun");
    let (damaged, whole) = (write(&transaction, 1), write(&transaction, 2));
    let cut = "UPDATE deliveries SET key = x'0102' WHERE position = ?1";
    transaction.execute(cut, [damaged]).expect("damaged");
    let keys = KeyIndex::load(&transaction).expect("loaded");
    let found = keys.find(&transaction, key(2)).expect("a result");
    assert_eq!(found, Some(whole));
}

#[test]
fn a_removed_delivery_leaves_no_key_wherever_it_was() {
    let mut sqlite = file();
    let mut keys = KeyIndex::load(&sqlite).expect("loaded");
    let transaction = sqlite.transaction().expect("begun");
    for number in 0..3 {
        let position = write(&transaction, number);
        keys.add(key(number), position);
    }
    keys.begin_moving();
    keys.move_some(&transaction, 1).expect("moved");
    for number in 0..3 {
        transaction
            .execute(
                "DELETE FROM deliveries WHERE key = ?1",
                [key(number).as_bytes()],
            )
            .expect("removed");
        keys.forget(&transaction, key(number)).expect("forgotten");
    }
    // The same content comes again while its old key would be on its way.
    let again = write(&transaction, 2);
    keys.add(key(2), again);
    while !keys.is_indexed() {
        keys.index_more(&transaction, 1000).expect("moved");
    }
    for number in 0..2 {
        assert_eq!(
            keys.find(&transaction, key(number)).expect("a result"),
            None
        );
    }
    assert_eq!(
        keys.find(&transaction, key(2)).expect("a result"),
        Some(again)
    );
    transaction.commit().expect("kept");
    assert_eq!(found_by_query(&sqlite, 2), Some(again));
}
