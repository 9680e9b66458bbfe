//! Petitions, decisions and the guards' answers.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shape::shape;
use super::{Unreadable, Wire};
use crate::domain;
use crate::domain::alert::Evidence;
use crate::domain::decision::{Hold, Trigger};
use crate::domain::id::{DecisionId, PetitionId, RollbackId, TemplateDigest, Uid, WorkloadId};
use crate::domain::spec::{Mode, WorkloadRef};
use crate::domain::time::Timestamp;

shape! {
    /// Identity of a rollout.
    RolloutId of domain::rollout::RolloutId {
        uid: Uid,
        template: TemplateDigest,
        revision: u64,
    }

    /// A judge's request to the steward.
    Petition of domain::decision::Petition {
        id: PetitionId,
        workload: WorkloadId,
        target: WorkloadRef,
        trigger: Trigger,
        began: Timestamp,
        blames: Result<domain::rollout::RolloutId, Hold>,
        evidence: Vec<Evidence>,
        at: Timestamp,
        standing: bool,
    }

    /// A revision that was considered as the target.
    Candidate of domain::decision::Candidate {
        template: TemplateDigest,
        revision: Option<u64>,
        images: Vec<Arc<str>>,
        proven: Option<Timestamp>,
        rejected: Option<String>,
    }

    /// One answer of the steward, with everything it rests on.
    Decision of domain::decision::Decision {
        id: DecisionId,
        at: Timestamp,
        workload: WorkloadId,
        target: WorkloadRef,
        trigger: Trigger,
        petition: Option<PetitionId>,
        rollout: Option<domain::rollout::RolloutId>,
        #[serde(flatten)]
        verdict: domain::decision::Verdict,
        mode: Mode,
        reason: String,
        candidates: Vec<domain::decision::Candidate>,
        guards: Vec<domain::decision::GuardResult>,
        evidence: Vec<Evidence>,
    }
}

/// The rollout that may be at fault, or why none can be blamed: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blames {
    /// This rollout.
    Rollout(RolloutId),
    /// None, for this reason.
    Hold(Cow<'static, str>),
}

impl Wire for Result<domain::rollout::RolloutId, Hold> {
    type Shape = Blames;

    fn show(&self) -> Blames {
        match self {
            Ok(rollout) => Blames::Rollout(rollout.show()),
            Err(hold) => Blames::Hold(hold.show()),
        }
    }

    fn read(shape: Blames) -> Result<Self, Unreadable> {
        match shape {
            Blames::Rollout(rollout) => Wire::read(rollout).map(Ok),
            Blames::Hold(hold) => Hold::read(hold).map(Err),
        }
    }
}

/// One guard and what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardResult {
    /// Its name.
    pub guard: String,
    /// Whether it passed.
    pub passed: bool,
    /// The hold, if it did not.
    pub hold: Option<Cow<'static, str>>,
    /// What it looked at.
    pub detail: String,
}

impl Wire for domain::decision::GuardResult {
    type Shape = GuardResult;

    fn show(&self) -> GuardResult {
        let Self {
            guard,
            result,
            detail,
        } = self;
        GuardResult {
            guard: guard.show(),
            passed: result.is_ok(),
            hold: result.err().show(),
            detail: detail.clone(),
        }
    }

    fn read(shape: GuardResult) -> Result<Self, Unreadable> {
        let GuardResult {
            guard,
            passed,
            hold,
            detail,
        } = shape;
        let result = match (passed, hold) {
            (true, None) => Ok(()),
            (false, Some(hold)) => Err(Hold::read(hold)?),
            (true, Some(_)) | (false, None) => {
                return Err(Unreadable::new("a guard either passes or holds"));
            }
        };
        Ok(Self {
            guard: guard.into(),
            result,
            detail,
        })
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Roll back to this template.
    RollBack {
        /// The rollback.
        rollback: String,
        /// Its target.
        to: String,
    },
    /// Do nothing, for this reason.
    Hold {
        /// The reason's name.
        hold: Cow<'static, str>,
    },
}

impl Wire for domain::decision::Verdict {
    type Shape = Verdict;

    fn show(&self) -> Verdict {
        match self {
            Self::RollBack { rollback, to } => Verdict::RollBack {
                rollback: rollback.show(),
                to: to.show(),
            },
            Self::Hold(hold) => Verdict::Hold { hold: hold.show() },
        }
    }

    fn read(shape: Verdict) -> Result<Self, Unreadable> {
        Ok(match shape {
            Verdict::RollBack { rollback, to } => Self::RollBack {
                rollback: RollbackId::read(rollback)?,
                to: TemplateDigest::read(to)?,
            },
            Verdict::Hold { hold } => Self::Hold(Hold::read(hold)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fixture;

    #[test]
    fn petitions_and_decisions_are_written_and_read_back() {
        let mut petition = fixture::petition(1, 5);
        fixture::round_trip(&petition);
        for hold in Hold::ALL {
            petition.blames = Err(*hold);
            fixture::round_trip(&petition);
        }
        fixture::round_trip(&fixture::decision(1, 6));
        let mut held = fixture::decision(2, 6);
        held.verdict = domain::decision::Verdict::Hold(Hold::Cooldown);
        held.petition = None;
        held.rollout = None;
        fixture::round_trip(&held);
    }

    #[test]
    fn a_decision_reads_well() {
        let mut decision = fixture::decision(1, 6);
        decision.evidence.clear();
        let json = serde_json::to_string_pretty(&decision.show()).unwrap();
        insta::assert_snapshot!(json, @r#"
        {
          "id": "3652b8dab29f039c9d8328cfca8cb78c",
          "at": "2026-01-05T09:00:06Z",
          "workload": "acme/api",
          "target": "deployment/shop/api",
          "trigger": "progress-deadline",
          "petition": "1a025459eb1b1bc91c83ae69d6261046",
          "rollout": {
            "uid": "5e0c",
            "template": "b4b41b3b7606bf19d6b3ee47d976b6e9",
            "revision": 1
          },
          "verdict": "roll-back",
          "rollback": "c4fb6607cf6fa819175eb2bbf3ab6f71",
          "to": "bf52299c1836b7ab967bc858aff322a7",
          "mode": "act",
          "reason": "20% of requests fail since revision 2",
          "candidates": [
            {
              "template": "b4b41b3b7606bf19d6b3ee47d976b6e9",
              "revision": 1,
              "images": [
                "shop/api:1"
              ],
              "proven": "2026-01-05T08:00:00Z",
              "rejected": "quarantined"
            },
            {
              "template": "bf52299c1836b7ab967bc858aff322a7",
              "revision": 0,
              "images": [
                "shop/api:1"
              ],
              "proven": "2026-01-05T08:00:00Z",
              "rejected": null
            }
          ],
          "guards": [
            {
              "guard": "cooldown",
              "passed": true,
              "hold": null,
              "detail": "the last was 2h ago"
            },
            {
              "guard": "budget",
              "passed": false,
              "hold": "budget-tenant",
              "detail": "the last was 2h ago"
            }
          ],
          "evidence": []
        }
        "#);
    }

    #[test]
    fn a_guard_cannot_both_pass_and_hold() {
        let mut shape = fixture::decision(1, 6).show();
        shape.guards[0].hold = Some("cooldown".into());
        assert!(domain::decision::Decision::read(shape).is_err());
    }
}
