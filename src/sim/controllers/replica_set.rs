//! One look at one ReplicaSet: pods made, pods deleted, pods counted.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::sim::api::{Deletion, Key, PODS, REPLICA_SETS, Refusal, Scope, Selector, Store};
use crate::sim::object::{
    annotation, condition, controller_uid, has_condition, is_terminating, list, name, namespace,
    number, text, time, uid,
};

/// Brings the number of pods to what the set asks for, and writes its status.
pub(super) fn sync(store: &Store, set: &Arc<Value>) -> Result<(), Refusal> {
    // A set deleted or changed earlier in the round must not act on what it was.
    let Some(set) = store
        .get(&Key::of(&REPLICA_SETS, set))
        .filter(|now| uid(now) == uid(set))
    else {
        return Ok(());
    };
    let mut pods = active_pods(store, &set);
    if !is_terminating(&set) {
        let wanted = usize::try_from(number(&set, "/spec/replicas")).unwrap_or_default();
        for _ in pods.len()..wanted {
            store.create(&PODS, namespace(&set), &pod_of(&set))?;
        }
        pods.sort_by_key(|pod| dispensability(pod));
        for pod in pods.iter().take(pods.len().saturating_sub(wanted)) {
            store.delete(&Key::of(&PODS, pod), &Deletion::default())?;
        }
    }
    write_status(store, &set, &active_pods(store, &set))
}

fn active_pods(store: &Store, set: &Value) -> Vec<Arc<Value>> {
    let (mut pods, _) = store.list(&PODS, namespace(set));
    pods.retain(|pod| {
        let ended = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
        controller_uid(pod) == Some(uid(set)) && !is_terminating(pod) && !ended
    });
    pods
}

/// The order in which pods are given up: what serves least goes first, then the youngest.
fn dispensability(pod: &Value) -> (bool, u8, bool, i64, i64, i64, i64) {
    let phase = match text(pod, "/status/phase") {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let cost = annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
    let restarts: i64 = list(pod, "/status/containerStatuses")
        .iter()
        .map(|container| number(container, "/restartCount"))
        .sum();
    let youngest = |time: Option<Timestamp>| time.map_or(0, |time| -time.as_second());
    let ready_since = condition(pod, "Ready").and_then(|one| time(one, "/lastTransitionTime"));
    (
        !text(pod, "/spec/nodeName").is_empty(),
        phase,
        has_condition(pod, "Ready"),
        cost.and_then(|cost| cost.parse().ok()).unwrap_or_default(),
        youngest(ready_since),
        -restarts,
        youngest(time(pod, "/metadata/creationTimestamp")),
    )
}

fn pod_of(set: &Value) -> Value {
    let template = &set["spec"]["template"];
    let mut metadata = json!({
        "generateName": format!("{}-", name(set)),
        "labels": template["metadata"]["labels"],
        "ownerReferences": [{
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": name(set),
            "uid": uid(set),
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    if let Some(annotations) = template["metadata"].get("annotations") {
        metadata["annotations"] = annotations.clone();
    }
    json!({"metadata": metadata, "spec": template["spec"]})
}

fn write_status(store: &Store, set: &Arc<Value>, pods: &[Arc<Value>]) -> Result<(), Refusal> {
    let min_ready = SignedDuration::from_secs(number(set, "/spec/minReadySeconds"));
    let now = store.now();
    let labels = Selector::of_workload(&json!({
        "matchLabels": set["spec"]["template"]["metadata"]["labels"],
    }));
    let ready: Vec<_> = pods
        .iter()
        .filter(|pod| has_condition(pod, "Ready"))
        .collect();
    let available = ready.iter().filter(|pod| {
        let since = condition(pod, "Ready").and_then(|one| time(one, "/lastTransitionTime"));
        min_ready.is_zero() || since.is_some_and(|since| since + min_ready <= now)
    });
    let counts = [
        (
            "fullyLabeledReplicas",
            pods.iter().filter(|pod| labels.matches(pod)).count(),
        ),
        ("readyReplicas", ready.len()),
        ("availableReplicas", available.count()),
    ];
    let mut status = json!({
        "replicas": pods.len(),
        "observedGeneration": number(set, "/metadata/generation"),
    });
    for (key, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        status[key] = count.into();
    }
    if let Some(conditions) = set.pointer("/status/conditions") {
        status["conditions"] = conditions.clone();
    }
    if status != set["status"] {
        store.write_back(&REPLICA_SETS, set, Scope::Status, |object| {
            object["status"] = status
        })?;
    }
    Ok(())
}
