//! The undo of a Deployment as a JSON patch, made purely, exactly as `kubectl rollout undo` makes it, with
//! preconditions that kubectl lacks.
//!
//! The preconditions are replacements of `resourceVersion` and `uid` by the values that were seen: a stale
//! version is answered with a clear 409, another object with 422. A `test` operation would be answered with
//! an opaque 422 that could mean anything.
//!
//! Only the pod template and the annotations return. Replicas, strategy, deadlines are not touched.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::marks::{self, Annotations};
use super::replica_set::controller;
use super::{Precondition, Undo, template};

/// Annotations that belong to the Deployment itself, never to the revision.
const OF_THE_DEPLOYMENT: [&str; 6] = [
    marks::LAST_APPLIED,
    marks::REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

/// The patch that puts the template of `set` back on `deployment`.
#[must_use]
pub fn patch(
    undo: &Undo,
    precondition: &Precondition,
    deployment: &DynamicObject,
    set: &DynamicObject,
) -> Value {
    let template = set
        .data
        .pointer("/spec/template")
        .map(template::without_hash);
    // Replacing what is not there is refused: an object may have no annotations at all.
    let how = if deployment.metadata.annotations.is_some() {
        "replace"
    } else {
        "add"
    };
    json!([
        { "op": "replace", "path": "/metadata/resourceVersion", "value": &*precondition.resource_version },
        { "op": "replace", "path": "/metadata/uid", "value": &*precondition.uid.0 },
        { "op": "replace", "path": "/spec/template", "value": template },
        { "op": how, "path": "/metadata/annotations", "value": annotations(undo, deployment, set) },
    ])
}

/// The Deployment's own and all of Holdfast's from the Deployment, all others from the ReplicaSet; then what
/// says that Holdfast did it.
fn annotations(undo: &Undo, deployment: &DynamicObject, set: &DynamicObject) -> Annotations {
    let of = |object: &DynamicObject| object.metadata.annotations.clone().unwrap_or_default();
    let mut result = of(set);
    result.retain(|key, _| !stays(key));
    result.extend(of(deployment).into_iter().filter(|(key, _)| stays(key)));
    result.extend([
        (marks::ROLLBACK_ID.to_owned(), undo.rollback.to_string()),
        (marks::ROLLED_BACK_FROM.to_owned(), undo.from.to_string()),
        (marks::ROLLED_BACK_AT.to_owned(), undo.at.to_string()),
        (
            marks::TERM.to_owned(),
            newest_term(undo, deployment).to_string(),
        ),
    ]);
    result
}

fn newest_term(undo: &Undo, deployment: &DynamicObject) -> u64 {
    let annotations = deployment.metadata.annotations.as_ref();
    annotations
        .and_then(|found| marks::read(found).term)
        .unwrap_or(0)
        .max(undo.term.0)
}

/// Whether an annotation is kept from the Deployment and never comes from a ReplicaSet.
fn stays(key: &str) -> bool {
    OF_THE_DEPLOYMENT.contains(&key) || key.starts_with(marks::PREFIX)
}

/// What will not come back, and what may undo the undo.
#[must_use]
pub fn warnings(deployment: &DynamicObject, set: &DynamicObject) -> Vec<String> {
    let present = deployment.metadata.annotations.clone().unwrap_or_default();
    let returning = set.metadata.annotations.clone().unwrap_or_default();
    let mut warnings = vec![
        "only the pod template and the annotations go back: replicas, strategy and other settings stay \
         as they are"
            .to_owned(),
    ];
    if present.contains_key(marks::LAST_APPLIED) {
        warnings.push(
            "the object was made by kubectl apply: applying the same file again brings the bad \
             revision back"
                .to_owned(),
        );
    }
    if let Some(owner) = controller(deployment) {
        warnings.push(format!(
            "the object is controlled by {}/{}, which may change it again",
            owner.kind, owner.name
        ));
    }
    let dropped: Vec<_> = present
        .keys()
        .filter(|key| !stays(key) && !returning.contains_key(*key))
        .map(String::as_str)
        .collect();
    if !dropped.is_empty() {
        warnings.push(format!(
            "annotations set since then go: {}",
            dropped.join(", ")
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::id::{Digest, RollbackId, TemplateDigest, Uid};
    use crate::domain::rollback::Term;
    use crate::domain::spec::WorkloadRef;
    use crate::domain::time::Timestamp;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn deployment(annotations: Value) -> DynamicObject {
        let mut deployment = object(json!({
            "metadata": { "name": "api", "namespace": "shop", "uid": "u1", "resourceVersion": "41" },
            "spec": { "replicas": 5, "template": { "spec": { "containers": [{ "image": "api:2" }] } } },
        }));
        deployment.metadata.annotations = serde_json::from_value(annotations).unwrap();
        deployment
    }

    fn set() -> DynamicObject {
        object(json!({
            "metadata": { "name": "api-1", "annotations": {
                "deployment.kubernetes.io/revision": "1",
                "deployment.kubernetes.io/desired-replicas": "3",
                "kubernetes.io/change-cause": "release 1",
                "holdfast.dev/rollback": "never",
                "team": "payments",
            } },
            "spec": { "template": {
                "metadata": { "labels": { "app": "api", "pod-template-hash": "abc" } },
                "spec": { "containers": [{ "image": "api:1", "fieldOfTheFuture": { "kept": true } }] },
            } },
        }))
    }

    fn undo() -> (Undo, Precondition) {
        let undo = Undo {
            rollback: RollbackId(Digest([1; 16])),
            target: WorkloadRef::deployment("shop", "api"),
            from: TemplateDigest(Digest([2; 16])),
            to: TemplateDigest(Digest([3; 16])),
            at: Timestamp::from_secs(1_767_603_600),
            term: Term(7),
        };
        (
            undo,
            Precondition {
                uid: Uid("u1".into()),
                resource_version: Arc::from("41"),
            },
        )
    }

    fn made(deployment: &DynamicObject) -> String {
        let (undo, precondition) = undo();
        let patch = patch(&undo, &precondition, deployment, &set());
        serde_json::to_string_pretty(&patch).unwrap()
    }

    #[test]
    fn the_patch_has_two_preconditions_then_the_template_then_the_annotations() {
        let deployment = deployment(json!({
            "deployment.kubernetes.io/revision": "2",
            "deployment.kubernetes.io/revision-history": "1",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "kubernetes.io/change-cause": "release 2",
            "holdfast.dev/rollback": "act",
            "holdfast.dev/term": "6",
            "since": "release 2",
        }));
        insta::assert_snapshot!(made(&deployment), @r#"
        [
          {
            "op": "replace",
            "path": "/metadata/resourceVersion",
            "value": "41"
          },
          {
            "op": "replace",
            "path": "/metadata/uid",
            "value": "u1"
          },
          {
            "op": "replace",
            "path": "/spec/template",
            "value": {
              "metadata": {
                "labels": {
                  "app": "api"
                }
              },
              "spec": {
                "containers": [
                  {
                    "fieldOfTheFuture": {
                      "kept": true
                    },
                    "image": "api:1"
                  }
                ]
              }
            }
          },
          {
            "op": "replace",
            "path": "/metadata/annotations",
            "value": {
              "deployment.kubernetes.io/revision": "2",
              "deployment.kubernetes.io/revision-history": "1",
              "holdfast.dev/rollback": "act",
              "holdfast.dev/rollback-id": "01010101010101010101010101010101",
              "holdfast.dev/rolled-back-at": "2026-01-05T09:00:00Z",
              "holdfast.dev/rolled-back-from": "02020202020202020202020202020202",
              "holdfast.dev/term": "7",
              "kubectl.kubernetes.io/last-applied-configuration": "{}",
              "kubernetes.io/change-cause": "release 1",
              "team": "payments"
            }
          }
        ]
        "#);
        let warnings = warnings(&deployment, &set());
        insta::assert_snapshot!(warnings.join("\n"), @r"
        only the pod template and the annotations go back: replicas, strategy and other settings stay as they are
        the object was made by kubectl apply: applying the same file again brings the bad revision back
        annotations set since then go: since
        ");
    }

    #[test]
    fn annotations_are_added_where_there_were_none() {
        let deployment = deployment(Value::Null);
        let patch: Value = serde_json::from_str(&made(&deployment)).unwrap();
        assert_eq!(patch[3]["op"], "add");
        assert_eq!(patch[3]["value"]["team"], "payments");
        assert_eq!(patch[3]["value"].get("holdfast.dev/rollback"), None);
    }

    #[test]
    fn a_term_on_the_object_never_goes_down() {
        let deployment = deployment(json!({ "holdfast.dev/term": "9" }));
        let patch: Value = serde_json::from_str(&made(&deployment)).unwrap();
        assert_eq!(patch[3]["value"]["holdfast.dev/term"], "9");
    }
}
