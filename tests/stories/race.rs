//! Somebody else changes the workload while Holdfast acts: nothing is overwritten.
//!
//! The race is arranged, not hoped for: the way from the API server back to Holdfast is slow, the audit
//! log shows the last look that Holdfast takes before its patch, and the person acts while the answer to
//! that look is still on its way.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, QUIET, Scene, WORKLOAD, image_of};
use crate::support::eventually::{eventually, never};
use crate::support::faults::Fault;

/// The faults begin when the rollout is long complete, and before the bake is over.
const BAD: &str = "shop:v2-err50-later10";

/// Each piece of an answer takes this long: several make a look, which may take 5 s.
const SLOW: Duration = Duration::from_millis(600);

/// Looks at the object between decision and patch: to plan, and to send.
const LOOKS: usize = 2;

/// A bad release is under way, and Holdfast has just taken its last look before the patch.
async fn about_to_patch(story: &'static str) -> Scene {
    let mut scene = Plan::new(story)
        .workload("bake", "25s")
        .lease_seconds(60)
        .set()
        .await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    scene.rolled_out().await;
    let before = looks(&scene);
    scene.api_server.set(Fault::Slow(SLOW)).await;
    eventually("the last look before the patch", PATIENCE, || async {
        let seen = looks(&scene) - before;
        if seen >= LOOKS {
            Ok(())
        } else {
            Err(format!("{seen} looks"))
        }
    })
    .await;
    scene
}

/// How often Holdfast has asked for the Deployment by its name.
fn looks(scene: &Scene) -> usize {
    let audit = scene.plane.audit_of(&scene.namespace);
    let account = audit.filter(|entry| entry.user.username.starts_with("system:serviceaccount:"));
    account
        .filter(|entry| {
            entry.verb == "get"
                && entry.object_ref.resource == "deployments"
                && entry.object_ref.name == WORKLOAD
        })
        .count()
}

/// The codes with which Holdfast's undos were answered, in order.
fn codes(scene: &Scene) -> Vec<u16> {
    scene.undos().0.iter().map(|entry| entry.code()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fix_released_at_the_last_moment_is_not_overwritten() {
    let mut scene = about_to_patch("superseded").await;
    scene.release("shop:v3").await;
    let rollback = scene.rollback(1, "superseded").await;
    scene.api_server.set(Fault::Pass).await;
    assert!(rollback["applied"].is_null(), "{rollback:#?}");

    scene.rolled_out().await;
    scene.hears("rollback", "resolved").await;
    scene.hears(OBJECTIVE, "resolved").await;
    never("the fix is overwritten", QUIET, || async {
        let image = scene.image().await;
        if image == "shop:v3" {
            Ok(())
        } else {
            Err(image)
        }
    })
    .await;
    assert_eq!(
        codes(&scene),
        [409],
        "it was sent, and refused:\n{}",
        scene.undos()
    );
    let told = scene.told_of("rollback");
    let summaries: Vec<&str> = told.iter().map(|(_, summary)| summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "acme/shop: rolling back",
            "acme/shop: the rollback was superseded"
        ]
    );
    assert_eq!(scene.rollbacks().await.len(), 1);
    assert_ne!(
        scene.trust_now("shop:v3").await.as_deref(),
        Some("quarantined")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_has_nothing_to_do_with_it_is_kept_and_the_patch_is_planned_anew() {
    let mut scene = about_to_patch("planned-anew").await;
    let deployments: Api<Deployment> =
        Api::namespaced(scene.plane.client().await, &scene.namespace);
    let scale = json!({
        "metadata": { "labels": { "example.com/owner": "payments" } },
        "spec": { "replicas": 3 },
    });
    deployments
        .patch(WORKLOAD, &PatchParams::default(), &Patch::Merge(scale))
        .await
        .unwrap();
    scene.undone().await;
    scene.api_server.set(Fault::Pass).await;
    let rollback = scene.rollback(1, "succeeded").await;

    let after = scene.rolled_out().await;
    assert_eq!(image_of(&after), "shop:v1");
    assert_eq!(
        after.spec.unwrap().replicas,
        Some(3),
        "the person's replicas"
    );
    let labels = after.metadata.labels.unwrap();
    assert_eq!(
        labels["example.com/owner"], "payments",
        "the person's label"
    );
    let codes = codes(&scene);
    assert_eq!(codes.last(), Some(&200), "{}", scene.undos());
    let refused = &codes[..codes.len() - 1];
    assert!(
        !refused.is_empty() && refused.iter().all(|code| *code == 409),
        "{codes:?}"
    );
    assert!(
        rollback["conflicts"].as_u64().unwrap() >= 1,
        "{rollback:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fix_released_while_the_rollback_is_verified_takes_its_place() {
    let scene = Plan::new("overtaken").set().await;
    scene.proven("shop:v1").await;
    scene.release("shop:v2-err20").await;
    scene.rollback(1, "verifying").await;
    scene.release("shop:v3").await;
    scene.rollback(1, "superseded").await;
    scene.hears("rollback", "resolved").await;
    scene.hears(OBJECTIVE, "resolved").await;
    scene.proven("shop:v3").await;
    assert_eq!(scene.image().await, "shop:v3");
    assert_eq!(codes(&scene), [200], "{}", scene.undos());
    let quarantined = scene.trust_now("shop:v2-err20").await;
    assert_eq!(quarantined.as_deref(), Some("quarantined"));
    let told = scene.told_of("rollback");
    let summaries: Vec<&str> = told.iter().map(|(_, summary)| summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "acme/shop: rolling back",
            "acme/shop: rolled back, verifying",
            "acme/shop: the rollback was superseded",
        ]
    );
}
