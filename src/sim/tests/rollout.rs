//! Deployments that move: forward, back, not at all.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_second_version_becomes_revision_two_and_empties_the_first() {
    let cluster = cluster_with("shop:v1", 3).await;
    let after = release(&cluster, "shop:v2").await;
    assert_eq!(revision(&after), 2);
    let sets = sets(&cluster).await;
    let sizes: Vec<_> = sets
        .iter()
        .map(|set| {
            (
                revision(set),
                image_of(set),
                set.status.as_ref().unwrap().replicas,
            )
        })
        .collect();
    assert_eq!(
        sizes,
        [(1, "shop:v1".to_owned(), 0), (2, "shop:v2".to_owned(), 3)]
    );
    eventually("the new replica set is available", async || {
        reason(&deployment(&cluster).await, "Progressing") == "NewReplicaSetAvailable"
    })
    .await;
    assert_eq!(reason(&after, "Available"), "MinimumReplicasAvailable");
}

#[tokio::test]
async fn an_undo_brings_the_old_set_back_as_revision_three() {
    let cluster = cluster_with("shop:v1", 2).await;
    patch(
        &cluster,
        json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "first"}}}),
    )
    .await;
    eventually("the set inherits the cause", async || {
        sets(&cluster).await[0]
            .annotations()
            .contains_key("kubernetes.io/change-cause")
    })
    .await;
    let second = json!({"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}});
    patch(&cluster, second).await;
    let bad = release(&cluster, "shop:v2-err20").await;
    let before = sets(&cluster).await;

    let undo = undo(&bad, &before[0]);
    let patch = Patch::Json::<()>(undo);
    deployments(&cluster)
        .patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let after = cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap();

    assert_eq!(revision(&after), 3);
    let sets = sets(&cluster).await;
    assert_eq!(sets.len(), 2, "the old set is used again");
    assert_eq!(sets[1].uid(), before[0].uid());
    assert_eq!((revision(&sets[0]), revision(&sets[1])), (2, 3));
    let history = sets[1]
        .annotations()
        .get("deployment.kubernetes.io/revision-history");
    assert_eq!(history.map(String::as_str), Some("1"));
    assert_eq!(sets[0].status.as_ref().unwrap().replicas, 0);
    assert!(
        pods(&cluster)
            .await
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .all(
                |pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("shop:v1")
            )
    );
    assert_eq!(cluster.audit().of("patch", "deployments").len(), 4);
}

#[tokio::test]
async fn without_a_history_the_old_set_is_deleted() {
    let cluster = cluster_with("shop:v1", 1).await;
    patch(&cluster, json!({"spec": {"revisionHistoryLimit": 0}})).await;
    release(&cluster, "shop:v2").await;
    eventually("one set is left", async || sets(&cluster).await.len() == 1).await;
    assert_eq!(image_of(&sets(&cluster).await[0]), "shop:v2");
}

#[tokio::test]
async fn the_history_keeps_its_limit_and_no_less() {
    let cluster = cluster_with("shop:v1", 1).await;
    patch(&cluster, json!({"spec": {"revisionHistoryLimit": 2}})).await;
    for version in 2..=5 {
        release(&cluster, &format!("shop:v{version}")).await;
    }
    eventually("three sets are left", async || {
        sets(&cluster).await.len() == 3
    })
    .await;
    let revisions: Vec<_> = sets(&cluster).await.iter().map(revision).collect();
    assert_eq!(revisions, [3, 4, 5]);
}

#[tokio::test]
async fn a_paused_deployment_does_not_roll_until_it_is_resumed() {
    let cluster = cluster_with("shop:v1", 1).await;
    patch(&cluster, json!({"spec": {"paused": true}})).await;
    let changed = cluster
        .set_image(NAMESPACE, "web", "shop:v2")
        .await
        .unwrap();
    eventually("the change is observed", async || {
        let status = deployment(&cluster).await.status.unwrap();
        status.observed_generation >= changed.metadata.generation
    })
    .await;
    assert_eq!(
        sets(&cluster).await.len(),
        1,
        "nothing was made of the change"
    );
    assert_eq!(
        reason(&deployment(&cluster).await, "Progressing"),
        "DeploymentPaused"
    );

    patch(&cluster, json!({"spec": {"paused": false}})).await;
    let after = cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap();
    assert_eq!(revision(&after), 2);
}

#[tokio::test]
async fn a_version_that_is_never_ready_exceeds_its_deadline_and_leaves_the_old_pods() {
    let cluster = cluster_with("shop:v1", 2).await;
    patch(&cluster, json!({"spec": {"progressDeadlineSeconds": 2}})).await;
    cluster
        .set_image(NAMESPACE, "web", "shop:v2-neverready")
        .await
        .unwrap();
    eventually("the deadline is exceeded", async || {
        reason(&deployment(&cluster).await, "Progressing") == "ProgressDeadlineExceeded"
    })
    .await;
    let status = deployment(&cluster).await.status.unwrap();
    assert_eq!(
        status.available_replicas,
        Some(2),
        "maxUnavailable of two pods at 25 % is none"
    );
    assert_eq!(
        status.updated_replicas,
        Some(1),
        "maxSurge of two pods at 25 % is one"
    );
    let condition = status
        .conditions
        .unwrap()
        .into_iter()
        .find(|one| one.type_ == "Progressing");
    assert_eq!(condition.unwrap().status, "False");

    // Going back ends the failure.
    let after = release(&cluster, "shop:v1").await;
    assert_eq!(revision(&after), 3);
    eventually("the rollout is well again", async || {
        reason(&deployment(&cluster).await, "Progressing") == "NewReplicaSetAvailable"
    })
    .await;
}

#[tokio::test]
async fn recreate_ends_the_old_pods_before_it_makes_new_ones() {
    let cluster = cluster_with("shop:v1", 2).await;
    patch(
        &cluster,
        json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}),
    )
    .await;
    let start = *cluster.store().newest().borrow();
    release(&cluster, "shop:v2").await;
    let (changes, _) = cluster.store().changes_after(start).unwrap();
    let images = |pod: &Value| pod["spec"]["containers"][0]["image"].clone();
    let of_pods = changes
        .iter()
        .filter(|change| change.key.resource.plural == "pods");
    let first_new = of_pods
        .clone()
        .find(|c| images(&c.object) == "shop:v2")
        .unwrap()
        .version;
    let last_old = of_pods
        .rev()
        .find(|c| images(&c.object) == "shop:v1")
        .unwrap();
    assert!(last_old.deleted && last_old.version < first_new);
}

#[tokio::test]
async fn a_change_of_size_is_followed_without_a_new_revision() {
    let cluster = cluster_with("shop:v1", 2).await;
    for replicas in [5, 1, 0] {
        patch(&cluster, json!({"spec": {"replicas": replicas}})).await;
        cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap();
    }
    let sets = sets(&cluster).await;
    assert_eq!(sets.len(), 1);
    assert_eq!(revision(&sets[0]), 1);
    let desired = sets[0]
        .annotations()
        .get("deployment.kubernetes.io/desired-replicas");
    assert_eq!(desired.map(String::as_str), Some("0"));
}

#[tokio::test]
async fn a_rolling_update_never_leaves_its_bounds() {
    let cluster = cluster_with("shop:v1", 4).await;
    let rolling = json!({"maxSurge": 1, "maxUnavailable": 1});
    patch(
        &cluster,
        json!({"spec": {"strategy": {"rollingUpdate": rolling}}}),
    )
    .await;
    let start = *cluster.store().newest().borrow();
    release(&cluster, "shop:v2").await;
    let (changes, _) = cluster.store().changes_after(start).unwrap();
    let mut seen = 0;
    for change in changes
        .iter()
        .filter(|change| change.key.resource.plural == "deployments")
    {
        let status = &change.object["status"];
        assert!(status["availableReplicas"].as_i64() >= Some(3), "{status}");
        assert!(status["replicas"].as_i64() <= Some(5), "{status}");
        seen += 1;
    }
    assert!(seen > 3, "the rollout was seen in steps");
}

#[tokio::test]
async fn what_a_deployment_owned_goes_with_it() {
    let cluster = cluster_with("shop:v1", 2).await;
    release(&cluster, "shop:v2").await;
    deployments(&cluster)
        .delete("web", &DeleteParams::default())
        .await
        .unwrap();
    assert!(sets(&cluster).await.is_empty());
    eventually("the node ended the pods", async || {
        pods(&cluster).await.is_empty()
    })
    .await;
}
