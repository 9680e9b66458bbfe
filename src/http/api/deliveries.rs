//! What people were told.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::domain::id::Digest;
use crate::http::asking::{Asked, read_some};
use crate::http::paging::ByTime;
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::story::Telling;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Question {
    thread: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Deliveries with their attempts, newest first.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<Question>,
) -> Result<Json<Listing<Telling>>, Problem> {
    let thread: Option<Digest> = read_some("thread", ask.thread.as_deref())?;
    let paging = ByTime::read(ask.cursor.as_deref(), ask.limit.as_deref())?;
    let rows = app.desk.store().deliveries(thread, paging.window()).await?;
    let (page, next) = paging.cut(rows, |(delivery, _)| delivery.created);
    Ok(Json(Listing {
        items: page.iter().map(Telling::new).collect(),
        next,
    }))
}
