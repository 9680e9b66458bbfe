//! The patches served: JSON Patch, JSON merge patch, and strategic merge for pod templates.
//!
//! Strategic merge knows the merge keys of pod specs and conditions, `$patch: replace`, `$patch:
//! delete` and ignores `$setElementOrder`; every other list is replaced whole, which is what
//! Kubernetes does for lists without a merge key. Server-side apply is refused (415): its field
//! ownership cannot be imitated honestly in a few lines.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Applies the patch in `body` to `current`.
///
/// # Errors
/// If the type of patch is not served (415), cannot be read (400) or cannot be applied (422).
pub fn apply(content_type: &str, current: &Value, body: &Value) -> Result<Value, Refusal> {
    let mut patched = current.clone();
    match content_type {
        "application/json-patch+json" => {
            let operations: json_patch::Patch = serde_json::from_value(body.clone())
                .map_err(|error| Refusal::bad_request(format!("error decoding patch: {error}")))?;
            json_patch::patch(&mut patched, &operations)
                .map_err(|error| Refusal::unprocessable(error.to_string()))?;
        }
        "application/merge-patch+json" => {
            must_be_object(body)?;
            json_patch::merge(&mut patched, body);
        }
        "application/strategic-merge-patch+json" => {
            must_be_object(body)?;
            patched = merge_strategically(current, body);
        }
        other => return Err(Refusal::unsupported_media_type(other)),
    }
    Ok(patched)
}

fn must_be_object(body: &Value) -> Result<(), Refusal> {
    match body {
        Value::Object(_) => Ok(()),
        _ => Err(Refusal::bad_request(
            "error decoding patch: not an object".to_owned(),
        )),
    }
}

/// The key by which elements of a list are told apart.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets" => "name",
        "ports" => "containerPort",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "hostAliases" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "conditions" | "addresses" => "type",
        "ownerReferences" => "uid",
        "podIPs" | "hostIPs" => "ip",
        _ => return None,
    })
}

fn merge_strategically(current: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut merged = match (current, directive(patch)) {
        (Value::Object(current), None) => current.clone(),
        _ => Map::new(),
    };
    for (key, value) in patch.iter().filter(|(key, _)| !key.starts_with('$')) {
        if value.is_null() {
            merged.remove(key);
            continue;
        }
        let before = merged.get(key).unwrap_or(&Value::Null);
        let after = match (value, merge_key(key)) {
            (Value::Array(items), Some(by)) => {
                merge_lists(before, items, list_key(by, before, items))
            }
            (Value::Object(map), _) if directive(map) == Some("delete") => {
                merged.remove(key);
                continue;
            }
            _ => merge_strategically(before, value),
        };
        merged.insert(key.clone(), after);
    }
    Value::Object(merged)
}

/// Ports of a Service are told apart by `port`, those of a container by `containerPort`.
fn list_key(by: &'static str, before: &Value, items: &[Value]) -> &'static str {
    let mut elements = before.as_array().into_iter().flatten().chain(items);
    let is_service = elements.any(|port| port.get("port").is_some());
    if by == "containerPort" && is_service {
        "port"
    } else {
        by
    }
}

fn merge_lists(before: &Value, items: &[Value], by: &str) -> Value {
    let replaces = |item: &Value| item.as_object().and_then(directive) == Some("replace");
    let mut merged = match before {
        Value::Array(before) if !items.iter().any(replaces) => before.clone(),
        _ => Vec::new(),
    };
    for item in items
        .iter()
        .filter(|item| !(replaces(item) && item.get(by).is_none()))
    {
        let place = merged
            .iter()
            .position(|one| one.get(by).is_some() && one.get(by) == item.get(by));
        let deletes = item.as_object().and_then(directive) == Some("delete");
        match (place, deletes) {
            (Some(place), true) => {
                merged.remove(place);
            }
            (Some(place), false) => merged[place] = merge_strategically(&merged[place], item),
            (None, true) => {}
            (None, false) => merged.push(merge_strategically(&Value::Null, item)),
        }
    }
    Value::Array(merged)
}

fn directive(patch: &Map<String, Value>) -> Option<&str> {
    patch
        .get("$patch")
        .and_then(Value::as_str)
        .filter(|directive| *directive != "merge")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRATEGIC: &str = "application/strategic-merge-patch+json";

    #[test]
    fn a_strategic_merge_sets_one_image_as_kubectl_does() {
        let current = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "web", "image": "shop:v1", "ports": [{"containerPort": 80}]},
            {"name": "log", "image": "log:v1"},
        ]}}}});
        let patch = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "web"}],
            "containers": [{"name": "web", "image": "shop:v2"}],
        }}}});
        let patched = apply(STRATEGIC, &current, &patch).unwrap();
        let containers = &patched["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["image"], "shop:v2");
        assert_eq!(containers[0]["ports"][0]["containerPort"], 80);
        assert_eq!(containers[1]["image"], "log:v1");
        assert!(!patched.to_string().contains('$'), "{patched}");
    }

    #[test]
    fn a_strategic_merge_replaces_where_it_is_told_to() {
        let current = json!({"spec": {"template": {"a": 1, "b": 2}, "replicas": 3}});
        let patch = json!({"spec": {"template": {"$patch": "replace", "c": 3}}});
        let patched = apply(STRATEGIC, &current, &patch).unwrap();
        assert_eq!(
            patched,
            json!({"spec": {"template": {"c": 3}, "replicas": 3}})
        );
    }

    #[test]
    fn a_json_patch_of_a_missing_path_is_unprocessable() {
        let patch = json!([{"op": "replace", "path": "/metadata/annotations/x", "value": "y"}]);
        let refusal = apply("application/json-patch+json", &json!({}), &patch).unwrap_err();
        assert_eq!(refusal.code, 422);
    }

    #[test]
    fn server_side_apply_is_refused() {
        let refusal = apply("application/apply-patch+yaml", &json!({}), &json!({})).unwrap_err();
        assert_eq!(refusal.code, 415);
    }
}
