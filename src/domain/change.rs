//! What machines give: changes to be committed, and the work they imply.
//!
//! A step writes into a buffer that the caller owns. The driver commits the buffer in one transaction;
//! nothing acts on a change that is not committed.

use std::sync::Arc;

use super::alert::{Phase, Transition};
use super::decision::{Decision, Petition};
use super::delivery::{Attempt, Delivery, Notice, Told};
use super::fact::{Fact, What};
use super::id::{AlertId, BatchId, DecisionId, Digest, ProbeId};
use super::need::Need;
use super::rollback::{Rollback, Term};
use super::sample::Sample;
use super::time::Timestamp;
use super::trial::{TrialRequest, TrialResult};

/// The machines, as owners of state: who may commit, and whose inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Samples to transitions and petitions.
    Judge,
    /// Transitions to deliveries.
    Teller,
    /// Petitions to decisions.
    Steward,
}

impl Role {
    /// All.
    pub const ALL: [Self; 3] = [Self::Judge, Self::Teller, Self::Steward];

    /// The role's name in the store and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judge => "judge",
            Self::Teller => "teller",
            Self::Steward => "steward",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Position in the journal of posted changes; increases by at least one with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// The right to commit for a role: a store refuses a fence whose term is older than the newest it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// For which role.
    pub role: Role,
    /// In which term.
    pub term: Term,
}

/// A series' counts at the end of an hour, so that a restart need not read all samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Which series.
    pub series: ProbeId,
    /// Shape of the probe it belongs to; an image of another shape is not used.
    pub shape: Digest,
    /// Samples up to and including this instant are in it.
    pub at: Timestamp,
    /// The series, in its own encoding (`Series::image`).
    pub bytes: Arc<[u8]>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keep a sample in the history.
    Keep(Sample),
    /// Keep a series' image.
    Image(Image),
    /// A monitor's phase is now this.
    Phase(Phase),
    /// A monitor is no more: its objective was removed.
    Forget(super::id::AlertKey),
    /// An alert changed its state.
    Transition(Transition),
    /// A person acknowledged an alert.
    Acknowledged {
        /// Which episode.
        alert: AlertId,
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// A release seems bad (or no longer).
    Petition(Petition),
    /// Something is known of a revision.
    Fact(Fact),
    /// A trial is to be held.
    Trial(TrialRequest),
    /// A trial ended.
    Tried(TrialResult),
    /// A machine needs history before it can go on.
    Need(Need),
    /// The steward decided.
    Decision(Decision),
    /// A rollback's row is now this.
    Rollback(Rollback),
    /// People are to be told of something that is no alert.
    Notice(Notice),
    /// Tell a receiver.
    Deliver(Delivery),
    /// What a receiver was told of an episode is now this.
    Told(Told),
    /// A delivery was tried, or cancelled.
    Attempt(Attempt),
    /// A role has read its inbox up to here.
    Read {
        /// Whose inbox.
        role: Role,
        /// Up to and including.
        seq: Seq,
    },
}

/// How soon a change must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// With others, within 200 ms.
    Soon,
    /// At once, before anything else happens.
    Now,
}

impl Change {
    /// Samples, images and bake progress can wait a moment; everything else is committed at once.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Keep(_) | Self::Image(_) | Self::Read { .. } | Self::Need(_) => Lane::Soon,
            Self::Fact(Fact {
                what: What::Baked { .. },
                ..
            }) => Lane::Soon,
            Self::Fact(_)
            | Self::Phase(_)
            | Self::Forget(_)
            | Self::Transition(_)
            | Self::Acknowledged { .. }
            | Self::Petition(_)
            | Self::Trial(_)
            | Self::Tried(_)
            | Self::Decision(_)
            | Self::Rollback(_)
            | Self::Notice(_)
            | Self::Deliver(_)
            | Self::Told(_)
            | Self::Attempt(_) => Lane::Now,
        }
    }

    /// In whose inboxes the change is posted when it is committed.
    #[must_use]
    pub const fn audience(&self) -> &'static [Role] {
        match self {
            Self::Transition(_) | Self::Notice(_) => &[Role::Teller],
            Self::Petition(_) | Self::Tried(_) => &[Role::Steward],
            Self::Trial(_) => &[Role::Judge],
            Self::Fact(fact) => match &fact.what {
                What::Blamed { .. } | What::Quarantined { .. } | What::Released { .. } => {
                    &[Role::Judge]
                }
                What::Proven { by: Some(_), .. } => &[Role::Judge],
                What::FirstSeen { .. }
                | What::Began(_)
                | What::Done(_)
                | What::Failed(_)
                | What::Baked { .. }
                | What::Proven { by: None, .. } => &[Role::Steward],
            },
            Self::Keep(_)
            | Self::Image(_)
            | Self::Phase(_)
            | Self::Forget(_)
            | Self::Acknowledged { .. }
            | Self::Need(_)
            | Self::Decision(_)
            | Self::Rollback(_)
            | Self::Deliver(_)
            | Self::Told(_)
            | Self::Attempt(_)
            | Self::Read { .. } => &[],
        }
    }
}

/// A change that was committed, in somebody's inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Its place in the journal.
    pub seq: Seq,
    /// When it was committed, by the clock of who committed it.
    pub at: Timestamp,
    /// What it is.
    pub change: Change,
}

/// What a command's caller hears after the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// A decision was taken; read it by its id.
    Decided(DecisionId),
    /// A plan, taken back: nothing was changed.
    Planned(Box<Decision>),
    /// A rollback's row as it is now.
    Rollback(Box<Rollback>),
    /// There is no such thing.
    NotFound,
    /// It cannot be done, because.
    Refused(String),
}

/// The caller-owned buffer that steps write into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The changes, in order.
    pub list: Vec<Change>,
    /// The answer to the command of this step, if it was one.
    pub reply: Option<Reply>,
}

impl Changes {
    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        self.list.push(change);
    }

    /// The most urgent lane among the changes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.list
            .iter()
            .map(Change::lane)
            .max()
            .unwrap_or(Lane::Soon)
    }
}

/// What is committed in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// A batch that was committed before (its answer was lost) is not committed twice.
    pub id: BatchId,
    /// When, by the committer's clock.
    pub at: Timestamp,
    /// What, in order.
    pub changes: Vec<Change>,
}
