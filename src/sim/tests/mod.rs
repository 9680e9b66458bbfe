//! Stories of the simulated cluster, told through a `kube::Client` over HTTP.

mod api;
mod plane;
mod rollout;
mod running;
mod same;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Now, SimCluster, SimOptions};

const NAMESPACE: &str = "shop";
/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A clock that begins at a literal moment and runs with tokio's.
fn clock() -> Now {
    let started = Instant::now();
    let begin: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    Arc::new(move || begin + SignedDuration::try_from(started.elapsed()).unwrap())
}

async fn cluster() -> SimCluster {
    SimCluster::start(clock(), SimOptions::default())
        .await
        .unwrap()
}

/// A cluster with a Deployment `web` that is rolled out.
async fn cluster_with(image: &str, replicas: u32) -> SimCluster {
    let cluster = cluster().await;
    cluster
        .apply_deployment(NAMESPACE, "web", image, replicas)
        .await
        .unwrap();
    cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap();
    cluster
}

async fn release(cluster: &SimCluster, image: &str) -> Deployment {
    cluster.set_image(NAMESPACE, "web", image).await.unwrap();
    cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap()
}

fn deployments(cluster: &SimCluster) -> Api<Deployment> {
    Api::namespaced(cluster.client(), NAMESPACE)
}

async fn deployment(cluster: &SimCluster) -> Deployment {
    deployments(cluster).get("web").await.unwrap()
}

async fn patch(cluster: &SimCluster, patch: Value) -> Deployment {
    let patch = Patch::Merge(patch);
    deployments(cluster)
        .patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap()
}

async fn sets(cluster: &SimCluster) -> Vec<ReplicaSet> {
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client(), NAMESPACE);
    let mut sets = sets
        .list(&ListParams::default().labels("app=web"))
        .await
        .unwrap()
        .items;
    sets.sort_by_key(revision);
    sets
}

async fn pods(cluster: &SimCluster) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    pods.list(&ListParams::default()).await.unwrap().items
}

fn revision(object: &impl kube::ResourceExt) -> u64 {
    let revision = object
        .annotations()
        .get("deployment.kubernetes.io/revision");
    revision.map_or(0, |revision| revision.parse().unwrap())
}

fn image_of(set: &ReplicaSet) -> String {
    let template = set.spec.as_ref().unwrap().template.as_ref().unwrap();
    template.spec.as_ref().unwrap().containers[0]
        .image
        .clone()
        .unwrap()
}

fn reason(deployment: &Deployment, kind: &str) -> String {
    let conditions = deployment
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let condition = conditions.and_then(|all| all.iter().find(|one| one.type_ == kind));
    condition
        .and_then(|one| one.reason.clone())
        .unwrap_or_default()
}

/// The undo as Holdfast makes it: preconditions first, then template and annotations.
fn undo(deployment: &Deployment, target: &ReplicaSet) -> json_patch::Patch {
    let mut template = serde_json::to_value(&target.spec.as_ref().unwrap().template).unwrap();
    template["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("pod-template-hash");
    let kept = "deployment.kubernetes.io/";
    let mut annotations = target.annotations().clone();
    annotations.retain(|key, _| !key.starts_with(kept));
    let own = deployment
        .annotations()
        .iter()
        .filter(|(key, _)| key.starts_with(kept));
    annotations.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    serde_json::from_value(json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": deployment.resource_version()},
        {"op": "replace", "path": "/metadata/uid", "value": deployment.uid()},
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]))
    .unwrap()
}

/// Looks again until the condition holds.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(
            Instant::now() < deadline,
            "it did not come true that {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
