//! What a steward makes of what waited for it: somebody always comes after a crash.

use super::*;
use crate::domain::change::{Changes, Post, Seq};
use crate::domain::decision::Petition;
use crate::domain::event::Machine as _;

#[test]
fn a_breach_that_was_over_before_anybody_led_is_not_acted_on() {
    // Nobody reads the steward's inbox until the petition and its withdrawal both stand in it.
    let spec = spec(|_, _, _| {});
    let mut story = Story::begin(&spec);
    story.traffic(25);
    story.release("v2", 20);
    story.traffic(60);
    let petition = story
        .replay
        .journal()
        .iter()
        .find_map(|change| match change {
            Change::Petition(petition) if petition.blames.is_ok() => Some(petition.clone()),
            _ => None,
        });
    let facts = story
        .replay
        .journal()
        .iter()
        .filter_map(|change| match change {
            Change::Fact(fact) if !matches!(fact.what, What::Blamed { .. }) => Some(fact.clone()),
            _ => None,
        });
    let restored = steward::Restored {
        facts: facts.collect(),
        ..steward::Restored::default()
    };
    let mut steward = Steward::new(restored);
    let now = story.replay.now();
    let mut out = Changes::default();
    steward.step(&StewardEvent::Spec(spec), now, &mut out);
    steward.step(&StewardEvent::Leads(Term(2)), now, &mut out);
    steward.step(&StewardEvent::Platform(Access::Open), now, &mut out);
    steward.step(
        &StewardEvent::Sighting(Sighting::Seen(Box::new(story.seen()))),
        now,
        &mut out,
    );
    let stands = petition.expect("v2 was blamed");
    let over = Petition {
        standing: false,
        ..stands.clone()
    };
    let acts = |out: &Changes| {
        out.list
            .iter()
            .any(|change| matches!(change, Change::Rollback(_)))
    };
    let post = |seq, petition: &Petition| {
        StewardEvent::Post(Box::new(Post {
            seq: Seq(seq),
            at: now,
            change: Change::Petition(petition.clone()),
        }))
    };
    steward.step(&post(1, &stands), now, &mut out);
    steward.step(&post(2, &over), now, &mut out);
    steward.wake(now, &mut out);
    assert!(!acts(&out), "{:?}", out.list);
    // The same petition, standing, is acted on: nothing else kept it from being.
    steward.step(&post(3, &stands), now, &mut out);
    steward.wake(now, &mut out);
    assert!(acts(&out), "{:?}", out.list);
}

#[test]
fn a_rollback_that_was_not_begun_when_the_breach_ended_is_called_off() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.release("v2", 20);
    story.traffic(30);
    assert_eq!(story.rollbacks().len(), 1);
    assert_eq!(story.stage(), Some(Stage::Requested));
    story.failing = 0;
    story.traffic(120);
    assert!(
        matches!(story.stage(), Some(Stage::Superseded { .. })),
        "{:?}",
        story.stage()
    );
    let told = story.told();
    let ends = told
        .iter()
        .filter(|line| line.contains("superseded [resolved]"));
    assert_eq!(ends.count(), 1, "{told:#?}");
}

#[test]
fn the_end_of_a_hold_is_told_by_whoever_leads_when_the_breach_is_over() {
    let spec = spec(|_, workload, _| workload.mode = Mode::Observe);
    let mut story = Story::begin(&spec);
    story.traffic(25);
    story.release("v2", 20);
    story.traffic(60);
    assert_eq!(story.holds(), [Hold::ModeObserve]);
    let journal = story.replay.journal();
    let petition = journal.iter().rev().find_map(|change| match change {
        Change::Petition(petition) => Some(petition.clone()),
        _ => None,
    });
    let decisions = journal.iter().filter_map(|change| match change {
        Change::Decision(decision) => Some(decision.clone()),
        _ => None,
    });
    // It was withdrawn while nobody led: the store has it as over, and its end is in the inbox.
    let mut steward = Steward::new(steward::Restored {
        decisions: decisions.collect(),
        ..steward::Restored::default()
    });
    let over = Petition {
        standing: false,
        ..petition.expect("v2 was blamed")
    };
    let mut out = Changes::default();
    let now = story.replay.now();
    steward.step(&StewardEvent::Spec(spec), now, &mut out);
    let post = Post {
        seq: Seq(1),
        at: now,
        change: Change::Petition(over),
    };
    steward.step(&StewardEvent::Post(Box::new(post)), now, &mut out);
    let resolved = out.list.iter().filter(|change| {
        matches!(change, Change::Notice(notice) if notice.message.status.as_str() == "resolved")
    });
    assert_eq!(resolved.count(), 1, "{:?}", out.list);
}

#[test]
fn a_rollback_whose_workload_is_gone_after_a_restart_comes_to_an_end() {
    // The daemon died while it verified, and the workload was deleted meanwhile: nothing is ever seen of
    // it again, and still the trial must not stand open for good.
    let id = RollbackId(Digest::of(&["r"]));
    let request = crate::domain::trial::TrialRequest {
        rollback: id,
        workload: "acme/shop".parse().unwrap(),
        target: target(),
        to: template("v1"),
        trigger: crate::domain::decision::Trigger::ProgressDeadline,
        applied: START,
    };
    let mut judge = Judge::new(Restored {
        trials: vec![request],
        ..Restored::default()
    });
    let mut out = Changes::default();
    let configured = crate::domain::event::JudgeEvent::Spec(spec(|_, _, _| {}));
    judge.step(&configured, START, &mut out);
    let mut wakes = 0;
    while let Some(due) = judge.wake_at() {
        judge.wake(due, &mut out);
        wakes += 1;
        assert!(wakes < 1_000, "one timer a trial, and none when it is over");
    }
    let ends = out.list.iter().filter_map(|change| match change {
        Change::Tried(result) => result.end,
        _ => None,
    });
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [crate::domain::rollback::TrialEnd::Unclear]
    );
}
