//! Mechanism: Kubernetes. Watches workloads (digests, never objects), recognises revisions, applies
//! remedies with preconditions, holds the lease.
//!
//! What comes from the API server is read as JSON, not through typed structs: a field that is newer than
//! this build is part of a template's digest, and is there again after an undo.

pub mod announce;
pub mod call;
pub mod connect;
pub mod deployment;
pub mod kubernetes;
pub mod lease;
pub mod lease_object;
pub mod marks;
pub mod replica_set;
pub mod template;
pub mod undo;
pub mod view;
pub mod watch;

#[cfg(test)]
#[cfg(feature = "demo")]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::id::{RollbackId, TemplateDigest, Uid};
use crate::domain::rollback::{Answer, Observed, Term};
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;

/// What went wrong in looking at a platform.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// It cannot be reached, or did not answer in time.
    #[error("failed to {doing}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It forbids it.
    #[error("not permitted to {doing}")]
    Forbidden {
        /// What was being done.
        doing: &'static str,
    },
    /// The object is not what it should be.
    #[error("{0}")]
    Odd(String),
}

/// Puts one template back in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The rollback this is done for: written on the object.
    pub rollback: RollbackId,
    /// Where.
    pub target: WorkloadRef,
    /// The template that must be there now.
    pub from: TemplateDigest,
    /// The template to put back.
    pub to: TemplateDigest,
    /// Written on the object.
    pub at: Timestamp,
    /// The leader's term, written on the object.
    pub term: Term,
}

/// What the patch is conditional on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precondition {
    /// The object is still the same one,
    pub uid: Uid,
    /// and nobody changed it since.
    pub resource_version: Arc<str>,
}

/// The patch as it would be sent, for dry runs and the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The JSON patch.
    pub patch: String,
    /// What will not come back, what to know.
    pub warnings: Vec<String>,
}

/// A thing people see on the object itself (a Kubernetes Event).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// On which workload.
    pub target: WorkloadRef,
    /// Its unique id.
    pub uid: Uid,
    /// Machine-readable reason, CamelCase (`RolledBack`, `RollbackHeld`).
    pub reason: &'static str,
    /// For people.
    pub note: String,
    /// Whether it is a warning.
    pub warning: bool,
}

/// A platform that has workloads.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Looks at a workload now, straight from the platform (never from a cache).
    async fn observe(
        &self,
        target: &WorkloadRef,
        to: TemplateDigest,
    ) -> Result<Option<Observed>, PlatformError>;

    /// What [`Platform::undo`] would send now.
    async fn plan(&self, undo: &Undo) -> Result<Planned, PlatformError>;

    /// Sends the patch once. A lost answer is [`Answer::Unknown`], never an error.
    async fn undo(&self, undo: &Undo, precondition: &Precondition) -> Answer;

    /// Writes a new leader's term on a workload in flight, which breaks a stale leader's precondition.
    async fn claim(&self, target: &WorkloadRef, term: Term) -> Result<(), PlatformError>;

    /// Says something on the object.
    async fn announce(&self, announcement: &Announcement) -> Result<(), PlatformError>;
}
