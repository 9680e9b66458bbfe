//! The rollback does not help: it is not repeated, and the release is cleared.

use serde_json::Value;

use crate::scene::{OBJECTIVE, Plan, QUIET};
use crate::support::eventually::never;
use crate::support::faults::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_database_was_the_cause_nothing_is_rolled_back_further() {
    let mut scene = Plan::new("not-caused").set().await;
    scene.proven("shop:v1").await;
    // A good release, and a minute of bad luck: what all versions depend on breaks just after it.
    scene.release("shop:v2").await;
    scene.trust("shop:v2", "baking").await;
    let broken = Fault::Answer {
        status: 500,
        content_type: "text/plain",
        body: "the database is down".to_owned(),
    };
    scene.door.set(broken).await;

    let rollback = scene.rollback(1, "not-caused-by-release").await;
    assert_eq!(scene.image().await, "shop:v1");
    assert_eq!(
        scene.trust_now("shop:v2").await.as_deref(),
        Some("seen"),
        "cleared"
    );
    assert_eq!(scene.trust_now("shop:v1").await.as_deref(), Some("proven"));
    never("a second rollback", QUIET, || async {
        let undos = scene.undos();
        if undos.count() == 1 {
            Ok(())
        } else {
            Err(undos.to_string())
        }
    })
    .await;
    assert_eq!(scene.rollbacks().await.len(), 1);
    let acted = |decision: &&Value| decision["verdict"] == "roll-back";
    let decisions = scene.decisions().await;
    assert_eq!(decisions.iter().filter(acted).count(), 1, "{decisions:#?}");
    let fired: Vec<String> = scene
        .told_of(OBJECTIVE)
        .into_iter()
        .map(|told| told.0)
        .collect();
    assert_eq!(
        fired,
        ["firing"],
        "the alert goes on, and is not told again"
    );

    scene.door.set(Fault::Pass).await;
    scene.hears(OBJECTIVE, "resolved").await;
    scene.hears("rollback", "resolved").await;
    let told = scene.told_of("rollback");
    let statuses: Vec<&str> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(
        statuses,
        ["firing", "firing", "firing", "resolved"],
        "{told:?}"
    );
    assert_eq!(told[2].1, "acme/shop: not caused by the release");
    let events = scene.events();
    let reasons: Vec<&str> = events
        .iter()
        .filter_map(|event| event["reason"].as_str())
        .collect();
    assert!(reasons.contains(&"RollbackDidNotHelp"), "{reasons:?}");
    // It may be released again, and is judged like any other.
    assert_eq!(scene.undos().count(), 1, "{}", scene.undos());
    assert_eq!(rollback["attempt"], 1);
    scene.release("shop:v2").await;
    scene.proven("shop:v2").await;
    assert_eq!(scene.undos().count(), 1, "{}", scene.undos());
    scene.assert_nothing_forbidden();
}
