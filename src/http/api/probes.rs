//! Probes: how they stand, running one now, and heartbeats that come in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::tenants::OfTenant;
use crate::domain::id::{Name, ProbeId, TenantId};
use crate::http::asking::{Asked, At, find};
use crate::http::paging::by_key;
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::sample::ProbeRun;
use crate::http::shape::standing::Probe;

/// How the probes stand.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<OfTenant>,
) -> Result<Json<Listing<Probe>>, Problem> {
    let (tenant, paged) = ask.split()?;
    let spec = app.desk.spec();
    let standings = app.desk.probes().await;
    let rows = standings.iter().filter(|standing| {
        tenant
            .as_ref()
            .is_none_or(|tenant| standing.probe.tenant == *tenant)
    });
    let page = by_key(rows, &paged, |standing| standing.probe.to_string())?;
    Ok(Json(Listing {
        items: page
            .items
            .into_iter()
            .map(|standing| Probe::new(standing, &spec))
            .collect(),
        next: page.next,
    }))
}

fn id(tenant: &str, probe: &str) -> Result<ProbeId, Problem> {
    let tenant: Name = find("tenant", tenant)?;
    Ok(ProbeId {
        tenant: TenantId(tenant),
        probe: find("probe", probe)?,
    })
}

/// Runs a probe now.
pub(in crate::http) async fn run(
    State(app): State<App>,
    At((tenant, probe)): At<(String, String)>,
) -> Result<Json<ProbeRun>, Problem> {
    let id = id(&tenant, &probe)?;
    match app.desk.run_probe(&id).await {
        Some(run) => Ok(Json((&run).into())),
        None => Err(Problem::not_found(format!("there is no probe `{id}`"))),
    }
}

/// A heartbeat has come.
pub(in crate::http) async fn heartbeat(
    State(app): State<App>,
    At((tenant, probe)): At<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = id(&tenant, &probe)?;
    if app.desk.heartbeat(&id).await {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found(format!(
            "there is no heartbeat probe `{id}`"
        )))
    }
}
