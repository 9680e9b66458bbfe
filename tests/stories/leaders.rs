//! Two daemons on one cluster, and a leader that was frozen: one acts.
//!
//! Each has a store of its own, so the object in the cluster is all that they share: the version that a
//! patch is conditional on, and what stands in its annotations.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, QUIET, Scene};
use crate::support::audit::Entry;
use crate::support::daemon::Daemon;
use crate::support::eventually::{eventually, never};
use crate::support::faults::Fault;

/// Far beyond the limit: a ratio that wavers about it fires more than once, and rightly so.
const BAD: &str = "shop:v2-err40";
const LEASE_SECONDS: u64 = 10;

/// Longer than a look at the audit log takes, much shorter than the deadline of a call.
const HELD_BACK: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_daemons_one_acts_and_tells() {
    let (scene, other, _way) = pair("pair").await;
    assert!(leads(&scene.daemon).await && !leads(&other).await);
    scene.release(BAD).await;
    scene.rollback(1, "succeeded").await;
    scene.hears(OBJECTIVE, "resolved").await;
    scene.hears("rollback", "resolved").await;
    // The other one has seen all of it: it judged the same promise, and had nothing to do.
    judged_it_too(&other).await;
    one_undo(&scene).await;
    let statuses = |name: &str| -> Vec<String> {
        let told = scene.told_of(name).into_iter();
        told.map(|(status, _)| status).collect()
    };
    assert_eq!(statuses(OBJECTIVE), ["firing", "resolved"]);
    assert_eq!(statuses("rollback"), ["firing", "firing", "resolved"]);
    for path in [
        "/api/v1/decisions",
        "/api/v1/rollbacks",
        "/api/v1/deliveries",
    ] {
        let list = other.get_json(path).await.unwrap();
        assert_eq!(list["items"], Value::Array(Vec::new()), "{path}");
    }
}

/// Its patch is on the way to the API server when it is frozen, and arrives when another one has acted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_frozen_about_to_act_changes_nothing_when_it_comes_back() {
    let (mut scene, mut other, _way) = pair("frozen").await;
    let frozen = freeze_about_to_act(&mut scene).await;
    taken_over(&other, frozen).await;
    acted(&other, "succeeded").await;
    eprintln!(
        "frozen → rolled back and verified by the other: {:?}",
        frozen.elapsed()
    );
    // Its patch arrives, and finds that the object is another one by now.
    scene.api_server.set(Fault::Pass).await;
    eventually("the patch that was held arrives", PATIENCE, || async {
        match scene.undos().count() {
            2 => Ok(()),
            _ => Err(scene.undos().to_string()),
        }
    })
    .await;
    let codes: Vec<u16> = scene.undos().0.iter().map(Entry::code).collect();
    assert_eq!(codes, [200, 409]);
    scene.daemon.thaw();
    follows(&scene.daemon).await;
    one_undo(&scene).await;
    told_by_the_other(&scene).await;

    // When it leads again it finds its own rollback done, verifies it, and tells what it still owes.
    assert_eq!(other.stop().await, 0);
    acted(&scene.daemon, "succeeded").await;
    all_clear_of_both(&scene).await;
    assert_eq!(scene.undos().count(), 2, "{}", scene.undos());
}

/// Both would act at the same moment: the one that comes back, and the one that took over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_comes_back_at_the_moment_of_the_take_over_changes_nothing_twice() {
    let (mut scene, other, _way) = pair("thawed").await;
    let frozen = freeze_about_to_act(&mut scene).await;
    taken_over(&other, frozen).await;
    scene.api_server.set(Fault::Pass).await;
    scene.daemon.thaw();
    scene.undone().await;
    eprintln!("frozen → patched by either: {:?}", frozen.elapsed());
    follows(&scene.daemon).await;
    one_undo(&scene).await;
}

/// Two daemons that have both seen v1 being proven.
async fn pair(story: &'static str) -> (Scene, Daemon, crate::support::faults::FaultProxy) {
    let scene = Plan::new(story)
        .lease_seconds(LEASE_SECONDS)
        .objective("for", "3s")
        .set()
        .await;
    eventually("the first one leads", PATIENCE, || async {
        if leads(&scene.daemon).await {
            Ok(())
        } else {
            Err(scene.daemon.log_end())
        }
    })
    .await;
    let (other, way) = scene.another("second").await;
    scene.proven("shop:v1").await;
    other
        .wait_for(
            "v1 is proven",
            &scene.workload_path(),
            PATIENCE,
            |workload| {
                let mut ledger = workload["ledger"].as_array()?.iter();
                ledger.find(|entry| entry["trust"] == "proven").map(|_| ())
            },
        )
        .await;
    (scene, other, way)
}

async fn leads(daemon: &Daemon) -> bool {
    let status = daemon.get_json("/status").await;
    status.is_ok_and(|status| status["leads"] == true)
}

/// Waits until the intent is on record and the object is read for the last time before the patch, lets
/// nothing more through, and freezes the process while its patch is held on the way.
async fn freeze_about_to_act(scene: &mut Scene) -> Instant {
    scene.release(BAD).await;
    scene
        .daemon
        .wait_for(
            "the promise is broken",
            "/api/v1/objectives",
            PATIENCE,
            |list| {
                let mut all = list["items"].as_array()?.iter();
                let one = all.find(|objective| objective["objective"] == OBJECTIVE)?;
                (one["state"] == "pending").then_some(())
            },
        )
        .await;
    scene.api_server.set(Fault::Slow(HELD_BACK)).await;
    let lists = reads(scene);
    // Listed once to observe and once to make the patch; the watches list nothing in between.
    scene.rollback(1, "applying").await;
    eventually("the object is read for the patch", PATIENCE, || async {
        let now = reads(scene);
        if now > lists + 1 {
            Ok(())
        } else {
            Err(format!("{lists} → {now}"))
        }
    })
    .await;
    scene.api_server.set(Fault::HoldRequests).await;
    // The answer to that look is still on its way; the patch follows it at once, and gets no further.
    tokio::time::sleep(HELD_BACK * 3).await;
    scene.daemon.freeze().await;
    assert_eq!(scene.undos().count(), 0, "frozen too late");
    Instant::now()
}

/// How often the ReplicaSets were listed by anybody with a name of Holdfast's.
fn reads(scene: &Scene) -> usize {
    let audit = scene.plane.audit_of(&scene.namespace);
    let lists = audit.filter(|entry| {
        entry.verb == "list"
            && entry.object_ref.resource == "replicasets"
            && entry.uri.contains("labelSelector")
    });
    lists.count()
}

async fn taken_over(other: &Daemon, frozen: Instant) {
    eventually("the other one leads", PATIENCE, || async {
        if leads(other).await {
            Ok(())
        } else {
            Err(other.log_end())
        }
    })
    .await;
    eprintln!("frozen → the other leads: {:?}", frozen.elapsed());
}

async fn acted(daemon: &Daemon, stage: &str) {
    let path = "/api/v1/rollbacks";
    daemon
        .wait_for(
            &format!("its rollback is {stage}"),
            path,
            PATIENCE,
            |list| (list["items"][0]["stage"] == stage).then_some(()),
        )
        .await;
}

/// It has noticed that it does not lead, and answers again.
async fn follows(daemon: &Daemon) {
    daemon
        .wait_for("it follows", "/status", PATIENCE, |status| {
            (status["leads"] == false).then_some(())
        })
        .await;
}

async fn judged_it_too(other: &Daemon) {
    let path = "/api/v1/alerts";
    other
        .wait_for("the other one judged it too", path, PATIENCE, |list| {
            (list["items"][0]["state"] == "resolved").then_some(())
        })
        .await;
}

async fn one_undo(scene: &Scene) {
    never("a second patch", QUIET, || async {
        let undos = scene.undos();
        match undos.accepted().count() {
            1 => Ok(()),
            _ => Err(undos.to_string()),
        }
    })
    .await;
    eprintln!(
        "patches of the template, refused ones too:\n{}",
        scene.undos()
    );
    assert_eq!(scene.image().await, "shop:v1");
    scene.assert_nothing_forbidden();
}

/// Each had told of an alert of its own; each tells that it is over.
async fn all_clear_of_both(scene: &Scene) {
    eventually("both alerts are told to be over", PATIENCE, || async {
        let told = scene.told_of(OBJECTIVE);
        let count = |wanted: &str| told.iter().filter(|(status, _)| status == wanted).count();
        if (count("firing"), count("resolved")) == (2, 2) {
            Ok(())
        } else {
            Err(format!("{told:?}\n{}", scene.daemon.log_end()))
        }
    })
    .await;
}

/// Whoever took over told the whole story under its own names.
async fn told_by_the_other(scene: &Scene) {
    scene.hears(OBJECTIVE, "resolved").await;
    scene.hears("rollback", "resolved").await;
    eprintln!(
        "{:?}\n{:?}",
        scene.told_of(OBJECTIVE),
        scene.told_of("rollback")
    );
    let helped = scene.told_of("rollback");
    let helped = helped.iter().filter(|(status, _)| status == "resolved");
    assert_eq!(helped.count(), 1, "{:?}", scene.told_of("rollback"));
}
