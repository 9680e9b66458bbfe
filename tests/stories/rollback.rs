//! A bad release is rolled back, exactly once, and everybody is told.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, QUIET, Scene, TENANT, WORKLOAD};
use crate::support::eventually::{eventually, never};
use crate::support::kubectl::kubectl;

const BAD: &str = "shop:v2-err20";

/// A second Deployment, of which Holdfast knows nothing.
const TWIN: &str = "twin";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_fails_a_fifth_of_its_requests_is_rolled_back_exactly_once() {
    let scene = Plan::new("rollback").set().await;
    scene.proven("shop:v1").await;
    let before = scene.deployment().await;
    let template_of_v1 = before.spec.unwrap().template;

    scene.release(BAD).await;
    eventually("a customer is let down", PATIENCE, || async {
        match scene.traffic.counts().failed() {
            0 => Err("all is well"),
            _ => Ok(()),
        }
    })
    .await;
    let first_error = Instant::now();
    scene.undone().await;
    let undone = first_error.elapsed();
    let rollback = scene.rollback(1, "succeeded").await;
    let verified = first_error.elapsed();
    eprintln!("first error → undone {undone:.1?} → verified {verified:.1?}");

    // v1's template is back, whole, and its pods serve.
    let after = scene.rolled_out().await;
    assert_eq!(after.spec.unwrap().template, template_of_v1);
    let annotations = after.metadata.annotations.unwrap();
    assert_eq!(
        annotations["holdfast.dev/rollback-id"],
        rollback["id"].as_str().unwrap()
    );
    requests_are_good(&scene).await;

    // Told: the alert fires and is resolved, the rollback begins and ends, each once for a key.
    scene.hears(OBJECTIVE, "resolved").await;
    scene.hears("rollback", "resolved").await;
    never("a second patch", QUIET, || async {
        let undos = scene.undos();
        if undos.count() == 1 {
            Ok(())
        } else {
            Err(undos.to_string())
        }
    })
    .await;
    let of_alert = scene.told_of(OBJECTIVE);
    let statuses: Vec<&str> = of_alert.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["firing", "resolved"], "{of_alert:?}");
    let of_rollback = scene.told_of("rollback");
    let summaries: Vec<&str> = of_rollback.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "acme/shop: rolling back",
            "acme/shop: rolled back, verifying",
            "acme/shop: the rollback helped",
        ]
    );
    for (key, count) in scene.ops.accepted_by_key() {
        assert_eq!(
            count, 1,
            "{key} was sent {count} times to a receiver that took it"
        );
    }

    // The audit log: one patch of the Deployment altogether, and it was accepted.
    let patches = scene.patches();
    assert_eq!(patches.count(), 1, "{patches}");
    assert_eq!(patches.accepted().count(), 1, "{patches}");
    scene.assert_nothing_forbidden();

    decision_has_its_evidence(&scene, &rollback).await;
    assert_eq!(scene.trust_now(BAD).await.as_deref(), Some("quarantined"));
    assert_eq!(scene.trust_now("shop:v1").await.as_deref(), Some("proven"));
    event_is_on_the_deployment(&scene);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_release_applied_again_is_judged_again_once_and_then_held() {
    let scene = Plan::new("reapplied")
        .workload("cooldown", "1h")
        .set()
        .await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    let first = scene.rollback(1, "succeeded").await;
    scene.hears(OBJECTIVE, "resolved").await;

    // Again, by a person: held as long as the cooldown lasts …
    scene.release(BAD).await;
    scene.held("cooldown").await;
    scene.hears_of("cooldown").await;
    assert_eq!(scene.undos().count(), 1, "{}", scene.undos());
    assert_eq!(scene.image().await, BAD);

    // … and rolled back when it is over: a rollback of its own, since it is a rollout of its own.
    let cooldown = format!("/tenants/{TENANT}/workloads/{WORKLOAD}/cooldown");
    scene.configure(&[(&cooldown, "1s".into())]);
    let second = scene.rollback(2, "succeeded").await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(first["to"], second["to"]);

    // A third time within a day: somebody insists, and Holdfast does not.
    scene.release(BAD).await;
    scene.held("reapplied").await;
    scene.hears_of("reapplied").await;
    never("a loop", QUIET, || async {
        let undos = scene.undos();
        if undos.count() == 2 {
            Ok(())
        } else {
            Err(undos.to_string())
        }
    })
    .await;
    assert_eq!(scene.image().await, BAD, "it stays as the person wants it");
    assert_eq!(scene.rollbacks().await.len(), 2);
    for hold in ["cooldown", "reapplied"] {
        assert_eq!(scene.told_of_hold(hold), 1, "{hold} is told once");
    }
    assert_eq!(scene.trust_now(BAD).await.as_deref(), Some("quarantined"));
    scene.assert_nothing_forbidden();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counters_of_the_pods_tell_the_same_story() {
    let scene = Plan::new("counted").by_prometheus().set().await;
    scene.proven("shop:v1").await;
    scene.release(BAD).await;
    scene.rollback(1, "succeeded").await;
    scene.hears(OBJECTIVE, "resolved").await;
    assert_eq!(scene.image().await, "shop:v1");
    assert_eq!(scene.patches().count(), 1, "{}", scene.patches());
    let told = scene.told_of(OBJECTIVE);
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["firing", "resolved"], "{told:?}");
    // Customers are counted, not looks: some twenty in each second of the window.
    let decisions = scene.decisions().await;
    let tally = &decisions[0]["evidence"][0]["tally"];
    let (good, bad) = (
        tally["good"].as_u64().unwrap(),
        tally["bad"].as_u64().unwrap(),
    );
    assert!(
        good + bad > 60 && bad * 10 > good + bad && bad * 4 < good + bad,
        "{tally}"
    );
    assert_eq!(scene.trust_now(BAD).await.as_deref(), Some("quarantined"));
    scene.assert_nothing_forbidden();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_never_gets_ready_is_rolled_back_before_a_customer_notices() {
    let scene = Plan::new("never-ready").set().await;
    scene.proven("shop:v1").await;
    let deadline = json!({ "spec": { "progressDeadlineSeconds": 5 } });
    let deployments: Api<Deployment> =
        Api::namespaced(scene.plane.client().await, &scene.namespace);
    deployments
        .patch(WORKLOAD, &PatchParams::default(), &Patch::Merge(deadline))
        .await
        .unwrap();
    scene.release("shop:v2-imagepull").await;
    let rollback = scene.rollback(1, "succeeded").await;
    assert_eq!(rollback["trigger"], "progress-deadline");
    assert_eq!(scene.image().await, "shop:v1");
    scene.rolled_out().await;
    scene.hears("rollback", "resolved").await;
    assert_eq!(scene.patches().count(), 1, "{}", scene.patches());
    assert_eq!(
        scene.told_of(OBJECTIVE),
        [],
        "no promise to customers was broken"
    );
    assert_eq!(
        scene.traffic.counts().failed(),
        0,
        "{:?}",
        scene.traffic.counts()
    );
    let trust = scene.trust_now("shop:v2-imagepull").await;
    assert_eq!(trust.as_deref(), Some("quarantined"));
}

/// What a person who writes files does. `kubectl` remembers the file on the object.
fn apply_file(scene: &Scene, name: &str, image: &str) {
    let namespace = ["-n", scene.namespace.as_str()];
    let get = ["get", "deployment", name, "-o", "json"];
    let found = kubectl(scene.plane, &[&namespace[..], &get[..]].concat(), None).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let mut spec = found["spec"].clone();
    spec["template"]["spec"]["containers"][0]["image"] = image.into();
    let file = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": found["metadata"]["labels"],
            "annotations": { "kubernetes.io/change-cause": format!("release {image}") },
        },
        "spec": spec,
    });
    let apply = ["apply", "-f", "-"];
    let arguments = [&namespace[..], &apply[..]].concat();
    kubectl(scene.plane, &arguments, Some(&file.to_string())).unwrap();
}

/// Annotations without Holdfast's own, and with the names taken out of the remembered file.
fn annotations_of(deployment: &Deployment) -> BTreeMap<String, String> {
    let all = deployment.metadata.annotations.clone().unwrap();
    all.into_iter()
        .filter(|(key, _)| !key.starts_with("holdfast.dev/"))
        .map(|(key, value)| (key, value.replace(TWIN, WORKLOAD)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_on_the_object_is_what_kubectl_would_leave_and_people_are_warned_of_the_file()
{
    let scene = Plan::new("applied").set().await;
    scene
        .person
        .apply_deployment(&scene.namespace, TWIN, "shop:v1", 2)
        .await
        .unwrap();
    for name in [WORKLOAD, TWIN] {
        apply_file(&scene, name, "shop:v1");
    }
    scene.proven("shop:v1").await;
    for name in [WORKLOAD, TWIN] {
        apply_file(&scene, name, BAD);
    }
    scene.rollback(1, "succeeded").await;
    let undo = ["-n", &scene.namespace, "rollout", "undo", "deployment/twin"];
    kubectl(scene.plane, &undo, None).unwrap();

    let by_holdfast = scene.rolled_out().await;
    let by_kubectl = scene
        .person
        .rolled_out(&scene.namespace, TWIN, PATIENCE)
        .await
        .unwrap();
    let annotations = annotations_of(&by_holdfast);
    assert_eq!(annotations, annotations_of(&by_kubectl));
    assert_eq!(annotations["kubernetes.io/change-cause"], "release shop:v1");
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    let container = |deployment: &Deployment| {
        let template = deployment.spec.clone().unwrap().template;
        let mut container = template.spec.unwrap().containers.remove(0);
        container.name.clear();
        container
    };
    assert_eq!(container(&by_holdfast), container(&by_kubectl));

    // The file still says v2: the next apply brings it back, and nobody has to find that out alone.
    let verifying = scene.hears_of("verifying").await.json();
    let description = &verifying["alerts"][0]["annotations"]["description"];
    let text = description.as_str().unwrap();
    assert!(text.contains("kubectl apply"), "{text}");
    assert_eq!(
        scene.patches().count(),
        1,
        "the twin is nobody's business:\n{}",
        scene.patches()
    );
}

/// From now on no request fails, for as long as a breach would take to show.
async fn requests_are_good(scene: &Scene) {
    let counts = |scene: &Scene| {
        let counts = scene.traffic.counts();
        (counts.answered(), counts.failed())
    };
    // A request that was under way when the last pod of v2 ended may still count.
    let (answered, _) = counts(scene);
    eventually("customers are served on", PATIENCE, || async {
        if counts(scene).0 > answered + 20 {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let (answered, failed) = counts(scene);
    eventually("customers are served on", PATIENCE, || async {
        if counts(scene).0 > answered + 60 {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    assert_eq!(counts(scene).1, failed, "requests still fail");
}

async fn decision_has_its_evidence(scene: &Scene, rollback: &Value) {
    let decisions = scene.decisions().await;
    let acted: Vec<&Value> = decisions
        .iter()
        .filter(|decision| decision["verdict"] == "roll-back")
        .collect();
    assert_eq!(acted.len(), 1, "{decisions:#?}");
    let decision = acted[0];
    assert_eq!(decision["id"], rollback["decision"]);
    assert_eq!(decision["rollback"], rollback["id"]);
    assert_eq!(decision["mode"], "act");
    let evidence = decision["evidence"].as_array().unwrap();
    assert_eq!(
        evidence.len(),
        2,
        "the window, and since the rollout: {decision:#?}"
    );
    // What decides is the second; the first may have sunk a little since it fired.
    let value = |place: usize| evidence[place]["value"].as_f64().unwrap();
    assert!(value(0) > 0.05 && value(1) > 0.10, "{evidence:#?}");
    for one in evidence {
        let events = |word: &str| one["tally"][word].as_u64().unwrap();
        assert!(events("bad") + events("good") >= 20, "{one:#?}");
    }
    let guards = decision["guards"].as_array().unwrap();
    assert!(guards.len() > 5 && guards.iter().all(|guard| guard["passed"] == true));
    let images: BTreeSet<&str> = decision["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|candidate| candidate["rejected"].is_null())
        .map(|candidate| candidate["images"][0].as_str().unwrap())
        .collect();
    assert_eq!(images, BTreeSet::from(["shop:v1"]));
    // By its rollback's id, which is what the annotation names, the same story is found.
    let path = format!("/api/v1/decisions/{}", rollback["id"].as_str().unwrap());
    let story = scene.daemon.get_json(&path).await.unwrap();
    assert_eq!(story["decision"]["id"], decision["id"]);
    assert_eq!(story["rollback"]["stage"], "succeeded");
}

fn event_is_on_the_deployment(scene: &Scene) {
    let events = scene.events();
    let shop = |event: &&Value| {
        let about = &event["involvedObject"];
        about["kind"] == "Deployment" && about["name"] == WORKLOAD
    };
    assert!(!events.is_empty(), "no Event");
    assert_eq!(
        events.iter().filter(shop).count(),
        events.len(),
        "{events:#?}"
    );
}
