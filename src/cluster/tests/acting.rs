//! Undo, conflict, lost answer, refusal, claim, announcement.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::{Announcement, Platform as _, Precondition, Undo};
use super::*;
use crate::domain::decision::Hold;
use crate::domain::id::{Digest, RollbackId};
use crate::domain::rollback::{Answer, Term};
use crate::domain::rollout::Seen;

fn undo(seen: &Seen, to: TemplateDigest) -> (Undo, Precondition) {
    let undo = Undo {
        rollback: RollbackId(Digest::of(&["rollback"])),
        target: web(),
        from: seen.template,
        to,
        at: Timestamp::from_secs(1_767_603_600),
        term: Term(3),
    };
    let precondition = Precondition {
        uid: seen.uid.clone(),
        resource_version: seen.resource_version.clone(),
    };
    (undo, precondition)
}

async fn annotate(stage: &Stage, key: &str, value: &str) -> Deployment {
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client(), NAMESPACE);
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
    api.patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_undo_puts_the_template_back_with_one_patch_and_nothing_else() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    assert_eq!((seen.revision, seen.revisions.len()), (Some(2), 2));
    let to = numbered(&seen, 1);
    let (undo, precondition) = undo(&seen, to);

    let planned = stage.platform.plan(&undo).await.unwrap();
    assert_eq!(stage.patches().len(), 0);
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Applied
    );

    let patches = stage.patches();
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].0, 200);
    assert_eq!(
        patches[0].1,
        serde_json::from_str::<Value>(&planned.patch).unwrap()
    );
    let after = stage.settled().await;
    assert_eq!(after.template, to);
    assert_eq!(
        after.revision,
        Some(3),
        "the old ReplicaSet is used again under the next number"
    );
    assert_eq!(after.revisions.len(), 2);
    assert_eq!(after.replicas.desired, seen.replicas.desired);
    assert_eq!(after.marks.rollback, Some(undo.rollback));
    assert_eq!(after.marks.rolled_back_from, Some(seen.template));
    assert_eq!(after.marks.rolled_back_at, Some(undo.at));
    assert_eq!(after.marks.term, Some(3));
}

#[tokio::test]
async fn a_change_since_the_look_is_a_conflict_and_no_patch_is_sent() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let (undo, precondition) = undo(&seen, numbered(&seen, 1));
    annotate(&stage, "team", "payments").await;
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );
    assert_eq!(stage.patches(), []);
}

#[tokio::test]
async fn a_change_while_the_patch_is_on_its_way_is_not_overwritten() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let (undo, precondition) = undo(&seen, numbered(&seen, 1));
    stage.next_patch(Effect::Delay(Duration::from_millis(500)));
    let (answer, _) = tokio::join!(stage.platform.undo(&undo, &precondition), async {
        // The fault meets the first patch, so the person waits until that has come.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stage
            .cluster
            .set_image(NAMESPACE, "web", "shop:v3")
            .await
            .unwrap()
    });
    assert_eq!(answer, Answer::Conflict);
    let sent: Vec<_> = stage.patches().iter().map(|(code, _)| *code).collect();
    assert_eq!(sent, [409]);
    let after = stage.settled().await;
    assert_eq!(
        (after.template, after.marks.rollback),
        (present(&stage).await, None)
    );
    assert_ne!(after.template, undo.to);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_next_look_finds_the_patch() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let to = numbered(&seen, 1);
    let (undo, precondition) = undo(&seen, to);
    stage.next_patch(Effect::LoseAnswer);
    let answer = stage.platform.undo(&undo, &precondition).await;
    assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");

    let observed = stage.platform.observe(&web(), to).await.unwrap().unwrap();
    assert_eq!(
        (observed.template, observed.rollback),
        (to, Some(undo.rollback))
    );
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );
    assert_eq!(stage.patches().len(), 1);
}

#[tokio::test]
async fn a_patch_that_never_arrived_is_unknown_too_and_can_be_sent_again() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let to = numbered(&seen, 1);
    let (undo, precondition) = undo(&seen, to);
    for effect in [
        Effect::Refuse,
        Effect::Unavailable,
        Effect::TooManyRequests(60),
    ] {
        stage.next_patch(effect);
        let answer = stage.platform.undo(&undo, &precondition).await;
        assert!(
            matches!(answer, Answer::Unknown(_)),
            "{effect:?}: {answer:?}"
        );
        let observed = stage.platform.observe(&web(), to).await.unwrap().unwrap();
        assert_eq!(observed.resource_version, precondition.resource_version);
    }
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Applied
    );
}

#[tokio::test]
async fn what_the_api_server_forbids_is_refused_with_its_name() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let (undo, precondition) = undo(&seen, numbered(&seen, 1));
    stage.next_patch(Effect::Forbidden);
    let refused = Answer::Refused(Hold::NoPermission.as_str().into());
    assert_eq!(stage.platform.undo(&undo, &precondition).await, refused);
}

#[tokio::test]
async fn a_workload_that_was_made_anew_is_another_one() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let (undo, precondition) = undo(&seen, numbered(&seen, 1));
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client(), NAMESPACE);
    api.delete("web", &DeleteParams::background())
        .await
        .unwrap();
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );
    assert_eq!(stage.platform.observe(&web(), undo.to).await.unwrap(), None);
    stage
        .cluster
        .apply_deployment(NAMESPACE, "web", "shop:v2", 1)
        .await
        .unwrap();
    stage.settled().await;
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );
    assert_eq!(stage.patches(), []);
}

#[tokio::test]
async fn a_template_that_no_replica_set_holds_is_no_target() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let nowhere = TemplateDigest(Digest::of(&["nowhere"]));
    let observed = stage
        .platform
        .observe(&web(), nowhere)
        .await
        .unwrap()
        .unwrap();
    assert!(!observed.target_exists);
    let (undo, precondition) = undo(&seen, nowhere);
    let refused = Answer::Refused(Hold::BaselineGone.as_str().into());
    assert_eq!(stage.platform.undo(&undo, &precondition).await, refused);
}

#[tokio::test]
async fn a_mark_on_the_object_is_observed_as_a_guard() {
    let stage = Stage::with(&["shop:v1"]).await;
    let seen = stage.settled().await;
    let refused = async || {
        let observed = stage
            .platform
            .observe(&web(), seen.template)
            .await
            .unwrap()
            .unwrap();
        observed.refused
    };
    assert_eq!(refused().await, None);
    annotate(&stage, "holdfast.dev/freeze", "2026-01-05T08:59:59Z").await;
    assert_eq!(refused().await, None, "the freeze is over");
    annotate(&stage, "holdfast.dev/freeze", "2026-01-05T09:00:01Z").await;
    assert_eq!(refused().await, Some(Hold::Frozen));
    annotate(&stage, "holdfast.dev/rollback", "never").await;
    assert_eq!(refused().await, Some(Hold::Never));
}

#[tokio::test]
async fn a_claim_breaks_the_precondition_of_a_stale_leader_and_a_term_never_goes_down() {
    let stage = Stage::with(&["shop:v1", "shop:v2"]).await;
    let seen = stage.settled().await;
    let (undo, precondition) = undo(&seen, numbered(&seen, 1));
    stage.platform.claim(&web(), Term(5)).await.unwrap();
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );
    stage.platform.claim(&web(), Term(4)).await.unwrap();
    let after = stage.settled().await;
    assert_eq!(after.marks.term, Some(5));
    assert_eq!(after.template, seen.template);
    assert_eq!(stage.patches().len(), 1, "the older term wrote nothing");
    stage
        .platform
        .claim(&WorkloadRef::deployment(NAMESPACE, "gone"), Term(6))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_event_said_twice_is_there_once() {
    let stage = Stage::with(&["shop:v1"]).await;
    let announcement = Announcement {
        target: web(),
        uid: stage.settled().await.uid,
        reason: "RolledBack",
        note: "put v1 back".to_owned(),
        warning: true,
    };
    stage.platform.announce(&announcement).await.unwrap();
    stage.platform.announce(&announcement).await.unwrap();
    let api: Api<Event> = Api::namespaced(stage.cluster.client(), NAMESPACE);
    let events = api.list(&ListParams::default()).await.unwrap().items;
    let own = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("RolledBack"));
    let own: Vec<_> = own.collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].note.as_deref(), Some("put v1 back"));
    assert_eq!(
        own[0].regarding.as_ref().unwrap().name.as_deref(),
        Some("web")
    );
}
