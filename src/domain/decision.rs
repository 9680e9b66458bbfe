//! Petitions, holds and decisions: what the judge asks, what the steward answers, and why not.

use std::fmt;
use std::sync::Arc;

use super::alert::Evidence;
use super::id::{AlertKey, DecisionId, Digest, PetitionId, RollbackId, TemplateDigest, WorkloadId};
use super::rollout::RolloutId;
use super::spec::{Mode, WorkloadRef};
use super::time::Timestamp;

/// What blames a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// A critical breach of a trigger objective.
    Objective(AlertKey),
    /// The platform gave up on the rollout.
    ProgressDeadline,
    /// A person asked.
    Person(Arc<str>),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objective(key) => key.fmt(f),
            Self::ProgressDeadline => f.write_str("progress-deadline"),
            Self::Person(who) => write!(f, "person:{who}"),
        }
    }
}

impl Trigger {
    /// The kind of trigger, for the label of a metric: the objective's name, `progress-deadline`, `person`.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Objective(key) => key.objective.as_str(),
            Self::ProgressDeadline => "progress-deadline",
            Self::Person(_) => "person",
        }
    }

    /// Reads the displayed form back; anything that is neither a key nor a person is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "progress-deadline" {
            return Some(Self::ProgressDeadline);
        }
        if let Some(who) = text.strip_prefix("person:") {
            return Some(Self::Person(who.into()));
        }
        text.parse().ok().map(Self::Objective)
    }
}

/// A judge's request to the steward: this rollout seems bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Petition {
    /// Workload, trigger, begin of the breach.
    pub id: PetitionId,
    /// Which workload it is about.
    pub workload: WorkloadId,
    /// Where that is.
    pub target: WorkloadRef,
    /// What blames it.
    pub trigger: Trigger,
    /// When the breach began.
    pub began: Timestamp,
    /// The rollout that may be at fault, or the judge's reason why none can be blamed (yet).
    pub blames: Result<RolloutId, Hold>,
    /// What it rests on: the objective's window, and the events since the rollout began alone.
    pub evidence: Vec<Evidence>,
    /// When it was raised or last changed.
    pub at: Timestamp,
    /// Still standing, or withdrawn because the trigger is no longer breached.
    pub standing: bool,
}

/// The id of a petition.
#[must_use]
pub fn petition_id(workload: &WorkloadId, trigger: &Trigger, began: Timestamp) -> PetitionId {
    PetitionId(Digest::of(&[
        b"petition".as_slice(),
        workload.to_string().as_bytes(),
        trigger.to_string().as_bytes(),
        &began.as_micros().to_le_bytes(),
    ]))
}

macro_rules! holds {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// Why the steward does not roll back: the closed list of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Hold {
            $($(#[$doc])* $variant,)*
        }

        impl Hold {
            /// All reasons, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason's name in the API, the log, the metric and the message.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Reads the name back.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|hold| hold.as_str() == text)
            }
        }
    };
}

holds! {
    /// No rollout lies inside the attribution window.
    NoRollout = "no-rollout",
    /// The breach is older than the (chain of) rollout(s).
    BrokenBefore = "broken-before",
    /// Holdfast cannot see.
    Blind = "blind",
    /// The events since the rollout began are too few to judge it.
    TooFewSamples = "too-few-samples",
    /// Evidence is being gathered.
    Gathering = "gathering",
    /// Others without a rollout broke at the same moment.
    SharedDependency = "shared-dependency",
    /// No revision is proven.
    NoBaseline = "no-baseline",
    /// The proven revision no longer exists on the platform.
    BaselineGone = "baseline-gone",
    /// The present revision was proven before, or Holdfast itself put it there.
    CurrentProven = "current-proven",
    /// More than one rollout may be at fault.
    Ambiguous = "ambiguous",
    /// The last rollback of this workload is too recent.
    Cooldown = "cooldown",
    /// The workload's budget is spent.
    BudgetWorkload = "budget-workload",
    /// The tenant's budget is spent.
    BudgetTenant = "budget-tenant",
    /// The cluster's budget is spent.
    BudgetCluster = "budget-cluster",
    /// An operator froze rollbacks.
    Frozen = "frozen",
    /// Maintenance.
    Maintenance = "maintenance",
    /// The workload is paused.
    Paused = "paused",
    /// The workload has no replicas.
    ScaledToZero = "scaled-to-zero",
    /// Another controller owns the workload.
    Owned = "owned",
    /// A template that was rolled back came back.
    Reapplied = "reapplied",
    /// `holdfast.dev/rollback: never`.
    Never = "never",
    /// Mode is observe: it would have acted.
    ModeObserve = "mode-observe",
    /// The platform forbids it.
    NoPermission = "no-permission",
    /// There is no cluster to act on.
    NoCluster = "no-cluster",
    /// Somebody else leads.
    NotLeader = "not-leader",
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A revision that was considered as the target, and what spoke against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub template: TemplateDigest,
    /// Its present number, if it still exists.
    pub revision: Option<u64>,
    /// Its images, for people.
    pub images: Vec<Arc<str>>,
    /// When it was last proven.
    pub proven: Option<Timestamp>,
    /// Why it was rejected; none: it is the target.
    pub rejected: Option<String>,
}

/// One guard and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardResult {
    /// Its name.
    pub guard: Arc<str>,
    /// Passed, or the hold.
    pub result: Result<(), Hold>,
    /// What it looked at, for people.
    pub detail: String,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Roll back to this template.
    RollBack {
        /// The rollback.
        rollback: RollbackId,
        /// Its target.
        to: TemplateDigest,
    },
    /// Do nothing, for this reason.
    Hold(Hold),
}

/// One answer of the steward, with everything it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Petition (or command), verdict and attempt.
    pub id: DecisionId,
    /// When.
    pub at: Timestamp,
    /// About which workload.
    pub workload: WorkloadId,
    /// Where that is.
    pub target: WorkloadRef,
    /// What blamed it.
    pub trigger: Trigger,
    /// The petition it answers; none for a person's command.
    pub petition: Option<PetitionId>,
    /// The rollout that is blamed, if one is.
    pub rollout: Option<RolloutId>,
    /// What was decided.
    pub verdict: Verdict,
    /// The mode in force.
    pub mode: Mode,
    /// One sentence for people.
    pub reason: String,
    /// Revisions considered.
    pub candidates: Vec<Candidate>,
    /// Guards in order.
    pub guards: Vec<GuardResult>,
    /// What the petition rested on.
    pub evidence: Vec<Evidence>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hold_reads_back_from_its_name() {
        for hold in Hold::ALL {
            assert_eq!(Hold::parse(hold.as_str()), Some(*hold));
        }
        assert_eq!(Hold::ALL.len(), 25);
    }

    #[test]
    fn triggers_read_back_from_what_is_displayed() {
        for text in ["acme/error-rate/traffic", "progress-deadline", "person:ada"] {
            assert_eq!(Trigger::parse(text).unwrap().to_string(), text);
        }
    }
}
