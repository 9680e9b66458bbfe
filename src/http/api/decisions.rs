//! Decisions with their evidence.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::decision as domain;
use crate::domain::delivery as told;
use crate::domain::id::{DecisionId, RollbackId, WorkloadId};
use crate::domain::rollback::Rollback as Row;
use crate::http::advice;
use crate::http::asking::{Asked, At, find, read_some};
use crate::http::paging::ByTime;
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::rollout::{Rollout, fold};
use crate::http::shape::story::{DecisionStory, Telling};
use crate::store::{StoreError, Window};
use crate::wire::Wire as _;
use crate::wire::decision::Decision;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Question {
    workload: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Decisions, newest first.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<Question>,
) -> Result<Json<Listing<Decision>>, Problem> {
    let workload: Option<WorkloadId> = read_some("workload", ask.workload.as_deref())?;
    let paging = ByTime::read(ask.cursor.as_deref(), ask.limit.as_deref())?;
    let store = app.desk.store();
    let rows = store.decisions(workload.as_ref(), paging.window()).await?;
    let (page, next) = paging.cut(rows, |decision| decision.at);
    Ok(Json(Listing {
        items: page.show(),
        next,
    }))
}

/// The rollback that a decision asked for, as it stands.
pub(in crate::http) async fn rollback(
    app: &App,
    decision: &domain::Decision,
) -> Result<Option<Row>, StoreError> {
    match &decision.verdict {
        domain::Verdict::RollBack { rollback, .. } => app.desk.store().rollback(*rollback).await,
        domain::Verdict::Hold(_) => Ok(None),
    }
}

/// One decision with its story; `ID` may be that of its rollback too, which is what an annotation on the
/// workload names.
pub(in crate::http) async fn one(
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Json<DecisionStory>, Problem> {
    let parts = story(&app, &id).await?;
    Ok(Json(DecisionStory {
        decision: parts.decision.show(),
        advice: advice::on(&parts.decision, parts.rollback.as_ref()),
        rollout: parts.rollout,
        rollback: parts.rollback.show(),
        deliveries: parts.deliveries.iter().map(Telling::new).collect(),
    }))
}

/// Everything about one decision.
pub(in crate::http) struct Story {
    pub(in crate::http) decision: domain::Decision,
    pub(in crate::http) rollout: Option<Rollout>,
    pub(in crate::http) rollback: Option<Row>,
    pub(in crate::http) deliveries: Vec<(told::Delivery, Vec<told::Attempt>)>,
}

/// The deliveries of one story that are shown with it; the list of deliveries has them all.
const DELIVERIES_MAX: usize = 200;

pub(in crate::http) async fn story(app: &App, id: &str) -> Result<Story, Problem> {
    let id: DecisionId = find("decision", id)?;
    let store = app.desk.store();
    let decision = match store.decision(id).await? {
        Some(decision) => decision,
        None => {
            let missing = || Problem::not_found(format!("there is no decision `{id}`"));
            let rollback = store
                .rollback(RollbackId(id.0))
                .await?
                .ok_or_else(missing)?;
            store
                .decision(rollback.decision)
                .await?
                .ok_or_else(missing)?
        }
    };
    let rollback = rollback(app, &decision).await?;
    let window = Window {
        before: None,
        limit: DELIVERIES_MAX,
    };
    // Messages of a rollback share the thread of the decision or of the rollback, whichever came first.
    let mut deliveries = store.deliveries(Some(decision.id.0), window).await?;
    if let domain::Verdict::RollBack { rollback, .. } = &decision.verdict
        && rollback.0 != decision.id.0
    {
        deliveries.extend(store.deliveries(Some(rollback.0), window).await?);
        deliveries.sort_by_key(|(delivery, _)| std::cmp::Reverse(delivery.created));
    }
    let rollout = match &decision.rollout {
        None => None,
        Some(blamed) => {
            let facts = app.desk.facts().await;
            let standings = app.desk.workloads().await;
            let wanted = blamed.digest().to_string();
            fold(&facts, &standings)
                .into_iter()
                .map(|(_, rollout)| rollout)
                .find(|rollout| rollout.id == wanted)
        }
    };
    Ok(Story {
        decision,
        rollout,
        rollback,
        deliveries,
    })
}
