//! How things stand, for those who ask: answered by the machines between steps, never stored.

use std::sync::Arc;
use std::time::Duration;

use super::alert::{AlertState, Verdict};
use super::id::{AlertId, AlertKey, ProbeId, TemplateDigest, WorkloadId};
use super::objective::Severity;
use super::rollout::{Rollout, Seen};
use super::sample::Outcome;
use super::spec::{Mode, WorkloadRef};
use super::time::Timestamp;
use super::value::Value;

/// How an objective stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectiveStanding {
    /// Which.
    pub key: AlertKey,
    /// The verdict of the last evaluation.
    pub verdict: Verdict,
    /// Inactive, pending or firing.
    pub state: AlertState,
    /// Severity of the open episode, if there is one.
    pub severity: Option<Severity>,
    /// Since when the state.
    pub since: Option<Timestamp>,
    /// The open episode.
    pub alert: Option<AlertId>,
    /// Events the verdict rests on.
    pub samples: u64,
}

/// How a probe stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStanding {
    /// Which.
    pub probe: ProbeId,
    /// Outcome of the last look, once there was one.
    pub outcome: Option<Outcome>,
    /// When that was.
    pub at: Option<Timestamp>,
    /// How long it took.
    pub latency: Option<Duration>,
    /// The value it brought.
    pub value: Option<Value>,
    /// What was wrong.
    pub why: Option<Arc<str>>,
}

/// How far a revision is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Seen, nothing more.
    Seen,
    /// Current, and keeping its promises so far.
    Baking,
    /// Kept its promises for a whole bake (or a person says so).
    Proven,
    /// Blamed for a breach.
    Blamed,
    /// Rolled back: never a target.
    Quarantined,
}

impl Trust {
    /// All, for labels.
    pub const ALL: [Self; 5] = [
        Self::Seen,
        Self::Baking,
        Self::Proven,
        Self::Blamed,
        Self::Quarantined,
    ];

    /// The word in output and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Baking => "baking",
            Self::Proven => "proven",
            Self::Blamed => "blamed",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What the ledger knows of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Which template.
    pub template: TemplateDigest,
    /// Its number when last seen.
    pub revision: Option<u64>,
    /// Its images.
    pub images: Vec<Arc<str>>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// How far it is trusted.
    pub trust: Trust,
    /// When it was last proven.
    pub proven: Option<Timestamp>,
    /// Clean time kept so far in its bake.
    pub kept: Duration,
    /// Whether it is the present one.
    pub current: bool,
}

/// How a workload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadStanding {
    /// Which, as configured.
    pub id: WorkloadId,
    /// Where.
    pub target: WorkloadRef,
    /// The mode in force: the configured one under the ceiling and the annotation.
    pub mode: Mode,
    /// How it was last seen; none: not there (or no cluster).
    pub seen: Option<Seen>,
    /// The present rollout.
    pub rollout: Option<Rollout>,
    /// Its revisions, newest first.
    pub ledger: Vec<LedgerEntry>,
    /// How long a bake is.
    pub bake: Duration,
}
