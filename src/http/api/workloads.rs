//! Workloads with their ledgers, and rollouts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::id::WorkloadId;
use crate::domain::spec::{Kind, WorkloadRef};
use crate::http::asking::{Asked, At, read_some};
use crate::http::paging::{ByTime, Paged, by_key};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::rollout::{Rollout, fold};
use crate::http::shape::workload::Workload;

/// How the workloads stand.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(paged): Asked<Paged>,
) -> Result<Json<Listing<Workload>>, Problem> {
    let standings = app.desk.workloads().await;
    let page = by_key(&standings, &paged, |standing| standing.id.to_string())?;
    Ok(Json(Listing {
        items: page.items.into_iter().map(Workload::from).collect(),
        next: page.next,
    }))
}

/// One workload, by its place on the platform.
pub(in crate::http) async fn one(
    State(app): State<App>,
    At((namespace, kind, name)): At<(String, String, String)>,
) -> Result<Json<Workload>, Problem> {
    let missing = || Problem::not_found("there is no such workload in the configuration");
    let kind = Kind::parse(&kind).ok_or_else(missing)?;
    let target = WorkloadRef::Kubernetes {
        kind,
        namespace: Arc::from(namespace),
        name: Arc::from(name),
    };
    app.desk
        .workloads()
        .await
        .iter()
        .find(|standing| standing.target == target)
        .map(|standing| Json(Workload::from(standing)))
        .ok_or_else(missing)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Question {
    workload: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Rollouts, newest first.
pub(in crate::http) async fn rollouts(
    State(app): State<App>,
    Asked(ask): Asked<Question>,
) -> Result<Json<Listing<Rollout>>, Problem> {
    let workload: Option<WorkloadId> = read_some("workload", ask.workload.as_deref())?;
    let workload = workload.map(|workload| workload.to_string());
    let paging = ByTime::read(ask.cursor.as_deref(), ask.limit.as_deref())?;
    let standings = app.desk.workloads().await;
    let facts = app.desk.facts().await;
    let window = paging.window();
    let rows = fold(&facts, &standings)
        .into_iter()
        .filter(|(_, rollout)| workload.is_none() || rollout.workload == workload)
        .filter(|(began, _)| window.before.is_none_or(|before| *began < before))
        .take(window.limit)
        .collect();
    let (page, next) = paging.cut(rows, |(began, _)| *began);
    Ok(Json(Listing {
        items: page.into_iter().map(|(_, rollout)| rollout).collect(),
        next,
    }))
}
