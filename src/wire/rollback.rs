//! Rollbacks with their steps, and the trials that verify them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shape::shape;
use super::{Unreadable, Wire};
use crate::domain;
use crate::domain::alert::Evidence;
use crate::domain::decision::Trigger;
use crate::domain::id::{DecisionId, RollbackId, TemplateDigest, WorkloadId};
use crate::domain::rollback::{Term, TrialEnd};
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;

shape! {
    /// One rollback.
    Rollback of domain::rollback::Rollback {
        id: RollbackId,
        attempt: u32,
        decision: DecisionId,
        workload: WorkloadId,
        target: WorkloadRef,
        rollout: domain::rollout::RolloutId,
        to: TemplateDigest,
        trigger: Trigger,
        requested: Timestamp,
        applied: Option<Timestamp>,
        ended: Option<Timestamp>,
        term: Term,
        conflicts: u32,
        #[serde(flatten)]
        stage: domain::rollback::Stage,
        steps: Vec<domain::rollback::Step>,
    }

    /// What is to be tried.
    TrialRequest of domain::trial::TrialRequest {
        rollback: RollbackId,
        workload: WorkloadId,
        target: WorkloadRef,
        to: TemplateDigest,
        trigger: Trigger,
        applied: Timestamp,
    }

    /// What came of it.
    TrialResult of domain::trial::TrialResult {
        rollback: RollbackId,
        at: Timestamp,
        rolled_out: Option<Timestamp>,
        end: Option<TrialEnd>,
        superseded: Option<Arc<str>>,
        evidence: Vec<Evidence>,
    }
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

/// The stages' names, to read a step's stage back ([`domain::rollback::Stage::as_str`]).
const STAGES: [&str; 7] = [
    "requested",
    "applying",
    "verifying",
    "succeeded",
    "not-caused-by-release",
    "failed",
    "superseded",
];

impl Wire for domain::rollback::Step {
    type Shape = Step;

    fn show(&self) -> Step {
        let Self { at, stage, what } = self;
        Step {
            at: at.show(),
            stage: (*stage).to_owned(),
            what: what.clone(),
        }
    }

    fn read(shape: Step) -> Result<Self, Unreadable> {
        let Step { at, stage, what } = shape;
        let known = STAGES.into_iter().find(|name| *name == stage);
        Ok(Self {
            at: Wire::read(at)?,
            stage: known.ok_or_else(|| Unreadable::new(format!("`{stage}` is no stage")))?,
            what,
        })
    }
}

/// Where a rollback stands; the tags are the stages' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Stage {
    /// Decided, nothing done yet.
    Requested,
    /// The patch may have been sent.
    Applying {
        /// The version the patch is conditional on.
        resource_version: String,
    },
    /// The patch is on the object.
    Verifying {
        /// When the platform had rolled it out.
        since: Option<String>,
    },
    /// It helped.
    Succeeded,
    /// It did not help.
    #[serde(rename = "not-caused-by-release")]
    NotCaused,
    /// It could not be done, or not be verified.
    Failed {
        /// Why.
        why: String,
    },
    /// Somebody changed the workload meanwhile.
    Superseded {
        /// What was seen.
        why: String,
    },
}

impl Wire for domain::rollback::Stage {
    type Shape = Stage;

    fn show(&self) -> Stage {
        match self {
            Self::Requested => Stage::Requested,
            Self::Applying { resource_version } => Stage::Applying {
                resource_version: resource_version.show(),
            },
            Self::Verifying { since } => Stage::Verifying {
                since: since.show(),
            },
            Self::Succeeded => Stage::Succeeded,
            Self::NotCaused => Stage::NotCaused,
            Self::Failed { why } => Stage::Failed { why: why.show() },
            Self::Superseded { why } => Stage::Superseded { why: why.show() },
        }
    }

    fn read(shape: Stage) -> Result<Self, Unreadable> {
        Ok(match shape {
            Stage::Requested => Self::Requested,
            Stage::Applying { resource_version } => Self::Applying {
                resource_version: resource_version.into(),
            },
            Stage::Verifying { since } => Self::Verifying {
                since: Wire::read(since)?,
            },
            Stage::Succeeded => Self::Succeeded,
            Stage::NotCaused => Self::NotCaused,
            Stage::Failed { why } => Self::Failed { why: why.into() },
            Stage::Superseded { why } => Self::Superseded { why: why.into() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixture;

    #[test]
    fn a_rollback_is_written_and_read_back_at_every_stage() {
        for (stage, name) in fixture::stages().into_iter().zip(STAGES) {
            assert_eq!(stage.as_str(), name);
            let row = fixture::rollback(1, stage);
            fixture::round_trip(&row);
            let json = serde_json::to_value(row.show()).unwrap();
            assert_eq!(json["stage"], name);
            assert_eq!(json["target"], "deployment/shop/api");
            assert_eq!(json["workload"], "acme/api");
        }
    }

    #[test]
    fn trials_are_written_and_read_back() {
        fixture::round_trip(&fixture::trial_request());
        for end in [
            None,
            Some(TrialEnd::Recovered),
            Some(TrialEnd::Still),
            Some(TrialEnd::Unclear),
        ] {
            fixture::round_trip(&fixture::trial_result(end));
        }
    }

    #[test]
    fn a_step_of_an_unknown_stage_is_not_read() {
        let mut shape = fixture::rollback(1, domain::rollback::Stage::Requested).show();
        shape.steps[0].stage = "pondering".to_owned();
        let error = domain::rollback::Rollback::read(shape).unwrap_err();
        assert_eq!(error.to_string(), "steps.0: `pondering` is no stage");
    }
}
