//! The configuration of a story's daemon: the usual one, and changes by JSON pointer.

use std::path::Path;

use serde_json::{Value, json};

use super::{OBJECTIVE, TENANT, WORKLOAD};

/// The addresses that the configuration names.
pub struct Parts<'a> {
    pub namespace: &'a str,
    pub door: &'a str,
    pub source: &'a str,
    pub ops: &'a str,
}

pub fn usual(parts: &Parts<'_>, folder: &Path, port: u16, kubeconfig: &Path) -> Value {
    json!({
        "daemon": {
            "listen": format!("127.0.0.1:{port}"),
            "store": { "sqlite": { "path": folder.join("holdfast.db") } },
            "kubernetes": { "access": "required", "kubeconfig": kubeconfig },
        },
        "rollback": { "mode": "act" },
        "receivers": { "ops": { "webhook": { "url": parts.ops } } },
        "route": { "receivers": ["ops"] },
        "tenants": { TENANT: {
            "namespaces": [parts.namespace],
            "probes": { "storefront": {
                "http": { "url": format!("{}/", parts.door) },
                "every": "250ms",
                "timeout": "250ms",
            }},
            "objectives": { OBJECTIVE: {
                "probe": "storefront",
                "measure": "error_ratio",
                "over": "10s",
                "critical": "above 10%",
                // Forty looks at a fifth of failures find one in ten every now and then, and not a
                // single one never: the alert of a bad release does not flap.
                "recover": "below 2%",
                "min_samples": 20,
                "rollback": true,
            }},
            "workloads": { WORKLOAD: {
                "deployment": WORKLOAD,
                "mode": "act",
                "bake": "8s",
                "attribution": "10m",
                "cooldown": "1s",
            }},
        }},
    })
}

pub const FILE: &str = "holdfast.yaml";

/// JSON is YAML too. Written beside and moved in, so that no reload reads half a file.
pub fn write_document(folder: &Path, document: &Value) {
    let text = serde_json::to_string_pretty(document).expect("JSON");
    let beside = folder.join(".holdfast.new");
    std::fs::write(&beside, text).expect("the story's folder is writable");
    std::fs::rename(beside, folder.join(FILE)).expect("both are in one folder");
}

pub fn put(document: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer
        .rsplit_once('/')
        .expect("a JSON pointer begins with /");
    let mut place = document;
    for name in parent.split('/').skip(1) {
        let inside = place.as_object_mut().expect("a path through mappings");
        place = inside.entry(name).or_insert_with(|| json!({}));
    }
    let inside = place.as_object_mut().expect("a path through mappings");
    if value.is_null() {
        inside.remove(key);
    } else {
        inside.insert(key.to_owned(), value);
    }
}
