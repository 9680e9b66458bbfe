//! When Holdfast holds: no patch, the named reason, told once.

use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use k8s_openapi::api::apps::v1::Deployment;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, QUIET, Scene, WORKLOAD};
use crate::support::eventually::{eventually, never};
use crate::support::faults::Fault;

const BAD: &str = "shop:v2-err20";

/// It is held for this reason, people hear it once, and nothing is touched.
async fn held(scene: &Scene, hold: &str) {
    let decision = scene.held(hold).await;
    assert_eq!(decision["verdict"], "hold");
    let guards = decision["guards"].as_array().unwrap();
    let first_no = guards.iter().find(|guard| guard["passed"] == false);
    assert_eq!(first_no.unwrap()["hold"], hold, "{guards:#?}");
    scene.hears_of(hold).await;
    scene.hears(OBJECTIVE, "firing").await;
    let image = scene.image().await;
    never("a patch in spite of the hold", QUIET, || async {
        let patches = scene.patches();
        if patches.count() == 0 {
            Ok(())
        } else {
            Err(patches.to_string())
        }
    })
    .await;
    assert_eq!(scene.image().await, image);
    assert_eq!(scene.rollbacks().await, Vec::<serde_json::Value>::new());
    assert_eq!(
        scene.told_of_hold(hold),
        1,
        "{:?}",
        scene.told_of("rollback")
    );
    let counted = scene
        .daemon
        .metric("holdfast_holds_total", &[("reason", hold)])
        .await;
    assert_eq!(counted, Some(1.0));
    let fired = scene.told_of(OBJECTIVE);
    assert_eq!(fired.len(), 1, "{fired:?}");
    scene.assert_nothing_forbidden();
}

/// The hold was the only one.
async fn only(scene: &Scene, hold: &str) {
    let decisions = scene.decisions().await;
    let holds: Vec<_> = decisions.iter().map(|decision| &decision["hold"]).collect();
    assert_eq!(holds, [hold], "{decisions:#?}");
    let told = scene.told_of("rollback");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shop_that_fails_without_any_rollout_is_left_alone() {
    let scene = Plan::new("no-rollout").image("shop:v1-err20").set().await;
    held(&scene, "no-rollout").await;
    only(&scene, "no-rollout").await;
    assert_eq!(
        scene.trust_now("shop:v1-err20").await.as_deref(),
        Some("baking")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_older_than_the_rollout_does_not_blame_it() {
    let mut scene = Plan::new("broken-before").set().await;
    scene.proven("shop:v1").await;
    let broken = Fault::Answer {
        status: 503,
        content_type: "text/plain",
        body: "the database is down".to_owned(),
    };
    scene.door.set(broken).await;
    scene.hears(OBJECTIVE, "firing").await;
    scene.release("shop:v2").await;
    held(&scene, "broken-before").await;
    assert_eq!(scene.image().await, "shop:v2");

    // When it is over, who heard that nothing is done hears that nothing needs to be.
    scene.door.set(Fault::Pass).await;
    scene.hears(OBJECTIVE, "resolved").await;
    scene.hears("rollback", "resolved").await;
    let told = scene.told_of("rollback");
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    // Before the release there was no rollout to blame, and that was told too.
    assert_eq!(statuses, ["firing", "firing", "resolved"], "{told:?}");
    assert!(told[0].1.contains("(no-rollout)"), "{told:?}");
    assert!(told[1].1.contains("(broken-before)"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_mode_observe_people_hear_what_would_have_been_done() {
    let mut scene = Plan::new("observe").workload("mode", "observe").set().await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    held(&scene, "mode-observe").await;
    only(&scene, "mode-observe").await;
    let told = scene.told_of("rollback");
    assert_eq!(
        told[0].1,
        "acme/shop: would have rolled back (mode observe)"
    );
    // It says to what: everything but the mode was in favour.
    let decision = &scene.decisions().await[0];
    let mut candidates = decision["candidates"].as_array().unwrap().iter();
    let target = candidates.find(|candidate| candidate["rejected"].is_null());
    assert_eq!(target.unwrap()["images"][0], "shop:v1");
    let guards = decision["guards"].as_array().unwrap();
    let against: Vec<_> = guards
        .iter()
        .filter(|guard| guard["passed"] == false)
        .collect();
    assert_eq!(against.len(), 1, "{against:#?}");

    // A restart is no news.
    let heard = scene.ops.posts().len();
    assert_eq!(scene.daemon.stop().await, 0, "{}", scene.daemon.log_end());
    scene.daemon.restart().await;
    never("what was told is told again", QUIET, || async {
        let posts = scene.ops.posts();
        if posts.len() == heard {
            Ok(())
        } else {
            Err(format!("{:?}", posts.last()))
        }
    })
    .await;
    only(&scene, "mode-observe").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_of_none_is_none() {
    let scene = Plan::new("budget")
        .workload("budget", json!({ "per_day": 0 }))
        .set()
        .await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    held(&scene, "budget-workload").await;
    only(&scene, "budget-workload").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_spent_holds_the_next_bad_release() {
    let scene = Plan::new("spent")
        .workload("budget", json!({ "per_day": 1 }))
        .set()
        .await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    scene.rollback(1, "succeeded").await;
    scene.hears(OBJECTIVE, "resolved").await;
    scene.release("shop:v3-err20").await;
    scene.held("budget-workload").await;
    scene.hears_of("budget-workload").await;
    never("a second patch", QUIET, || async {
        let undos = scene.undos();
        if undos.count() == 1 {
            Ok(())
        } else {
            Err(undos.to_string())
        }
    })
    .await;
    assert_eq!(scene.image().await, "shop:v3-err20");
    assert_eq!(scene.rollbacks().await.len(), 1);
    assert_eq!(scene.told_of_hold("budget-workload"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_proven_revision_there_is_nothing_to_go_back_to() {
    let scene = Plan::new("no-baseline").workload("bake", "1h").set().await;
    scene.trust("shop:v1", "baking").await;
    scene.release(BAD).await;
    held(&scene, "no-baseline").await;
    only(&scene, "no-baseline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proven_revision_that_the_cluster_has_forgotten_cannot_be_put_back() {
    // Faults begin only after the rollout is complete, which is when the cluster forgets v1; the bake
    // is longer, so that v2 is not proven before.
    const FAILS_LATER: &str = "shop:v2-err50-later8";
    let scene = Plan::new("baseline-gone")
        .workload("bake", "20s")
        .set()
        .await;
    scene.proven("shop:v1").await;
    let deployments: Api<Deployment> =
        Api::namespaced(scene.plane.client().await, &scene.namespace);
    let forget = json!({ "spec": { "revisionHistoryLimit": 0 } });
    deployments
        .patch(WORKLOAD, &PatchParams::default(), &Patch::Merge(forget))
        .await
        .unwrap();
    scene.release(FAILS_LATER).await;
    scene.rolled_out().await;
    eventually("the cluster forgets v1", PATIENCE, || async {
        let workload = scene.daemon.get_json(&scene.workload_path()).await?;
        let revisions = workload["revisions"].as_array().ok_or("no revisions")?;
        if revisions.len() == 1 {
            Ok(())
        } else {
            Err(workload.to_string())
        }
    })
    .await;
    held(&scene, "baseline-gone").await;
    only(&scene, "baseline-gone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_release_is_proven_and_nobody_hears_a_word() {
    let scene = Plan::new("good-release").set().await;
    scene.proven("shop:v1").await;
    scene.release("shop:v2").await;
    scene.proven("shop:v2").await;
    never(
        "a word about a good release",
        Duration::from_secs(3),
        || async {
            match scene.ops.posts().len() {
                0 => Ok(()),
                _ => Err(format!("{:?}", scene.ops.posts())),
            }
        },
    )
    .await;
    assert_eq!(scene.patches().count(), 0, "{}", scene.patches());
    assert!(scene.decisions().await.is_empty());
}
