//! The rows of the page at `/`, each made from its noun.

use super::{Chip, Moment, Tone, roughly, severity_tone, stage_chip, trust_chip};
use crate::domain::alert::{Alert, AlertState};
use crate::domain::decision::{Decision, Verdict};
use crate::domain::id::TenantId;
use crate::domain::rollback::Rollback;
use crate::domain::sample::Outcome;
use crate::domain::spec::{Mode, Spec};
use crate::domain::standing::{
    LedgerEntry, ObjectiveStanding, ProbeStanding, Trust, WorkloadStanding,
};
use crate::domain::time::Timestamp;
use crate::http::shape::rollout::Rollout;
use crate::http::shape::standing::{Objective, Probe, Standing, Tenant};

/// Promises and probes of one tenant shown.
const PROMISES: usize = 12;

pub(super) struct AlertRow {
    pub(super) id: String,
    pub(super) chip: Chip,
    pub(super) tenant: String,
    pub(super) objective: String,
    pub(super) probe: String,
    pub(super) state: &'static str,
    pub(super) summary: String,
    pub(super) acknowledged: Option<String>,
    pub(super) since: Moment,
}

pub(super) struct DecisionRow {
    pub(super) id: String,
    pub(super) chip: Chip,
    pub(super) workload: String,
    pub(super) trigger: String,
    pub(super) hold: Option<&'static str>,
    pub(super) reason: String,
    pub(super) at: Moment,
}

pub(super) struct TenantTile {
    pub(super) name: String,
    pub(super) chip: Chip,
    pub(super) about: String,
    pub(super) promises: Vec<PromiseLine>,
    pub(super) promises_more: usize,
    pub(super) probes: Vec<Dot>,
}

pub(super) struct PromiseLine {
    pub(super) name: String,
    pub(super) shown: String,
    pub(super) tone: Tone,
    pub(super) about: String,
}

pub(super) struct Dot {
    pub(super) name: String,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) about: String,
}

pub(super) struct WorkloadRow {
    pub(super) id: String,
    pub(super) target: String,
    pub(super) mode: Chip,
    pub(super) now: String,
    pub(super) ledger: Vec<Dot>,
}

pub(super) struct RolloutRow {
    pub(super) workload: String,
    pub(super) revision: u64,
    pub(super) about: String,
    pub(super) chip: Chip,
    pub(super) began: Moment,
}

pub(super) struct RollbackRow {
    pub(super) decision: String,
    pub(super) workload: String,
    pub(super) from: u64,
    pub(super) about: String,
    pub(super) chip: Chip,
    pub(super) requested: Moment,
}

pub(super) fn alert_row(alert: &Alert, now: Timestamp) -> AlertRow {
    let fallback = || {
        alert
            .annotations
            .get("description")
            .cloned()
            .unwrap_or_default()
    };
    AlertRow {
        id: alert.id.to_string(),
        chip: Chip {
            tone: if alert.state == AlertState::Pending {
                Tone::Quiet
            } else {
                severity_tone(alert.severity)
            },
            word: alert.severity.as_str(),
        },
        tenant: alert.key.tenant.to_string(),
        objective: alert.key.objective.to_string(),
        probe: alert.key.probe.to_string(),
        state: alert.state.as_str(),
        summary: alert
            .annotations
            .get("summary")
            .cloned()
            .unwrap_or_else(fallback),
        acknowledged: alert.acknowledged.as_ref().map(|(by, _)| by.clone()),
        since: Moment {
            at: alert.began,
            now,
        },
    }
}

pub(super) fn decision_row(decision: &Decision, now: Timestamp) -> DecisionRow {
    let (chip, hold) = match &decision.verdict {
        Verdict::RollBack { .. } => (
            Chip {
                tone: Tone::Busy,
                word: "rolled back",
            },
            None,
        ),
        Verdict::Hold(hold) => (
            Chip {
                tone: Tone::Warn,
                word: "held",
            },
            Some(hold.as_str()),
        ),
    };
    DecisionRow {
        id: decision.id.to_string(),
        chip,
        workload: decision.workload.to_string(),
        trigger: decision.trigger.to_string(),
        hold,
        reason: decision.reason.clone(),
        at: Moment {
            at: decision.at,
            now,
        },
    }
}

pub(super) fn tile(
    tenant: &Tenant,
    spec: &Spec,
    objectives: &[ObjectiveStanding],
    probes: &[ProbeStanding],
) -> TenantTile {
    let tone = match tenant.standing {
        Standing::Met => Tone::Good,
        Standing::Unwatched | Standing::Inconclusive => Tone::Quiet,
        Standing::Pending | Standing::Warning => Tone::Warn,
        Standing::Info => Tone::Busy,
        Standing::Critical => Tone::Bad,
    };
    let mut own: Vec<&ObjectiveStanding> = objectives
        .iter()
        .filter(|standing| standing.key.tenant.0.as_str() == tenant.tenant)
        .collect();
    own.sort_by_key(|standing| std::cmp::Reverse((standing.state, standing.severity)));
    let about = if tenant.tenant == TenantId::own().to_string() {
        "Holdfast about itself".to_owned()
    } else {
        let plan = tenant.plan.as_ref().map(|plan| format!("plan {plan}"));
        let namespaces = format!("namespace {}", tenant.namespaces.join(", "));
        plan.into_iter()
            .chain([namespaces])
            .collect::<Vec<_>>()
            .join(", ")
    };
    TenantTile {
        name: tenant.tenant.clone(),
        chip: Chip {
            tone,
            word: tenant.standing.as_str(),
        },
        about,
        promises_more: own.len().saturating_sub(PROMISES),
        promises: own
            .into_iter()
            .take(PROMISES)
            .map(|standing| promise_line(standing, &Objective::new(standing, spec)))
            .collect(),
        probes: probes
            .iter()
            .filter(|standing| standing.probe.tenant.0.as_str() == tenant.tenant)
            .take(PROMISES)
            .map(|standing| probe_dot(standing, &Probe::new(standing, spec)))
            .collect(),
    }
}

fn promise_line(standing: &ObjectiveStanding, shape: &Objective) -> PromiseLine {
    let tone = match (standing.state, standing.severity) {
        (AlertState::Firing, Some(severity)) => severity_tone(severity),
        (AlertState::Firing, None) => Tone::Bad,
        (AlertState::Pending, _) => Tone::Warn,
        (AlertState::Inactive | AlertState::Resolved, _) if shape.doubt.is_some() => Tone::Quiet,
        (AlertState::Inactive | AlertState::Resolved, _) => Tone::Good,
    };
    let mut about: Vec<String> = Vec::new();
    if standing.state != AlertState::Inactive {
        let severity = standing.severity.map_or("", |severity| severity.as_str());
        about.push(
            format!("{} {severity}", standing.state.as_str())
                .trim()
                .to_owned(),
        );
    }
    if let Some(measure) = &shape.measure {
        let over = shape
            .over
            .as_ref()
            .map_or_else(String::new, |over| format!(" over {over}"));
        about.push(format!("{measure}{over}"));
    }
    let conditions = shape.conditions.iter();
    about.extend(conditions.map(|(severity, condition)| format!("{severity} {condition}")));
    PromiseLine {
        name: shape.objective.clone(),
        shown: match (&shape.shown, &shape.doubt) {
            (Some(shown), _) => shown.clone(),
            (None, Some(doubt)) => doubt.clone(),
            (None, None) => shape.verdict.clone(),
        },
        tone,
        about: about.join(" · "),
    }
}

fn probe_dot(standing: &ProbeStanding, shape: &Probe) -> Dot {
    let (word, tone) = match standing.outcome {
        Some(Outcome::Good) => ("good", Tone::Good),
        Some(Outcome::Bad) => ("bad", Tone::Bad),
        Some(Outcome::Void) => ("void", Tone::Warn),
        None => ("not yet", Tone::Quiet),
    };
    let mut about = shape.kind.clone().unwrap_or_default();
    if let Some(latency) = standing.latency {
        about.push_str(&format!(", took {}", roughly(latency)));
    }
    if let Some(why) = &standing.why {
        about.push_str(&format!(": {why}"));
    }
    Dot {
        name: shape.probe.clone(),
        word,
        tone,
        about,
    }
}

pub(super) fn workload_row(standing: &WorkloadStanding) -> WorkloadRow {
    /// As many as fit on a line.
    const LEDGER: usize = 6;
    let now = match &standing.seen {
        None => "not seen".to_owned(),
        Some(seen) => {
            let revision = seen
                .revision
                .map_or_else(|| "?".to_owned(), |number| number.to_string());
            let paused = if seen.paused { ", paused" } else { "" };
            format!(
                "revision {revision}, {} of {} ready{paused}",
                seen.replicas.ready, seen.replicas.desired
            )
        }
    };
    let tone = match standing.mode {
        Mode::Act => Tone::Good,
        Mode::Observe | Mode::Never => Tone::Quiet,
    };
    WorkloadRow {
        id: standing.id.to_string(),
        target: standing.target.to_string(),
        mode: Chip {
            tone,
            word: standing.mode.as_str(),
        },
        now,
        ledger: standing
            .ledger
            .iter()
            .take(LEDGER)
            .map(|entry| ledger_dot(entry, standing))
            .collect(),
    }
}

fn ledger_dot(entry: &LedgerEntry, standing: &WorkloadStanding) -> Dot {
    let Chip { tone, word } = trust_chip(entry.trust);
    let number = entry
        .revision
        .map_or_else(|| entry.template.0.short(), |number| format!("r{number}"));
    let baking = if entry.trust == Trust::Baking {
        format!(" {} of {}", roughly(entry.kept), roughly(standing.bake))
    } else {
        String::new()
    };
    let current = if entry.current { ", current" } else { "" };
    let images: Vec<&str> = entry.images.iter().map(|image| &**image).collect();
    Dot {
        name: format!("{number} {word}{baking}{current}"),
        word,
        tone,
        about: images.join(", "),
    }
}

pub(super) fn rollout_row(rollout: Rollout, began: Timestamp, now: Timestamp) -> RolloutRow {
    let mut about = vec![rollout.outcome.clone()];
    if rollout.rollback.is_some() {
        about.push("by Holdfast".to_owned());
    } else if rollout.first_sight {
        about.push("there at first sight".to_owned());
    } else if let Some(by) = &rollout.changed_by {
        about.push(format!("by {by}"));
    }
    about.extend(rollout.images.iter().cloned());
    let trust = Trust::ALL
        .into_iter()
        .find(|trust| trust.as_str() == rollout.trust);
    RolloutRow {
        workload: rollout.workload.unwrap_or(rollout.target),
        revision: rollout.revision,
        about: about.join(" · "),
        chip: trust_chip(trust.unwrap_or(Trust::Seen)),
        began: Moment { at: began, now },
    }
}

pub(super) fn rollback_row(row: &Rollback, now: Timestamp) -> RollbackRow {
    let about = row
        .steps
        .last()
        .map_or_else(|| row.trigger.to_string(), |step| step.what.clone());
    RollbackRow {
        decision: row.decision.to_string(),
        workload: row.workload.to_string(),
        from: row.rollout.revision,
        about,
        chip: stage_chip(&row.stage),
        requested: Moment {
            at: row.requested,
            now,
        },
    }
}
