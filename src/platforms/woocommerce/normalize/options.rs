//! The options that buyers can choose, and the chosen ones: attributes of products and variants, meta data of order lines.
//!
//! Plugins store values of any type there. A value that is not a text is converted to text without loss.

use crate::event::data::{OptionValue, ProductOption};
use crate::platforms::json::Json;
use crate::platforms::lenient::Node;
use crate::platforms::text::{decode_entities, decode_slug};

/// The chosen options of an order line: the meta data that buyers see. Keys that begin with `_` are internal.
pub(super) fn chosen(line: Node<'_>) -> Option<Vec<OptionValue>> {
    let meta = line.first(&["meta_data", "meta"]);
    // An entry has a key. An object without a key maps names to values.
    let is_entry = ["key", "display_key"]
        .iter()
        .any(|name| meta.get(name).text().is_some());
    let entries = if is_entry {
        meta.keyed_entries().known()?
    } else {
        meta.keyed_members().known()?
    };
    let options: Vec<OptionValue> = entries
        .into_iter()
        .filter_map(|(key, meta)| choice(key, meta))
        .collect();
    if options.is_empty() {
        None
    } else {
        Some(options)
    }
}

/// One entry of a line's meta data. Some plugins send only the values, under their keys.
fn choice(key: Option<&str>, meta: Node<'_>) -> Option<OptionValue> {
    let (key, name, value) = if meta.is_object() {
        let key = meta.get("key").text();
        let name = meta.first(&["display_key", "label"]).text();
        let shown = written(meta.get("display_value"));
        (key, name, shown.or_else(|| written(meta.get("value"))))
    } else {
        (label(key), None, written(meta))
    };
    if key.as_ref().is_some_and(|key| key.starts_with('_')) {
        return None;
    }
    Some(OptionValue {
        name: Some(readable(&name.or(key)?)),
        value: Some(value?),
    })
}

/// The attributes of a product, or of a variant, which has one value each. A variant's empty value means "any".
pub(super) fn attributes(node: Node<'_>) -> Option<Vec<ProductOption>> {
    let entries = node.keyed_entries().known()?;
    Some(
        entries
            .into_iter()
            .map(|(key, attribute)| ProductOption {
                name: name_of(key, attribute),
                values: values(attribute),
            })
            .collect(),
    )
}

/// The attributes of a variant in the list of its product.
pub(super) fn of_variant(node: Node<'_>) -> Option<Vec<OptionValue>> {
    let entries = node.keyed_entries().known()?;
    Some(
        entries
            .into_iter()
            .map(|(key, attribute)| OptionValue {
                name: name_of(key, attribute),
                value: values(attribute).and_then(|values| values.into_iter().next()),
            })
            .collect(),
    )
}

fn name_of(key: Option<&str>, attribute: Node<'_>) -> Option<String> {
    let name = attribute.get("name").text().or_else(|| label(key));
    name.map(|name| readable(&name))
}

fn values(attribute: Node<'_>) -> Option<Vec<String>> {
    if !attribute.is_object() {
        return written(attribute).map(|value| vec![value]);
    }
    let offered = attribute.get("options").scalars().known();
    match offered {
        Some(offered) => Some(offered.into_iter().filter_map(written).collect()),
        None => {
            let single = attribute.first(&["options", "option", "value"]);
            written(single).map(|value| vec![value])
        }
    }
}

/// A key that is a name. In a list with gaps the keys are numbers.
fn label(key: Option<&str>) -> Option<String> {
    key.filter(|key| !key.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

/// A text in plain Unicode. A slug of percent signs is decoded; in other texts, HTML entities are decoded.
fn readable(text: &str) -> String {
    decode_slug(text).unwrap_or_else(|| decode_entities(text).into_owned())
}

/// A value of any type as text; `None` for null and for an empty text or list.
///
/// A list of simple values is joined by commas. If a value has a comma, and for all other nesting, the text is JSON, so that
/// nothing is lost.
fn written(node: Node<'_>) -> Option<String> {
    let text = match node.value()? {
        Json::Null => return None,
        Json::Array(items) => match joined(items) {
            Some(text) => text,
            None => json(node.value()?),
        },
        Json::Object(members) if members.is_empty() => return None,
        // A list with gaps.
        Json::Object(members) if members.iter().all(|(key, _)| label(Some(key)).is_none()) => {
            let items: Vec<Json<'_>> = members.iter().map(|(_, item)| item.clone()).collect();
            joined(&items).unwrap_or_else(|| json(&Json::Array(items.into())))
        }
        value @ Json::Object(_) => json(value),
        scalar => plain(scalar)?,
    };
    if text.is_empty() { None } else { Some(text) }
}

/// The values, joined by commas; `None` if the result would be ambiguous.
fn joined(items: &[Json<'_>]) -> Option<String> {
    let texts: Vec<String> = items.iter().map(plain).collect::<Option<_>>()?;
    if texts.len() > 1
        && texts
            .iter()
            .any(|text| text.is_empty() || text.contains(','))
    {
        return None;
    }
    Some(texts.join(", "))
}

/// A scalar as text.
fn plain(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Text(text) => Some(readable(text)),
        Json::Number(digits) => Some(digits.to_string()),
        Json::Bool(flag) => Some(flag.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// A value as compact JSON, with its texts in plain Unicode.
fn json(value: &Json<'_>) -> String {
    let mut text = String::new();
    write_json(value, &mut text);
    text
}

/// Documents have at most 128 levels, so this recursion is bounded.
fn write_json(value: &Json<'_>, text: &mut String) {
    let quoted = |content: &str| serde_json::Value::from(content).to_string();
    match value {
        Json::Null => text.push_str("null"),
        Json::Bool(flag) => text.push_str(&flag.to_string()),
        Json::Number(digits) => text.push_str(digits),
        Json::Text(content) => text.push_str(&quoted(&readable(content))),
        Json::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_json(item, text);
            }
            text.push(']');
        }
        Json::Object(members) => {
            text.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(&readable(name)));
                text.push(':');
                write_json(member, text);
            }
            text.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platforms::json::parse;

    fn text_of(value: &str) -> Option<String> {
        written(Node::root(&parse(value).expect("a document")))
    }

    #[test]
    fn values_of_every_type_are_written_without_loss() {
        for (value, text) in [
            (r#""M.B. &amp; Co""#, "M.B. & Co"),
            ("true", "true"),
            ("false", "false"),
            ("12.50", "12.50"),
            ("0", "0"),
            (r#"["Mon","Thu"]"#, "Mon, Thu"),
            (r#"["Mon"]"#, "Mon"),
            (r#"["a, b"]"#, "a, b"),
            (r#"["a, b","c"]"#, r#"["a, b","c"]"#),
            (r#"[1,true,"x"]"#, "1, true, x"),
            (r#"[["a"],null]"#, r#"[["a"],null]"#),
            (r#"{"0":"Mon","2":"Thu"}"#, "Mon, Thu"),
            (
                r#"{"w":40,"h":[60,"&eacute;"]}"#,
                r#"{"w":40,"h":[60,"é"]}"#,
            ),
            (r#""%ce%ba%cf%8c""#, "κό"),
            (r#""100%""#, "100%"),
        ] {
            assert_eq!(text_of(value).as_deref(), Some(text), "{value}");
        }
        for nothing in ["null", r#""""#, "[]", "{}"] {
            assert_eq!(text_of(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn meta_data_is_read_as_a_list_under_keys_and_as_a_map() {
        for meta in [
            r#"[{"key":"pa_size","value":"m","display_key":"Size","display_value":"M"},{"key":"_x","value":"y"}]"#,
            r#"{"3":{"key":"pa_size","display_key":"Size","display_value":"M"},"7":{"key":"_x","value":"y"}}"#,
            r#"{"Size":"M","_x":"y"}"#,
            r#"{"key":"Size","value":"M"}"#,
            r#"[{"key":"size","label":"Size","value":"M","display_value":null}]"#,
        ] {
            let line = format!("{{\"meta_data\":{meta}}}");
            let document = parse(&line).expect("a document");
            let options = chosen(Node::root(&document)).expect("options");
            assert_eq!(options.len(), 1, "{meta}");
            assert_eq!(
                (options[0].name.as_deref(), options[0].value.as_deref()),
                (Some("Size"), Some("M")),
                "{meta}"
            );
        }
    }
}
