//! Tenants and their objectives.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::id::Name;
use crate::domain::id::TenantId;
use crate::http::asking::{Asked, At, find, read_some};
use crate::http::paging::{Paged, by_key};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::standing::{Objective, Probe, Tenant, TenantStory, tenants};

/// How all tenants stand.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(paged): Asked<Paged>,
) -> Result<Json<Listing<Tenant>>, Problem> {
    let objectives = app.desk.objectives().await;
    let probes = app.desk.probes().await;
    let all = tenants(&app.desk.spec(), &objectives, &probes);
    by_key(all, &paged, |tenant| tenant.tenant.clone()).map(Json)
}

/// One tenant, with its objectives and probes.
pub(in crate::http) async fn one(
    State(app): State<App>,
    At(name): At<String>,
) -> Result<Json<TenantStory>, Problem> {
    let name: Name = find("tenant", &name)?;
    let id = TenantId(name);
    let spec = app.desk.spec();
    let mut objectives = app.desk.objectives().await;
    objectives.retain(|standing| standing.key.tenant == id);
    let mut probes = app.desk.probes().await;
    probes.retain(|standing| standing.probe.tenant == id);
    let tenant = tenants(&spec, &objectives, &probes)
        .into_iter()
        .find(|tenant| tenant.tenant == id.0.as_str())
        .ok_or_else(|| Problem::not_found(format!("there is no tenant `{id}`")))?;
    Ok(Json(TenantStory {
        tenant,
        objectives: objectives
            .iter()
            .map(|standing| Objective::new(standing, &spec))
            .collect(),
        probes: probes
            .iter()
            .map(|standing| Probe::new(standing, &spec))
            .collect(),
    }))
}

/// The question for objectives and probes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTenant {
    tenant: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl OfTenant {
    pub(super) fn split(self) -> Result<(Option<TenantId>, Paged), Problem> {
        let tenant = read_some::<Name>("tenant", self.tenant.as_deref())?.map(TenantId);
        let paged = Paged {
            cursor: self.cursor,
            limit: self.limit,
        };
        Ok((tenant, paged))
    }
}

/// How the objectives stand.
pub(in crate::http) async fn objectives(
    State(app): State<App>,
    Asked(ask): Asked<OfTenant>,
) -> Result<Json<Listing<Objective>>, Problem> {
    let (tenant, paged) = ask.split()?;
    let spec = app.desk.spec();
    let standings = app.desk.objectives().await;
    let rows = standings.iter().filter(|standing| {
        tenant
            .as_ref()
            .is_none_or(|tenant| standing.key.tenant == *tenant)
    });
    let page = by_key(rows, &paged, |standing| standing.key.to_string())?;
    Ok(Json(Listing {
        items: page
            .items
            .into_iter()
            .map(|standing| Objective::new(standing, &spec))
            .collect(),
        next: page.next,
    }))
}
