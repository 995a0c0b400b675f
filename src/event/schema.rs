//! The JSON Schema of the events, generated from the types.
//!
//! The root is a union of one schema per entity: `OrderEvent` lists the event types of orders, and its
//! `data` is `OrderData`.
//! `OrderData` has the `$id` that these events carry as `dataschema`. It is a separate schema resource, so it repeats the
//! definitions that it uses. Readers that resolve references from the root find the same definitions there.
//!
//! The envelope's JSON is written by `Event`'s own `Serialize`. `tests/golden` validates every event of the fixtures against
//! this schema, so schema and JSON cannot diverge.

use std::collections::BTreeSet;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::data::Entity;
use super::money::Money;
use super::origin::{Authority, Origin};
use super::types::EVENT_TYPES;

/// The CloudEvents 1.0 attributes and the gateway's extension attributes that are the same for all entities.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Envelope {
    /// The version of the CloudEvents specification.
    #[schemars(extend("const" = "1.0"))]
    specversion: String,
    /// The event's id: the delivery's key and the event's index in the delivery. It is deterministic: an event that is
    /// published again has the same id. Consumers use the id to drop duplicates.
    #[schemars(regex(pattern = r"^[0-9a-f]{32}-[0-9]+$"))]
    id: String,
    /// The origin of the event: `/{platform}/{connection}`.
    #[schemars(regex(pattern = r"^/[^/]+/[^/]+$"))]
    source: String,
    /// When the change happened at the store, as reported by the platform. If the platform does not report this time: when
    /// the gateway received the delivery. RFC 3339 in UTC with three decimals, so that times sort as text.
    #[schemars(
        extend("format" = "date-time"),
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$")
    )]
    time: String,
    /// The media type of `data`.
    #[schemars(extend("const" = "application/json"))]
    datacontenttype: String,
    /// The platform of the store: `woocommerce` or `wix`.
    #[schemars(length(min = 1))]
    platform: String,
    /// The name of the store's connection. For a site that installed a Wix app: the instance id.
    #[schemars(length(min = 1))]
    connection: String,
    /// `{connection}/{subject}`. Events of one partition key are published in order.
    partitionkey: String,
    /// The order of the event within its partition key: strictly growing, with gaps, zero-padded to 20 digits.
    #[schemars(regex(pattern = r"^[0-9]{20}$"))]
    sequence: String,
    /// Why the event was published.
    origin: Origin,
    /// How much of the entity the event carries.
    authority: Authority,
    /// Path of the delivery in the admin API. Present only if the event was too large to carry `data.raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^/api/deliveries/[0-9a-f]{32}$"))]
    dataref: Option<String>,
}

/// The members of `data` beside the entity.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Accompaniment {
    /// The members that differ from the last known state of the entity, as JSON pointers into the entity, for example
    /// `/totals/paid`. If no state was known: the platform's names of the changed members, or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
    /// The known values of the members in `changed`, by pointer; `null` for a new member. Present only if the gateway
    /// runs with `--publish-previous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Map<String, Value>>,
    /// `true` if the store sent older content than the gateway knows. The entity is the known state. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("const" = true))]
    stale: Option<bool>,
    /// The amount that was refunded since the last known state. Present only in `order.refunded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<Money>,
    /// `true` if a request to anonymize a person's data caused the event. Consumers must delete their copies of that
    /// person's data too. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    triggered_by_anonymize_request: Option<bool>,
    /// When the gateway fetched the members that the webhook left out from the store's API. RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"), regex(pattern = r"Z$"))]
    completed_at: Option<String>,
    /// Reason code: why the gateway could not fetch the members that the webhook left out from the store's API.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_completed: Option<String>,
    /// The platform's payload as received; for Wix the decoded innermost payload. Names and texts are unchanged, HTML
    /// entities included. Only a lone surrogate is replaced by U+FFFD.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Value>,
    /// `true` if `raw` was left out because the event was too large. `dataref` points to the payload. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("const" = true))]
    raw_omitted: Option<bool>,
}

/// The schema of all events, JSON Schema 2020-12.
#[must_use]
pub fn json_schema() -> Value {
    let mut generator: SchemaGenerator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    let envelope = generator.subschema_for::<Envelope>().to_value();
    let beside = generator.subschema_for::<Accompaniment>().to_value();
    let entities = generator.root_schema_for::<Entity>().to_value();
    let mut definitions = generator.take_definitions(true);
    definitions.remove("Entity");
    let mut events = Vec::new();
    for branch in entities["oneOf"].as_array().into_iter().flatten() {
        let Some(name) = branch["required"][0].as_str() else {
            continue;
        };
        let title = capitalized(name);
        let data = data_schema(name, branch, &beside, &definitions);
        let event = event_schema(name, &envelope);
        definitions.insert(format!("{title}Data"), data);
        definitions.insert(format!("{title}Event"), event);
        events.push(json!({"$ref": format!("#/$defs/{title}Event")}));
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:cartwire:event:1",
        "title": "CartwireEvent",
        "description": "An event: CloudEvents 1.0 with extension attributes. `type` and `dataschema` identify the kind of event.",
        "oneOf": events,
        "$defs": definitions,
    });
    require_raw_or_dataref(&mut schema);
    simplify(&mut schema);
    schema
}

/// Adds the rule that an event has either `data.raw` or `dataref`.
fn require_raw_or_dataref(schema: &mut Value) {
    // Ajv's strict mode requires the types and members beside each keyword, so they are repeated.
    let data = |required: &str, other: &str| {
        let data = json!({
            "type": "object",
            "required": [required],
            "properties": {required: true, other: false},
        });
        json!({"type": "object", "properties": {"data": data}})
    };
    schema["if"] = json!({
        "type": "object",
        "required": ["dataref"],
        "properties": {"dataref": true},
    });
    schema["then"] = data("raw_omitted", "raw");
    schema["else"] = data("raw", "raw_omitted");
}

/// The schema of the events of an entity.
fn event_schema(entity: &str, envelope: &Value) -> Value {
    let types = match EVENT_TYPES.iter().find(|(name, _)| *name == entity) {
        Some((_, verbs)) => {
            let types: Vec<String> = verbs
                .iter()
                .map(|verb| format!("cartwire.{entity}.{verb}"))
                .collect();
            json!({"title": format!("{}EventType", capitalized(entity)), "type": "string", "enum": types})
        }
        None => json!({"type": "string", "pattern": format!(r"^cartwire\.{entity}\.[a-z0-9_]+$")}),
    };
    let mut schema = envelope.clone();
    let own = [
        (
            "type",
            types,
            "The kind of change: `cartwire.{entity}.{verb}`. For an action the verb is the hook's name in lower case, with `_` in \
             place of all characters except letters and digits.",
        ),
        (
            "subject",
            json!({"type": "string", "pattern": format!("^{entity}/.+$")}),
            "The changed entity: `{entity}/{id at the platform}`.",
        ),
        (
            "dataschema",
            json!({"type": "string", "const": data_id(entity)}),
            "The `$id` of the schema of `data`.",
        ),
        (
            "data",
            json!({"$ref": format!("#/$defs/{}Data", capitalized(entity))}),
            "The entity, and the platform's payload.",
        ),
    ];
    for (name, mut member, description) in own {
        member["description"] = description.into();
        schema["properties"][name] = member;
        require(&mut schema, name);
    }
    schema["title"] = format!("{}Event", capitalized(entity)).into();
    schema["description"] = format!("An event about `data.{entity}`.").into();
    schema
}

/// The schema of `data` in the events of an entity: a separate schema resource with all definitions that it uses.
fn data_schema(
    entity: &str,
    branch: &Value,
    beside: &Value,
    definitions: &Map<String, Value>,
) -> Value {
    let mut schema = beside.clone();
    schema["$id"] = data_id(entity).into();
    schema["title"] = format!("{}Data", capitalized(entity)).into();
    schema["description"] = branch["description"].clone();
    schema["properties"][entity] = branch["properties"][entity].clone();
    schema["properties"][entity]["description"] = branch["description"].clone();
    require(&mut schema, entity);
    let mut needed = BTreeSet::new();
    gather_references(&schema, definitions, &mut needed);
    let needed: Map<String, Value> = needed
        .into_iter()
        .map(|name| (name.clone(), definitions[&name].clone()))
        .collect();
    schema["$defs"] = needed.into();
    schema
}

fn require(schema: &mut Value, member: &str) {
    match schema["required"].as_array_mut() {
        Some(required) => required.push(member.into()),
        None => schema["required"] = json!([member]),
    }
}

fn data_id(entity: &str) -> String {
    format!("urn:cartwire:{entity}:1")
}

/// Adds the names of all definitions that this schema refers to, also through other definitions.
fn gather_references(
    schema: &Value,
    definitions: &Map<String, Value>,
    names: &mut BTreeSet<String>,
) {
    match schema {
        Value::Array(items) => {
            for item in items {
                gather_references(item, definitions, names);
            }
        }
        Value::Object(members) => {
            let name = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix("#/$defs/"));
            if let Some((name, definition)) = name.zip(name.and_then(|name| definitions.get(name)))
                && names.insert(name.to_owned())
            {
                gather_references(definition, definitions, names);
            }
            for member in members.values() {
                gather_references(member, definitions, names);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_ascii_uppercase(), letters.as_str())
    })
}

/// Converts the schema to the form that code generators support best: no `null`, and enumerations as `enum`.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(members) => {
            without_null(members);
            as_enumeration(members);
            as_bare_reference(members);
            members.values_mut().for_each(simplify);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Removes `null` from types. A member that the platform did not send is absent, so no event has `null` outside `raw`.
fn without_null(members: &mut Map<String, Value>) {
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
}

/// Converts a choice of described constants into an `enum`, with the meanings in the description.
fn as_enumeration(members: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = members.get("oneOf") else {
        return;
    };
    let words: Option<Vec<&str>> = choices
        .iter()
        .map(|choice| choice["const"].as_str())
        .collect();
    let Some(words) = words else {
        return;
    };
    let mut description = members
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for (word, choice) in words.iter().zip(choices) {
        let meaning = choice["description"].as_str().unwrap_or_default();
        description.push_str(&format!("\n- `{word}`: {meaning}"));
    }
    let words = json!(words);
    members.remove("oneOf");
    members.insert("type".to_owned(), "string".into());
    members.insert("enum".to_owned(), words);
    members.insert("description".to_owned(), description.into());
}

/// Moves a reference that has a description beside it into `allOf`. Otherwise code generators duplicate the class.
fn as_bare_reference(members: &mut Map<String, Value>) {
    if members.len() > 1
        && let Some(reference) = members.remove("$ref")
    {
        members.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataschema_has_its_schema_and_every_type_its_place() {
        let schema = json_schema();
        let definitions = schema["$defs"].as_object().expect("definitions");
        let entities: Vec<&str> = EVENT_TYPES.iter().map(|(entity, _)| *entity).collect();
        assert_eq!(
            schema["oneOf"].as_array().map(Vec::len),
            Some(entities.len() + 1),
            "the entities of the list, and actions"
        );
        for entity in entities.into_iter().chain(["action"]) {
            let event = &definitions[&format!("{}Event", capitalized(entity))];
            let data = &definitions[&format!("{}Data", capitalized(entity))];
            assert_eq!(event["properties"]["dataschema"]["const"], data["$id"]);
            assert_eq!(data["$id"], data_id(entity));
            jsonschema::validator_for(data).expect("data has a schema by itself");
        }
        let types = &definitions["ActionEvent"]["properties"]["type"];
        assert_eq!(types["pattern"], r"^cartwire\.action\.[a-z0-9_]+$");
    }

    #[test]
    fn every_member_and_definition_is_described() {
        fn check_members(place: &str, schema: &Value, undescribed: &mut Vec<String>) {
            let members = schema["properties"].as_object().into_iter().flatten();
            for (name, member) in members {
                let text = member["description"].as_str().unwrap_or_default();
                if text.len() < 12 {
                    undescribed.push(format!("{place}.{name}: {text:?}"));
                }
            }
        }
        let schema = json_schema();
        let mut undescribed = Vec::new();
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            if definition["description"].as_str().is_none() {
                undescribed.push(name.clone());
            }
            check_members(name, definition, &mut undescribed);
        }
        assert!(undescribed.is_empty(), "{undescribed:#?}");
    }
}
