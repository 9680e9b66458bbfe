//! What is kept of a Deployment, and how it and its ReplicaSets become one sighting.
//!
//! A Deployment's revision annotation lags behind its template until the controller has acted: it is
//! believed only when the controller has observed this generation and a ReplicaSet with this very template
//! bears the number. Otherwise a new template would be taken for a rollout under the old number first.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use serde_json::Value;

use super::marks;
use super::replica_set::{ReplicaSet, controller, count};
use super::template;
use crate::domain::id::{TemplateDigest, Uid};
use crate::domain::rollout::{Marks, Replicas, Seen};
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;

/// What Kubernetes keeps of old ReplicaSets where nothing is said.
const HISTORY_LIMIT: u32 = 10;

/// A Deployment, as digests and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its unique id.
    pub uid: Uid,
    /// Which workload it is.
    pub target: WorkloadRef,
    /// Its version.
    pub resource_version: Arc<str>,
    /// Digest of its template.
    pub template: TemplateDigest,
    /// Generation of the specification, and the one the controller has acted on.
    pub generation: i64,
    /// See `generation`.
    pub observed_generation: i64,
    /// `deployment.kubernetes.io/revision`, if it is there and a number.
    pub revision: Option<u64>,
    /// Counts of the status.
    pub replicas: Replicas,
    /// `spec.paused`.
    pub paused: bool,
    /// Progressing is false for the reason ProgressDeadlineExceeded.
    pub deadline_exceeded: bool,
    /// `spec.revisionHistoryLimit`.
    pub history_limit: u32,
    /// Annotations `holdfast.dev/*`.
    pub marks: Marks,
    /// Who changed the template last.
    pub changed_by: Option<Arc<str>>,
    /// `kubernetes.io/change-cause`.
    pub change_cause: Option<Arc<str>>,
    /// The controller that owns it, as `Kind/name`.
    pub owner: Option<Arc<str>>,
    /// `last-applied-configuration` is there.
    pub applied: bool,
}

// === impl Deployment ===

impl Deployment {
    /// Reads one; none if it lacks what every stored object has.
    #[must_use]
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        let data = &object.data;
        let annotations = metadata.annotations.clone().unwrap_or_default();
        let number = |place: &str| data.pointer(place).and_then(Value::as_i64).unwrap_or(0);
        Some(Self {
            uid: Uid(metadata.uid.as_deref()?.into()),
            target: WorkloadRef::deployment(
                metadata.namespace.as_deref()?,
                metadata.name.as_deref()?,
            ),
            resource_version: metadata.resource_version.as_deref()?.into(),
            template: template::digest(data.pointer("/spec/template")?),
            generation: metadata.generation.unwrap_or(0),
            observed_generation: number("/status/observedGeneration"),
            revision: annotations
                .get(marks::REVISION)
                .and_then(|text| text.parse().ok()),
            replicas: replicas(data),
            paused: data
                .pointer("/spec/paused")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            deadline_exceeded: deadline_exceeded(data),
            history_limit: data
                .pointer("/spec/revisionHistoryLimit")
                .map_or(HISTORY_LIMIT, |_| count(data, "/spec/revisionHistoryLimit")),
            marks: marks::read(&annotations),
            changed_by: metadata.managed_fields.as_deref().and_then(changed_by),
            change_cause: annotations
                .get(marks::CHANGE_CAUSE)
                .map(|text| text.as_str().into()),
            owner: controller(object).map(|owner| format!("{}/{}", owner.kind, owner.name).into()),
            applied: annotations.contains_key(marks::LAST_APPLIED),
        })
    }

    /// One sighting of it with the ReplicaSets among `sets` that it controls.
    #[must_use]
    pub fn seen<'a>(&self, sets: impl IntoIterator<Item = &'a ReplicaSet>, at: Timestamp) -> Seen {
        let own = sets.into_iter().filter(|set| set.owner == self.uid);
        let mut revisions: Vec<_> = own.filter_map(ReplicaSet::revision).collect();
        revisions.sort_unstable_by(|one, two| {
            (one.number, &one.held_by).cmp(&(two.number, &two.held_by))
        });
        let settled = self.generation <= self.observed_generation;
        let revision = self.revision.filter(|number| {
            let bears = |held: &crate::domain::rollout::Revision| {
                held.number == *number && held.template == self.template
            };
            settled && revisions.iter().any(bears)
        });
        Seen {
            at,
            target: self.target.clone(),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
            generation: self.generation,
            observed_generation: self.observed_generation,
            template: self.template,
            revision,
            replicas: self.replicas,
            paused: self.paused,
            deadline_exceeded: self.deadline_exceeded,
            history_limit: self.history_limit,
            revisions,
            marks: self.marks.clone(),
            changed_by: self.changed_by.clone(),
            change_cause: self.change_cause.clone(),
            owner: self.owner.clone(),
            applied: self.applied,
        }
    }
}

fn replicas(data: &Value) -> Replicas {
    Replicas {
        // The API server fills in one where nothing is said.
        desired: data
            .pointer("/spec/replicas")
            .map_or(1, |_| count(data, "/spec/replicas")),
        total: count(data, "/status/replicas"),
        updated: count(data, "/status/updatedReplicas"),
        ready: count(data, "/status/readyReplicas"),
        available: count(data, "/status/availableReplicas"),
    }
}

fn deadline_exceeded(data: &Value) -> bool {
    let conditions = data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Progressing"
            && condition["status"] == "False"
            && condition["reason"] == "ProgressDeadlineExceeded"
    })
}

/// The newest manager that owns a field of the template. A status update owns none.
fn changed_by(entries: &[ManagedFieldsEntry]) -> Option<Arc<str>> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.pointer("/f:spec/f:template"))
            .is_some()
    };
    let newest = entries
        .iter()
        .filter(owns)
        .max_by_key(|entry| entry.time.as_ref().map(|t| t.0));
    newest?.manager.as_deref().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::spec::Mode;

    fn pod(image: &str) -> Value {
        json!({ "metadata": { "labels": { "app": "api" } },
                "spec": { "containers": [{ "name": "api", "image": image }] } })
    }

    fn deployment(patch: &Value) -> Deployment {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "api", "namespace": "shop", "uid": "u1", "resourceVersion": "41",
                          "generation": 2, "annotations": { "deployment.kubernetes.io/revision": "2" } },
            "spec": { "replicas": 3, "template": pod("api:2") },
            "status": { "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3,
                        "readyReplicas": 3, "availableReplicas": 3 },
        });
        merge(&mut object, patch);
        Deployment::read(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn merge(into: &mut Value, from: &Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    fn set(name: &str, owner: &str, image: &str, revision: Option<&str>) -> ReplicaSet {
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": name, "namespace": "shop", "uid": name,
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "api",
                                      "uid": owner, "controller": true }] },
            "spec": { "template": pod(image) }, "status": { "readyReplicas": 3 },
        });
        object["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = json!(name);
        if let Some(revision) = revision {
            object["metadata"]["annotations"] = json!({ marks::REVISION: revision });
        }
        ReplicaSet::read(&serde_json::from_value(object).unwrap()).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_secs(1_767_603_600);

    #[test]
    fn only_replica_sets_with_this_owner_count() {
        let sets = [
            set("api-2", "u1", "api:2", Some("2")),
            set("api-1", "u1", "api:1", Some("1")),
            set("api-0", "u1", "api:0", None),
            set("api-x", "u1", "api:x", Some("x")),
            set("stray", "u0", "api:9", Some("9")),
        ];
        let seen = deployment(&json!({})).seen(&sets, NOW);
        let held: Vec<_> = seen
            .revisions
            .iter()
            .map(|r| (&*r.held_by, r.number))
            .collect();
        assert_eq!(held, [("api-0", 0), ("api-1", 1), ("api-2", 2)]);
        assert_eq!(seen.revision, Some(2));
        assert!(seen.rolled_out());
        assert_eq!(seen.template, seen.revisions[2].template);
    }

    #[test]
    fn a_number_that_lags_behind_the_template_is_not_believed() {
        let sets = [set("api-1", "u1", "api:1", Some("1"))];
        let fresh =
            json!({ "metadata": { "annotations": { marks::REVISION: "1" }, "generation": 3 } });
        assert_eq!(deployment(&fresh).seen(&sets, NOW).revision, None);
        // Even if the generation was observed: a paused Deployment has no ReplicaSet of the new template.
        let paused = json!({ "metadata": { "annotations": { marks::REVISION: "1" } },
                             "spec": { "paused": true } });
        let seen = deployment(&paused).seen(&sets, NOW);
        assert_eq!((seen.revision, seen.paused), (None, true));
        // After an undo the old ReplicaSet has its old number for a moment.
        let undone = json!({ "metadata": { "annotations": { marks::REVISION: "2" }, "generation": 3 },
                             "spec": { "template": pod("api:1") } });
        assert_eq!(deployment(&undone).seen(&sets, NOW).revision, None);
    }

    #[test]
    fn a_missed_progress_deadline_is_seen() {
        let status = json!({ "status": { "conditions": [
            { "type": "Available", "status": "True" },
            { "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }] } });
        assert!(deployment(&status).deadline_exceeded);
        assert!(!deployment(&json!({})).deadline_exceeded);
    }

    #[test]
    fn the_newest_owner_of_the_template_changed_it() {
        let fields = json!({ "f:spec": { "f:template": { "f:spec": {} } } });
        let managed = json!({ "metadata": { "managedFields": [
            { "manager": "kubectl-create", "time": "2026-01-05T09:00:00Z", "fieldsV1": fields },
            { "manager": "argocd", "time": "2026-01-05T10:00:00Z", "fieldsV1": fields },
            { "manager": "kube-controller-manager", "time": "2026-01-05T11:00:00Z",
              "fieldsV1": { "f:status": {} } }] } });
        assert_eq!(deployment(&managed).changed_by.as_deref(), Some("argocd"));
    }

    #[test]
    fn marks_owner_and_defaults_are_read() {
        let seen = deployment(&json!({ "metadata": {
            "annotations": { "holdfast.dev/rollback": "never", marks::LAST_APPLIED: "{}" },
            "ownerReferences": [{ "apiVersion": "v1", "kind": "App", "name": "shop", "uid": "o",
                                  "controller": true }] } }))
        .seen(&[], NOW);
        assert_eq!(seen.marks.mode, Some(Mode::Never));
        assert_eq!(seen.owner.as_deref(), Some("App/shop"));
        assert_eq!((seen.history_limit, seen.applied), (10, true));
        let none = deployment(&json!({ "spec": { "revisionHistoryLimit": 0 } }));
        assert_eq!(none.history_limit, 0);
    }
}
