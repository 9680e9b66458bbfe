//! One rollback, from the request to the end: a pure machine over a row.
//!
//! ```text
//! requested ─► applying ─► verifying ─► succeeded
//!     │           │            ├──────► not-caused-by-release
//!     │           │            └──────► failed (could not be verified)
//!     └───────────┴──► superseded | failed
//! ```
//!
//! The row is committed before the platform is touched, so after a crash the remediator observes the
//! object and feeds what it sees into [`Rollback::step`]: the same function decides whether the patch
//! arrived, has to be sent, or is no longer wanted.

use std::sync::Arc;

use super::decision::{Hold, Trigger};
use super::id::{DecisionId, RollbackId, TemplateDigest, WorkloadId};
use super::rollout::RolloutId;
use super::spec::WorkloadRef;
use super::time::Timestamp;

/// How often a patch is sent again after a conflict (rollback.md: read again, check again, five times).
pub const CONFLICTS_MAX: u32 = 5;

/// A leader's term: lease transitions. A claim of an older term cannot commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// Where a rollback stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decided, nothing done yet.
    Requested,
    /// The intent is committed: the patch may have been sent with this precondition.
    Applying {
        /// The version the patch is conditional on.
        resource_version: Arc<str>,
    },
    /// The patch is on the object.
    Verifying {
        /// When the platform had rolled it out; judged from then on.
        since: Option<Timestamp>,
    },
    /// It helped.
    Succeeded,
    /// It did not help: the release was not the cause.
    NotCaused,
    /// It could not be done, or not be verified.
    Failed {
        /// Why.
        why: Arc<str>,
    },
    /// Somebody changed the workload meanwhile; nothing was overwritten.
    Superseded {
        /// What was seen.
        why: Arc<str>,
    },
}

impl Stage {
    /// The stage's name in output and labels.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Applying { .. } => "applying",
            Self::Verifying { .. } => "verifying",
            Self::Succeeded => "succeeded",
            Self::NotCaused => "not-caused-by-release",
            Self::Failed { .. } => "failed",
            Self::Superseded { .. } => "superseded",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn terminal(&self) -> bool {
        match self {
            Self::Requested | Self::Applying { .. } | Self::Verifying { .. } => false,
            Self::Succeeded | Self::NotCaused | Self::Failed { .. } | Self::Superseded { .. } => {
                true
            }
        }
    }
}

/// One thing that happened to a rollback, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// The stage it led to.
    pub stage: &'static str,
    /// What happened, for people.
    pub what: String,
}

/// The row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Derived from the rollout.
    pub id: RollbackId,
    /// The how-manieth try (a try that never touched the object may be followed by another).
    pub attempt: u32,
    /// The decision that asked for it.
    pub decision: DecisionId,
    /// Which workload.
    pub workload: WorkloadId,
    /// Where it is.
    pub target: WorkloadRef,
    /// The rollout that is undone.
    pub rollout: RolloutId,
    /// The template that is put back.
    pub to: TemplateDigest,
    /// What blamed the rollout.
    pub trigger: Trigger,
    /// When it was requested.
    pub requested: Timestamp,
    /// When the patch was accepted (as observed).
    pub applied: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The term of the leader who claimed it last.
    pub term: Term,
    /// Conflicts so far.
    pub conflicts: u32,
    /// Where it stands.
    pub stage: Stage,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// The object as the remediator sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its unique id.
    pub rollout: Option<RolloutId>,
    /// Its version.
    pub resource_version: Arc<str>,
    /// Its present template.
    pub template: TemplateDigest,
    /// The rollback id it carries.
    pub rollback: Option<RollbackId>,
    /// The target template still exists.
    pub target_exists: bool,
    /// `spec.paused`.
    pub paused: bool,
    /// A guard that the object itself answers (never, frozen by annotation).
    pub refused: Option<Hold>,
}

/// What the platform answered to a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Applied,
    /// The precondition did not hold.
    Conflict,
    /// The platform will not do it.
    Refused(Arc<str>),
    /// The answer was lost; resolved by observing.
    Unknown(Arc<str>),
}

/// How the trial after a rollback ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrialEnd {
    /// The promise is kept again.
    Recovered,
    /// It is as broken as before.
    Still,
    /// There was not enough to judge by within every deadline.
    Unclear,
}

/// What happens to a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The remediator looked at the object; `None`: it does not exist.
    Observed(Option<Observed>),
    /// The platform answered a patch.
    Answered(Answer),
    /// The platform has rolled the target out.
    RolledOut,
    /// The trial ended.
    Tried(TrialEnd),
    /// A new leader took it over.
    Claimed(Term),
}

/// What the remediator has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Look at the object and report; if the answer is [`Stage::Applying`], send the patch and report.
    Observe,
    /// Nothing: wait for the trial, or it has ended.
    Wait,
}

// === impl Rollback ===

impl Rollback {
    /// What the remediator has to do next.
    #[must_use]
    pub const fn duty(&self) -> Duty {
        match self.stage {
            Stage::Requested | Stage::Applying { .. } => Duty::Observe,
            Stage::Verifying { .. }
            | Stage::Succeeded
            | Stage::NotCaused
            | Stage::Failed { .. }
            | Stage::Superseded { .. } => Duty::Wait,
        }
    }

    /// Takes what happened. False: it changes nothing (it came too late, or twice).
    pub fn step(&mut self, happening: &Happening, now: Timestamp) -> bool {
        if self.stage.terminal() {
            return false;
        }
        match happening {
            Happening::Observed(None) => self.end(
                Stage::Failed {
                    why: "the workload is gone".into(),
                },
                now,
            ),
            Happening::Observed(Some(observed)) => self.observed(observed, now),
            Happening::Answered(answer) => self.answered(answer, now),
            Happening::RolledOut => self.rolled_out(now),
            Happening::Tried(end) => self.tried(*end, now),
            Happening::Claimed(term) if *term > self.term => {
                self.term = *term;
                self.note(now, format!("taken over by the leader of term {}", term.0))
            }
            Happening::Claimed(_) => false,
        }
    }

    fn observed(&mut self, observed: &Observed, now: Timestamp) -> bool {
        let mine = observed.rollback == Some(self.id);
        let at_target = observed.template == self.to;
        let uid_moved = observed
            .rollout
            .as_ref()
            .is_some_and(|rollout| rollout.uid != self.rollout.uid);
        match &self.stage {
            Stage::Requested | Stage::Applying { .. } if uid_moved => {
                self.supersede("the workload was deleted and made anew", now)
            }
            Stage::Requested | Stage::Applying { .. } if mine && at_target => {
                self.applied(now, "the patch is on the object")
            }
            Stage::Requested | Stage::Applying { .. } if at_target => {
                self.supersede("somebody else has put the target back", now)
            }
            Stage::Requested | Stage::Applying { .. }
                if observed.template != self.rollout.template =>
            {
                self.supersede("somebody else has changed the template", now)
            }
            Stage::Applying { .. } if mine => {
                self.supersede("the template that was rolled back was applied again", now)
            }
            Stage::Requested | Stage::Applying { .. } => self.plan(observed, now),
            Stage::Verifying { .. }
            | Stage::Succeeded
            | Stage::NotCaused
            | Stage::Failed { .. }
            | Stage::Superseded { .. } => false,
        }
    }

    fn plan(&mut self, observed: &Observed, now: Timestamp) -> bool {
        if let Some(hold) = observed.refused {
            return self.end(
                Stage::Failed {
                    why: hold.as_str().into(),
                },
                now,
            );
        }
        if observed.paused {
            return self.end(
                Stage::Failed {
                    why: Hold::Paused.as_str().into(),
                },
                now,
            );
        }
        if !observed.target_exists {
            return self.end(
                Stage::Failed {
                    why: Hold::BaselineGone.as_str().into(),
                },
                now,
            );
        }
        let intent = Stage::Applying {
            resource_version: observed.resource_version.clone(),
        };
        if self.stage == intent {
            return false;
        }
        self.stage = intent;
        let version = &observed.resource_version;
        self.note(
            now,
            format!("intent: patch conditional on resourceVersion {version}"),
        )
    }

    fn answered(&mut self, answer: &Answer, now: Timestamp) -> bool {
        if !matches!(self.stage, Stage::Applying { .. }) {
            return false;
        }
        match answer {
            Answer::Applied => self.applied(now, "the platform accepted the patch"),
            Answer::Conflict => {
                self.conflicts += 1;
                if self.conflicts > CONFLICTS_MAX {
                    let why = "the workload changed at every try".into();
                    return self.end(Stage::Failed { why }, now);
                }
                self.note(
                    now,
                    "conflict: the workload was changed meanwhile".to_owned(),
                )
            }
            Answer::Refused(why) => self.end(Stage::Failed { why: why.clone() }, now),
            Answer::Unknown(why) => self.note(now, format!("the answer was lost ({why})")),
        }
    }

    fn applied(&mut self, now: Timestamp, what: &str) -> bool {
        self.applied.get_or_insert(now);
        self.stage = Stage::Verifying { since: None };
        self.note(now, what.to_owned())
    }

    fn rolled_out(&mut self, now: Timestamp) -> bool {
        if self.stage != (Stage::Verifying { since: None }) {
            return false;
        }
        self.stage = Stage::Verifying { since: Some(now) };
        self.note(
            now,
            "the target is rolled out; judging from here on".to_owned(),
        )
    }

    fn tried(&mut self, end: TrialEnd, now: Timestamp) -> bool {
        if !matches!(self.stage, Stage::Verifying { .. }) {
            return false;
        }
        let stage = match end {
            TrialEnd::Recovered => Stage::Succeeded,
            TrialEnd::Still => Stage::NotCaused,
            TrialEnd::Unclear => Stage::Failed {
                why: "it could not be verified in time".into(),
            },
        };
        self.end(stage, now)
    }

    /// Ends the rollback because the workload was changed by somebody else.
    pub fn supersede(&mut self, why: &str, now: Timestamp) -> bool {
        if self.stage.terminal() {
            return false;
        }
        self.end(Stage::Superseded { why: why.into() }, now)
    }

    fn end(&mut self, stage: Stage, now: Timestamp) -> bool {
        let what = match &stage {
            Stage::Failed { why } | Stage::Superseded { why } => why.to_string(),
            Stage::Succeeded => "the promise is kept again".to_owned(),
            Stage::NotCaused => "it is as broken as before: not caused by the release".to_owned(),
            Stage::Requested | Stage::Applying { .. } | Stage::Verifying { .. } => String::new(),
        };
        self.stage = stage;
        self.ended = Some(now);
        self.note(now, what)
    }

    fn note(&mut self, at: Timestamp, what: String) -> bool {
        self.steps.push(Step {
            at,
            stage: self.stage.as_str(),
            what,
        });
        true
    }
}
