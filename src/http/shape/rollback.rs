//! Rollbacks and how they stand.

use serde::{Deserialize, Serialize};

use super::{instant, some_instant};
use crate::domain::rollback as domain;

/// One rollback, from the request to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Derived from the rollout.
    pub id: String,
    /// The how-manieth try.
    pub attempt: u32,
    /// The decision that asked for it.
    pub decision: String,
    /// `tenant/name`.
    pub workload: String,
    /// `deployment/namespace/name`.
    pub target: String,
    /// What blamed the rollout.
    pub trigger: String,
    /// requested, applying, verifying, succeeded, not-caused-by-release, failed or superseded.
    pub stage: String,
    /// Why it failed or was superseded.
    pub why: Option<String>,
    /// The template that is undone.
    pub from: String,
    /// Its revision number when it became current.
    pub from_revision: u64,
    /// The template that is put back.
    pub to: String,
    /// When it was requested.
    pub requested: String,
    /// When the patch was accepted.
    pub applied: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// Conflicts so far.
    pub conflicts: u32,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened to a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// The stage it led to.
    pub stage: String,
    /// What happened.
    pub what: String,
}

impl From<&domain::Rollback> for Rollback {
    fn from(rollback: &domain::Rollback) -> Self {
        let why = match &rollback.stage {
            domain::Stage::Failed { why } | domain::Stage::Superseded { why } => Some(why),
            domain::Stage::Requested
            | domain::Stage::Applying { .. }
            | domain::Stage::Verifying { .. }
            | domain::Stage::Succeeded
            | domain::Stage::NotCaused => None,
        };
        Self {
            id: rollback.id.to_string(),
            attempt: rollback.attempt,
            decision: rollback.decision.to_string(),
            workload: rollback.workload.to_string(),
            target: rollback.target.to_string(),
            trigger: rollback.trigger.to_string(),
            stage: rollback.stage.as_str().to_owned(),
            why: why.map(ToString::to_string),
            from: rollback.rollout.template.to_string(),
            from_revision: rollback.rollout.revision,
            to: rollback.to.to_string(),
            requested: instant(rollback.requested),
            applied: some_instant(rollback.applied),
            ended: some_instant(rollback.ended),
            conflicts: rollback.conflicts,
            steps: rollback.steps.iter().map(Step::from).collect(),
        }
    }
}

impl From<&domain::Step> for Step {
    fn from(step: &domain::Step) -> Self {
        Self {
            at: instant(step.at),
            stage: step.stage.to_owned(),
            what: step.what.clone(),
        }
    }
}
