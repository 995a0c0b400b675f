//! The JSON Schema of the event, made from the types.
//!
//! The envelope is written by hand in `Event`'s `Serialize`, so its schema type stands here, beside the test that holds
//! the two together (`tests/golden.rs` validates every event against it).

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Authority, Entity, Origin};

/// A Cartwire event: CloudEvents 1.0 with extension attributes.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "Cartwire event")]
struct EventSchema {
    /// The CloudEvents version.
    #[schemars(extend("const" = "1.0"))]
    specversion: String,
    /// Deterministic: the same delivery always gives the same id.
    #[schemars(regex(pattern = r"^[0-9a-f]{32}-[0-9]+$"))]
    id: String,
    /// `/{platform}/{connection}`
    #[schemars(regex(pattern = r"^/[^/]+/[^/]+$"))]
    source: String,
    /// `cartwire.{entity}.{verb}`
    #[schemars(regex(pattern = r"^cartwire\.[a-z]+\.[a-z0-9_]+$"))]
    r#type: String,
    /// `{entity}/{entity id at the platform}`
    #[schemars(regex(pattern = r"^[a-z]+/.+$"))]
    subject: String,
    /// When it happened at the store where that is known, else when it arrived; RFC 3339 UTC.
    #[schemars(extend("format" = "date-time"), regex(pattern = r"Z$"))]
    time: String,
    #[schemars(extend("const" = "application/json"))]
    datacontenttype: String,
    /// `urn:cartwire:{entity}:1`
    #[schemars(regex(pattern = r"^urn:cartwire:[a-z]+:1$"))]
    dataschema: String,
    /// The platform's name.
    #[schemars(length(min = 1))]
    platform: String,
    /// The store's connection.
    #[schemars(length(min = 1))]
    connection: String,
    /// `{connection}/{subject}`: events of one key arrive in order.
    partitionkey: String,
    /// Strictly growing per partition key, zero-padded.
    #[schemars(regex(pattern = r"^[0-9]{20}$"))]
    sequence: String,
    origin: Origin,
    authority: Authority,
    /// W3C trace context.
    #[schemars(regex(pattern = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"))]
    traceparent: String,
    /// Where the delivery is in the admin API, for an event that was too large to carry `data.raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/api/deliveries/[0-9a-f]{32}$"))]
    dataref: Option<String>,
    data: DataSchema,
}

/// The entity under its name, what changed, and the platform's payload.
#[derive(Serialize, JsonSchema)]
struct DataSchema {
    #[serde(flatten)]
    entity: Entity,
    /// The paths of what changed, in the platform's words, where it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
    /// `true` if a request to anonymize a person's data caused the event: delete your copy of that person's data too. Absent
    /// if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    triggered_by_anonymize_request: Option<bool>,
    /// When the store was asked for what the webhook left out, and told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), regex(pattern = r"Z$"))]
    completed_at: Option<String>,
    /// Why the store did not tell what the webhook left out, although it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_completed: Option<String>,
    /// The platform's payload as it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Value>,
    /// `true` if the payload was left out, because the event was too large with it. `dataref` points to the payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("const" = true))]
    raw_omitted: Option<bool>,
}

/// The schema of one event, JSON Schema 2020-12.
#[must_use]
pub fn json_schema() -> Value {
    let generator: SchemaGenerator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = false)
        .for_serialize()
        .into_generator();
    let mut schema = generator.into_root_schema_for::<EventSchema>().to_value();
    without_null(&mut schema);
    schema["$id"] = "urn:cartwire:event:1".into();
    schema["allOf"] = entities(&schema)
        .into_iter()
        .map(|entity| of_entity(&entity))
        .chain([with_or_without_raw()])
        .collect();
    schema
}

/// The entities' names, as `data` has them.
fn entities(schema: &Value) -> Vec<String> {
    let branches = schema["$defs"]["DataSchema"]["oneOf"]
        .as_array()
        .into_iter()
        .flatten();
    branches
        .filter_map(|branch| branch["required"][0].as_str().map(str::to_owned))
        .collect()
}

/// An event has its payload, or says where the payload is.
fn with_or_without_raw() -> Value {
    json!({
        "if": {"required": ["dataref"]},
        "then": {"properties": {"data": {"required": ["raw_omitted"], "not": {"required": ["raw"]}}}},
        "else": {"properties": {"data": {"required": ["raw"], "not": {"required": ["raw_omitted"]}}}},
    })
}

/// An event of a type is about that entity everywhere.
fn of_entity(entity: &str) -> Value {
    json!({
        "if": {"properties": {"data": {"required": [entity]}}},
        "then": {"properties": {
            "type": {"pattern": format!(r"^cartwire\.{entity}\.[a-z0-9_]+$")},
            "subject": {"pattern": format!("^{entity}/.+$")},
            "dataschema": {"const": format!("urn:cartwire:{entity}:1")},
        }},
    })
}

/// A field that the platform did not send is absent: no event ever has a null outside `raw`.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = &types[..] {
                    let one = one.clone();
                    members.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [Value::Object(one)] = &choices[..] {
                    let one = one.clone();
                    members.remove("anyOf");
                    members.extend(one);
                }
            }
            members.values_mut().for_each(without_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
