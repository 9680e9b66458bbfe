//! Mechanism: remember.
//!
//! One trait, several backends, one conformance story for all. A batch is committed whole or not at all,
//! only by the holder of the newest term of its role, and at most once (its id is remembered). Posted
//! changes ([`Change::audience`](crate::domain::change::Change::audience)) stand in a journal that the
//! machines read as their inbox.

pub mod memory;
pub mod segment;
pub mod sqlite;

#[cfg(test)]
mod conformance;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::alert::{Alert, AlertState, Phase, Transition};
use crate::domain::change::{Batch, Fence, Post, Role, Seq};
use crate::domain::decision::{Decision, Petition};
use crate::domain::delivery::{Attempt, Delivery, Told};
use crate::domain::fact::Fact;
use crate::domain::id::{AlertId, DecisionId, Digest, ProbeId, RollbackId, TenantId, WorkloadId};
use crate::domain::need::{History, Need};
use crate::domain::objective::Severity;
use crate::domain::rollback::{Rollback, Term};
use crate::domain::sample::Sample;
use crate::domain::time::Timestamp;

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else has a newer term of this role: stop.
    #[error("a newer owner of this role has committed")]
    Fenced,
    /// The answer was lost: commit the same batch again.
    #[error("it is not known whether the batch was committed")]
    Ambiguous(#[source] StoreError),
    /// The store cannot be reached or refuses: keep the batch and try again.
    #[error("the store is not available")]
    Unavailable(#[source] StoreError),
}

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("failed to {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored row cannot be read.
    #[error("a stored {what} cannot be read: {why}")]
    Corrupt {
        /// What it should be.
        what: &'static str,
        /// Why not.
        why: String,
    },
}

/// A page of a list: at most `limit` rows older than `before` (exclusive), newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Rows older than this; none: from the newest.
    pub before: Option<Timestamp>,
    /// At most this many.
    pub limit: usize,
}

/// Which alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// In this state.
    pub state: Option<AlertState>,
    /// This severe.
    pub severity: Option<Severity>,
    /// Changed at or after this instant.
    pub since: Option<Timestamp>,
}

// === impl AlertFilter ===

impl AlertFilter {
    /// Whether an alert is one of those.
    #[must_use]
    pub fn takes(&self, alert: &Alert) -> bool {
        let Self {
            tenant,
            state,
            severity,
            since,
        } = self;
        tenant
            .as_ref()
            .is_none_or(|tenant| alert.key.tenant == *tenant)
            && state.is_none_or(|state| alert.state == state)
            && severity.is_none_or(|severity| alert.severity == severity)
            && since.is_none_or(|since| alert.at >= since)
    }
}

/// Where the samples of a series are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleQuery {
    /// Of which series.
    pub series: ProbeId,
    /// After this instant (exclusive).
    pub from: Timestamp,
    /// Up to this instant (inclusive).
    pub to: Timestamp,
    /// At most this many, the newest ones.
    pub limit: usize,
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Samples.
    pub samples: Duration,
    /// Alerts, decisions, rollbacks, deliveries that have ended.
    pub alerts: Duration,
}

/// Opens a store: `:memory:` for one that dies with the process, else a SQLite database at this path.
///
/// # Errors
/// If the database cannot be opened, is in use, or was written by a newer version.
pub async fn open(path: &Path) -> Result<Arc<dyn Store>, sqlite::OpenError> {
    if path == Path::new(":memory:") {
        return Ok(Arc::new(memory::Memory::new()));
    }
    Ok(Arc::new(sqlite::Sqlite::open(path).await?))
}

/// Ids of batches that a store remembers. A committer repeats only its last batch, and there is one
/// committer a role, so a handful would do; this many cost nothing.
const BATCHES_KEPT: usize = 4096;

/// Whether an image answers a need: of its shape, and inside the span that was asked for. An older one
/// holds nothing that still counts; a newer one holds samples that come by themselves.
fn image_serves(shape: Digest, at: Timestamp, need: &Need) -> bool {
    shape == need.shape && at <= need.until && at > need.until - need.span
}

/// A memory that survives the process (or, in tests, does not).
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes a role: the new term is greater than any before it, and at least `at_least`.
    async fn claim(&self, role: Role, at_least: Term) -> Result<Term, StoreError>;

    /// Commits a batch whole. A batch whose id was committed before changes nothing and answers alike.
    async fn commit(&self, batch: &Batch, fence: Fence) -> Result<Seq, CommitError>;

    /// Posts after `after` for a role, oldest first.
    async fn inbox(&self, role: Role, after: Seq, limit: usize) -> Result<Vec<Post>, StoreError>;
    /// How far a role has read.
    async fn cursor(&self, role: Role) -> Result<Seq, StoreError>;

    /// The phases of all monitors.
    async fn phases(&self) -> Result<Vec<Phase>, StoreError>;
    /// All facts in order; of the bake progress of a template only the last.
    async fn facts(&self) -> Result<Vec<Fact>, StoreError>;
    /// What receivers were told and is not over.
    async fn told(&self) -> Result<Vec<Told>, StoreError>;
    /// Petitions that stand.
    async fn petitions(&self) -> Result<Vec<Petition>, StoreError>;
    /// Deliveries that are due, in order of receiver, thread and order.
    async fn due(&self) -> Result<Vec<Delivery>, StoreError>;
    /// Answers needs, all with one pass over the samples.
    async fn histories(&self, needs: &[Need]) -> Result<Vec<History>, StoreError>;

    /// Samples of a series, oldest first.
    async fn samples(&self, query: &SampleQuery) -> Result<Vec<Sample>, StoreError>;
    /// Alerts, newest change first.
    async fn alerts(&self, filter: &AlertFilter, window: Window) -> Result<Vec<Alert>, StoreError>;
    /// One alert with its transitions, oldest first.
    async fn alert(&self, id: AlertId) -> Result<Option<(Alert, Vec<Transition>)>, StoreError>;
    /// Deliveries with their attempts, newest first; of one thread if named.
    async fn deliveries(
        &self,
        thread: Option<Digest>,
        window: Window,
    ) -> Result<Vec<(Delivery, Vec<Attempt>)>, StoreError>;
    /// Decisions, newest first; of one workload if named.
    async fn decisions(
        &self,
        workload: Option<&WorkloadId>,
        window: Window,
    ) -> Result<Vec<Decision>, StoreError>;
    /// One decision.
    async fn decision(&self, id: DecisionId) -> Result<Option<Decision>, StoreError>;
    /// Rollbacks, newest request first; those that have not ended only, if asked.
    async fn rollbacks(&self, open_only: bool, window: Window)
    -> Result<Vec<Rollback>, StoreError>;
    /// One rollback.
    async fn rollback(&self, id: RollbackId) -> Result<Option<Rollback>, StoreError>;

    /// Forgets what is older than it has to be kept. Nothing that is open is ever forgotten.
    /// Answers the number of rows (or segments) that went.
    async fn retain(&self, retention: Retention, now: Timestamp) -> Result<u64, StoreError>;
    /// Brings what was written piecemeal into the form in which it rests; changes no answer. Answers the
    /// number of pieces that were brought in. Nothing to do for a store that has only one form.
    async fn compact(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
    /// Whether the store can be read and written now.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Closes it; what was committed is on disk.
    async fn close(&self);
}
