//! Documents against the code: metrics, event types, states.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cartwire::delivery::ReasonCode;
use cartwire::event::{EVENT_TYPES, json_schema};
use cartwire::journal::entry::DeliveryState;
use cartwire::platforms::PLATFORMS;
use cartwire::platforms::api::FindingCode;

use serde_json::{Value, json};

use crate::source::sources;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).expect("the document is there")
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<String> {
    let names = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
    names
        .filter(|name| name.starts_with("cartwire_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_is_described_and_documented() {
    let sources = sources();
    let telemetry = sources
        .iter()
        .find(|source| source.path == "telemetry/metrics.rs");
    let described = metrics(&telemetry.expect("telemetry/metrics.rs").code);
    let emitting = sources
        .iter()
        .filter(|source| source.path != "telemetry/metrics.rs");
    let emitted: BTreeSet<String> = emitting
        .flat_map(|source| macro_names(&source.code))
        .collect();
    let undescribed: Vec<&String> = emitted.difference(&described).collect();
    assert!(
        undescribed.is_empty(),
        "emitted, not described: {undescribed:?}"
    );
    let documented = metrics(&document("OPERATIONS.md"));
    let missing: Vec<&String> = described.symmetric_difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "in the code or in OPERATIONS.md only: {missing:?}"
    );
}

#[test]
fn alert_rules_name_only_metrics_that_exist() {
    let sources = sources();
    let telemetry = sources
        .iter()
        .find(|source| source.path == "telemetry/metrics.rs");
    let described = metrics(&telemetry.expect("telemetry/metrics.rs").code);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alerts.yaml");
    let rules = fs::read_to_string(path).expect("the rules are there");
    let named = metrics(&rules);
    assert!(named.len() > 5, "{named:?}");
    let unknown: Vec<&String> = named.difference(&described).collect();
    assert!(unknown.is_empty(), "in alerts.yaml only: {unknown:?}");
}

/// The names in `counter!("…")`, `gauge!("…")` and `histogram!("…")`.
fn macro_names(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("!(") {
        let name = code[at + 2..].trim_start();
        let before = &code[..at];
        let is_metric = ["counter", "gauge", "histogram"]
            .iter()
            .any(|kind| before.ends_with(kind));
        if let Some(name) = name.strip_prefix('"').filter(|_| is_metric) {
            names.extend(metrics(name.split('"').next().unwrap_or_default()));
        }
    }
    names
}

#[test]
fn every_event_type_is_documented() {
    let events = document("EVENTS.md");
    for (entity, verbs) in EVENT_TYPES {
        for verb in *verbs {
            let kind = format!("cartwire.{entity}.{verb}");
            assert!(
                events.contains(&format!("`{kind}`")),
                "EVENTS.md lacks {kind}"
            );
        }
    }
}

#[test]
fn every_example_of_an_event_fits_the_schema() {
    let schema = serde_json::to_value(json_schema()).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut examples = 0;
    for row in document("EVENTS.md").lines() {
        let cells: Vec<&str> = row.split("` | `").collect();
        let [kind, data] = cells[..] else { continue };
        let Some(kind) = kind.strip_prefix("| `cartwire.") else {
            continue;
        };
        let text = data.trim_end_matches("` |");
        let mut data: Value = serde_json::from_str(text).expect("the example is JSON");
        let (entity, _) = kind.split_once('.').expect("an entity and a verb");
        assert!(
            data[entity].is_object(),
            "the example of {kind} has no {entity}"
        );
        data["raw"] = json!({});
        let event = json!({
            "specversion": "1.0", "id": "00000000000000000000000000000000-0", "source": "/woocommerce/shop-a",
            "type": format!("cartwire.{kind}"), "subject": format!("{entity}/1"), "time": "2026-11-21T00:23:20.000Z",
            "datacontenttype": "application/json", "dataschema": format!("urn:cartwire:{entity}:1"), "platform": "woocommerce",
            "connection": "shop-a",
            "partitionkey": "shop-a/order/1", "sequence": "00000000000000131072", "origin": "webhook",
            "authority": "full", "data": data,
        });
        if let Err(error) = validator.validate(&event) {
            panic!(
                "the example of {kind}: {error} at {}",
                error.instance_path()
            );
        }
        examples += 1;
    }
    assert!(examples > 50, "{examples}");
}

#[test]
fn every_state_is_documented() {
    let operations = document("OPERATIONS.md");
    for state in DeliveryState::ALL {
        let name = format!("| `{}` |", state.as_str());
        assert!(operations.contains(&name), "OPERATIONS.md lacks {name}");
    }
}

/// The names in backticks in the first column of the table of a section.
fn first_column(document: &str, section: &str) -> BTreeSet<String> {
    let from = document.find(section).expect("the section is there");
    let text = &document[from + section.len()..];
    let text = text.split("\n## ").next().unwrap_or_default();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cell = row.split('|').nth(1).unwrap_or_default();
        cell.split('`').skip(1).step_by(2).map(str::to_owned)
    })
    .collect()
}

#[test]
fn every_reason_of_a_connection_is_documented() {
    let own = PLATFORMS.iter().filter_map(|platform| platform.api());
    let own = own.flat_map(|api| api.own_finding_codes());
    let codes: BTreeSet<String> = FindingCode::COMMON
        .iter()
        .chain(own)
        .map(FindingCode::to_string)
        .collect();
    let documented = first_column(&document("OPERATIONS.md"), "## Reasons of a connection\n");
    let missing: Vec<&String> = codes.symmetric_difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "in the code or in OPERATIONS.md only: {missing:?}"
    );
}

#[test]
fn every_reason_of_a_delivery_or_a_read_is_documented() {
    let operations = document("OPERATIONS.md");
    let missing: Vec<&str> = ReasonCode::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !operations.contains(&format!("`{code}`")))
        .collect();
    assert!(missing.is_empty(), "OPERATIONS.md lacks {missing:?}");
    // The change of a connection is the reason of the delivery that reports it.
    let of_connection = FindingCode::WebhookOwnerLostRights.to_string();
    for section in [
        "## Reasons of dead letters\n",
        "## Reasons of ignored deliveries\n",
        "## Reasons of missing data\n",
    ] {
        for reason in first_column(&operations, section) {
            let exists = ReasonCode::parse(&reason).is_some() || reason == of_connection;
            assert!(exists, "only in OPERATIONS.md: {reason}");
        }
    }
}
