//! Plans, each laid over the one it extends.

use std::collections::{BTreeMap, BTreeSet};

use super::layer::{self, Layered};
use super::near;
use super::read::Fields;
use super::sink::{Note, Sink};
use super::yaml::{Entry, Map};

/// The sections that a plan gives to its tenants.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    /// Values for placeholders.
    pub vars: Map,
    /// On every alert.
    pub labels: Map,
    /// Where the tenant's people are reached.
    pub contacts: Map,
    /// Probes by name.
    pub probes: Map,
    /// Objectives by name.
    pub objectives: Map,
    /// Workloads by name.
    pub workloads: Map,
}

/// All plans.
pub(super) struct Plans<'a> {
    entries: BTreeMap<&'a str, &'a Entry>,
    resolved: BTreeMap<String, Option<Layers>>,
    sink: &'a Sink,
}

// === impl Layers ===

impl Layers {
    /// The sections as they stand in a plan or a tenant.
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let section = |key: &'static str| {
            fields
                .inner(key, format!("`{key}` of {}", fields.what()))
                .map(|inner| inner.map().clone())
                .unwrap_or_default()
        };
        Self {
            vars: section("vars"),
            labels: section("labels"),
            contacts: Map::default(),
            probes: section("probes"),
            objectives: section("objectives"),
            workloads: section("workloads"),
        }
    }

    /// Lays these over others.
    pub(super) fn over(&self, lower: &Self, sink: &Sink) -> Self {
        let lay = |low: &Map, high: &Map, what| layer::over(low, high, what, sink);
        Self {
            vars: lay(&lower.vars, &self.vars, Layered::Data),
            labels: lay(&lower.labels, &self.labels, Layered::Data),
            contacts: lay(&lower.contacts, &self.contacts, Layered::Data),
            probes: lay(&lower.probes, &self.probes, Layered::Probes),
            objectives: lay(&lower.objectives, &self.objectives, Layered::Objectives),
            workloads: lay(&lower.workloads, &self.workloads, Layered::Workloads),
        }
    }
}

// === impl Plans ===

impl<'a> Plans<'a> {
    /// Resolves all plans.
    pub(super) fn new(entries: &'a [Entry], sink: &'a Sink) -> Self {
        let mut plans = Self {
            entries: entries
                .iter()
                .map(|entry| (entry.key.as_str(), entry))
                .collect(),
            resolved: BTreeMap::new(),
            sink,
        };
        for entry in entries {
            super::read::name(&entry.key, entry.place, sink);
            plans.resolve(&entry.key, &mut Vec::new());
        }
        plans
    }

    /// A plan with all that it inherits; none if it is not there or leads in a circle.
    pub(super) fn get(&self, name: &str) -> Option<&Layers> {
        self.resolved.get(name)?.as_ref()
    }

    /// Whether a plan of this name stands in the files, valid or not.
    pub(super) fn declares(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// "Did you mean", for the name of a plan.
    pub(super) fn near(&self, name: &str) -> Option<String> {
        near::hint(name, self.entries.keys().copied())
    }

    /// The plans that none of these uses, directly or by what it extends.
    pub(super) fn unused(&self, used: &BTreeSet<&str>) -> Vec<&'a Entry> {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        for name in used {
            let mut next = self.entries.get(name);
            while let Some(entry) = next {
                if !reached.insert(entry.key.as_str()) {
                    break;
                }
                let parent = entry
                    .value
                    .get("extends")
                    .and_then(|parent| match &parent.kind {
                        super::yaml::Kind::Text(text) => Some(text.as_str()),
                        _ => None,
                    });
                next = parent.and_then(|parent| self.entries.get(parent));
            }
        }
        self.entries
            .values()
            .filter(|entry| !reached.contains(entry.key.as_str()))
            .copied()
            .collect()
    }

    fn resolve(&mut self, name: &str, path: &mut Vec<String>) -> Option<Layers> {
        if let Some(done) = self.resolved.get(name) {
            return done.clone();
        }
        let entry = *self.entries.get(name)?;
        path.push(name.to_owned());
        let layers = self.read(entry, path);
        path.pop();
        self.resolved.insert(name.to_owned(), layers.clone());
        layers
    }

    fn read(&mut self, entry: &'a Entry, path: &mut Vec<String>) -> Option<Layers> {
        let what = format!("plan `{}`", entry.key);
        let fields = Fields::open(&entry.value, entry.place, what, self.sink)?;
        let layers = Layers::read(&fields);
        let parent = fields.text("extends");
        let place = fields.entry("extends").map(|entry| entry.value.place);
        fields.done();
        let (Some(parent), Some(place)) = (parent, place) else {
            // With nothing below, there is nothing to take away either.
            return Some(layers.over(&Layers::default(), self.sink));
        };
        if path.iter().any(|name| name == parent) {
            let circle = format!("{} → {parent}", path.join(" → "));
            let message = format!("plans extend one another in a circle: {circle}");
            self.sink.note(Note::fault("plan-cycle", place, message));
            return None;
        }
        if !self.declares(parent) {
            let message = format!("there is no plan `{parent}`");
            self.sink
                .note(Note::dangling(place, message).hint_if(self.near(parent)));
            return None;
        }
        let lower = self.resolve(parent, path)?;
        Some(layers.over(&lower, self.sink))
    }
}
