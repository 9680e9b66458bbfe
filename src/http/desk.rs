//! What the server asks of the daemon behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::change::Reply;
use crate::domain::command::Command;
use crate::domain::fact::Fact;
use crate::domain::id::ProbeId;
use crate::domain::observation::Observation;
use crate::domain::rollback::Term;
use crate::domain::sample::Sample;
use crate::domain::spec::Spec;
use crate::domain::standing::{ObjectiveStanding, ProbeStanding, WorkloadStanding};
use crate::domain::time::Timestamp;
use crate::store::Store;

/// How the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStanding {
    /// Digest of the files in force.
    pub hash: String,
    /// When it was taken into force.
    pub since: Timestamp,
    /// When a reload was last tried.
    pub tried: Timestamp,
    /// Whether that was successful.
    pub successful: bool,
    /// The faults of the last try as `holdfast check` prints them; empty if it was successful.
    pub faults: Vec<String>,
    /// Lints of the configuration in force.
    pub lints: Vec<String>,
}

/// How the process stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Tasks alive, by name.
    pub tasks: BTreeMap<&'static str, usize>,
    /// A task that ended by itself.
    pub died: Option<&'static str>,
    /// The term in which this process leads, if it does.
    pub leads: Option<Term>,
    /// Whether there is a cluster to act on.
    pub cluster: bool,
    /// When the process started.
    pub started: Timestamp,
}

/// One run of a probe on demand.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What came back.
    pub observation: Observation,
    /// What it is held to be.
    pub sample: Sample,
}

/// The daemon, as the server sees it.
#[async_trait]
pub trait Desk: Send + Sync + 'static {
    /// The configuration in force.
    fn spec(&self) -> Arc<Spec>;
    /// How it stands.
    fn config(&self) -> ConfigStanding;
    /// How the process stands.
    fn health(&self) -> Health;
    /// The memory, for reading.
    fn store(&self) -> Arc<dyn Store>;
    /// Now.
    fn now(&self) -> Timestamp;

    /// How the objectives stand, in order of their keys.
    async fn objectives(&self) -> Vec<ObjectiveStanding>;
    /// How the probes stand, in order of their ids.
    async fn probes(&self) -> Vec<ProbeStanding>;
    /// How the workloads stand, in order of their ids.
    async fn workloads(&self) -> Vec<WorkloadStanding>;
    /// The facts of the ledger, oldest first.
    async fn facts(&self) -> Vec<Fact>;

    /// Gives a command to the machine it is for, and waits until its effect is committed.
    async fn command(&self, command: Command) -> Reply;
    /// Runs a probe now; none: there is no such probe.
    async fn run_probe(&self, probe: &ProbeId) -> Option<Run>;
    /// A heartbeat has come; false: there is no such heartbeat probe.
    async fn heartbeat(&self, probe: &ProbeId) -> bool;
    /// Reads the configuration again.
    ///
    /// # Errors
    /// The faults, as `holdfast check` prints them.
    async fn reload(&self) -> Result<(), Vec<String>>;
}
