//! Identity of a pod template: a digest over its canonical JSON.
//!
//! Left out is what makes no difference to what runs: the label that the Deployment controller adds, and
//! the annotation by which `kubectl rollout restart` makes the same template roll again, so a restart
//! inherits its revision's standing. Nulls are left out too (older API servers write
//! `creationTimestamp: null`). Empty objects stay: `emptyDir: {}` and `labelSelector: {}` mean something.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::id::{Digest, TemplateDigest};

/// The label that the Deployment controller puts on a ReplicaSet's template.
pub const HASH_LABEL: &str = "pod-template-hash";
/// The annotation that `kubectl rollout restart` writes.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Digests a pod template.
#[must_use]
pub fn digest(template: &Value) -> TemplateDigest {
    let mut template = without_hash(template);
    remove_key(&mut template, "annotations", RESTARTED_AT);
    let mut text = String::new();
    canonical(&template, &mut text);
    TemplateDigest(Digest::of(&[b"template".as_slice(), text.as_bytes()]))
}

/// The template as it was before the controller put its label on.
#[must_use]
pub fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    remove_key(&mut template, "labels", HASH_LABEL);
    template
}

/// Images of all containers in order, for people.
#[must_use]
pub fn images(template: &Value) -> Vec<Arc<str>> {
    ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .filter_map(|place| template.pointer(place)?.as_array())
        .flatten()
        .filter_map(|container| container.get("image")?.as_str())
        .map(Arc::from)
        .collect()
}

/// Takes a label or an annotation away, and the map itself if it was the last.
fn remove_key(template: &mut Value, map: &str, key: &str) {
    let Some(Value::Object(metadata)) = template.get_mut("metadata") else {
        return;
    };
    let Some(Value::Object(entries)) = metadata.get_mut(map) else {
        return;
    };
    entries.remove(key);
    if entries.is_empty() {
        metadata.remove(map);
    }
}

/// Writes JSON with sorted keys and without nulls in objects.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(entries) => canonical_object(entries, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

fn canonical_object(entries: &Map<String, Value>, out: &mut String) {
    let mut keys: Vec<_> = entries
        .iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in keys {
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push(':');
        canonical(value, out);
        out.push(',');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({
            "metadata": { "labels": { "app": "api" } },
            "spec": { "containers": [{ "name": "api", "image": "api:1", "volumeMounts": [] }],
                      "volumes": [{ "name": "tmp", "emptyDir": {} }] },
        })
    }

    #[test]
    fn the_controllers_label_and_a_restart_make_no_difference() {
        let mut same = template();
        same["metadata"]["labels"][HASH_LABEL] = json!("5d4f");
        same["metadata"]["annotations"] = json!({ RESTARTED_AT: "2026-01-05T09:00:00Z" });
        same["metadata"]["creationTimestamp"] = Value::Null;
        assert_eq!(digest(&same), digest(&template()));
    }

    #[test]
    fn another_annotation_makes_a_difference() {
        let mut other = template();
        other["metadata"]["annotations"] = json!({ "checksum/config": "1" });
        assert_ne!(digest(&other), digest(&template()));
    }

    #[test]
    fn an_image_the_order_of_containers_and_an_empty_object_make_a_difference() {
        let mut image = template();
        image["spec"]["containers"][0]["image"] = json!("api:2");
        assert_ne!(digest(&image), digest(&template()));

        let mut volume = template();
        volume["spec"]["volumes"][0]
            .as_object_mut()
            .unwrap()
            .remove("emptyDir");
        assert_ne!(digest(&volume), digest(&template()));

        let mut two = template();
        two["spec"]["containers"] = json!([{ "name": "a" }, { "name": "b" }]);
        let mut swapped = template();
        swapped["spec"]["containers"] = json!([{ "name": "b" }, { "name": "a" }]);
        assert_ne!(digest(&two), digest(&swapped));
    }

    #[test]
    fn the_order_of_keys_makes_no_difference() {
        let one: Value = serde_json::from_str(r#"{"spec":{"a":1,"b":{"c":2,"d":3}}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"spec":{"b":{"d":3,"c":2},"a":1}}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
    }

    #[test]
    fn text_cannot_imitate_structure() {
        let one = json!({ "a": "1,\"b\":2" });
        let two = json!({ "a": "1", "b": 2 });
        assert_ne!(digest(&one), digest(&two));
    }

    #[test]
    fn without_hash_leaves_everything_else() {
        let mut labelled = template();
        labelled["metadata"]["labels"][HASH_LABEL] = json!("5d4f");
        assert_eq!(without_hash(&labelled), template());
        assert_eq!(images(&labelled), [Arc::from("api:1")]);
    }
}
