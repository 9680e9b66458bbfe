//! What people tell Holdfast to do: an event like any other, answered after its commit.

use super::id::{AlertId, TemplateDigest, WorkloadId};

/// A command, with who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who (`api`, a token's name, later a user).
    pub by: String,
    /// What.
    pub what: Order,
}

/// The orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Somebody looks after it.
    Acknowledge(AlertId),
    /// It is over, a person says.
    Resolve(AlertId),
    /// Roll back now: skips mode, evidence, attribution and cooldown; never, paused, freeze and
    /// preconditions still hold.
    RollBack {
        /// Which workload.
        workload: WorkloadId,
        /// To which revision number; none: the one Holdfast would choose.
        to: Option<u64>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// This template is good, a person says.
    Prove {
        /// Of which workload.
        workload: WorkloadId,
        /// Which template.
        template: TemplateDigest,
    },
}
