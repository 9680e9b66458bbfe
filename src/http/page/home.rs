//! The page at `/`: how everything stands, the worst first.

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::{
    Chip, Frame, MessageRow, Moment, Tone, View, render, roughly, severity_tone, stage_chip,
    trust_chip,
};
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
use crate::http::asking::Asked;
use crate::http::desk::{ConfigStanding, Health};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::between;
use crate::http::shape::rollout::{Rollout, fold};
use crate::http::shape::standing::{Objective, Probe, Standing, Tenant, tenants};
use crate::store::{AlertFilter, StoreError, Window};

/// Rows of each list: the page is for a glance, the API has the rest.
const ROWS: usize = 8;
/// Tenants shown, the worst first.
const TENANTS: usize = 60;
/// Promises and probes of one tenant shown.
const PROMISES: usize = 12;

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    frame: Frame,
    facts: Vec<Fact>,
    headline: String,
    subline: String,
    banners: Vec<Banner>,
    alerts: Vec<AlertRow>,
    no_alerts: &'static str,
    decisions: Vec<DecisionRow>,
    tenants: Vec<TenantTile>,
    tenants_more: usize,
    workloads: Vec<WorkloadRow>,
    rollouts: Vec<RolloutRow>,
    rollbacks: Vec<RollbackRow>,
    messages: Vec<MessageRow>,
}

struct Fact {
    name: &'static str,
    value: String,
}

struct Banner {
    tone: Tone,
    title: String,
    lines: Vec<String>,
    faults: Vec<String>,
}

struct AlertRow {
    id: String,
    chip: Chip,
    tenant: String,
    objective: String,
    probe: String,
    state: &'static str,
    summary: String,
    acknowledged: Option<String>,
    since: Moment,
}

struct DecisionRow {
    id: String,
    chip: Chip,
    workload: String,
    trigger: String,
    hold: Option<&'static str>,
    reason: String,
    at: Moment,
}

struct TenantTile {
    name: String,
    chip: Chip,
    about: String,
    promises: Vec<PromiseLine>,
    promises_more: usize,
    probes: Vec<Dot>,
}

struct PromiseLine {
    name: String,
    shown: String,
    tone: Tone,
    about: String,
}

struct Dot {
    name: String,
    word: &'static str,
    tone: Tone,
    about: String,
}

struct WorkloadRow {
    id: String,
    target: String,
    mode: Chip,
    now: String,
    ledger: Vec<Dot>,
}

struct RolloutRow {
    workload: String,
    revision: u64,
    about: String,
    chip: Chip,
    began: Moment,
}

struct RollbackRow {
    decision: String,
    workload: String,
    from: u64,
    about: String,
    chip: Chip,
    requested: Moment,
}

/// The page.
pub(in crate::http) async fn page(
    State(app): State<App>,
    Asked(view): Asked<View>,
) -> Result<Html<String>, Problem> {
    render(&gather(&app, &view).await)
}

/// What the store remembers; if it does not answer, the page says so and shows the rest.
#[derive(Default)]
struct Remembered {
    alerts: Vec<Alert>,
    decisions: Vec<Decision>,
    rollbacks: Vec<Rollback>,
    messages: Vec<MessageRow>,
}

async fn remembered(app: &App, now: Timestamp) -> Result<Remembered, StoreError> {
    let store = app.desk.store();
    let window = |limit| Window {
        before: None,
        limit,
    };
    let mut alerts = Vec::new();
    for state in [AlertState::Firing, AlertState::Pending] {
        let filter = AlertFilter {
            state: Some(state),
            ..AlertFilter::default()
        };
        alerts.extend(store.alerts(&filter, window(5 * ROWS)).await?);
    }
    alerts.sort_by_key(|alert| {
        (
            alert.state == AlertState::Pending,
            std::cmp::Reverse(alert.severity),
        )
    });
    let deliveries = store.deliveries(None, window(ROWS)).await?;
    Ok(Remembered {
        alerts,
        decisions: store.decisions(None, window(ROWS)).await?,
        rollbacks: store.rollbacks(false, window(ROWS)).await?,
        messages: deliveries
            .iter()
            .map(|row| MessageRow::new(row, now))
            .collect(),
    })
}

async fn gather(app: &App, view: &View) -> Home {
    let now = app.desk.now();
    let (spec, health, config) = (app.desk.spec(), app.desk.health(), app.desk.config());
    let objectives = app.desk.objectives().await;
    let probes = app.desk.probes().await;
    let workloads = app.desk.workloads().await;
    let facts = app.desk.facts().await;
    let (memory, fault) = match remembered(app, now).await {
        Ok(memory) => (memory, None),
        Err(error) => (Remembered::default(), Some(error)),
    };
    let mut standings = tenants(&spec, &objectives, &probes);
    standings.sort_by_key(|tenant| std::cmp::Reverse(tenant.standing));
    let (headline, subline) = headline(&standings, &memory.rollbacks);
    let tenants_more = standings.len().saturating_sub(TENANTS);
    Home {
        frame: Frame::new(app, view, "How everything stands".to_owned(), true),
        facts: process_facts(&health, &config, now),
        headline,
        subline,
        banners: banners(&health, &config, fault.as_ref(), now),
        no_alerts: if fault.is_some() {
            "The store does not answer, so it is not known which are open."
        } else {
            "None. Every promise that can be judged is kept."
        },
        alerts: memory
            .alerts
            .iter()
            .map(|alert| alert_row(alert, now))
            .collect(),
        decisions: memory
            .decisions
            .iter()
            .map(|decision| decision_row(decision, now))
            .collect(),
        tenants: standings
            .iter()
            .take(TENANTS)
            .map(|tenant| tile(tenant, &spec, &objectives, &probes))
            .collect(),
        tenants_more,
        workloads: workloads.iter().map(workload_row).collect(),
        rollouts: fold(&facts, &workloads)
            .into_iter()
            .take(ROWS)
            .map(|(began, rollout)| rollout_row(rollout, began, now))
            .collect(),
        rollbacks: memory
            .rollbacks
            .iter()
            .map(|row| rollback_row(row, now))
            .collect(),
        messages: memory.messages,
    }
}

fn process_facts(health: &Health, config: &ConfigStanding, now: Timestamp) -> Vec<Fact> {
    let fact = |name, value| Fact { name, value };
    let short: String = config.hash.chars().take(12).collect();
    vec![
        match health.leads {
            Some(term) => fact("leading in", format!("term {}", term.0)),
            None => fact("role", "follower".to_owned()),
        },
        fact(
            "cluster",
            if health.cluster { "connected" } else { "none" }.to_owned(),
        ),
        fact(
            "configuration",
            if short.is_empty() {
                "none".to_owned()
            } else {
                short
            },
        ),
        fact("up", roughly(now.since(health.started))),
    ]
}

fn banners(
    health: &Health,
    config: &ConfigStanding,
    store: Option<&StoreError>,
    now: Timestamp,
) -> Vec<Banner> {
    let mut banners = Vec::new();
    let mut say = |tone, title: &str, line: String| {
        banners.push(Banner {
            tone,
            title: title.to_owned(),
            lines: vec![line],
            faults: Vec::new(),
        });
    };
    if let Some(task) = health.died {
        say(
            Tone::Bad,
            "Holdfast is going down",
            format!("Task {task} ended by itself; the process stops and is started anew."),
        );
    }
    if let Some(error) = store {
        say(
            Tone::Bad,
            "The store does not answer",
            format!(
                "{error}. Alerts, decisions and messages cannot be shown; nothing is acted on until it is back."
            ),
        );
    }
    if !health.cluster {
        say(
            Tone::Quiet,
            "There is no cluster",
            "Probes run and promises are judged, but nothing can be rolled back.".to_owned(),
        );
    }
    if health.leads.is_none() {
        say(
            Tone::Quiet,
            "This Holdfast follows",
            "It probes and judges; the one that leads tells people and acts.".to_owned(),
        );
    }
    if !config.successful {
        banners.push(Banner {
            tone: Tone::Bad,
            title: "The configuration on disk is not in force".to_owned(),
            lines: vec![format!(
                "The last reload ({}) found faults. The configuration of {} stays in force.",
                between(config.tried, now),
                config.since
            )],
            faults: config.faults.clone(),
        });
    }
    if !config.lints.is_empty() {
        banners.push(Banner {
            tone: Tone::Warn,
            title: "The configuration in force may not do what was meant".to_owned(),
            lines: Vec::new(),
            faults: config.lints.clone(),
        });
    }
    banners
}

fn headline(tenants: &[Tenant], rollbacks: &[Rollback]) -> (String, String) {
    let firing: u64 = tenants
        .iter()
        .filter_map(|tenant| tenant.alerts.get("firing"))
        .sum();
    let hurt = tenants
        .iter()
        .filter(|tenant| tenant.standing >= Standing::Info)
        .count();
    let doubt: u64 = tenants
        .iter()
        .filter_map(|tenant| tenant.objectives.get("inconclusive"))
        .sum();
    let promises: u64 = tenants
        .iter()
        .flat_map(|tenant| tenant.objectives.values())
        .sum();
    let open = rollbacks
        .iter()
        .filter(|rollback| !rollback.stage.terminal())
        .count();
    let headline = match (firing, promises) {
        (0, 0) => "Nothing is promised yet.".to_owned(),
        (0, _) if doubt == promises => "Nothing can be judged yet.".to_owned(),
        (0, _) => "Everything holds.".to_owned(),
        (1, _) => "One promise is broken.".to_owned(),
        (count, _) => format!("{count} promises are broken."),
    };
    let mut words = vec![format!(
        "{} watched for {}",
        count(promises, "promise is", "promises are"),
        count(tenants.len() as u64, "tenant", "tenants"),
    )];
    if hurt > 0 {
        words.push(format!(
            "{} affected",
            count(hurt as u64, "tenant is", "tenants are")
        ));
    }
    if doubt > 0 {
        words.push(format!("{doubt} cannot be judged now"));
    }
    if open > 0 {
        words.push(format!(
            "{} under way",
            count(open as u64, "rollback is", "rollbacks are")
        ));
    }
    (headline, format!("{}.", words.join("; ")))
}

fn count(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

fn alert_row(alert: &Alert, now: Timestamp) -> AlertRow {
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

fn decision_row(decision: &Decision, now: Timestamp) -> DecisionRow {
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

fn tile(
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

fn workload_row(standing: &WorkloadStanding) -> WorkloadRow {
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

fn rollout_row(rollout: Rollout, began: Timestamp, now: Timestamp) -> RolloutRow {
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

fn rollback_row(row: &Rollback, now: Timestamp) -> RollbackRow {
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
