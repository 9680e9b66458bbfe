//! Rollbacks: how they stand, and a person's request for one.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{decisions, signature};
use crate::domain;
use crate::domain::change::Reply;
use crate::domain::command::{Command, Order};
use crate::domain::decision::Verdict;
use crate::domain::id::{RollbackId, WorkloadId};
use crate::http::asking::{Asked, At, Told, find, read};
use crate::http::paging::{ByTime, Paged};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::story::{RollbackAnswer, RollbackRequest};
use crate::wire::Wire as _;
use crate::wire::decision::Decision;
use crate::wire::rollback::Rollback;

/// Rollbacks, newest request first.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<Paged>,
) -> Result<Json<Listing<Rollback>>, Problem> {
    let paging = ByTime::read(ask.cursor.as_deref(), ask.limit.as_deref())?;
    let rows = app.desk.store().rollbacks(false, paging.window()).await?;
    let (page, next) = paging.cut(rows, |rollback| rollback.requested);
    Ok(Json(Listing {
        items: page.show(),
        next,
    }))
}

/// One rollback.
pub(in crate::http) async fn one(
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Json<Rollback>, Problem> {
    let id: RollbackId = find("rollback", &id)?;
    let row = app.desk.store().rollback(id).await?;
    row.map(|rollback| Json(rollback.show()))
        .ok_or_else(|| Problem::not_found(format!("there is no rollback `{id}`")))
}

/// A person asks for a rollback, or for its plan.
pub(in crate::http) async fn request(
    State(app): State<App>,
    Told(request): Told<RollbackRequest>,
) -> Result<Response, Problem> {
    let workload: WorkloadId = read("workload", &request.workload)?;
    if app.desk.spec().workload(&workload).is_none() {
        return Err(Problem::not_found(format!(
            "there is no workload `{workload}` in the configuration"
        )));
    }
    let dry_run = request.dry_run;
    let command = Command {
        by: signature(request.by)?,
        what: Order::RollBack {
            workload,
            to: request.to,
            dry_run,
        },
    };
    match app.desk.command(command).await {
        Reply::Planned(plan) => {
            let answer = RollbackAnswer {
                dry_run: true,
                would_send: would_send(&plan),
                decision: Some(plan.show()),
                rollback: None,
            };
            Ok(Json(answer).into_response())
        }
        Reply::Decided(id) => {
            let row = app.desk.store().decision(id).await?;
            let decision = row.ok_or_else(|| {
                Problem::internal(format!("decision `{id}` was taken but is not in the store"))
            })?;
            decided(&app, &decision).await
        }
        Reply::Rollback(row) => Ok(accepted(None, row.show())),
        Reply::NotFound => Err(Problem::not_found(
            "the workload, or that revision of it, does not exist",
        )),
        Reply::Refused(why) => Err(Problem::refused(why)),
        Reply::Done => Err(Problem::internal(
            "the answer does not belong to the question",
        )),
    }
}

async fn decided(app: &App, decision: &domain::decision::Decision) -> Result<Response, Problem> {
    let row = decisions::rollback(app, decision).await?;
    let shape = decision.show();
    match &decision.verdict {
        Verdict::Hold(hold) => {
            let detail = format!("held ({hold}): {}", decision.reason);
            let mut problem = Problem::new(StatusCode::CONFLICT, "held", detail);
            problem.decision = Some(Box::new(shape));
            Err(problem)
        }
        Verdict::RollBack { .. } => match row {
            Some(row) => Ok(accepted(Some(shape), row.show())),
            None => Err(Problem::internal(
                "the rollback was decided but is not in the store",
            )),
        },
    }
}

fn accepted(decision: Option<Decision>, rollback: Rollback) -> Response {
    let place = format!("/api/v1/rollbacks/{}", rollback.id);
    let answer = RollbackAnswer {
        dry_run: false,
        decision,
        rollback: Some(rollback),
        would_send: None,
    };
    (
        StatusCode::ACCEPTED,
        [(header::LOCATION, place)],
        Json(answer),
    )
        .into_response()
}

/// What a plan that would act would send, in the words of the remediator (an undo of a Deployment).
fn would_send(plan: &domain::decision::Decision) -> Option<String> {
    let Verdict::RollBack { to, .. } = &plan.verdict else {
        return None;
    };
    let candidate = plan
        .candidates
        .iter()
        .find(|candidate| candidate.template == *to);
    let revision = candidate
        .and_then(|candidate| candidate.revision)
        .map_or_else(|| to.0.short(), |number| format!("revision {number}"));
    Some(format!(
        "one JSON patch of {} as it is now (resourceVersion and uid are preconditions): /spec/template and \
         /metadata/annotations of {revision}; replicas, strategy and deadlines stay",
        plan.target
    ))
}
