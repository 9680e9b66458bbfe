//! Samples of one probe, one by one or summed up by steps.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::id::{Name, ProbeId, TenantId};
use crate::domain::time::{Spelled, Timestamp};
use crate::http::asking::{Asked, read, read_some};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::sample::{Sample, Samples, steps};
use crate::store::SampleQuery;

/// Samples read at once for a sum: a month of looks a minute, about 10 MB while it is summed up.
const SUMMED_MAX: usize = 50_000;
/// Steps of one answer, as many as Prometheus gives.
const STEPS_MAX: u128 = 11_000;
/// The span unless asked otherwise.
const SPAN: Duration = Duration::from_secs(3600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Question {
    tenant: String,
    probe: String,
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
    limit: Option<String>,
}

/// The samples of a series.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<Question>,
) -> Result<Json<Samples>, Problem> {
    let tenant: Name = read("tenant", &ask.tenant)?;
    let series = ProbeId {
        tenant: TenantId(tenant),
        probe: read("probe", &ask.probe)?,
    };
    let to: Timestamp = read_some("to", ask.to.as_deref())?.unwrap_or_else(|| app.desk.now());
    let from: Timestamp = read_some("from", ask.from.as_deref())?.unwrap_or(to - SPAN);
    if to <= from {
        return Err(Problem::bad_request("`from` is before `to`"));
    }
    let step: Option<Spelled> = read_some("step", ask.step.as_deref())?;
    if let Some(Spelled(step)) = step {
        if step.is_zero() {
            return Err(Problem::bad_request("`step` is more than nothing"));
        }
        if to.since(from).as_micros() / step.as_micros() > STEPS_MAX {
            return Err(Problem::bad_request(format!(
                "at most {STEPS_MAX} steps at once: take a longer `step` or a shorter span"
            )));
        }
    }
    let limit = match step {
        Some(_) => SUMMED_MAX,
        None => crate::http::paging::limit(ask.limit.as_deref())?,
    };
    let query = SampleQuery {
        series: series.clone(),
        from,
        to,
        limit: limit + 1,
    };
    let mut rows = app.desk.store().samples(&query).await?;
    let is_known = app.desk.spec().probe(&series).is_some();
    if rows.is_empty() && !is_known {
        return Err(Problem::not_found(format!("there is no probe `{series}`")));
    }
    let truncated = rows.len() > limit;
    if truncated {
        rows.drain(..rows.len() - limit);
    }
    let (samples, steps) = match step {
        Some(Spelled(step)) => (Vec::new(), steps(&rows, from, step)),
        None => (rows.iter().map(Sample::from).collect(), Vec::new()),
    };
    Ok(Json(Samples {
        tenant: series.tenant.to_string(),
        probe: series.probe.to_string(),
        from: from.to_string(),
        to: to.to_string(),
        truncated,
        samples,
        steps,
    }))
}
