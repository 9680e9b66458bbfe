//! What a reload changes, by stable id: only that is replaced, everything else keeps its state.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::domain::id::{AlertKey, ProbeId};
use crate::domain::objective::Objective;
use crate::domain::spec::Spec;
use crate::domain::target::Probe;

/// The difference between two configurations, for probes and for objectives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only in the new one.
    pub added: Changed,
    /// Only in the old one: its series ends, its open alert is resolved as removed.
    pub removed: Changed,
    /// Other thresholds, intervals or words: windows, streaks and open alerts are kept.
    pub retuned: Changed,
    /// Another thing is looked at, or another thing is measured: state starts anew.
    pub reshaped: Changed,
}

/// Probes and objectives that changed in the same way, ordered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// By tenant and name; also the identity of the series.
    pub probes: Vec<ProbeId>,
    /// By tenant, name and probe; also the identity of the alert.
    pub objectives: Vec<AlertKey>,
}

/// Compares two configurations.
#[must_use]
pub fn diff(old: &Spec, new: &Spec) -> Diff {
    let probes = compare(
        by(old.probes(), |probe| probe.id.clone()),
        by(new.probes(), |probe| probe.id.clone()),
        |old: &Probe, new: &Probe| old.shape() == new.shape(),
    );
    let objectives = compare(
        by(old.objectives(), |objective| objective.key.clone()),
        by(new.objectives(), |objective| objective.key.clone()),
        |old: &Objective, new: &Objective| old.measure == new.measure,
    );
    let changed = |probes, objectives| Changed { probes, objectives };
    Diff {
        added: changed(probes.added, objectives.added),
        removed: changed(probes.removed, objectives.removed),
        retuned: changed(probes.retuned, objectives.retuned),
        reshaped: changed(probes.reshaped, objectives.reshaped),
    }
}

// === impl Diff ===

impl Diff {
    /// Whether no probe and no objective changed (receivers, routes and workloads may have).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

struct Ids<I> {
    added: Vec<I>,
    removed: Vec<I>,
    retuned: Vec<I>,
    reshaped: Vec<I>,
}

fn by<'a, I: Ord, T>(
    all: impl Iterator<Item = &'a Arc<T>>,
    id: impl Fn(&T) -> I,
) -> BTreeMap<I, &'a Arc<T>> {
    all.map(|thing| (id(thing), thing)).collect()
}

fn compare<I: Ord + Clone + Debug, T: PartialEq>(
    old: BTreeMap<I, &Arc<T>>,
    new: BTreeMap<I, &Arc<T>>,
    same_shape: impl Fn(&T, &T) -> bool,
) -> Ids<I> {
    let missing = |from: &BTreeMap<I, &Arc<T>>, other: &BTreeMap<I, &Arc<T>>| {
        from.keys()
            .filter(|id| !other.contains_key(*id))
            .cloned()
            .collect()
    };
    let mut ids = Ids {
        added: missing(&new, &old),
        removed: missing(&old, &new),
        retuned: Vec::new(),
        reshaped: Vec::new(),
    };
    for (id, before) in &old {
        let Some(after) = new.get(id) else {
            continue;
        };
        if before == after {
            continue;
        }
        if same_shape(before, after) {
            ids.retuned.push(id.clone());
        } else {
            ids.reshaped.push(id.clone());
        }
    }
    ids
}
