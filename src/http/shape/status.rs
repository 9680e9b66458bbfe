//! How Holdfast itself stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::instant;
use super::standing::Tenant;
use crate::http::desk::{ConfigStanding, Health};

/// The summary of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// When the process started.
    pub started: String,
    /// When this was said.
    pub now: String,
    /// Whether every task is alive, a configuration is in force, and the store answers.
    pub ready: bool,
    /// Whether this process may tell and act.
    pub leads: bool,
    /// The term in which it leads.
    pub term: Option<u64>,
    /// Whether there is a cluster to act on.
    pub cluster: bool,
    /// Whether the store can be read and written.
    pub store: bool,
    /// Tasks alive, by name.
    pub tasks: BTreeMap<String, usize>,
    /// A task that ended by itself.
    pub died: Option<String>,
    /// The configuration.
    pub config: Config,
    /// How the tenants stand.
    pub tenants: Vec<Tenant>,
    /// Open alerts by severity, firing ones only.
    pub firing: BTreeMap<String, u64>,
    /// Rollbacks that have not ended.
    pub rollbacks_open: usize,
}

/// How the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Digest of the files in force.
    pub hash: String,
    /// When it was taken into force.
    pub since: String,
    /// When a reload was last tried.
    pub tried: String,
    /// Whether that was successful.
    pub successful: bool,
    /// The faults of the last try; empty if it was successful.
    pub faults: Vec<String>,
    /// Lints of the configuration in force.
    pub lints: Vec<String>,
}

impl From<&ConfigStanding> for Config {
    fn from(standing: &ConfigStanding) -> Self {
        Self {
            hash: standing.hash.clone(),
            since: instant(standing.since),
            tried: instant(standing.tried),
            successful: standing.successful,
            faults: standing.faults.clone(),
            lints: standing.lints.clone(),
        }
    }
}

/// How ready the process is, check by check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether all checks passed.
    pub ready: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub check: String,
    /// Whether it is so.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

impl Status {
    /// The part that the process knows of itself.
    #[must_use]
    pub fn new(
        health: &Health,
        config: &ConfigStanding,
        now: crate::domain::time::Timestamp,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: instant(health.started),
            now: instant(now),
            ready: false,
            leads: health.leads.is_some(),
            term: health.leads.map(|term| term.0),
            cluster: health.cluster,
            store: false,
            tasks: health
                .tasks
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            died: health.died.map(ToOwned::to_owned),
            config: Config::from(config),
            tenants: Vec::new(),
            firing: BTreeMap::new(),
            rollbacks_open: 0,
        }
    }
}
