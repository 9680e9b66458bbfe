//! Workloads and their ledgers.

use serde::{Deserialize, Serialize};

use super::{instant, some_instant, spelled, texts};
use crate::domain::rollout::{Replicas as SeenReplicas, Seen};
use crate::domain::standing as domain;

/// How a workload stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// `tenant/name`.
    pub id: String,
    /// `deployment/namespace/name`.
    pub target: String,
    /// never, observe or act: the configured mode under the ceiling and the annotation.
    pub mode: String,
    /// How long a bake is.
    pub bake: String,
    /// Whether it was seen; false: not there, or no cluster.
    pub present: bool,
    /// When it was last seen.
    pub seen_at: Option<String>,
    /// `spec.paused`.
    pub paused: Option<bool>,
    /// Whether the present rollout is complete.
    pub rolled_out: Option<bool>,
    /// Counts of its status.
    pub replicas: Option<Replicas>,
    /// Revisions that could be put back, as the platform holds them.
    pub revisions: Vec<Revision>,
    /// What is known of its revisions, newest first.
    pub ledger: Vec<LedgerEntry>,
}

/// Counts of a workload's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its present number.
    pub number: u64,
    /// Its digest.
    pub template: String,
    /// The object that holds it.
    pub held_by: String,
    /// Its images.
    pub images: Vec<String>,
    /// Replicas of it that are ready.
    pub ready: u32,
}

/// What the ledger knows of one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Its number when last seen.
    pub revision: Option<u64>,
    /// Its digest.
    pub template: String,
    /// Its images.
    pub images: Vec<String>,
    /// seen, baking, proven, blamed or quarantined.
    pub trust: String,
    /// Whether it is the present one.
    pub current: bool,
    /// When it was first seen.
    pub first_seen: String,
    /// When it was last proven.
    pub proven: Option<String>,
    /// Clean time kept so far in its bake.
    pub kept_seconds: f64,
}

impl From<&domain::WorkloadStanding> for Workload {
    fn from(standing: &domain::WorkloadStanding) -> Self {
        let seen = standing.seen.as_ref();
        Self {
            id: standing.id.to_string(),
            target: standing.target.to_string(),
            mode: standing.mode.as_str().to_owned(),
            bake: spelled(standing.bake),
            present: seen.is_some(),
            seen_at: seen.map(|seen| instant(seen.at)),
            paused: seen.map(|seen| seen.paused),
            rolled_out: seen.map(Seen::rolled_out),
            replicas: seen.map(|seen| Replicas::from(&seen.replicas)),
            revisions: seen.map_or_else(Vec::new, |seen| {
                seen.revisions.iter().map(Revision::from).collect()
            }),
            ledger: standing.ledger.iter().map(LedgerEntry::from).collect(),
        }
    }
}

impl From<&SeenReplicas> for Replicas {
    fn from(replicas: &SeenReplicas) -> Self {
        Self {
            desired: replicas.desired,
            total: replicas.total,
            updated: replicas.updated,
            ready: replicas.ready,
            available: replicas.available,
        }
    }
}

impl From<&crate::domain::rollout::Revision> for Revision {
    fn from(revision: &crate::domain::rollout::Revision) -> Self {
        Self {
            number: revision.number,
            template: revision.template.to_string(),
            held_by: revision.held_by.to_string(),
            images: texts(&revision.images),
            ready: revision.ready,
        }
    }
}

impl From<&domain::LedgerEntry> for LedgerEntry {
    fn from(entry: &domain::LedgerEntry) -> Self {
        Self {
            revision: entry.revision,
            template: entry.template.to_string(),
            images: texts(&entry.images),
            trust: entry.trust.as_str().to_owned(),
            current: entry.current,
            first_seen: instant(entry.first_seen),
            proven: some_instant(entry.proven),
            kept_seconds: entry.kept.as_secs_f64(),
        }
    }
}
