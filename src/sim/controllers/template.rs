//! Pod templates: their hash, and whether two are the same.

use serde_json::Value;

use crate::sim::object::{canonical, short_digest};

/// The label by which the pods of one revision are told from those of another.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The hash of a template; the same for equal templates, in whatever order their keys come.
pub(super) fn hash(template: &Value) -> String {
    short_digest(canonical(&without_hash(template)).as_bytes())
}

/// Whether two templates are the same, the hash label aside.
pub(super) fn are_equal(one: &Value, other: &Value) -> bool {
    // What differs in its spec need not be copied to find that out.
    one.get("spec") == other.get("spec") && without_hash(one) == without_hash(other)
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    let labels = template
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut);
    if let Some(labels) = labels {
        labels.remove(HASH_LABEL);
    }
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hash_label_does_not_make_a_template_another_one() {
        let plain = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"a": 1}});
        let labelled =
            json!({"metadata": {"labels": {"app": "web", HASH_LABEL: "x"}}, "spec": {"a": 1}});
        let other = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"a": 2}});
        assert!(are_equal(&plain, &labelled));
        assert!(!are_equal(&plain, &other));
        assert_eq!(hash(&plain), hash(&labelled));
        assert_ne!(hash(&plain), hash(&other));
    }
}
