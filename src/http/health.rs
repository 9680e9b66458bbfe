//! Whether the process lives, is ready, and how everything stands in one answer.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::asking::Asked;
use super::problem::{Problem, chain};
use super::server::App;
use super::shape::standing::tenants;
use super::shape::status::{Check, Readiness, Status};
use crate::domain::alert::AlertState;
use crate::domain::objective::Severity;
use crate::store::Window;

/// `verbose` is a flag; older habits (`pretty`) are not errors here, a probe must not fail for them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Verbosity {
    verbose: Option<String>,
}

/// 200 unless a task died.
pub(super) async fn livez(State(app): State<App>) -> Response {
    match app.desk.health().died {
        None => "ok\n".into_response(),
        Some(task) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "task-died",
            format!("task {task} ended by itself"),
        )
        .into_response(),
    }
}

/// 200 when a configuration is in force and the store answers.
pub(super) async fn readyz(State(app): State<App>, Asked(ask): Asked<Verbosity>) -> Response {
    let readiness = readiness(&app).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if ask.verbose.is_some() {
        let mut text = String::new();
        for check in &readiness.checks {
            let mark = if check.passed { "[+]" } else { "[-]" };
            text.push_str(&format!("{mark} {}: {}\n", check.check, check.detail));
        }
        text.push_str(if readiness.ready {
            "ready\n"
        } else {
            "not ready\n"
        });
        return (status, text).into_response();
    }
    if readiness.ready {
        return "ok\n".into_response();
    }
    let missing: Vec<String> = readiness
        .checks
        .into_iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.check, check.detail))
        .collect();
    Problem::new(status, "not-ready", missing.join("; ")).into_response()
}

async fn readiness(app: &App) -> Readiness {
    let health = app.desk.health();
    let config = app.desk.config();
    let store = app.desk.store().ping().await;
    let checks = vec![
        Check {
            check: "tasks".to_owned(),
            passed: health.died.is_none(),
            detail: match health.died {
                None => format!("{} alive", health.tasks.values().sum::<usize>()),
                Some(task) => format!("task {task} ended by itself"),
            },
        },
        Check {
            check: "configuration".to_owned(),
            passed: !config.hash.is_empty(),
            detail: match (config.hash.is_empty(), config.successful) {
                (true, _) => "none is in force".to_owned(),
                (false, true) => format!("{} in force since {}", config.hash, config.since),
                (false, false) => format!(
                    "{} in force since {}; the last reload failed",
                    config.hash, config.since
                ),
            },
        },
        Check {
            check: "store".to_owned(),
            passed: store.is_ok(),
            detail: match &store {
                Ok(()) => "answers".to_owned(),
                Err(error) => chain(error),
            },
        },
    ];
    Readiness {
        ready: checks.iter().all(|check| check.passed),
        checks,
    }
}

/// The summary as JSON.
pub(super) async fn status(State(app): State<App>) -> Json<Status> {
    Json(summary(&app).await)
}

/// Rollbacks are never so many at once that a summary could not count them.
const OPEN_MAX: usize = 1000;

pub(super) async fn summary(app: &App) -> Status {
    let readiness = readiness(app).await;
    let spec = app.desk.spec();
    let objectives = app.desk.objectives().await;
    let probes = app.desk.probes().await;
    let window = Window {
        before: None,
        limit: OPEN_MAX,
    };
    let open = app.desk.store().rollbacks(true, window).await;
    let mut status = Status::new(&app.desk.health(), &app.desk.config(), app.desk.now());
    status.ready = readiness.ready;
    status.store = readiness
        .checks
        .iter()
        .any(|check| check.check == "store" && check.passed);
    status.tenants = tenants(&spec, &objectives, &probes);
    status.rollbacks_open = open.map_or(0, |open| open.len());
    let mut firing: BTreeMap<String, u64> = BTreeMap::new();
    for severity in Severity::ALL {
        let count = objectives
            .iter()
            .filter(|standing| {
                standing.state == AlertState::Firing && standing.severity == Some(severity)
            })
            .count();
        firing.insert(severity.to_string(), count as u64);
    }
    status.firing = firing;
    status
}

/// Reads the configuration again.
pub(super) async fn reload(
    State(app): State<App>,
) -> Result<Json<super::shape::status::Config>, Problem> {
    match app.desk.reload().await {
        Ok(()) => Ok(Json((&app.desk.config()).into())),
        Err(faults) => {
            let mut problem = Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "configuration-invalid",
                "the configuration is invalid; the one before stays in force",
            );
            problem.faults = faults;
            Err(problem)
        }
    }
}
