//! How tenants, their objectives and their probes stand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{some_instant, spelled};
use crate::domain::alert::{AlertState, Verdict};
use crate::domain::id::TenantId;
use crate::domain::objective::{Objective as Promise, Severity, Unit};
use crate::domain::sample::Outcome;
use crate::domain::spec::{Spec, Tenant as Customer};
use crate::domain::standing::{ObjectiveStanding, ProbeStanding};
use crate::domain::target::Probe as Look;

/// How a tenant stands, in one word: the worst that can be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing was promised to it, so nothing is judged.
    Unwatched,
    /// Every promise is kept.
    Met,
    /// Some promise cannot be judged now.
    Inconclusive,
    /// A promise is broken, too briefly to fire.
    Pending,
    /// An alert of this severity fires.
    Info,
    /// An alert of this severity fires.
    Warning,
    /// An alert of this severity fires.
    Critical,
}

impl Standing {
    /// The word in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unwatched => "unwatched",
            Self::Met => "met",
            Self::Inconclusive => "inconclusive",
            Self::Pending => "pending",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    fn of(standing: &ObjectiveStanding) -> Self {
        match (standing.state, standing.severity) {
            (AlertState::Firing, Some(Severity::Critical) | None) => Self::Critical,
            (AlertState::Firing, Some(Severity::Warning)) => Self::Warning,
            (AlertState::Firing, Some(Severity::Info)) => Self::Info,
            (AlertState::Pending, _) => Self::Pending,
            (AlertState::Inactive | AlertState::Resolved, _) => match standing.verdict {
                Verdict::Met(_) => Self::Met,
                Verdict::Breached(..) => Self::Pending,
                Verdict::Inconclusive(_) => Self::Inconclusive,
            },
        }
    }

    /// The worst of these.
    pub fn worst<'a>(standings: impl IntoIterator<Item = &'a ObjectiveStanding>) -> Self {
        standings
            .into_iter()
            .map(Self::of)
            .max()
            .unwrap_or(Self::Unwatched)
    }
}

/// How a tenant stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub tenant: String,
    /// The worst that can be said of it.
    pub standing: Standing,
    /// The plan it inherits from.
    pub plan: Option<String>,
    /// Its namespaces.
    pub namespaces: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Objectives by what their last verdict was: met, breached, inconclusive.
    pub objectives: BTreeMap<String, u64>,
    /// Open alerts by state: pending, firing.
    pub alerts: BTreeMap<String, u64>,
    /// Probes by the outcome of their last look: good, bad, void, none.
    pub probes: BTreeMap<String, u64>,
    /// Names of its workloads.
    pub workloads: Vec<String>,
}

/// One tenant with everything that was promised to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantStory {
    /// How it stands.
    pub tenant: Tenant,
    /// Its objectives.
    pub objectives: Vec<Objective>,
    /// Its probes.
    pub probes: Vec<Probe>,
}

/// How all tenants stand, in order of their names; Holdfast itself is among them once it has something
/// to say of itself.
#[must_use]
pub fn tenants(
    spec: &Spec,
    objectives: &[ObjectiveStanding],
    probes: &[ProbeStanding],
) -> Vec<Tenant> {
    let mut names: Vec<&TenantId> = spec.tenants.keys().collect();
    names.extend(objectives.iter().map(|standing| &standing.key.tenant));
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            tenant(
                name,
                spec.tenants.get(name).map(|tenant| &**tenant),
                objectives,
                probes,
            )
        })
        .collect()
}

fn tenant(
    name: &TenantId,
    customer: Option<&Customer>,
    objectives: &[ObjectiveStanding],
    probes: &[ProbeStanding],
) -> Tenant {
    let own = || {
        objectives
            .iter()
            .filter(|standing| standing.key.tenant == *name)
    };
    let mut verdicts = count(&["met", "breached", "inconclusive"]);
    let mut alerts = count(&["pending", "firing"]);
    for standing in own() {
        let verdict = match standing.verdict {
            Verdict::Met(_) => "met",
            Verdict::Breached(..) => "breached",
            Verdict::Inconclusive(_) => "inconclusive",
        };
        *verdicts.entry(verdict.to_owned()).or_default() += 1;
        if matches!(standing.state, AlertState::Pending | AlertState::Firing) {
            *alerts
                .entry(standing.state.as_str().to_owned())
                .or_default() += 1;
        }
    }
    let mut outcomes = count(&["good", "bad", "void", "none"]);
    for standing in probes
        .iter()
        .filter(|standing| standing.probe.tenant == *name)
    {
        let outcome = standing.outcome.map_or("none", Outcome::as_str);
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
    Tenant {
        tenant: name.to_string(),
        standing: Standing::worst(own()),
        plan: customer.and_then(|customer| customer.plan.clone()),
        namespaces: customer.map_or_else(Vec::new, |customer| customer.namespaces.clone()),
        labels: customer.map_or_else(BTreeMap::new, |customer| customer.labels.clone()),
        objectives: verdicts,
        alerts,
        probes: outcomes,
        workloads: customer.map_or_else(Vec::new, |customer| {
            customer.workloads.keys().map(ToString::to_string).collect()
        }),
    }
}

fn count(words: &[&str]) -> BTreeMap<String, u64> {
    words.iter().map(|word| ((*word).to_owned(), 0)).collect()
}

/// How an objective stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Whose.
    pub tenant: String,
    /// Which promise.
    pub objective: String,
    /// Judged on which probe.
    pub probe: String,
    /// What is measured; none: the objective is not in the configuration.
    pub measure: Option<String>,
    /// Over which trailing span.
    pub over: Option<String>,
    /// Conditions by severity: `critical` → `above 10%`.
    pub conditions: BTreeMap<String, String>,
    /// met, breached or inconclusive.
    pub verdict: String,
    /// Why it is inconclusive.
    pub doubt: Option<String>,
    /// The measured value.
    pub value: Option<f64>,
    /// The measured value as people read it.
    pub shown: Option<String>,
    /// inactive, pending or firing.
    pub state: String,
    /// Severity of the open episode.
    pub severity: Option<String>,
    /// Since when the state.
    pub since: Option<String>,
    /// The open episode.
    pub alert: Option<String>,
    /// Events the verdict rests on.
    pub samples: u64,
}

impl Objective {
    /// From how it stands, and what was promised.
    #[must_use]
    pub fn new(standing: &ObjectiveStanding, spec: &Spec) -> Self {
        let promise = promise(spec, standing);
        let (verdict, value, doubt) = match standing.verdict {
            Verdict::Met(value) => ("met", value, None),
            Verdict::Breached(_, value) => ("breached", value, None),
            Verdict::Inconclusive(doubt) => ("inconclusive", None, Some(doubt)),
        };
        let unit = promise.map_or(Unit::Number, Promise::unit);
        Self {
            tenant: standing.key.tenant.to_string(),
            objective: standing.key.objective.to_string(),
            probe: standing.key.probe.to_string(),
            measure: promise.map(|promise| promise.measure.name()),
            over: promise
                .filter(|promise| promise.measure.windowed())
                .map(|promise| spelled(promise.over)),
            conditions: promise.map_or_else(BTreeMap::new, |promise| {
                let levels = promise.levels.iter();
                levels
                    .map(|(level, condition)| (level.to_string(), condition.to_string()))
                    .collect()
            }),
            verdict: verdict.to_owned(),
            doubt: doubt.map(|doubt| doubt.as_str().to_owned()),
            value: value.map(|value| value.get()),
            shown: value.map(|value| unit.show(value)),
            state: standing.state.as_str().to_owned(),
            severity: standing.severity.map(|severity| severity.to_string()),
            since: some_instant(standing.since),
            alert: standing.alert.map(|alert| alert.to_string()),
            samples: standing.samples,
        }
    }
}

fn promise<'a>(spec: &'a Spec, standing: &ObjectiveStanding) -> Option<&'a Promise> {
    spec.tenants
        .get(&standing.key.tenant)?
        .objectives
        .iter()
        .find(|objective| objective.key == standing.key)
        .map(|objective| &**objective)
}

/// How a probe stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub probe: String,
    /// http, tcp, prometheus or heartbeat; none: not in the configuration any more.
    pub kind: Option<String>,
    /// Time between looks.
    pub every: Option<String>,
    /// good, bad or void; none: it has not looked yet.
    pub outcome: Option<String>,
    /// When it last looked.
    pub at: Option<String>,
    /// How long that took.
    pub latency_seconds: Option<f64>,
    /// The value it brought.
    pub value: Option<f64>,
    /// What was wrong.
    pub why: Option<String>,
}

impl Probe {
    /// From how it stands, and what is configured.
    #[must_use]
    pub fn new(standing: &ProbeStanding, spec: &Spec) -> Self {
        let look: Option<&Look> = spec.probe(&standing.probe).map(|look| &**look);
        Self {
            tenant: standing.probe.tenant.to_string(),
            probe: standing.probe.probe.to_string(),
            kind: look.map(|look| look.target.kind().to_owned()),
            every: look.map(|look| spelled(look.every)),
            outcome: standing.outcome.map(|outcome| outcome.as_str().to_owned()),
            at: some_instant(standing.at),
            latency_seconds: standing.latency.map(|latency| latency.as_secs_f64()),
            value: standing.value.map(|value| value.get()),
            why: standing.why.as_ref().map(ToString::to_string),
        }
    }
}
