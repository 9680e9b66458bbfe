//! The page at `/`: how everything stands, the worst first.

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::rows::{
    AlertRow, DecisionRow, RollbackRow, RolloutRow, TenantTile, WorkloadRow, alert_row,
    decision_row, rollback_row, rollout_row, tile, workload_row,
};
use super::{Frame, MessageRow, Tone, View, render, roughly};
use crate::domain::alert::{Alert, AlertState};
use crate::domain::decision::Decision;
use crate::domain::rollback::Rollback;
use crate::domain::time::Timestamp;
use crate::http::asking::Asked;
use crate::http::desk::{ConfigStanding, Health};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::between;
use crate::http::shape::rollout::fold;
use crate::http::shape::standing::{Standing, Tenant, tenants};
use crate::store::{AlertFilter, StoreError, Window};

/// Rows of each list: the page is for a glance, the API has the rest.
const ROWS: usize = 8;
/// Tenants shown, the worst first.
const TENANTS: usize = 60;
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
            "None is open."
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
