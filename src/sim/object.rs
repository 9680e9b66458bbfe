//! Reading and writing Kubernetes objects kept as plain JSON.
//!
//! The simulated cluster stores what it was given, unknown fields included, so its code speaks in
//! JSON pointers instead of typed structs. An absent field reads as empty text or zero, which is
//! what Kubernetes' own `omitempty` means.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The text at `pointer`, or the empty text.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at `pointer`, or zero.
pub fn number(object: &Value, pointer: &str) -> i64 {
    number_or(object, pointer, 0)
}

/// The number at `pointer`, or the given one.
pub fn number_or(object: &Value, pointer: &str, absent: i64) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or(absent)
}

/// Whether the value at `pointer` is `true`.
pub fn is_true(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// The elements of the list at `pointer`, or none.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The object's name.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The object's namespace; empty if it has none.
pub fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// The object's uid.
pub fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Whether somebody asked for the object's deletion.
pub fn is_terminating(object: &Value) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

/// The value of an annotation, if it is set.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

/// The reference to the object's controller, if it has one.
fn controller(object: &Value) -> Option<&Value> {
    let references = list(object, "/metadata/ownerReferences");
    references
        .iter()
        .find(|reference| is_true(reference, "/controller"))
}

/// The uid of the object's controller, if it has one.
pub fn controller_uid(object: &Value) -> Option<&str> {
    controller(object).map(|reference| text(reference, "/uid"))
}

/// The name of the object's controller, if it has one.
pub fn controller_name(object: &Value) -> Option<&str> {
    controller(object).map(|reference| text(reference, "/name"))
}

/// The condition of the given type in the object's status.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// Whether the condition of the given type is `True`.
pub fn has_condition(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

/// The map under `key`, made if it is absent or something else.
pub fn map_under<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    let entry = as_map(object)
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    as_map(entry)
}

/// The value as a map; anything else is replaced by an empty map first.
pub fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("it was made a map just above")
}

/// Sets a field of the object's metadata.
pub fn set_metadata(object: &mut Value, key: &str, value: impl Into<Value>) {
    map_under(object, "metadata").insert(key.to_owned(), value.into());
}

/// Sets an annotation.
pub fn set_annotation(object: &mut Value, key: &str, value: &str) {
    map_under(map_value(object, "metadata"), "annotations").insert(key.to_owned(), value.into());
}

/// Sets a label.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    map_under(map_value(object, "metadata"), "labels").insert(key.to_owned(), value.into());
}

/// The value under `key`, made a map if it is absent.
pub fn map_value<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    as_map(object)
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()))
}

/// A time as Kubernetes writes it: RFC 3339 in whole seconds.
pub fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// The time written at `pointer`, if there is one.
pub fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// JSON with sorted keys, so that equal values have equal bytes whatever order they came in.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            let fields: Vec<_> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            leaf.to_string()
        }
    }
}

/// A 32-bit FNV-1a digest in the alphabet Kubernetes uses for name suffixes (no vowels, so no words).
pub fn short_digest(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = bytes.iter().fold(0x811c_9dc5_u32, |digest, byte| {
        (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    digest
        .to_string()
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_json_does_not_depend_on_the_order_of_keys() {
        let one = json!({"b": [1, {"y": null, "x": "ä\""}], "a": true});
        let other: Value =
            serde_json::from_str(r#"{"a":true,"b":[1,{"x":"ä\"","y":null}]}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(
            serde_json::from_str::<Value>(&canonical(&one)).unwrap(),
            one
        );
    }

    #[test]
    fn digests_are_stable_and_differ() {
        assert_eq!(short_digest(b"one"), short_digest(b"one"));
        assert_ne!(short_digest(b"one"), short_digest(b"two"));
    }

    #[test]
    fn annotations_can_be_set_on_an_object_without_any() {
        let mut object = json!({"metadata": {"name": "web"}});
        set_annotation(&mut object, "a/b", "c");
        assert_eq!(annotation(&object, "a/b"), Some("c"));
        assert_eq!(name(&object), "web");
    }
}
