//! `workloads:` of plans and tenants, and `rollback:`, the ceiling above them.

use std::time::Duration;

use super::near;
use super::read::{self, Fields};
use super::sink::{Note, Place, Sink};
use super::yaml::{Entry, Node};
use crate::domain::id::{Name, TenantId, WorkloadId};
use crate::domain::objective::{Objective, Severity};
use crate::domain::spec::{Mode, RollbackPolicy, Workload, WorkloadRef};

const HOUR: Duration = Duration::from_secs(3600);

/// What a workload is read against.
pub(super) struct Around<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// The tenant's namespaces, the first is the default.
    pub namespaces: &'a [String],
    /// Names of all objectives it declares, also of those that are faulty.
    pub declared: &'a [String],
    /// The valid ones.
    pub objectives: &'a [Objective],
    /// A plan without a tenant, or a tenant without its plan: what the other would bring is not missing.
    pub imagined: bool,
    /// The ceiling.
    pub policy: &'a RollbackPolicy,
    /// Collects faults.
    pub sink: &'a Sink,
}

/// Reads one workload; with the place of its target.
pub(super) fn read(entry: &Entry, name: &Name, around: &Around<'_>) -> Option<(Workload, Place)> {
    let what = format!("workload `{name}`");
    let fields = Fields::open(&entry.value, entry.place, what, around.sink)?;
    fields.boolean("enabled");
    let later = fields.later(&["statefulset", "daemonset", "argo_rollout", "ecs_service"]);
    let target = if later {
        fields.has("deployment");
        None
    } else {
        target(&fields, around)
    };
    let mode = mode(&fields, "mode").unwrap_or(Mode::Observe);
    if mode > around.policy.mode {
        let place = fields
            .entry("mode")
            .map_or(entry.place, |entry| entry.value.place);
        let message = format!(
            "the mode is {} but `rollback.mode` allows no more than {}",
            mode.as_str(),
            around.policy.mode.as_str()
        );
        let note = Note::lint("mode-capped", place, message);
        around
            .sink
            .note(note.hint("set `rollback: { mode: act }` to let Holdfast act"));
    }
    let triggers = triggers(&fields, around);
    if triggers.is_empty() && !around.imagined && around.sink.faults() == 0 {
        let message =
            format!("workload `{name}` has no trigger: nothing can blame a release of it");
        let note = Note::lint("no-trigger", entry.place, message);
        around
            .sink
            .note(note.hint("name `triggers`, or give an objective `rollback: true`"));
    }
    let per_day = fields
        .inner("budget", format!("`budget` of workload `{name}`"))
        .map_or(2, |budget| {
            let per_day = budget.small("per_day").unwrap_or(2);
            budget.done();
            per_day
        });
    fields.later(&["remedies", "gitops", "traffic", "smoke"]);
    let workload = Workload {
        id: WorkloadId {
            tenant: around.tenant.clone(),
            workload: name.clone(),
        },
        target: WorkloadRef::deployment("", ""),
        mode: mode.min(around.policy.mode),
        triggers,
        bake: fields.duration("bake").unwrap_or(HOUR / 2),
        attribution: fields.positive("attribution").unwrap_or(HOUR),
        cooldown: fields.duration("cooldown").unwrap_or(HOUR),
        per_day,
    };
    fields.done();
    let (target, place) = target?;
    Some((Workload { target, ..workload }, place))
}

fn target(fields: &Fields<'_>, around: &Around<'_>) -> Option<(WorkloadRef, Place)> {
    let entry = fields.required("deployment", "its name, or NAMESPACE/NAME")?;
    let text = fields.text("deployment")?;
    let place = entry.value.place;
    let first = around.namespaces.first().map_or("", String::as_str);
    let (namespace, name) = text.split_once('/').unwrap_or((first, text));
    if !is_object_name(name) {
        let message = format!("`{name}` is not the name of a Deployment");
        around.sink.note(Note::fault("bad-name", place, message));
        return None;
    }
    if !around.imagined && !around.namespaces.iter().any(|own| own == namespace) {
        let message = format!("the namespace `{namespace}` is not one of the tenant's");
        let note = Note::fault("foreign-namespace", place, message);
        around.sink.note(note.hint(format!(
            "add it to `namespaces` of tenant `{}`",
            around.tenant
        )));
        return None;
    }
    Some((WorkloadRef::deployment(namespace, name), place))
}

/// RFC 1123 subdomain, which Kubernetes asks of most names.
fn is_object_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(|label| Name::try_new(label).is_ok())
}

/// A mode as files may have it; `never` is for annotations, `propose` for later.
fn mode(fields: &Fields<'_>, key: &'static str) -> Option<Mode> {
    match fields.text(key)? {
        "observe" => Some(Mode::Observe),
        "act" => Some(Mode::Act),
        "propose" => {
            let place = fields
                .entry(key)
                .map_or(fields.place, |entry| entry.value.place);
            fields.sink().note(Note::later("mode: propose", place));
            None
        }
        _ => {
            fields.refuse(key, "bad-value", format!("`{key}` is observe or act"));
            None
        }
    }
}

fn triggers(fields: &Fields<'_>, around: &Around<'_>) -> Vec<Name> {
    let Some(named) = fields.list("triggers") else {
        let marked = around.objectives.iter().filter(|objective| {
            objective.rollback && objective.condition(Severity::Critical).is_some()
        });
        let names: std::collections::BTreeSet<Name> = marked
            .map(|objective| objective.key.objective.clone())
            .collect();
        return names.into_iter().collect();
    };
    let mut triggers = Vec::new();
    for (text, place) in named {
        let mut matching = around
            .objectives
            .iter()
            .filter(|objective| objective.key.objective.as_str() == text)
            .peekable();
        if matching.peek().is_none() {
            if !around.imagined && !around.declared.iter().any(|declared| declared == text) {
                let message = format!("there is no objective `{text}` to trigger on");
                let hint = near::hint(text, around.declared.iter().map(String::as_str));
                around
                    .sink
                    .note(Note::dangling(place, message).hint_if(hint));
            }
            continue;
        }
        if matching.all(|objective| objective.condition(Severity::Critical).is_none()) {
            let message = format!("objective `{text}` has no `critical` to trigger on");
            around
                .sink
                .note(Note::fault("trigger-without-critical", place, message));
            continue;
        }
        triggers.extend(read::name(text, place, around.sink));
    }
    triggers
}

/// Reads `rollback:`.
pub(super) fn policy(node: Option<&Node>, sink: &Sink) -> RollbackPolicy {
    let mut policy = RollbackPolicy::default();
    let Some(fields) = node.and_then(|node| Fields::open(node, node.place, "rollback", sink))
    else {
        return policy;
    };
    policy.mode = mode(&fields, "mode").unwrap_or(policy.mode);
    if let Some(budget) = fields.inner("budget", "`budget` of rollback") {
        policy.per_hour = budget.small("per_hour").unwrap_or(policy.per_hour);
        let per_day = budget.small("per_tenant_per_day");
        policy.per_tenant_per_day = per_day.unwrap_or(policy.per_tenant_per_day);
        budget.done();
    }
    fields.later(&["freeze", "approval"]);
    fields.done();
    policy
}
