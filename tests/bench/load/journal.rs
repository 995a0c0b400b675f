//! Prepared data folders: with many stores, with a million deliveries that were settled long ago, or with a
//! million known orders.
//!
//! Rows are written directly into the journal's tables in its own format. Sending the deliveries to a gateway would
//! take longer than the measurement.

use std::path::{Path, PathBuf};

use cartwire::connections::{Connection, Seal, SealedSecret};
use cartwire::delivery::{ConnectionId, DeliveryKey, JournaledDelivery};
use cartwire::event::data::Entity;
use cartwire::journal::entry::{DeliveryState, EntryKind};
use cartwire::journal::{Changed, ConnectionChange, DataFile};
use cartwire::platforms::{Normalized, platform};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::requests::{Requests, Shop, connection, order_id};

/// Creates a data folder with the connections `shop-00000` and so on: WooCommerce stores or Wix apps.
pub(crate) fn with_connections(folder: &Path, shop: Shop, many: u32) {
    cartwire::database::make_folder(folder).expect("the data folder should be created");
    let mut file = DataFile::open(folder).expect("the data file should open");
    let seal = Seal::load(folder, None).expect("the master key should be loaded");
    file.unlock(&seal)
        .expect("the data file should be unlocked");
    let (kind, secret) = match shop {
        Shop::WooCommerce => ("woocommerce", "webhook-secret"),
        Shop::Wix => ("wix-app", "public-key"),
    };
    let key = shop.key("verification").into();
    for number in 0..many {
        let id = ConnectionId::new(&connection(number)).expect("the connection id should be valid");
        let secrets =
            vec![SealedSecret::new(&seal, &id, secret, &key).expect("the secret should be sealed")];
        let added = Connection::new(id, shop.name(), kind, Timestamp::now());
        let changed = file
            .change_connection(&ConnectionChange::Add(added, secrets))
            .expect("the connection should be added");
        assert_eq!(changed, Changed::Yes, "the connection should be new");
    }
}

/// Opens an empty data file with the pragmas of the journal's writer.
pub(crate) fn empty(folder: &Path) -> rusqlite::Connection {
    drop(DataFile::open(folder).expect("the data file should be created"));
    let sqlite = rusqlite::Connection::open(folder.join(cartwire::database::DATA_FILE))
        .expect("the data file should open");
    for (name, value) in [
        ("synchronous", 2),
        ("cache_size", -32_000),
        ("wal_autocheckpoint", 4_000),
    ] {
        sqlite
            .pragma_update(None, name, value)
            .expect("the pragma should be set");
    }
    sqlite
}

/// Writes a delivery and its entry as the journal does. Like the journal, it does not write the key index yet.
pub(crate) fn append(
    transaction: &Transaction<'_>,
    shop: Shop,
    number: u64,
    body: &[u8],
    connection: &str,
) -> rusqlite::Result<i64> {
    let key = DeliveryKey::of(&[b"benchmark", &number.to_be_bytes()]);
    let now = Timestamp::now().as_millisecond();
    let headers = r#"[["x-wc-webhook-topic","order.updated"],["x-wc-webhook-id","1"],["x-wc-webhook-delivery-id","00000000000000000000000000000000"],["x-wc-webhook-source","https://shop.example/"],["user-agent","WooCommerce/11.0.1 Hookshot (WordPress/7.1)"]]"#;
    transaction
        .prepare_cached(
            "INSERT INTO deliveries (key, kind, platform, endpoint, connection, topic, received_at, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            key.as_bytes(),
            EntryKind::Delivery as i64,
            shop.name(),
            connection,
            shop.topic(),
            now,
            headers,
            body
        ])?;
    let position = transaction.last_insert_rowid();
    transaction
        .prepare_cached("INSERT INTO entries (position, state) VALUES (?1, 0)")?
        .execute([position])?;
    Ok(position)
}

/// A data folder with one connection and this many published deliveries. It is created once and reused by later runs.
pub(crate) fn with_settled(folder: &Path, shop: Shop, bytes: usize, many: u64) {
    let kept = kept(shop, bytes, many);
    if !kept.exists() {
        forget_older(&kept);
        let making = kept.with_extension("part");
        let _ = std::fs::remove_dir_all(&making);
        with_connections(&making, shop, 1);
        settle(&making, shop, bytes, many);
        std::fs::rename(&making, &kept).expect("the prepared folder should be stored");
    }
    cartwire::database::make_folder(folder).expect("the data folder should be created");
    for file in std::fs::read_dir(&kept).expect("the prepared folder should be readable") {
        let file = file.expect("the entry should be readable");
        std::fs::copy(file.path(), folder.join(file.file_name()))
            .expect("the file should be copied");
    }
    rustix::fs::sync();
}

/// A data folder with one connection and this many known orders, which are the first ones that the senders send.
pub(crate) fn with_known(folder: &Path, shop: Shop, bytes: usize, many: u64) {
    with_connections(folder, shop, 1);
    let (form, id) = known_form(shop, bytes);
    let mut sqlite = empty(folder);
    sqlite
        .pragma_update(None, "synchronous", 0)
        .expect("the pragma should be set");
    let transaction = sqlite.transaction().expect("the transaction should begin");
    for number in 0..many {
        let own = order_id(number);
        transaction
            .prepare_cached(
                "INSERT INTO entities (connection, entity, id, form, content, updated_at, is_deleted, is_whole, verbs, status,
                 is_low, position, seen_at, revision) VALUES (?1, 'order', ?2, ?3, zeroblob(16), 0, 0, 1, '[]', 'open', 0, 0, 0, 1)",
            )
            .expect("the SQL should be valid")
            .execute(params![connection(0), own, form.replace(&id, &own)])
            .expect("the state should be written");
    }
    transaction.commit().expect("the transaction should commit");
    sqlite
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("the checkpoint should succeed");
    rustix::fs::sync();
}

/// The normalized form of the first order with another status, and the order's id.
fn known_form(shop: Shop, bytes: usize) -> (String, String) {
    let connection = ConnectionId::new(&connection(0)).expect("the connection id should be valid");
    let delivery = JournaledDelivery {
        platform: shop.name().to_owned(),
        endpoint: connection.clone(),
        connection,
        topic: shop.topic().to_owned(),
        received_at: Timestamp::now(),
        headers: Vec::new(),
        body: Requests::prepare(shop, bytes, 1, 1, false).body(0).into(),
        enriched: None,
    };
    let platform = platform(shop.name()).expect("the platform should exist");
    let Normalized::Events {
        normalized_events, ..
    } = platform.normalize(&delivery)
    else {
        panic!("the order should give an event");
    };
    let Entity::Order(order) = &normalized_events[0].entity else {
        panic!("the event should be about an order");
    };
    let mut order = order.clone();
    order.platform_status = Some("on-hold".to_owned());
    let id = order.id.clone();
    (Entity::Order(order).to_text(), id)
}

/// The path contains the day, because retention would remove deliveries that are a month old.
fn kept(shop: Shop, bytes: usize, many: u64) -> PathBuf {
    let day = Timestamp::now().as_second() / 86_400;
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("settled-{}-{bytes}-{many}-{day}", shop.name()))
}

/// Removes prepared folders that later runs cannot use. They need gigabytes.
fn forget_older(kept: &Path) {
    let stem = |path: &Path| {
        path.file_name()
            .and_then(|name| Some(name.to_str()?.rsplit_once('-')?.0.to_owned()))
    };
    let beside = std::fs::read_dir(env!("CARGO_TARGET_TMPDIR"))
        .expect("the folder should be readable")
        .flatten()
        .map(|entry| entry.path());
    for older in
        beside.filter(|path| path.is_dir() && stem(path).is_some() && stem(path) == stem(kept))
    {
        std::fs::remove_dir_all(older).expect("the old folder should be removed");
    }
}

fn settle(folder: &Path, shop: Shop, bytes: usize, many: u64) {
    /// Number of rows per commit.
    const CHUNK: u64 = 20_000;
    let body = Requests::prepare(shop, bytes, 1, 1, false).body(0);
    let mut sqlite = empty(folder);
    sqlite
        .pragma_update(None, "synchronous", 0)
        .expect("the pragma should be set");
    let now = Timestamp::now().as_millisecond();
    for first in (0..many).step_by(CHUNK as usize) {
        let transaction = sqlite.transaction().expect("the transaction should begin");
        for number in first..(first + CHUNK).min(many) {
            let position = append(&transaction, shop, number, &body, &connection(0))
                .expect("the delivery should be written");
            let mut settled = transaction
                .prepare_cached(
                    "UPDATE entries SET state = ?2, settled_at = ?3 WHERE position = ?1",
                )
                .expect("the SQL should be valid");
            settled
                .execute(params![position, published(), now])
                .expect("the delivery should be settled");
            let statement = "INSERT INTO events (delivery, idx, type, subject) VALUES (?1, 0, 'cartwire.order.updated', ?2)";
            let mut event = transaction
                .prepare_cached(statement)
                .expect("the SQL should be valid");
            event
                .execute(params![position, format!("order/{number}")])
                .expect("the event should be written");
        }
        transaction.commit().expect("the transaction should commit");
    }
    // The keys of the connections' announcements are already in the index.
    let index = "INSERT OR IGNORE INTO keys SELECT key, position FROM deliveries ORDER BY key;
                 UPDATE marks SET version = (SELECT max(position) FROM deliveries) WHERE name = 'indexed'";
    sqlite
        .execute_batch(index)
        .expect("the key index should be written");
    sqlite
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("the checkpoint should succeed");
}

/// The number of the state `published` in the file.
fn published() -> i64 {
    let states = DeliveryState::ALL;
    states
        .iter()
        .position(|state| *state == DeliveryState::Published)
        .map_or(0, |code| code as i64)
}
