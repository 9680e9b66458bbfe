//! Tenants: their plan below, their own words above, placeholders put in, everything read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::defaults::Defaults;
use super::layer;
use super::objective;
use super::placeholder::{self, Words};
use super::plans::{Layers, Plans};
use super::probe;
use super::read::{self, Fields};
use super::sink::{Note, Place, Sink, Sources};
use super::workload;
use super::yaml::{Entry, Kind, Map, Node};
use crate::domain::id::{Name, ProbeId, TenantId};
use crate::domain::objective::Objective;
use crate::domain::spec::{RollbackPolicy, Tenant, WorkloadRef};
use crate::domain::target::Probe;

/// Reads all tenants, and the plans that no tenant is on.
pub(super) struct Reader<'a> {
    /// All plans.
    pub plans: &'a Plans<'a>,
    /// Fallbacks.
    pub defaults: &'a Defaults,
    /// The ceiling of rollbacks.
    pub policy: &'a RollbackPolicy,
    /// Collects faults.
    pub sink: &'a Sink,
    /// To find places of placeholders.
    pub sources: &'a Sources,
    /// Where objectives of plans name a probe that some tenant does not have.
    absent: BTreeMap<Place, String>,
    /// Where objectives name a probe that some tenant has.
    present: BTreeSet<Place>,
    /// Who has which object.
    targets: BTreeMap<WorkloadRef, Place>,
}

/// One tenant, or a plan read as if one were on it.
struct Candidate<'a> {
    id: TenantId,
    place: Place,
    plan: Option<String>,
    namespaces: Vec<String>,
    layers: Layers,
    own_objectives: BTreeSet<&'a str>,
    /// A plan without a tenant, or a tenant without its plan: what the other would bring is not missing.
    imagined: bool,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// A reader.
    pub(super) fn new(
        plans: &'a Plans<'a>,
        defaults: &'a Defaults,
        policy: &'a RollbackPolicy,
        sink: &'a Sink,
        sources: &'a Sources,
    ) -> Self {
        Self {
            plans,
            defaults,
            policy,
            sink,
            sources,
            absent: BTreeMap::new(),
            present: BTreeSet::new(),
            targets: BTreeMap::new(),
        }
    }

    /// Reads everything.
    pub(super) fn read(mut self, entries: &'a [Entry]) -> BTreeMap<TenantId, Arc<Tenant>> {
        let mut tenants = BTreeMap::new();
        let mut used = BTreeSet::new();
        for entry in entries {
            if let Some(Kind::Text(plan)) = entry.value.get("plan").map(|plan| &plan.kind) {
                used.insert(plan.as_str());
            }
            if let Some(tenant) = self.tenant(entry) {
                tenants.insert(tenant.id.clone(), Arc::new(tenant));
            }
        }
        self.sink.imagine(true);
        for plan in self.plans.unused(&used) {
            self.imagine(plan);
        }
        self.sink.imagine(false);
        for (place, probe) in &self.absent {
            if !self.present.contains(place) {
                let message =
                    format!("no tenant has a probe `{probe}`: this objective judges nothing");
                self.sink.note(Note::lint("no-such-probe", *place, message));
            }
        }
        tenants
    }

    fn tenant(&mut self, entry: &'a Entry) -> Option<Tenant> {
        let name = read::name(&entry.key, entry.place, self.sink);
        if name.as_ref().is_some_and(|name| *name == TenantId::own().0) {
            let message = format!(
                "the name `{}` is reserved: Holdfast speaks of itself under it",
                entry.key
            );
            self.sink
                .note(Note::fault("reserved-name", entry.place, message));
        }
        // A tenant without any words of its own is written `acme:`.
        let empty = Node::empty(entry.place);
        let node = if entry.value.kind == Kind::Null {
            &empty
        } else {
            &entry.value
        };
        let fields = Fields::open(
            node,
            entry.place,
            format!("tenant `{}`", entry.key),
            self.sink,
        )?;
        let plan = fields.text("plan");
        let mut own = Layers::read(&fields);
        if let Some(contacts) = fields.inner("contacts", format!("`contacts` of {}", fields.what()))
        {
            own.contacts = contacts.map().clone();
            contact_secrets(&contacts);
        }
        let namespaces = self.namespaces(&fields, &entry.key);
        let lower = match (plan, fields.entry("plan")) {
            (Some(plan), Some(at)) => self.plan(plan, at.value.place),
            (None, Some(_)) => None,
            (_, None) => Some(Layers::default()),
        };
        fields.done();
        let id = TenantId(name?);
        // Without its plan most of a tenant is missing; what it says itself is read all the same.
        let imagined = lower.is_none();
        self.sink.imagine(imagined);
        let candidate = Candidate {
            id,
            place: entry.place,
            plan: plan.map(str::to_owned),
            namespaces,
            layers: own.over(&lower.unwrap_or_default(), self.sink),
            own_objectives: names(entry.value.get("objectives")),
            imagined,
        };
        let tenant = self.fill_and_read(candidate);
        self.sink.imagine(false);
        Some(tenant)
    }

    fn plan(&self, name: &str, place: Place) -> Option<Layers> {
        if !self.plans.declares(name) {
            let message = format!("there is no plan `{name}`");
            self.sink
                .note(Note::dangling(place, message).hint_if(self.plans.near(name)));
        }
        self.plans.get(name).cloned()
    }

    /// A plan that nobody is on is checked too: the first tenant should not be the one to find out.
    fn imagine(&mut self, plan: &'a Entry) {
        let Some(layers) = self.plans.get(&plan.key) else {
            return;
        };
        let candidate = Candidate {
            id: TenantId(Name::literal("tenant")),
            place: plan.place,
            plan: None,
            namespaces: vec!["tenant".to_owned()],
            layers: layers.clone(),
            own_objectives: BTreeSet::new(),
            imagined: true,
        };
        self.fill_and_read(candidate);
    }

    fn namespaces(&self, fields: &Fields<'_>, tenant: &str) -> Vec<String> {
        let Some(named) = fields.list("namespaces") else {
            return vec![tenant.to_owned()];
        };
        let mut namespaces = Vec::new();
        for (text, place) in named {
            let text = text.replace("${tenant}", tenant);
            if Name::try_new(&text).is_err() {
                let message = format!("`{text}` is not the name of a namespace");
                self.sink.note(Note::fault("bad-name", place, message));
            } else if namespaces.contains(&text) {
                let message = format!("the namespace `{text}` stands twice");
                self.sink.note(Note::fault("bad-value", place, message));
            } else {
                namespaces.push(text);
            }
        }
        if namespaces.is_empty() {
            namespaces.push(tenant.to_owned());
        }
        namespaces
    }

    fn fill_and_read(&mut self, mut candidate: Candidate<'a>) -> Tenant {
        let labels = self.fill(&mut candidate);
        let probes_on = enabled(&candidate.layers.probes);
        let objectives_on = enabled(&candidate.layers.objectives);
        let probes = self.probes(&candidate, &probes_on);
        let declared: Vec<String> = probes_on.iter().map(|entry| entry.key.clone()).collect();
        let mut objectives: Vec<Objective> = Vec::new();
        for entry in &objectives_on {
            let Some(name) = read::name(&entry.key, entry.place, self.sink) else {
                continue;
            };
            let around = objective::Around {
                tenant: &candidate.id,
                labels: &labels,
                declared: &declared,
                probes: &probes,
                own: candidate.own_objectives.contains(entry.key.as_str()),
                defaults: self.defaults,
                sink: self.sink,
            };
            let result = objective::read(entry, &name, &around);
            objectives.extend(result.objectives);
            self.present.extend(result.present);
            if !around.own {
                self.absent
                    .extend(result.absent.into_iter().map(|(name, place)| (place, name)));
            }
        }
        objectives.sort_by(|a, b| a.key.cmp(&b.key));
        let declared: Vec<String> = objectives_on
            .iter()
            .map(|entry| entry.key.clone())
            .collect();
        let workloads = self.workloads(&candidate, &declared, &objectives);
        Tenant {
            id: candidate.id,
            plan: candidate.plan,
            namespaces: candidate.namespaces,
            labels,
            probes,
            objectives: objectives.into_iter().map(Arc::new).collect(),
            workloads,
        }
    }

    fn probes(&self, candidate: &Candidate<'_>, on: &[&Entry]) -> BTreeMap<Name, Arc<Probe>> {
        on.iter()
            .filter_map(|entry| {
                let name = read::name(&entry.key, entry.place, self.sink)?;
                let id = ProbeId {
                    tenant: candidate.id.clone(),
                    probe: name.clone(),
                };
                let probe = probe::read(entry, id, self.defaults, self.sink)?;
                Some((name, Arc::new(probe)))
            })
            .collect()
    }

    fn workloads(
        &mut self,
        candidate: &Candidate<'_>,
        declared: &[String],
        objectives: &[Objective],
    ) -> BTreeMap<Name, Arc<crate::domain::spec::Workload>> {
        let around = workload::Around {
            tenant: &candidate.id,
            namespaces: &candidate.namespaces,
            declared,
            objectives,
            imagined: candidate.imagined,
            policy: self.policy,
            sink: self.sink,
        };
        let mut workloads = BTreeMap::new();
        for entry in enabled(&candidate.layers.workloads) {
            let Some(name) = read::name(&entry.key, entry.place, self.sink) else {
                continue;
            };
            let Some((workload, place)) = workload::read(entry, &name, &around) else {
                continue;
            };
            if !candidate.imagined
                && let Some(other) = self.targets.insert(workload.target.clone(), place)
            {
                let message = format!("two workloads at `{}`", workload.target);
                let note = Note::fault("same-target", place, message);
                self.sink.note(note.also(other, "the other"));
            }
            workloads.insert(name, Arc::new(workload));
        }
        workloads
    }

    /// Puts placeholders in: first into the values, then into what uses them.
    fn fill(&self, candidate: &mut Candidate<'_>) -> BTreeMap<String, String> {
        let text = |text: &str| Node {
            place: candidate.place,
            kind: Kind::Text(text.to_owned()),
        };
        let namespace = candidate.namespaces.first().map_or("", String::as_str);
        let mut words = Words {
            tenant_place: candidate.place,
            values: BTreeMap::new(),
            tolerant: candidate.imagined,
            sink: self.sink,
            sources: self.sources,
        };
        if !candidate.imagined {
            words
                .values
                .insert("tenant".to_owned(), text(candidate.id.0.as_str()));
            words.values.insert("namespace".to_owned(), text(namespace));
        }
        let layers = &mut candidate.layers;
        let mut filled = BTreeMap::new();
        for (prefix, map) in [
            ("vars", &mut layers.vars),
            ("labels", &mut layers.labels),
            ("contacts", &mut layers.contacts),
        ] {
            for entry in &mut map.entries {
                placeholder::fill(&mut entry.value, &words);
                let secret = prefix == "contacts" && entry.key.starts_with("webhook");
                if !secret {
                    filled.insert(format!("{prefix}.{}", entry.key), entry.value.clone());
                }
            }
        }
        words.values.extend(filled);
        for map in [
            &mut layers.probes,
            &mut layers.objectives,
            &mut layers.workloads,
        ] {
            for entry in &mut map.entries {
                placeholder::fill(&mut entry.value, &words);
            }
        }
        self.labels(&layers.labels, candidate.place)
    }

    fn labels(&self, map: &Map, place: Place) -> BTreeMap<String, String> {
        let entry = Entry {
            key: "labels".to_owned(),
            place,
            value: Node {
                place,
                kind: Kind::Map(map.clone()),
            },
        };
        let around = Node {
            place,
            kind: Kind::Map(Map {
                entries: vec![entry],
            }),
        };
        Fields::open(&around, place, "tenant", self.sink)
            .map(|fields| probe::labels(&fields))
            .unwrap_or_default()
    }
}

fn enabled(map: &Map) -> Vec<&Entry> {
    map.entries
        .iter()
        .filter(|entry| layer::enabled(entry))
        .collect()
}

fn names(section: Option<&Node>) -> BTreeSet<&str> {
    section
        .and_then(Node::map)
        .map(|map| map.entries.iter().map(|entry| entry.key.as_str()).collect())
        .unwrap_or_default()
}

/// A tenant's webhook is a secret of the tenant.
fn contact_secrets(contacts: &Fields<'_>) {
    for entry in contacts.entries() {
        if entry.key == "webhook" {
            contacts.sink().note(read::inline(entry.place, "webhook"));
        } else if entry.key.ends_with("_file") {
            read::path(&entry.value, &entry.key, contacts.sink());
        } else if entry.key.ends_with("_env") {
            read::variable(entry, contacts.sink());
        }
    }
}
