//! The daemon's own settings, as valid as the rest. They take effect at start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `daemon:` of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Path of the SQLite database; `:memory:` remembers nothing.
    pub sqlite: PathBuf,
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// Base URL of the Prometheus that probes ask unless they name another.
    pub prometheus: Option<String>,
    /// How long samples are kept.
    pub retain_samples: Duration,
    /// How long alerts, decisions and deliveries that ended are kept.
    pub retain_alerts: Duration,
}

/// Whether and how to reach a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Whether one is wanted.
    pub access: KubernetesAccess,
    /// This file instead of the usual places.
    pub kubeconfig: Option<PathBuf>,
    /// This context instead of the current one.
    pub context: Option<String>,
}

/// Whether a cluster is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesAccess {
    /// In-cluster, else kubeconfig, else none.
    Auto,
    /// None.
    None,
    /// A start fault if there is none.
    Required,
}
