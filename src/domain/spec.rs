//! The valid configuration as the pure core sees it: what is promised to whom, what may be done about it,
//! and who hears of it. Made by `config`, which reports every fault; nothing here can be invalid.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::id::{Name, ProbeId, TenantId, WorkloadId};
use super::objective::Objective;
use super::target::{Probe, SecretRef};

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// The tenants.
    pub tenants: BTreeMap<TenantId, Arc<Tenant>>,
    /// Where messages can be sent.
    pub receivers: BTreeMap<Name, Arc<Receiver>>,
    /// Who hears what.
    pub route: Route,
    /// The ceiling and the budgets of all rollbacks.
    pub rollback: RollbackPolicy,
}

impl Spec {
    /// Finds a probe.
    #[must_use]
    pub fn probe(&self, id: &ProbeId) -> Option<&Arc<Probe>> {
        self.tenants.get(&id.tenant)?.probes.get(&id.probe)
    }

    /// Finds a workload.
    #[must_use]
    pub fn workload(&self, id: &WorkloadId) -> Option<&Arc<Workload>> {
        self.tenants.get(&id.tenant)?.workloads.get(&id.workload)
    }

    /// All workloads.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.tenants
            .values()
            .flat_map(|tenant| tenant.workloads.values())
    }

    /// All probes.
    pub fn probes(&self) -> impl Iterator<Item = &Arc<Probe>> {
        self.tenants
            .values()
            .flat_map(|tenant| tenant.probes.values())
    }

    /// All objectives.
    pub fn objectives(&self) -> impl Iterator<Item = &Arc<Objective>> {
        self.tenants
            .values()
            .flat_map(|tenant| tenant.objectives.iter())
    }
}

/// One customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// The plan it inherits from, for people.
    pub plan: Option<String>,
    /// Its namespaces; the first is the default of its workloads.
    pub namespaces: Vec<String>,
    /// On every alert and notification.
    pub labels: BTreeMap<String, String>,
    /// Its probes.
    pub probes: BTreeMap<Name, Arc<Probe>>,
    /// Its objectives, one for each probe they are judged on; ordered by key.
    pub objectives: Vec<Arc<Objective>>,
    /// Its workloads.
    pub workloads: BTreeMap<Name, Arc<Workload>>,
}

/// A thing on a platform that has revisions. An enum of platforms from the start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadRef {
    /// An object of a Kubernetes cluster. Shown as `deployment/shop/api`.
    Kubernetes {
        /// Which kind.
        kind: Kind,
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

impl WorkloadRef {
    /// A Deployment.
    #[must_use]
    pub fn deployment(namespace: &str, name: &str) -> Self {
        Self::Kubernetes {
            kind: Kind::Deployment,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        let Self::Kubernetes { namespace, .. } = self;
        namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let Self::Kubernetes { name, .. } = self;
        name
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        let Self::Kubernetes { kind, .. } = self;
        *kind
    }
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Kubernetes {
            kind,
            namespace,
            name,
        } = self;
        write!(f, "{}/{namespace}/{name}", kind.as_str())
    }
}

/// The text is not `KIND/NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a workload is written KIND/NAMESPACE/NAME, for instance deployment/shop/api")]
pub struct WorkloadRefError;

impl std::str::FromStr for WorkloadRef {
    type Err = WorkloadRefError;
    fn from_str(text: &str) -> Result<Self, WorkloadRefError> {
        let mut parts = text.splitn(3, '/');
        match (
            parts.next().and_then(Kind::parse),
            parts.next(),
            parts.next(),
        ) {
            (Some(kind), Some(namespace), Some(name))
                if !namespace.is_empty() && !name.is_empty() =>
            {
                Ok(Self::Kubernetes {
                    kind,
                    namespace: namespace.into(),
                    name: name.into(),
                })
            }
            _ => Err(WorkloadRefError),
        }
    }
}

/// The kinds of Kubernetes objects that can be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// apps/v1 Deployment.
    Deployment,
}

impl Kind {
    /// Lower-case name, as in files and paths.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text == "deployment").then_some(Self::Deployment)
    }
}

/// What Holdfast may do with a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nothing at all; wins over everything.
    Never,
    /// Say what it would have done.
    Observe,
    /// Do it.
    Act,
}

impl Mode {
    /// The mode's name in files, annotations and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Observe => "observe",
            Self::Act => "act",
        }
    }
}

/// A workload of a tenant, and what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Tenant and name.
    pub id: WorkloadId,
    /// Where it is.
    pub target: WorkloadRef,
    /// What Holdfast may do; never more than the ceiling.
    pub mode: Mode,
    /// Names of the tenant's objectives whose critical breach blames a release.
    pub triggers: Vec<Name>,
    /// Time inside all trigger objectives after a rollout until the revision is proven.
    pub bake: Duration,
    /// Time after a rollout is done in which a breach may be its fault.
    pub attribution: Duration,
    /// Least time between two rollbacks of this workload.
    pub cooldown: Duration,
    /// Rollbacks of this workload in any 24 hours; 0 means none.
    pub per_day: u32,
}

/// The ceiling and the budgets of all rollbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackPolicy {
    /// No workload's mode is more than this.
    pub mode: Mode,
    /// Rollbacks in the whole cluster in any hour.
    pub per_hour: u32,
    /// Rollbacks of one tenant in any 24 hours.
    pub per_tenant_per_day: u32,
}

impl Default for RollbackPolicy {
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            per_hour: 5,
            per_tenant_per_day: 3,
        }
    }
}

/// A place to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: Name,
    /// What it is; at least one.
    pub channel: Channel,
}

/// The kinds of receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Alertmanager's v4 body by POST.
    Webhook {
        /// Where to.
        url: Address,
        /// Signs the body (`X-Holdfast-Signature`).
        secret: Option<SecretRef>,
    },
    /// Slack's incoming webhook.
    Slack {
        /// The webhook's URL, which is a secret.
        webhook_url: SecretRef,
        /// Channel to name in the message, where the webhook allows it.
        channel: Option<String>,
    },
}

impl Channel {
    /// The key that names the kind in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
        }
    }
}

/// A URL, in the open or as a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As written.
    Plain(String),
    /// Read when needed.
    Secret(SecretRef),
}

/// One node of the route tree: the first child that matches takes the message, otherwise the node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// All of these must hold; empty matches everything.
    pub matchers: Vec<Matcher>,
    /// Who hears it (inherited from the parent by `config` where a child names none).
    pub receivers: Vec<Name>,
    /// Tried in order.
    pub routes: Vec<Route>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    /// Label name.
    pub label: String,
    /// Any of these; a missing label is the empty text.
    pub any_of: Vec<Pattern>,
}

/// A text or a regular expression over the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// `/regex/` in the file; matches the whole value. Valid: `config` compiled it once.
    Regex(String),
}
