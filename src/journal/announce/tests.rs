//! What a check changes, and what it leaves alone, in the data file itself.

use super::*;
use crate::platforms::api::FindingCode;
use jiff::SignedDuration;

use crate::connections::{Condition, Connection, SealedSecret, Status};
use crate::database::MIGRATIONS;
use crate::platforms::ConnectionSignal;

struct File(Sqlite);

impl File {
    fn new() -> Self {
        let sqlite = Sqlite::open_in_memory().expect("a file");
        sqlite
            .execute_batch(&MIGRATIONS.concat())
            .expect("its tables");
        let mut file = Self(sqlite);
        let connection = Connection::new(id(), "platform", "kind", at(1));
        assert_eq!(
            file.change(ConnectionChange::Add(connection, Vec::new()), 1),
            Changed::Yes
        );
        file
    }

    fn change(&mut self, change: ConnectionChange, second: i64) -> Changed {
        let transaction = self.0.transaction().expect("a transaction");
        let changed = apply(&transaction, &change, at(second)).expect("applied");
        transaction.commit().expect("committed");
        changed
    }

    fn examined(&mut self, assessment: Assessment, second: i64) -> Changed {
        self.learned(&[], assessment, second)
    }

    fn learned(
        &mut self,
        settings: &[(&str, &str)],
        assessment: Assessment,
        second: i64,
    ) -> Changed {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.change(
            ConnectionChange::Examined {
                id: id(),
                settings,
                assessment,
                began: at(second),
            },
            second,
        )
    }

    fn connection(&self) -> Connection {
        store::get(&self.0, &id())
            .expect("read")
            .expect("it is there")
    }

    /// The announcements to consumers, in order.
    fn reported(&self) -> Vec<String> {
        let mut statement = self
            .0
            .prepare("SELECT topic FROM deliveries ORDER BY position")
            .expect("a statement");
        let topics = statement.query_map([], |row| row.get(0)).expect("a result");
        topics.collect::<rusqlite::Result<_>>().expect("read")
    }

    fn mark(&self) -> i64 {
        self.0
            .query_row(
                "SELECT version FROM marks WHERE name = 'connections'",
                [],
                |row| row.get(0),
            )
            .expect("a mark")
    }
}

fn id() -> ConnectionId {
    ConnectionId::new("shop-a").expect("an id")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

#[test]
fn an_examination_moves_a_connection_and_tells_of_it_once() {
    let mut file = File::new();
    assert_eq!(
        file.examined(Assessment::Degraded(FindingCode::WebhookDisabled), 2),
        Changed::Yes
    );
    assert_eq!(
        file.examined(Assessment::Degraded(FindingCode::WebhookDisabled), 3),
        Changed::No
    );
    assert_eq!(
        file.examined(Assessment::Degraded(FindingCode::KeyUnknown), 4),
        Changed::Yes
    );
    assert_eq!(file.connection().reason.as_deref(), Some("key_unknown"));
    assert_eq!(file.examined(Assessment::Inconclusive, 5), Changed::No);
    assert_eq!(file.examined(Assessment::Healthy, 6), Changed::Yes);
    assert_eq!(file.connection().status, Status::Connected);
    assert_eq!(
        file.examined(Assessment::Disconnected(FindingCode::AppRemoved), 7),
        Changed::Yes
    );
    assert_eq!(file.connection().status, Status::Disconnected);
    let reported = [
        "connection.connected",
        "connection.degraded",
        "connection.recovered",
    ];
    assert_eq!(
        file.reported(),
        [&reported[..], &["connection.disconnected"]].concat()
    );
}

#[test]
fn nobody_is_told_and_nothing_is_written_where_nothing_changed() {
    let mut file = File::new();
    assert_eq!(
        file.learned(
            &[("version", "11.0"), ("currency", "EUR")],
            Assessment::Healthy,
            2
        ),
        Changed::Yes
    );
    let mark = file.mark();
    assert_eq!(
        file.learned(&[("currency", "EUR")], Assessment::Healthy, 3),
        Changed::No
    );
    assert_eq!(file.mark(), mark);
    assert_eq!(
        file.learned(&[("currency", "USD")], Assessment::Healthy, 4),
        Changed::Yes
    );
    assert!(file.mark() > mark);
    let settings = file.connection().settings;
    assert_eq!(
        (settings["version"].as_str(), settings["currency"].as_str()),
        ("11.0", "USD")
    );
    assert_eq!(file.reported(), ["connection.connected"]);
}

#[test]
fn what_changed_during_an_examination_is_known_better() {
    let mut file = File::new();
    file.examined(Assessment::Disconnected(FindingCode::AppRemoved), 5);
    assert_eq!(
        file.examined(Assessment::Healthy, 4),
        Changed::No,
        "the request was made before the store removed the app"
    );
    assert_eq!(file.examined(Assessment::Healthy, 6), Changed::Yes);
}

#[test]
fn a_paused_connection_stays_paused_and_returns_to_what_was_found() {
    let mut file = File::new();
    file.change(ConnectionChange::Pause(id()), 2);
    assert_eq!(
        file.examined(Assessment::Degraded(FindingCode::WebhookDisabled), 3),
        Changed::Yes
    );
    assert_eq!(
        file.examined(Assessment::Degraded(FindingCode::WebhookDisabled), 4),
        Changed::No
    );
    assert_eq!(file.connection().status, Status::Paused);
    assert_eq!(
        file.connection().condition(),
        Condition::Degraded(Some("webhook_disabled"))
    );
    file.change(ConnectionChange::Resume(id()), 5);
    assert_eq!(
        file.connection().condition(),
        Condition::Degraded(Some("webhook_disabled"))
    );
    let reported = ["connection.connected", "connection.degraded"];
    assert_eq!(file.reported(), reported, "a pause is no event");
}

#[test]
fn one_that_is_not_there_is_not_examined() {
    let mut file = File::new();
    file.change(ConnectionChange::Remove(id()), 2);
    assert_eq!(
        file.learned(
            &[("currency", "EUR")],
            Assessment::Degraded(FindingCode::Silent),
            3
        ),
        Changed::NoSuchConnection
    );
}

#[test]
fn each_secret_that_was_rotated_away_keeps_its_own_time() {
    let mut file = File::new();
    let secret = |byte: u8| SealedSecret {
        name: "secret".to_owned(),
        sealed: vec![byte],
        valid_until: None,
    };
    let rotated =
        |byte: u8| ConnectionChange::Rotate(id(), secret(byte), SignedDuration::from_hours(1));
    for (byte, second) in [(1, 0), (2, 10), (3, 20), (4, 3615)] {
        assert_eq!(file.change(rotated(byte), second), Changed::Yes);
    }
    let valid = |second: i64| {
        let secrets = store::secrets(&file.0, &id(), at(second)).expect("read");
        secrets
            .iter()
            .map(|secret| secret.sealed[0])
            .collect::<Vec<_>>()
    };
    assert_eq!(valid(3615), [4, 2, 3], "the first one's hour is over");
    assert_eq!(valid(3625), [4, 3]);
}

#[test]
fn what_a_store_says_while_it_is_paused_counts_when_it_is_resumed() {
    let mut file = File::new();
    file.change(ConnectionChange::Pause(id()), 2);
    let removed = ConnectionChange::Seen {
        id: id(),
        parent: id(),
        platform: "platform".to_owned(),
        signal: Some(ConnectionSignal::Removed { signed_at: None }),
        position: 1,
    };
    assert_eq!(file.change(removed, 3), Changed::Yes);
    assert_eq!(file.connection().status, Status::Paused);
    file.change(ConnectionChange::Resume(id()), 4);
    let connection = file.connection();
    assert_eq!(
        (connection.status, connection.reason.as_deref()),
        (Status::Disconnected, Some("app_removed"))
    );
}

#[test]
fn an_installation_follows_the_newest_signature_in_any_order() {
    let mut file = File::new();
    let change = |file: &mut File, installed: bool, second: Option<i64>, position: i64| {
        let signed_at = second.map(at);
        let signal = if installed {
            ConnectionSignal::Installed {
                settings: BTreeMap::new(),
                signed_at,
            }
        } else {
            ConnectionSignal::Removed { signed_at }
        };
        let seen = ConnectionChange::Seen {
            id: ConnectionId::new("instance").expect("an id"),
            parent: id(),
            platform: "platform".to_owned(),
            signal: Some(signal),
            position,
        };
        let changed = file.change(seen, 100 + position);
        let status = store::get(&file.0, &ConnectionId::new("instance").expect("an id"))
            .expect("read")
            .expect("it is there")
            .status;
        (changed, status)
    };
    let steps = [
        (false, Some(20), 1, Changed::Yes, Status::Disconnected),
        (true, Some(10), 2, Changed::Stale, Status::Disconnected),
        (true, Some(30), 3, Changed::Yes, Status::Connected),
        // Captured tokens in turn, and one without a time.
        (false, Some(20), 4, Changed::Stale, Status::Connected),
        (true, Some(30), 5, Changed::No, Status::Connected),
        (false, None, 6, Changed::Stale, Status::Connected),
        (false, Some(30), 7, Changed::Yes, Status::Disconnected),
        // Claimed again after a crash: its events are published, the state stays.
        (true, Some(10), 2, Changed::No, Status::Disconnected),
    ];
    for (installed, second, position, changed, status) in steps {
        let found = change(&mut file, installed, second, position);
        assert_eq!(found, (changed, status), "position {position}");
    }
}
