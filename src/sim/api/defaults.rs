//! What the API server fills in, and what it refuses to store.
//!
//! Defaults matter here because templates are compared whole: a Deployment and the ReplicaSet made
//! from it must carry the same ones. Validation covers the mistakes a rollback could make (selector
//! and template apart, no containers, a changed selector), not the whole of Kubernetes' rules.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::resource::{
    DAEMON_SETS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, Resource, SERVICES, STATEFUL_SETS,
};
use super::selector::Selector;
use crate::sim::object::{list, map_value, number_or, text};

/// Fills in what the writer left out.
pub fn fill(resource: &Resource, object: &mut Value) {
    if resource == &DEPLOYMENTS {
        fill_deployment(map_value(object, "spec"));
    } else if resource == &REPLICA_SETS || resource == &STATEFUL_SETS {
        let spec = map_value(object, "spec");
        absent(spec, "replicas", json!(1));
        fill_template(spec);
    } else if resource == &DAEMON_SETS {
        fill_template(map_value(object, "spec"));
    } else if resource == &PODS {
        fill_pod(map_value(object, "spec"));
        let status = map_value(object, "status");
        absent(status, "phase", json!("Pending"));
        absent(status, "qosClass", json!("BestEffort"));
    } else if resource == &SERVICES {
        fill_service(map_value(object, "spec"));
    } else if resource == &NAMESPACES {
        absent(map_value(object, "status"), "phase", json!("Active"));
    }
}

fn absent(object: &mut Value, key: &str, value: Value) {
    if object.get(key).is_none_or(Value::is_null) {
        crate::sim::object::as_map(object).insert(key.to_owned(), value);
    }
}

fn fill_deployment(spec: &mut Value) {
    absent(spec, "replicas", json!(1));
    absent(spec, "revisionHistoryLimit", json!(10));
    absent(spec, "progressDeadlineSeconds", json!(600));
    let strategy = map_value(spec, "strategy");
    absent(strategy, "type", json!("RollingUpdate"));
    if text(strategy, "/type") == "RollingUpdate" {
        let rolling = map_value(strategy, "rollingUpdate");
        absent(rolling, "maxSurge", json!("25%"));
        absent(rolling, "maxUnavailable", json!("25%"));
    }
    fill_template(spec);
}

fn fill_template(spec: &mut Value) {
    let template = map_value(spec, "template");
    let metadata = map_value(template, "metadata");
    absent(metadata, "creationTimestamp", Value::Null);
    if metadata["creationTimestamp"].is_null() {
        crate::sim::object::as_map(metadata).remove("creationTimestamp");
    }
    fill_pod(map_value(template, "spec"));
}

fn fill_pod(spec: &mut Value) {
    absent(spec, "restartPolicy", json!("Always"));
    absent(spec, "terminationGracePeriodSeconds", json!(30));
    absent(spec, "dnsPolicy", json!("ClusterFirst"));
    absent(spec, "securityContext", json!({}));
    absent(spec, "schedulerName", json!("default-scheduler"));
    for kind in ["initContainers", "containers"] {
        for container in spec
            .get_mut(kind)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            fill_container(container);
        }
    }
}

fn fill_container(container: &mut Value) {
    let image = text(container, "/image");
    let is_latest = image.ends_with(":latest") || !image.contains(':');
    absent(
        container,
        "imagePullPolicy",
        json!(if is_latest { "Always" } else { "IfNotPresent" }),
    );
    absent(container, "resources", json!({}));
    absent(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    absent(container, "terminationMessagePolicy", json!("File"));
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        absent(port, "protocol", json!("TCP"));
    }
    for kind in ["readinessProbe", "livenessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(kind) {
            absent(probe, "timeoutSeconds", json!(1));
            absent(probe, "periodSeconds", json!(10));
            absent(probe, "successThreshold", json!(1));
            absent(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet") {
                absent(get, "path", json!("/"));
                absent(get, "scheme", json!("HTTP"));
            }
        }
    }
}

fn fill_service(spec: &mut Value) {
    absent(spec, "type", json!("ClusterIP"));
    absent(spec, "sessionAffinity", json!("None"));
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        absent(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        absent(port, "targetPort", number);
    }
}

/// Refuses what must not be stored; `current` is the object as it is, for an update.
///
/// # Errors
/// The first rule broken, as `Invalid`.
pub fn check(resource: &Resource, object: &Value, current: Option<&Value>) -> Result<(), Refusal> {
    let name = text(object, "/metadata/name");
    if !is_name(name) {
        let problem =
            format!("Invalid value: {name:?}: a lowercase RFC 1123 subdomain is required");
        return Err(Refusal::invalid(resource, name, "metadata.name", &problem));
    }
    if [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS, &DAEMON_SETS].contains(&resource) {
        check_workload(resource, name, object, current)
    } else if resource == &PODS {
        check_containers(resource, name, object, "spec")
    } else {
        Ok(())
    }
}

fn check_workload(
    resource: &Resource,
    name: &str,
    object: &Value,
    current: Option<&Value>,
) -> Result<(), Refusal> {
    let invalid = |field, problem: &str| Err(Refusal::invalid(resource, name, field, problem));
    let Some(selector) = object
        .pointer("/spec/selector")
        .filter(|value| value.is_object())
    else {
        return invalid("spec.selector", "Required value");
    };
    if current.is_some_and(|current| current.pointer("/spec/selector") != Some(selector)) {
        return invalid("spec.selector", "Invalid value: field is immutable");
    }
    let labels = object.pointer("/spec/template/metadata/labels");
    let parsed = Selector::of_workload(selector);
    if parsed.is_empty() {
        return invalid(
            "spec.selector",
            "Invalid value: empty selector is invalid for a workload",
        );
    }
    if !parsed.matches_labels(labels) {
        let problem = "Invalid value: `selector` does not match template `labels`";
        return invalid("spec.template.metadata.labels", problem);
    }
    if number_or(object, "/spec/replicas", 0) < 0 {
        let problem = "Invalid value: must be greater than or equal to 0";
        return invalid("spec.replicas", problem);
    }
    check_containers(resource, name, object, "spec.template.spec")
}

fn check_containers(
    resource: &Resource,
    name: &str,
    object: &Value,
    field: &str,
) -> Result<(), Refusal> {
    let pointer = format!("/{}/containers", field.replace('.', "/"));
    let containers = list(object, &pointer);
    if containers.is_empty() {
        let field = format!("{field}.containers");
        return Err(Refusal::invalid(resource, name, &field, "Required value"));
    }
    for (index, container) in containers.iter().enumerate() {
        for key in ["name", "image"] {
            if container
                .get(key)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                let field = format!("{field}.containers[{index}].{key}");
                return Err(Refusal::invalid(resource, name, &field, "Required value"));
            }
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 253
        && name
            .bytes()
            .all(|byte| inner(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().last().is_some_and(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Value {
        json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "web", "image": "shop:v1"}]},
                },
            },
        })
    }

    #[test]
    fn filling_twice_changes_nothing_more() {
        let mut once = deployment();
        fill(&DEPLOYMENTS, &mut once);
        let mut twice = once.clone();
        fill(&DEPLOYMENTS, &mut twice);
        assert_eq!(once, twice);
        assert_eq!(once["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
        assert_eq!(once["spec"]["progressDeadlineSeconds"], 600);
        check(&DEPLOYMENTS, &once, None).unwrap();
    }

    #[test]
    fn a_selector_apart_from_its_template_is_refused() {
        let mut object = deployment();
        object["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
        let refusal = check(&DEPLOYMENTS, &object, None).unwrap_err();
        assert_eq!(refusal.code, 422);
        assert!(
            refusal.message.contains("does not match template"),
            "{refusal}"
        );
    }

    #[test]
    fn a_selector_cannot_change() {
        let current = deployment();
        let mut object = deployment();
        object["spec"]["selector"]["matchLabels"] = json!({});
        let refusal = check(&DEPLOYMENTS, &object, Some(&current)).unwrap_err();
        assert!(refusal.message.contains("immutable"), "{refusal}");
    }
}
