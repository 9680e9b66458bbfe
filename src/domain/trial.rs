//! Judgement of one rollback since a mark: did it help?
//!
//! The trial looks only at events after the platform has rolled the target out, never at windows still
//! full of the old failure. It is held by the judge, who has the samples, at the steward's request.

use std::sync::Arc;

use super::alert::Evidence;
use super::decision::Trigger;
use super::id::{RollbackId, TemplateDigest, WorkloadId};
use super::rollback::TrialEnd;
use super::spec::WorkloadRef;
use super::time::Timestamp;

/// What is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialRequest {
    /// For which rollback.
    pub rollback: RollbackId,
    /// Of which workload.
    pub workload: WorkloadId,
    /// Where it is.
    pub target: WorkloadRef,
    /// The template that was put back.
    pub to: TemplateDigest,
    /// What blamed the rollout: its condition is tried.
    pub trigger: Trigger,
    /// When the patch was applied; nothing before counts.
    pub applied: Timestamp,
}

/// What came of it; also the sign that the target is rolled out (`rolled_out` without an end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialResult {
    /// For which rollback.
    pub rollback: RollbackId,
    /// When.
    pub at: Timestamp,
    /// When the platform had rolled the target out, once it has.
    pub rolled_out: Option<Timestamp>,
    /// The end, once there is one.
    pub end: Option<TrialEnd>,
    /// Somebody put another template in its place meanwhile.
    pub superseded: Option<Arc<str>>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}
