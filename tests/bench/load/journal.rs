//! Data folders made in advance: with many stores, or with a million deliveries that were settled long ago.
//!
//! Rows are written into the journal's own tables, in its own format, without the gateway: filling a journal through the
//! front door would take longer than measuring it.

use std::path::{Path, PathBuf};

use cartwire::connections::{Connection, Seal, SealedSecret};
use cartwire::delivery::{ConnectionId, DeliveryKey};
use cartwire::journal::entry::{DeliveryState, EntryKind};
use cartwire::journal::{Changed, ConnectionChange, DataFile};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::requests::{Requests, Shop, connection};

/// Makes a data folder with connections `shop-00000` and so on: stores of the one platform, apps of the other.
pub(crate) fn with_connections(folder: &Path, shop: Shop, many: u32) {
    cartwire::database::make_folder(folder).expect("a folder");
    let mut file = DataFile::open(folder).expect("a data file");
    let seal = Seal::load(folder, None).expect("a key");
    file.unlock(&seal).expect("unlocked");
    let (kind, secret) = match shop {
        Shop::WooCommerce => ("woocommerce", "webhook-secret"),
        Shop::Wix => ("wix-app", "public-key"),
    };
    let key = shop.key("verification").into();
    for number in 0..many {
        let id = ConnectionId::new(&connection(number)).expect("an id");
        let secrets = vec![SealedSecret::new(&seal, &id, secret, &key).expect("sealed")];
        let added = Connection::new(id, shop.name(), kind, Timestamp::now());
        let changed = file
            .change_connection(&ConnectionChange::Add(added, secrets))
            .expect("added");
        assert_eq!(changed, Changed::Yes, "added");
    }
}

/// An empty data file as the journal's writer has it.
pub(crate) fn empty(folder: &Path) -> rusqlite::Connection {
    drop(DataFile::open(folder).expect("a data file"));
    let sqlite =
        rusqlite::Connection::open(folder.join(cartwire::database::DATA_FILE)).expect("opened");
    for (name, value) in [
        ("synchronous", 2),
        ("cache_size", -32_000),
        ("wal_autocheckpoint", 4_000),
    ] {
        sqlite.pragma_update(None, name, value).expect("set");
    }
    sqlite
}

/// Writes a delivery and its entry as the journal does, which leaves the index of keys for later; the body's bytes are
/// shared by all.
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

/// A data folder with one connection and that many published deliveries, made once and kept for later runs.
pub(crate) fn with_settled(folder: &Path, shop: Shop, bytes: usize, many: u64) {
    let kept = kept(shop, bytes, many);
    if !kept.exists() {
        forget_older(&kept);
        let making = kept.with_extension("part");
        let _ = std::fs::remove_dir_all(&making);
        with_connections(&making, shop, 1);
        settle(&making, shop, bytes, many);
        std::fs::rename(&making, &kept).expect("kept");
    }
    cartwire::database::make_folder(folder).expect("a folder");
    for file in std::fs::read_dir(&kept).expect("listed") {
        let file = file.expect("listed");
        std::fs::copy(file.path(), folder.join(file.file_name())).expect("copied");
    }
    rustix::fs::sync();
}

/// Named after the day: retention would remove what is a month old.
fn kept(shop: Shop, bytes: usize, many: u64) -> PathBuf {
    let day = Timestamp::now().as_second() / 86_400;
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("settled-{}-{bytes}-{many}-{day}", shop.name()))
}

/// Gigabytes that no later run would use.
fn forget_older(kept: &Path) {
    let stem = |path: &Path| {
        path.file_name()
            .and_then(|name| Some(name.to_str()?.rsplit_once('-')?.0.to_owned()))
    };
    let beside = std::fs::read_dir(env!("CARGO_TARGET_TMPDIR"))
        .expect("listed")
        .flatten()
        .map(|entry| entry.path());
    for older in
        beside.filter(|path| path.is_dir() && stem(path).is_some() && stem(path) == stem(kept))
    {
        std::fs::remove_dir_all(older).expect("removed");
    }
}

fn settle(folder: &Path, shop: Shop, bytes: usize, many: u64) {
    /// Rows of one commit.
    const CHUNK: u64 = 20_000;
    let body = Requests::prepare(shop, bytes, 1, 1, false).body(0);
    let mut sqlite = empty(folder);
    sqlite.pragma_update(None, "synchronous", 0).expect("set");
    let now = Timestamp::now().as_millisecond();
    for first in (0..many).step_by(CHUNK as usize) {
        let transaction = sqlite.transaction().expect("a transaction");
        for number in first..(first + CHUNK).min(many) {
            let position =
                append(&transaction, shop, number, &body, &connection(0)).expect("written");
            let mut settled = transaction
                .prepare_cached(
                    "UPDATE entries SET state = ?2, settled_at = ?3 WHERE position = ?1",
                )
                .expect("SQL");
            settled
                .execute(params![position, published(), now])
                .expect("settled");
            let statement = "INSERT INTO events (delivery, idx, type, subject) VALUES (?1, 0, 'cartwire.order.updated', ?2)";
            let mut event = transaction.prepare_cached(statement).expect("SQL");
            event
                .execute(params![position, format!("order/{number}")])
                .expect("logged");
        }
        transaction.commit().expect("committed");
    }
    // Those of the connections are there already.
    let index = "INSERT OR IGNORE INTO keys SELECT key, position FROM deliveries ORDER BY key;
                 UPDATE marks SET version = (SELECT max(position) FROM deliveries) WHERE name = 'indexed'";
    sqlite.execute_batch(index).expect("indexed");
    sqlite
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("folded in");
}

/// The state's code in the file, found by its place.
fn published() -> i64 {
    let states = DeliveryState::ALL;
    states
        .iter()
        .position(|state| *state == DeliveryState::Published)
        .map_or(0, |code| code as i64)
}
