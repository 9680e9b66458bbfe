//! What a person should do now, for each way a decision can stand.
//!
//! Read at three in the morning by somebody who has never seen this program: one or two sentences, the
//! next thing to do first. Every hold has one; the compiler sees to it.

use crate::domain::decision::{Decision, Hold, Verdict};
use crate::domain::rollback::{Rollback, Stage};

/// The advice on a decision, given the rollback that it asked for as that stands now.
pub(super) fn on(decision: &Decision, rollback: Option<&Rollback>) -> String {
    match (&decision.verdict, rollback) {
        (Verdict::Hold(hold), _) => on_hold(*hold, decision),
        (Verdict::RollBack { .. }, Some(rollback)) => on_rollback(rollback),
        (Verdict::RollBack { .. }, None) => {
            "The rollback has been decided; its row is not there yet. Look again in a moment."
                .to_owned()
        }
    }
}

fn on_rollback(rollback: &Rollback) -> String {
    match &rollback.stage {
        Stage::Requested | Stage::Applying { .. } => {
            "Nothing yet: the previous revision is being put back.".to_owned()
        }
        Stage::Verifying { since: None } => {
            "Nothing yet: the platform is rolling the previous revision out.".to_owned()
        }
        Stage::Verifying { since: Some(_) } => {
            "Nothing yet: the previous revision is out, and its events are being watched.".to_owned()
        }
        Stage::Succeeded => "Service is restored. Fix the release and ship it as a new one; the bad revision is \
             quarantined and is never a target. Applying the same manifest again brings it back: take it \
             out of what deploys."
            .to_owned(),
        Stage::NotCaused => "The release was not the cause: the same promise is still broken on the previous \
             revision. Look at what both depend on (database, network, another service). Holdfast does \
             not walk further back."
            .to_owned(),
        Stage::Failed { why } => format!(
            "A person is needed: the rollback failed ({why}). Look at the workload itself: \
             kubectl -n {} rollout status {}/{}.",
            rollback.target.namespace(),
            rollback.target.kind().as_str(),
            rollback.target.name()
        ),
        Stage::Superseded { why } => format!(
            "Somebody changed the workload meanwhile ({why}), and nothing was overwritten. If the promise \
             is still broken, Holdfast judges what is there now."
        ),
    }
}

fn on_hold(hold: Hold, decision: &Decision) -> String {
    let by_hand = format!("holdfast rollback {} --dry-run", decision.workload);
    match hold {
        Hold::NoRollout => {
            "No release is to blame: look for another cause (a dependency, load, data).".to_owned()
        }
        Hold::BrokenBefore => {
            "The promise was broken before the release began: look for another cause.".to_owned()
        }
        Hold::Blind => "Holdfast cannot see. Mend its eyes first (the source of metrics, DNS, its network); \
             until then nothing is rolled back."
            .to_owned(),
        Hold::TooFewSamples | Hold::Gathering => format!(
            "Wait, or decide yourself: evidence is still being gathered. To see the plan: {by_hand}."
        ),
        Hold::SharedDependency => "Others without a release broke at the same moment: look at what they share.".to_owned(),
        Hold::NoBaseline => format!(
            "No revision has been proven yet, so there is nothing safe to go back to. Choose one yourself: \
             holdfast rollback {} --to REVISION.",
            decision.workload
        ),
        Hold::BaselineGone => "The proven revision no longer exists on the platform (see revisionHistoryLimit). \
             Ship it again, or a fix."
            .to_owned(),
        Hold::CurrentProven => "The present revision was proven before, or Holdfast itself put it there: the release \
             is not to blame. Look for another cause."
            .to_owned(),
        Hold::Ambiguous => format!(
            "More than one release may be at fault. Decide which, and roll that one back: {by_hand}."
        ),
        Hold::Cooldown => format!(
            "The last rollback of this workload is too recent. If going back again is right: {by_hand}."
        ),
        Hold::BudgetWorkload | Hold::BudgetTenant | Hold::BudgetCluster => format!(
            "The budget of rollbacks is spent. Find out why there were so many; a person may still act: {by_hand}."
        ),
        Hold::Frozen => "Rollbacks are frozen. End the freeze if service matters more.".to_owned(),
        Hold::Maintenance => "It is in maintenance. Nothing is done until that ends.".to_owned(),
        Hold::Paused => "The workload is paused. Resume it (kubectl rollout resume), or mend it by hand.".to_owned(),
        Hold::ScaledToZero => "The workload has no replicas: there is nothing to roll back.".to_owned(),
        Hold::Owned => "Another controller owns the workload and would undo a rollback. Go back where that \
             controller is told what to run."
            .to_owned(),
        Hold::Reapplied => "A release that was rolled back has been applied again. Stop what applies it, then roll \
             back by hand if needed."
            .to_owned(),
        Hold::Never => "The workload says `holdfast.dev/rollback: never`. A person has to mend it.".to_owned(),
        Hold::ModeObserve => format!(
            "Holdfast only observes here; in mode act it would have rolled back. To do it yourself: \
             holdfast rollback {}.",
            decision.workload
        ),
        Hold::NoPermission => "The cluster does not let Holdfast change this workload. Grant its ServiceAccount \
             `patch` on it, or act by hand."
            .to_owned(),
        Hold::NoCluster => "There is no cluster to act on. Connect one (daemon.kubernetes), or act by hand.".to_owned(),
        Hold::NotLeader => "Another Holdfast leads and decides. Ask that one.".to_owned(),
    }
}
