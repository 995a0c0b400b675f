//! Accidents of the machine: a moved data folder, an unread log, a damaged row.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::process::ProcessGateway;
use support::store::Order;
use support::{eventually, free_port, send_signal, unique};

/// Sends one order and gives the status of the answer.
pub(crate) async fn status(gateway: &ProcessGateway) -> u16 {
    let store = gateway.store();
    let order = Order::some(1).remove(0);
    let answer = store
        .try_send(order, &store.webhook(order, unique()))
        .await
        .expect("an answer");
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_data_folder_is_503_until_it_returns() {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    gateway.start().await;
    assert_eq!(status(&gateway).await, 200);
    let (data, elsewhere) = (
        gateway.data().to_owned(),
        gateway.data().with_extension("x"),
    );
    std::fs::rename(&data, &elsewhere).expect("moved");
    assert_eq!(status(&gateway).await, 503, "at once");
    eventually("it is not ready", || async {
        (!gateway.is_ready().await).then_some(())
    })
    .await;
    // Another folder in its place is not used either.
    std::fs::create_dir(&data).expect("created");
    assert_eq!(status(&gateway).await, 503);
    assert!(std::fs::read_dir(&data).expect("read").next().is_none());
    std::fs::remove_dir(&data).expect("removed");
    std::fs::rename(&elsewhere, &data).expect("moved back");
    eventually("it is ready again", || async {
        gateway.is_ready().await.then_some(())
    })
    .await;
    assert_eq!(status(&gateway).await, 200);
    gateway.settled().await;
    assert!(gateway.terminate().await.success());
    let deliveries = gateway.cli_json(&["deliveries", "list", "--limit", "100"]);
    let orders = deliveries["deliveries"].as_array().expect("a list");
    let orders = orders.iter().filter(|one| {
        !one["topic"]
            .as_str()
            .unwrap_or_default()
            .starts_with("connection.")
    });
    assert_eq!(orders.count(), 2, "what was answered 200 is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_data_file_is_503_and_stop_leaves_its_replacement_alone() {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    gateway.start().await;
    assert_eq!(status(&gateway).await, 200);
    let log = gateway.data().join("cartwire.db-wal");
    std::fs::rename(&log, gateway.data().join("aside")).expect("moved");
    std::fs::write(&log, "of another program").expect("written");
    assert_eq!(status(&gateway).await, 503);
    gateway.terminate().await;
    let left = std::fs::read_to_string(&log).expect("it is still there");
    assert_eq!(left, "of another program");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_log_blocks_no_response_and_no_shutdown() {
    let mut gateway = ProcessGateway::new(&[]);
    let (port, admin) = (free_port(), free_port());
    let mut process = Command::new(support::program())
        .arg("--data-dir")
        .arg(gateway.data())
        .args(["serve", "--log", "trace", "--disk-reserve", "1"])
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--admin-listen", &format!("127.0.0.1:{admin}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()
        .expect("a client");
    let url = format!("http://127.0.0.1:{port}/healthz");
    eventually("it answers", || {
        let request = client.get(&url).send();
        async move {
            request
                .await
                .is_ok_and(|answer| answer.status() == 200)
                .then_some(())
        }
    })
    .await;
    let metrics = format!("http://127.0.0.1:{admin}/metrics");
    eventually("lines are dropped", || {
        let (client, url, metrics) = (client.clone(), url.clone(), metrics.clone());
        async move {
            for _ in 0..200 {
                let answer = client.get(&url).send().await.expect("an answer");
                assert_eq!(answer.status(), 200);
            }
            let text = client.get(&metrics).send().await.expect("an answer");
            let text = text.text().await.expect("text");
            text.lines()
                .any(|line| line.starts_with("cartwire_log_lines_dropped_total"))
                .then_some(())
        }
    })
    .await;
    send_signal("TERM", process.id());
    let requested = Instant::now();
    eventually("it ends", || {
        let ended = process.try_wait().expect("waited for");
        async move { ended }
    })
    .await;
    assert!(requested.elapsed() < Duration::from_secs(15));
    let mut log = Vec::new();
    process
        .stderr
        .take()
        .expect("a pipe")
        .read_to_end(&mut log)
        .expect("read");
    assert!(log.len() > 1_000);
    gateway.start().await;
    assert!(gateway.terminate().await.success(), "its data is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_log_filter_without_a_restart() {
    let mut gateway = ProcessGateway::new(&[]);
    let filter = gateway.data().join("log-filter");
    std::fs::write(&filter, "error\n").expect("written");
    let path = filter.display().to_string();
    gateway.set_options(&["--disk-reserve", "1", "--log-filter-file", &path]);
    gateway.start().await;
    assert!(!gateway.log_text().contains("cartwire serves"));
    let pid = gateway.pid().expect("it runs");
    std::fs::write(&filter, "no such=level=").expect("written");
    send_signal("HUP", pid);
    eventually("the mistake is logged", || async {
        let text = gateway.log_text();
        text.contains("log filter cannot be reloaded").then_some(())
    })
    .await;
    std::fs::write(&filter, "info").expect("written");
    send_signal("HUP", pid);
    eventually("the new filter counts", || async {
        gateway
            .log_text()
            .contains("log filter reloaded")
            .then_some(())
    })
    .await;
    assert_eq!(status(&gateway).await, 200);
    assert!(gateway.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_connection_stops_neither_others_nor_the_start() {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    let file =
        || rusqlite::Connection::open(gateway.data().join("cartwire.db")).expect("the data file");
    let added = file().execute_batch(
        "INSERT INTO connections (id, platform, kind, status, settings, created_at, changed_at)
         VALUES ('broken', 'woocommerce', 'woocommerce', 'connected', 'no JSON', 0, 0)",
    );
    added.expect("a damaged row");
    gateway.start().await;
    assert_eq!(status(&gateway).await, 200);
    let url = format!("http://{}/webhooks/woocommerce/broken", gateway.public());
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let request = client
        .post(url)
        .header(
            "X-WC-Webhook-Signature",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        )
        .header("X-WC-Webhook-Topic", "order.updated")
        .body("{}");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 503, "our fault is never a 4xx");
    assert!(gateway.log_text().contains("broken"), "the log says which");
    let listed = gateway.cli(&["connections", "list"]);
    assert!(listed.status.success());
    assert!(String::from_utf8_lossy(&listed.stderr).contains("broken"));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("shop"));
}

#[test]
fn missing_master_key_is_an_error_and_no_new_key_is_written() {
    let gateway = ProcessGateway::new(&[]);
    let key = gateway.data().join("master.key");
    std::fs::remove_file(&key).expect("removed");
    let second = gateway.serve_again();
    assert_eq!(second.status.code(), Some(78));
    let commands: [&[&str]; 2] = [
        &["connections", "rotate-secret", "shop"],
        &["connections", "check"],
    ];
    for command in commands {
        assert!(!gateway.cli(command).status.success(), "{command:?}");
    }
    assert!(!key.exists(), "no decoy");
}

#[tokio::test(flavor = "multi_thread")]
async fn command_does_not_migrate_data_of_a_running_gateway() {
    let mut gateway = ProcessGateway::new(&["--disk-reserve", "1"]);
    gateway.start().await;
    let file = rusqlite::Connection::open(gateway.data().join("cartwire.db")).expect("the file");
    let version = |file: &rusqlite::Connection| -> i64 {
        file.pragma_query_value(None, "user_version", |row| row.get(0))
            .expect("a version")
    };
    let current = version(&file);
    // As if the running gateway were an older one.
    file.pragma_update(None, "user_version", current - 1)
        .expect("changed");
    let refused = gateway.cli(&["connections", "pause", "shop"]);
    assert_eq!(refused.status.code(), Some(74));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop `serve` first"));
    assert_eq!(version(&file), current - 1, "nothing was changed");
    file.pragma_update(None, "user_version", current)
        .expect("changed back");
    drop(file);
    assert!(gateway.terminate().await.success());
}
