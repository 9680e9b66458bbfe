//! Killed between breach and verified: one patch in the end, and each message once.
//!
//! Each story brings the daemon to a point, kills it there with the signal that nothing can catch, and
//! starts it again on the same store. That it really was killed at that point is checked on what the new
//! process finds there: it is a candidate for as long as the lease of its predecessor lasts, and does
//! nothing until then. The receiver counts by idempotency key, as one that does its work once would.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::scene::{OBJECTIVE, PATIENCE, Plan, QUIET, Scene};
use crate::support::assets::torture_rounds;
use crate::support::controlplane::random_hex;
use crate::support::eventually::{eventually, never};
use crate::support::faults::Fault;
use crate::support::receiver::Behaviour;

/// Far beyond the limit: a ratio that wavers about it fires more than once, and rightly so.
const BAD: &str = "shop:v2-err40";

/// Long enough that the lease outlives whatever a story does to the API server, and that a process that
/// was just started can be asked what it found before it leads.
const LEASE_SECONDS: u64 = 10;

/// What the breach has to last before it fires: the time in which a story can step in.
const WAIT: &str = "3s";

/// Longer than a look at the audit log takes, much shorter than the deadline of a call.
const HELD_BACK: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_decision_it_decides_after_the_restart() {
    let mut scene = bad_release("crash-breach").await;
    breached(&scene).await;
    let killed = kill(&mut scene).await;
    assert_eq!(scene.decisions().await.len(), 0, "killed too late");
    scene.undone().await;
    figure("before the decision", "patched", killed);
    ends_once(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_decision_and_patch_it_patches_once_after_the_restart() {
    let mut scene = bad_release("crash-decided").await;
    breached(&scene).await;
    // The decision needs no API server; all that follows does.
    scene.api_server.set(Fault::BlackHole).await;
    scene.rollback(1, "requested").await;
    scene.daemon.kill_9().await;
    assert_eq!(scene.undos().count(), 0, "killed too late");
    scene.api_server.set(Fault::Pass).await;
    let killed = start_again(&mut scene).await;
    assert_eq!(stage(&scene).await, "requested");
    scene.undone().await;
    figure("decided, not patched", "patched", killed);
    ends_once(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_it_hears_that_the_patch_was_accepted_it_sends_no_other() {
    let mut scene = bad_release("crash-patched").await;
    breached(&scene).await;
    // The patch is accepted long before the daemon can hear of it.
    scene.api_server.set(Fault::Slow(HELD_BACK)).await;
    scene.undone().await;
    scene.daemon.kill_9().await;
    scene.api_server.set(Fault::Pass).await;
    let killed = start_again(&mut scene).await;
    assert_eq!(stage(&scene).await, "applying", "killed too late");
    scene.rollback(1, "verifying").await;
    figure("patched, not recorded", "recorded", killed);
    ends_once(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_verifies_it_verifies_on() {
    let mut scene = bad_release("crash-verifying").await;
    scene.rollback(1, "verifying").await;
    let killed = kill(&mut scene).await;
    assert_eq!(stage(&scene).await, "verifying", "killed too late");
    scene.rollback(1, "succeeded").await;
    figure("verifying", "verified", killed);
    ends_once(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_the_last_message_under_way_it_sends_the_same_one_again() {
    let mut scene = bad_release("crash-telling").await;
    scene.rollback(1, "verifying").await;
    eventually("the rollback is told", PATIENCE, || async {
        let told = scene.told_of("rollback");
        if told.len() == 2 {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        }
    })
    .await;
    // From here on messages are read and never answered: whoever sent one cannot know.
    scene.ops.behave(Behaviour::Hang);
    scene.rollback(1, "succeeded").await;
    let last = eventually("the last message is under way", PATIENCE, || async {
        let posts = scene.ops.posts();
        let hung = posts.iter().find(|post| {
            let body = post.json();
            let labels = &body["alerts"][0]["labels"];
            !post.accepted && body["status"] == "resolved" && labels["alertname"] == "rollback"
        });
        hung.cloned().ok_or_else(|| scene.daemon.log_end())
    })
    .await;
    scene.daemon.kill_9().await;
    scene.ops.behave(Behaviour::Ok);
    let killed = start_again(&mut scene).await;
    let again = scene.hears("rollback", "resolved").await;
    figure("verified, not told", "told", killed);
    assert_eq!(again.idempotency_key(), last.idempotency_key());
    assert_eq!(again.json()["alerts"], last.json()["alerts"]);
    ends_once(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_release_that_came_while_it_was_down_is_rolled_back_as_well() {
    let mut scene = proven("crash-away").await;
    scene.daemon.kill_9().await;
    scene.release(BAD).await;
    scene.rolled_out().await;
    let killed = start_again(&mut scene).await;
    scene.undone().await;
    figure("before the release", "patched", killed);
    ends_once(&scene).await;
}

/// Random moments between the release and the end; `cargo xtask torture` goes round as often as it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_it_ends_like_any_other_time() {
    let rounds = torture_rounds(2);
    let plenty = rounds * 2 + 10;
    let mut scene = Plan::new("torture")
        .lease_seconds(4)
        .workload("budget", serde_json::json!({ "per_day": plenty }))
        .with("/rollback/budget/per_hour", plenty)
        .with("/rollback/budget/per_tenant_per_day", plenty)
        .set()
        .await;
    scene.proven("shop:v1").await;
    for round in 1..=rounds {
        round_of_torture(&mut scene, round as usize).await;
    }
}

async fn round_of_torture(scene: &mut Scene, round: usize) {
    // An undisturbed rollback is verified some 25 s after the release.
    let delay = Duration::from_millis(random_below(30_000));
    // Half of the rounds are killed a second time, soon enough to meet the restart itself.
    let second = (random_below(2) == 0).then(|| Duration::from_millis(random_below(12_000)));
    eprintln!("round {round}: killed after {delay:?}, and again after {second:?}");
    scene.release(&format!("shop:v{}-err40", round + 1)).await;
    tokio::time::sleep(delay).await;
    kill(scene).await;
    if let Some(delay) = second {
        tokio::time::sleep(delay).await;
        kill(scene).await;
    }
    scene.rollback(round, "succeeded").await;
    told_once(scene, round).await;
    let undos = scene.undos();
    assert_eq!(undos.accepted().count(), round, "round {round}:\n{undos}");
    assert_eq!(scene.image().await, "shop:v1");
}

/// A shop whose proven v1 was just replaced by a bad v2.
async fn bad_release(story: &'static str) -> Scene {
    let scene = proven(story).await;
    scene.release(BAD).await;
    scene
}

/// A shop whose v1 is proven.
async fn proven(story: &'static str) -> Scene {
    let scene = Plan::new(story)
        .lease_seconds(LEASE_SECONDS)
        .objective("for", WAIT)
        .set()
        .await;
    scene.proven("shop:v1").await;
    scene
}

/// Waits until the promise is broken, and not yet for long enough to fire.
async fn breached(scene: &Scene) {
    let path = "/api/v1/objectives";
    let breach = "the promise is broken";
    scene
        .daemon
        .wait_for(breach, path, PATIENCE, |list| {
            let mut all = list["items"].as_array()?.iter();
            let one = all.find(|objective| objective["objective"] == OBJECTIVE)?;
            (one["state"] == "pending").then_some(())
        })
        .await;
}

async fn kill(scene: &mut Scene) -> Instant {
    scene.daemon.kill_9().await;
    start_again(scene).await
}

/// Starts it on what the killed one left behind, and gives the moment before.
async fn start_again(scene: &mut Scene) -> Instant {
    let killed = Instant::now();
    scene.daemon.restart().await;
    eprintln!("started again in {:?}", killed.elapsed());
    killed
}

async fn stage(scene: &Scene) -> String {
    let rollbacks = scene.rollbacks().await;
    assert_eq!(rollbacks.len(), 1, "{rollbacks:#?}");
    rollbacks[0]["stage"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn figure(from: &str, to: &str, since: Instant) {
    eprintln!("killed {from} → {to}: {:?}", since.elapsed());
}

/// One effective patch, one decision, each message once, and all is well: whatever happened on the way.
async fn ends_once(scene: &Scene) {
    let rollback = scene.rollback(1, "succeeded").await;
    told_once(scene, 1).await;
    never("a second patch", QUIET, || async {
        let undos = scene.undos();
        match undos.accepted().count() {
            1 => Ok(()),
            _ => Err(undos.to_string()),
        }
    })
    .await;
    assert_eq!(rollback["attempt"], 1);
    assert_eq!(scene.image().await, "shop:v1");
    let decisions = scene.decisions().await;
    let acts = |decision: &&Value| decision["verdict"] == "roll-back";
    assert_eq!(decisions.iter().filter(acts).count(), 1, "{decisions:#?}");
    assert_eq!(scene.trust_now(BAD).await.as_deref(), Some("quarantined"));
    scene.assert_nothing_forbidden();
}

/// So many alerts were told to fire, each to be over; and so many rollbacks, each in three steps.
async fn told_once(scene: &Scene, times: usize) {
    let statuses = |name: &str| -> Vec<String> {
        let told = scene.told_of(name).into_iter();
        told.map(|(status, _)| status).collect()
    };
    let wanted = |steps: &[&'static str]| steps.repeat(times);
    let of_alert = wanted(&["firing", "resolved"]);
    let of_rollback = wanted(&["firing", "firing", "resolved"]);
    eventually("everything is told", PATIENCE, || async {
        let told = (statuses(OBJECTIVE), statuses("rollback"));
        let is_whole = told.0.len() >= of_alert.len() && told.1.len() >= of_rollback.len();
        if is_whole {
            Ok(())
        } else {
            Err(format!("{told:?}\n{}", scene.daemon.log_end()))
        }
    })
    .await;
    assert_eq!(
        statuses(OBJECTIVE),
        of_alert,
        "{:?}",
        scene.told_of(OBJECTIVE)
    );
    assert_eq!(
        statuses("rollback"),
        of_rollback,
        "{:?}",
        scene.told_of("rollback")
    );
}

/// A number below `limit`, of the kernel's randomness.
fn random_below(limit: u64) -> u64 {
    let digits = random_hex();
    u64::from_str_radix(&digits[..12], 16).expect("hexadecimal digits") % limit
}
