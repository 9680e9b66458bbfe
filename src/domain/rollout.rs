//! What is seen of workloads: templates by digest, revisions, pods; and rollouts recognised from that.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::{Digest, RollbackId, TemplateDigest, Uid};
use super::spec::{Mode, WorkloadRef};
use super::time::Timestamp;

/// One look at a workload: digests and numbers, never the object itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was seen.
    pub at: Timestamp,
    /// Which workload.
    pub target: WorkloadRef,
    /// Its unique id.
    pub uid: Uid,
    /// Its version for preconditions.
    pub resource_version: Arc<str>,
    /// Generation of the specification, and the one the controller has acted on.
    pub generation: i64,
    /// See `generation`.
    pub observed_generation: i64,
    /// The present pod template.
    pub template: TemplateDigest,
    /// Its revision number (`deployment.kubernetes.io/revision`), if the controller has given one.
    pub revision: Option<u64>,
    /// Replicas wanted, updated, ready, available, and in all.
    pub replicas: Replicas,
    /// `spec.paused`.
    pub paused: bool,
    /// Progressing is false for the reason ProgressDeadlineExceeded.
    pub deadline_exceeded: bool,
    /// `spec.revisionHistoryLimit`.
    pub history_limit: u32,
    /// Old and present templates that could be put back, by digest.
    pub revisions: Vec<Revision>,
    /// What Holdfast or a person wrote on it.
    pub marks: Marks,
    /// Who made the last change to the template, as managedFields say.
    pub changed_by: Option<Arc<str>>,
    /// `kubernetes.io/change-cause`.
    pub change_cause: Option<Arc<str>>,
    /// The controller that owns the object (an operator), if one does.
    pub owner: Option<Arc<str>>,
    /// `last-applied-configuration` is there: the next apply of the same file brings it back.
    pub applied: bool,
}

impl Seen {
    /// Whether the rollout of the present template is complete (`kubectl rollout status`).
    #[must_use]
    pub const fn rolled_out(&self) -> bool {
        let Replicas {
            desired,
            total,
            updated,
            ready: _,
            available,
        } = self.replicas;
        self.generation <= self.observed_generation
            && updated >= desired
            && total == updated
            && available >= updated
    }

    /// The identity of the present rollout, once the controller has given the template a number.
    #[must_use]
    pub fn rollout_id(&self) -> Option<RolloutId> {
        Some(RolloutId {
            uid: self.uid.clone(),
            template: self.template,
            revision: self.revision?,
        })
    }
}

/// Counts of a workload's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Wanted.
    pub desired: u32,
    /// Of any template.
    pub total: u32,
    /// Of the present template.
    pub updated: u32,
    /// Ready.
    pub ready: u32,
    /// Available.
    pub available: u32,
}

/// A template that still exists on the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its digest.
    pub template: TemplateDigest,
    /// Its present number.
    pub number: u64,
    /// The object that holds it (a ReplicaSet's name).
    pub held_by: Arc<str>,
    /// Its images, for people.
    pub images: Vec<Arc<str>>,
    /// Replicas of it that are ready.
    pub ready: u32,
}

/// Annotations `holdfast.dev/*` on a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// `holdfast.dev/rollback`: can only lower the configured mode.
    pub mode: Option<Mode>,
    /// `holdfast.dev/freeze`: no rollback until then.
    pub frozen_until: Option<Timestamp>,
    /// `holdfast.dev/rollback-id` of the last rollback.
    pub rollback: Option<RollbackId>,
    /// `holdfast.dev/rolled-back-from`.
    pub rolled_back_from: Option<TemplateDigest>,
    /// `holdfast.dev/rolled-back-at`.
    pub rolled_back_at: Option<Timestamp>,
    /// `holdfast.dev/term`: the newest leader's term that touched it.
    pub term: Option<u64>,
}

/// What the watcher reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A workload is there, like this.
    Seen(Box<Seen>),
    /// A workload is not there (any more).
    Gone {
        /// Which.
        target: WorkloadRef,
        /// When that was noticed.
        at: Timestamp,
    },
    /// Which pods belong to which template now.
    Pods {
        /// Of which workload.
        target: WorkloadRef,
        /// Template by pod name.
        pods: BTreeMap<Arc<str>, TemplateDigest>,
        /// When.
        at: Timestamp,
    },
}

impl Sighting {
    /// Which workload it is about.
    #[must_use]
    pub const fn target(&self) -> &WorkloadRef {
        match self {
            Self::Seen(seen) => &seen.target,
            Self::Gone { target, .. } | Self::Pods { target, .. } => target,
        }
    }

    /// When it was seen.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Seen(seen) => seen.at,
            Self::Gone { at, .. } | Self::Pods { at, .. } => *at,
        }
    }
}

/// Identity of a rollout: anyone can read it from the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RolloutId {
    /// The workload's unique id.
    pub uid: Uid,
    /// The template that became current.
    pub template: TemplateDigest,
    /// The number it had when it became current.
    pub revision: u64,
}

impl RolloutId {
    /// The one rollback this rollout can have.
    #[must_use]
    pub fn rollback(&self) -> RollbackId {
        RollbackId(Digest::of(&[
            b"rollback".as_slice(),
            self.uid.0.as_bytes(),
            &self.template.0.0,
            &self.revision.to_le_bytes(),
        ]))
    }

    /// A short id for lists and links.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[
            b"rollout".as_slice(),
            self.uid.0.as_bytes(),
            &self.template.0.0,
            &self.revision.to_le_bytes(),
        ])
    }
}

/// Movement from one revision to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Which.
    pub id: RolloutId,
    /// Of which workload.
    pub target: WorkloadRef,
    /// What was there before; none at first sight.
    pub from: Option<TemplateDigest>,
    /// When it was first seen.
    pub began: Timestamp,
    /// When it was complete.
    pub done: Option<Timestamp>,
    /// When the platform gave up on it.
    pub failed: Option<Timestamp>,
    /// The rollback that made it, if Holdfast did.
    pub by: Option<RollbackId>,
    /// It was there when Holdfast first looked: nobody saw it begin.
    pub first_sight: bool,
    /// Who changed the template, and why, as far as the object says.
    pub changed_by: Option<Arc<str>>,
    /// See `changed_by`.
    pub change_cause: Option<Arc<str>>,
}
