//! One layer over another: a plan over the plan it extends, a tenant over its plan.
//!
//! Maps merge field by field; lists and scalars replace; `null` removes. Where keys are alternatives (the
//! kind of a probe, the form of a query, where a secret comes from), the upper layer's choice takes the
//! others away.

use super::near;
use super::sink::{Note, Sink};
use super::yaml::{Entry, Kind, Map, Node};

/// The kinds of probe that the configuration language knows.
pub(super) const PROBE_KINDS: [&str; 14] = [
    "http",
    "tcp",
    "prometheus",
    "heartbeat",
    "tls",
    "dns",
    "grpc",
    "websocket",
    "icmp",
    "sql",
    "kubernetes",
    "logs",
    "exec",
    "scrape",
];

/// The keys that name a workload's object.
pub(super) const WORKLOAD_KINDS: [&str; 5] = [
    "deployment",
    "statefulset",
    "daemonset",
    "argo_rollout",
    "ecs_service",
];

/// What the entries of a mapping are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layered {
    /// Names of people's own: every entry for itself.
    Data,
    /// Probes by name.
    Probes,
    /// Objectives by name.
    Objectives,
    /// Workloads by name.
    Workloads,
    /// The fields of one probe.
    Probe,
    /// The fields of one objective.
    Objective,
    /// The fields of one workload.
    Workload,
    /// The fields of a Prometheus probe.
    Prometheus,
    /// Any other fields.
    Fields,
}

// === impl Layered ===

impl Layered {
    fn below(self, key: &str) -> Self {
        match self {
            Self::Probes => Self::Probe,
            Self::Objectives => Self::Objective,
            Self::Workloads => Self::Workload,
            Self::Probe if key == "prometheus" => Self::Prometheus,
            Self::Probe | Self::Objective | Self::Workload if key == "labels" => Self::Data,
            Self::Fields if key == "expect" => Self::Data,
            Self::Data => Self::Data,
            Self::Probe | Self::Objective | Self::Workload | Self::Prometheus | Self::Fields => {
                Self::Fields
            }
        }
    }

    const fn named(self) -> bool {
        matches!(self, Self::Probes | Self::Objectives | Self::Workloads)
    }

    /// Sets of keys that exclude one another.
    fn alternatives(self) -> Vec<Vec<&'static [&'static str]>> {
        match self {
            Self::Probe => vec![PROBE_KINDS.chunks(1).collect()],
            Self::Workload => vec![WORKLOAD_KINDS.chunks(1).collect()],
            Self::Objective => vec![vec![&["probe"], &["probes"]]],
            Self::Prometheus => vec![
                vec![
                    &["query", "empty"],
                    &["total", "bad", "good", "pod_label"],
                    &["histogram"],
                ],
                vec![&["bad"], &["good"]],
            ],
            Self::Data | Self::Probes | Self::Objectives | Self::Workloads | Self::Fields => vec![],
        }
    }
}

/// Lays `upper` over `lower`.
pub(super) fn over(lower: &Map, upper: &Map, what: Layered, sink: &Sink) -> Map {
    let mut result = lower.clone();
    for alternatives in what.alternatives() {
        displace(&mut result, upper, &alternatives);
    }
    for entry in &upper.entries {
        let below = lower.get(&entry.key);
        if what.named() && below.is_none() {
            takes_away_nothing(lower, entry, sink);
        }
        if matches!(what, Layered::Probe | Layered::Prometheus | Layered::Fields) {
            displace_secret(&mut result, upper, &entry.key);
        }
        if matches!(entry.value.kind, Kind::Null) {
            result.remove(&entry.key);
            continue;
        }
        let value = match (below.and_then(|below| below.value.map()), entry.value.map()) {
            (Some(low), Some(high)) if result.get(&entry.key).is_some() => Node {
                place: entry.value.place,
                kind: Kind::Map(over(low, high, what.below(&entry.key), sink)),
            },
            _ => entry.value.clone(),
        };
        result.put(Entry {
            value,
            ..entry.clone()
        });
    }
    result
}

/// The upper layer chose one alternative: the others go.
fn displace(result: &mut Map, upper: &Map, alternatives: &[&[&str]]) {
    let has = |keys: &[&str]| {
        keys.iter().any(|key| {
            let entry = upper.get(key);
            entry.is_some_and(|entry| !matches!(entry.value.kind, Kind::Null))
        })
    };
    for (chosen, keys) in alternatives.iter().enumerate() {
        if !has(keys) {
            continue;
        }
        for (index, others) in alternatives.iter().enumerate() {
            if index != chosen {
                others.iter().for_each(|key| result.remove(key));
            }
        }
    }
}

/// `x_file` over `x_env`, and both over `x`.
fn displace_secret(result: &mut Map, upper: &Map, key: &str) {
    let stem = ["_file", "_env"]
        .iter()
        .find_map(|end| key.strip_suffix(end))
        .unwrap_or(key);
    for other in [
        stem.to_owned(),
        format!("{stem}_file"),
        format!("{stem}_env"),
    ] {
        if other != key && upper.get(&other).is_none() {
            result.remove(&other);
        }
    }
}

fn takes_away_nothing(lower: &Map, entry: &Entry, sink: &Sink) {
    let disabled = entry
        .value
        .get("enabled")
        .is_some_and(|enabled| enabled.kind == Kind::Bool(false));
    if matches!(entry.value.kind, Kind::Null) || disabled {
        let message = format!("there is no `{}` to take away", entry.key);
        let hint = near::hint(&entry.key, lower.entries.iter().map(|low| low.key.as_str()));
        let note = Note::fault("nothing-to-remove", entry.place, message).hint_if(hint);
        sink.note(note.needs_all_files());
    }
}

/// Whether an entry is switched off, and the entry without the switch.
pub(super) fn enabled(entry: &Entry) -> bool {
    entry
        .value
        .get("enabled")
        .is_none_or(|enabled| enabled.kind != Kind::Bool(false))
}
