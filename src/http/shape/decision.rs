//! Decisions: rolled back, or held and why.

use serde::{Deserialize, Serialize};

use super::alert::Evidence;
use super::delivery::Delivery;
use super::rollback::Rollback;
use super::rollout::Rollout;
use super::{instant, some_instant, texts};
use crate::domain::decision as domain;

/// One answer of the steward, with everything it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Petition (or command), verdict and attempt.
    pub id: String,
    /// When.
    pub at: String,
    /// `tenant/name`.
    pub workload: String,
    /// `deployment/namespace/name`.
    pub target: String,
    /// What blamed it: `tenant/objective/probe`, `progress-deadline`, `person:NAME`.
    pub trigger: String,
    /// `rollback` or `hold`.
    pub verdict: String,
    /// The named reason of a hold.
    pub hold: Option<String>,
    /// The rollback that was requested.
    pub rollback: Option<String>,
    /// The template that is blamed.
    pub from: Option<String>,
    /// Its revision number when it became current.
    pub from_revision: Option<u64>,
    /// The template that is put back.
    pub to: Option<String>,
    /// Its present revision number.
    pub to_revision: Option<u64>,
    /// The mode in force.
    pub mode: String,
    /// One sentence for people.
    pub reason: String,
    /// What to do now, for people.
    pub advice: String,
    /// The petition it answers.
    pub petition: Option<String>,
    /// Revisions considered.
    pub candidates: Vec<Candidate>,
    /// Guards, in order.
    pub guards: Vec<Guard>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}

/// A revision that was considered as the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which.
    pub template: String,
    /// Its present number, if it still exists.
    pub revision: Option<u64>,
    /// Its images.
    pub images: Vec<String>,
    /// When it was last proven.
    pub proven: Option<String>,
    /// Why it was rejected; none: it is the target.
    pub rejected: Option<String>,
}

/// One guard and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Its name.
    pub guard: String,
    /// Whether it let the rollback pass.
    pub passed: bool,
    /// The hold, if not.
    pub hold: Option<String>,
    /// What it looked at.
    pub detail: String,
}

/// One decision with its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionStory {
    /// The decision.
    pub decision: Decision,
    /// The rollout that is blamed.
    pub rollout: Option<Rollout>,
    /// The rollback it asked for, as it stands.
    pub rollback: Option<Rollback>,
    /// Who was told, newest first.
    pub deliveries: Vec<Delivery>,
}

/// What came of a request to roll back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RollbackAnswer {
    /// Nothing was changed: this is a plan.
    pub dry_run: bool,
    /// The decision, or the plan.
    pub decision: Option<Decision>,
    /// The rollback, as it stands.
    pub rollback: Option<Rollback>,
}

/// A request to roll back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackRequest {
    /// `tenant/name`.
    pub workload: String,
    /// To which revision number; none: the one Holdfast would choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A person's word on an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Word {
    /// Who says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Decision {
    /// From the domain's decision; `advice` is made by the server, which knows how the rollback stands.
    #[must_use]
    pub fn new(decision: &domain::Decision, advice: String) -> Self {
        let (verdict, hold, rollback, to) = match &decision.verdict {
            domain::Verdict::RollBack { rollback, to } => {
                ("rollback", None, Some(rollback), Some(to))
            }
            domain::Verdict::Hold(hold) => ("hold", Some(*hold), None, None),
        };
        let chosen = decision.candidates.iter().find(|candidate| Some(&candidate.template) == to);
        Self {
            id: decision.id.to_string(),
            at: instant(decision.at),
            workload: decision.workload.to_string(),
            target: decision.target.to_string(),
            trigger: decision.trigger.to_string(),
            verdict: verdict.to_owned(),
            hold: hold.map(|hold| hold.to_string()),
            rollback: rollback.map(ToString::to_string),
            from: decision.rollout.as_ref().map(|rollout| rollout.template.to_string()),
            from_revision: decision.rollout.as_ref().map(|rollout| rollout.revision),
            to: to.map(ToString::to_string),
            to_revision: chosen.and_then(|candidate| candidate.revision),
            mode: decision.mode.as_str().to_owned(),
            reason: decision.reason.clone(),
            advice,
            petition: decision.petition.map(|petition| petition.to_string()),
            candidates: decision.candidates.iter().map(Candidate::from).collect(),
            guards: decision.guards.iter().map(Guard::from).collect(),
            evidence: decision.evidence.iter().map(Evidence::from).collect(),
        }
    }
}

impl From<&domain::Candidate> for Candidate {
    fn from(candidate: &domain::Candidate) -> Self {
        Self {
            template: candidate.template.to_string(),
            revision: candidate.revision,
            images: texts(&candidate.images),
            proven: some_instant(candidate.proven),
            rejected: candidate.rejected.clone(),
        }
    }
}

impl From<&domain::GuardResult> for Guard {
    fn from(result: &domain::GuardResult) -> Self {
        Self {
            guard: result.guard.to_owned(),
            passed: result.result.is_ok(),
            hold: result.result.err().map(|hold| hold.to_string()),
            detail: result.detail.clone(),
        }
    }
}
