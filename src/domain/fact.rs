//! Facts about revisions, append-only: the ledger is a fold over them.

use std::sync::Arc;
use std::time::Duration;

use super::id::{RollbackId, TemplateDigest};
use super::rollout::{Rollout, RolloutId};
use super::spec::WorkloadRef;
use super::time::Timestamp;

/// One thing that is known of a workload's revisions from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Of which workload.
    pub target: WorkloadRef,
    /// Since when.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// The kinds of fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A template was seen for the first time, with these images.
    FirstSeen {
        /// Which.
        template: TemplateDigest,
        /// Its number then.
        revision: Option<u64>,
        /// For people.
        images: Vec<Arc<str>>,
    },
    /// A rollout began.
    Began(Box<Rollout>),
    /// A rollout is complete.
    Done(RolloutId),
    /// The platform gave up on a rollout (ProgressDeadlineExceeded).
    Failed(RolloutId),
    /// The bake so far: clean time kept by the present template.
    Baked {
        /// Which.
        template: TemplateDigest,
        /// Clean time so far; back to zero after a breach.
        kept: Duration,
    },
    /// The template kept its promises for a whole bake, or a person says it is good.
    Proven {
        /// Which.
        template: TemplateDigest,
        /// A person's name; none: by baking.
        by: Option<Arc<str>>,
    },
    /// The template was blamed for a breach: its proof is void.
    Blamed {
        /// Which.
        template: TemplateDigest,
    },
    /// The template was rolled back and is never a target again.
    Quarantined {
        /// Which.
        template: TemplateDigest,
        /// By which rollback.
        rollback: RollbackId,
    },
    /// The rollback did not help: the template was not the cause.
    Released {
        /// Which.
        template: TemplateDigest,
        /// Which rollback.
        rollback: RollbackId,
    },
}
