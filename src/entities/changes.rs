//! The members in which two normalized forms differ, as JSON pointers (RFC 6901).

use serde_json::{Map, Value};

/// Maximum number of pointers. Beyond it, the top-level members that differ are named.
const MAX_POINTERS: usize = 100;

/// What differs between two forms.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// The pointers, in the order of the document.
    pub(crate) pointers: Vec<String>,
    /// The known value of each pointer; `null` for a member that is new.
    pub(crate) previous: Map<String, Value>,
}

/// Compares two normalized forms. An object is compared member by member. A list is compared item by item if its length
/// stayed, else as a whole.
pub(crate) fn changes(known: &Value, new: &Value) -> Changes {
    let mut finder = Finder::default();
    finder.compare(known, new);
    if finder.found.pointers.len() <= MAX_POINTERS {
        return finder.found;
    }
    top_level(known, new)
}

/// The changes so far, and the pointer of the value that is compared now.
#[derive(Default)]
struct Finder {
    found: Changes,
    pointer: String,
}

impl Finder {
    fn compare(&mut self, known: &Value, new: &Value) {
        match (known, new) {
            (Value::Object(known), Value::Object(new)) => {
                for (name, value) in known {
                    let other = new.get(name).unwrap_or(&Value::Null);
                    self.descend(&escaped(name), value, other);
                }
                for (name, value) in new.iter().filter(|(name, _)| !known.contains_key(*name)) {
                    self.descend(&escaped(name), &Value::Null, value);
                }
            }
            (Value::Array(known), Value::Array(new)) if known.len() == new.len() => {
                for (index, (value, other)) in known.iter().zip(new).enumerate() {
                    self.descend(&index.to_string(), value, other);
                }
            }
            (known, new) if known != new => self.found.add(&self.pointer, known),
            _ => {}
        }
    }

    fn descend(&mut self, name: &str, known: &Value, new: &Value) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(name);
        self.compare(known, new);
        self.pointer.truncate(length);
    }
}

fn top_level(known: &Value, new: &Value) -> Changes {
    let mut found = Changes::default();
    let (Value::Object(known), Value::Object(new)) = (known, new) else {
        return found;
    };
    let removed_or_changed = known
        .iter()
        .filter(|(name, value)| new.get(*name) != Some(value));
    for (name, value) in removed_or_changed {
        found.add(&format!("/{}", escaped(name)), value);
    }
    for name in new.keys().filter(|name| !known.contains_key(*name)) {
        found.add(&format!("/{}", escaped(name)), &Value::Null);
    }
    found
}

impl Changes {
    fn add(&mut self, pointer: &str, known: &Value) {
        self.pointers.push(pointer.to_owned());
        self.previous.insert(pointer.to_owned(), known.clone());
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::changes;

    #[test]
    fn changed_new_and_removed_members_are_named_with_their_known_values() {
        let known = json!({"id": "7", "status": "open", "totals": {"total": "9.90", "tax": "1"}, "note": "ring"});
        let new = json!({"id": "7", "status": "completed", "totals": {"total": "9.90", "tax": "2"}, "paid_at": "now"});
        let found = changes(&known, &new);
        assert_eq!(
            found.pointers,
            ["/note", "/status", "/totals/tax", "/paid_at"]
        );
        let previous =
            json!({"/status": "open", "/totals/tax": "1", "/note": "ring", "/paid_at": null});
        assert_eq!(json!(found.previous), previous);
    }

    #[test]
    fn items_are_named_by_index_while_the_length_stays() {
        let known = json!({"line_items": [{"quantity": 1}, {"quantity": 2}]});
        let new = json!({"line_items": [{"quantity": 1}, {"quantity": 3}]});
        assert_eq!(changes(&known, &new).pointers, ["/line_items/1/quantity"]);
        let longer = json!({"line_items": [{"quantity": 1}, {"quantity": 2}, {"quantity": 1}]});
        assert_eq!(changes(&known, &longer).pointers, ["/line_items"]);
    }

    #[test]
    fn same_forms_have_no_changes_and_many_changes_are_summed_up() {
        let list: Vec<_> = (0..200).map(|number| json!({"quantity": number})).collect();
        let other: Vec<_> = (1..201).map(|number| json!({"quantity": number})).collect();
        let (known, new) = (json!({"line_items": list}), json!({"line_items": other}));
        assert_eq!(changes(&known, &known).pointers, [""; 0]);
        assert_eq!(changes(&known, &new).pointers, ["/line_items"]);
    }

    #[test]
    fn special_characters_of_names_are_escaped() {
        let found = changes(&json!({"a/b~c": 1}), &json!({"a/b~c": 2}));
        assert_eq!(found.pointers, ["/a~1b~0c"]);
    }
}
