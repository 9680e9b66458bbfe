//! Revision numbers: which set is the current one, what it inherits, which old ones are dropped.

use std::sync::Arc;

use serde_json::{Value, json};

use super::desired::{
    DESIRED_REPLICAS, Desired, MAX_REPLICAS, REVISION, REVISION_HISTORY, Set, Sets,
};
use super::scale;
use super::status::{self, Condition};
use super::template;
use crate::sim::api::{DEPLOYMENTS, Deletion, Key, REPLICA_SETS, Refusal, Scope, Store};
use crate::sim::object::{
    annotation, condition, is_terminating, map_value, name, namespace, number, set_annotation,
    set_label, uid,
};

/// Characters of history kept on a set, as in the real controller.
const HISTORY_CHARACTERS_MAX: usize = 2000;

/// Annotations of a Deployment that its sets do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Whether a set is made for a template that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Leave,
}

/// Finds (or makes) the set of the current template and brings the revision numbers up to date.
pub(super) fn sync(
    store: &Store,
    desired: &mut Desired,
    missing: Missing,
) -> Result<Sets, Refusal> {
    let mut sets = desired.sets(store);
    let newest_old = sets.old.iter().filter_map(Set::revision).max().unwrap_or(0);
    let next = newest_old + 1;
    match (&sets.current, missing) {
        (Some(current), _) => {
            let current = inherit(store, desired, current, next)?;
            let revision = annotation(&current.object, REVISION)
                .unwrap_or_default()
                .to_owned();
            let found = Condition::progressing(
                "True",
                "FoundNewReplicaSet",
                format!("Found new replica set \"{}\"", current.name()),
            );
            let is_known = condition(&desired.object, "Progressing").is_some();
            announce(store, desired, &revision, (!is_known).then_some(found))?;
            sets.current = Some(current);
        }
        (None, Missing::Create) => {
            let made = create(store, desired, &sets, next)?;
            let created = Condition::progressing(
                "True",
                "NewReplicaSetCreated",
                format!("Created new replica set \"{}\"", made.name()),
            );
            announce(store, desired, &next.to_string(), Some(created))?;
            sets.current = Some(made);
        }
        (None, Missing::Leave) => {}
    }
    Ok(sets)
}

/// Gives the current set its revision and the Deployment's annotations.
fn inherit(store: &Store, desired: &Desired, set: &Set, next: i64) -> Result<Set, Refusal> {
    let Some(revision) = set.revision() else {
        // A number nobody can read is left alone, as the real controller does.
        return Ok(set.clone());
    };
    let min_ready = number(&desired.object, "/spec/minReadySeconds");
    let written = store.write_back(&REPLICA_SETS, &set.object, Scope::Object, |object| {
        copy_annotations(&desired.object, object);
        if number(object, "/spec/minReadySeconds") != min_ready {
            object["spec"]["minReadySeconds"] = min_ready.into();
        }
        if revision < next {
            if let Some(before) = annotation(&set.object, REVISION) {
                let history = annotation(&set.object, REVISION_HISTORY).unwrap_or_default();
                set_annotation(object, REVISION_HISTORY, &lengthened(history, before));
            }
            set_annotation(object, REVISION, &next.to_string());
        }
    })?;
    Ok(Set { object: written })
}

/// The history with one more revision; the oldest go when it becomes too long.
fn lengthened(history: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
    revisions.push(revision);
    let mut joined = revisions.join(",");
    while joined.len() > HISTORY_CHARACTERS_MAX && revisions.len() > 1 {
        revisions.remove(0);
        joined = revisions.join(",");
    }
    joined
}

fn copy_annotations(from: &Value, to: &mut Value) {
    let annotations = from
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        if let (false, Some(value)) = (NOT_INHERITED.contains(&key.as_str()), value.as_str()) {
            set_annotation(to, key, value);
        }
    }
}

/// Writes the revision and perhaps a condition on the Deployment, through its status.
fn announce(
    store: &Store,
    desired: &mut Desired,
    revision: &str,
    found: Option<Condition>,
) -> Result<(), Refusal> {
    let found = found.filter(|_| desired.deadline_seconds.is_some());
    let now = store.now();
    let written = store.write_back(&DEPLOYMENTS, &desired.object, Scope::Status, |object| {
        set_annotation(object, REVISION, revision);
        if let Some(found) = found {
            status::set(map_value(object, "status"), &found, now);
        }
    })?;
    desired.object = written;
    Ok(())
}

fn create(store: &Store, desired: &Desired, sets: &Sets, revision: i64) -> Result<Set, Refusal> {
    let deployment = &desired.object;
    let hash = template::hash(desired.template());
    let mut pods = desired.template().clone();
    set_label(&mut pods, template::HASH_LABEL, &hash);
    let mut selector = deployment["spec"]["selector"].clone();
    map_value(&mut selector, "matchLabels")[template::HASH_LABEL] = hash.as_str().into();
    let replicas = scale::newest_replicas(desired, sets);
    let mut object = json!({
        "metadata": {
            "name": format!("{}-{hash}", desired.name()),
            "labels": pods["metadata"]["labels"],
            "annotations": {},
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": name(deployment),
                "uid": uid(deployment),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": pods},
    });
    let min_ready = number(deployment, "/spec/minReadySeconds");
    if min_ready > 0 {
        object["spec"]["minReadySeconds"] = min_ready.into();
    }
    copy_annotations(deployment, &mut object);
    set_annotation(&mut object, REVISION, &revision.to_string());
    scale::annotate(desired, &mut object);
    let stored: Arc<Value> = store.create(&REPLICA_SETS, namespace(deployment), &object)?;
    Ok(Set { object: stored })
}

/// Deletes the oldest spent sets beyond the history limit.
pub(super) fn clean_up(store: &Store, desired: &Desired, sets: &Sets) -> Result<(), Refusal> {
    let Some(limit) = desired.history_limit else {
        return Ok(());
    };
    let mut old: Vec<&Set> = sets
        .old
        .iter()
        .filter(|set| !is_terminating(&set.object))
        .collect();
    let surplus = old
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or_default());
    old.sort_by_key(|set| (set.revision().unwrap_or_default(), set.age_key()));
    for set in old.into_iter().take(surplus).filter(|set| set.is_spent()) {
        store.delete(&Key::of(&REPLICA_SETS, &set.object), &Deletion::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_grows_at_its_end_and_loses_its_beginning() {
        assert_eq!(lengthened("", "1"), "1");
        assert_eq!(lengthened("1,3", "5"), "1,3,5");
        let long: Vec<String> = (1000..1400).map(|number| number.to_string()).collect();
        let kept = lengthened(&long.join(","), "1400");
        assert!(kept.len() <= HISTORY_CHARACTERS_MAX);
        assert!(kept.ends_with(",1399,1400"));
        assert!(kept.starts_with("1001,"));
    }
}
