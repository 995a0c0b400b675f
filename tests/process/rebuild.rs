//! Known states are made again from the stored deliveries: the real program.

use serde_json::{Value, json};
use support::process::ProcessGateway;
use support::store::SHOP;

use crate::lists::send_body;

fn order(number: u64, second: u32, status: &str) -> Vec<u8> {
    let order = json!({
        "id": number, "number": number.to_string(), "currency": "EUR", "total": "19.90", "status": status,
        "date_created_gmt": "2026-01-01T10:00:00",
        "date_modified_gmt": format!("2026-01-01T10:00:{second:02}"),
    });
    order.to_string().into_bytes()
}

/// The known orders without the time at which their delivery was settled.
fn known(gateway: &ProcessGateway) -> Vec<Value> {
    let output = gateway.cli(&["entities", "list", "order", "--json"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let rows = text.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        row.as_object_mut().expect("a row").remove("seen_at");
        row
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_states_are_those_that_the_gateway_made() {
    let mut gateway = ProcessGateway::new(&[]);
    gateway.start().await;
    for (delivery, body) in (1..).zip([
        order(7, 10, "pending"),
        order(8, 10, "pending"),
        order(7, 20, "completed"),
        order(7, 15, "processing"),
        order(7, 25, "completed"),
    ]) {
        send_body(&gateway, delivery, &body).await;
    }
    gateway.settled().await;
    let refused = gateway.cli(&["entities", "rebuild"]);
    assert!(!refused.status.success(), "a gateway is running");
    gateway.terminate().await;
    let before = known(&gateway);
    assert_eq!(before.len(), 2);
    assert_eq!(before[0]["data"]["status"], "completed");
    let file = rusqlite::Connection::open(gateway.data().join("cartwire.db")).expect("the file");
    file.execute(
        "UPDATE entities SET form = '{}', content = zeroblob(16), updated_at = NULL",
        [],
    )
    .expect("changed");
    drop(file);
    assert_ne!(known(&gateway), before);
    let report = gateway.cli_json(&["entities", "rebuild", "--connection", SHOP]);
    assert_eq!(
        (&report["deliveries"], &report["states"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(known(&gateway), before);
    let doctor = gateway.cli(&["doctor", "--disk-reserve", "1", "--verbose"]);
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        text.contains("the last states of 2 entities are known"),
        "{text}"
    );
    // The gateway goes on with these states.
    gateway.start().await;
    send_body(&gateway, 6, &order(7, 25, "completed")).await;
    send_body(&gateway, 7, &order(7, 30, "cancelled")).await;
    gateway.settled().await;
    assert_eq!(gateway.deliveries_in("ignored").len(), 3);
    gateway.terminate().await;
    assert_eq!(known(&gateway)[0]["data"]["status"], "cancelled");
}
