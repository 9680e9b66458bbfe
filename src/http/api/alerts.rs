//! Alerts, and a person's word on them.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::signature;
use crate::domain::alert::AlertState;
use crate::domain::change::Reply;
use crate::domain::command::{Command, Order};
use crate::domain::id::{AlertId, Name, TenantId};
use crate::domain::objective::Severity;
use crate::http::asking::{Asked, At, Told, find, read_some, read_word};
use crate::http::paging::ByTime;
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::http::shape::Listing;
use crate::http::shape::story::{AlertStory, Telling, Word};
use crate::store::{AlertFilter, Window};
use crate::wire::Wire as _;
use crate::wire::alert::Alert;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Question {
    state: Option<String>,
    tenant: Option<String>,
    severity: Option<String>,
    since: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

impl Question {
    fn filter(&self) -> Result<AlertFilter, Problem> {
        let states = AlertState::ALL.map(|state| (state.as_str(), state));
        let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
        Ok(AlertFilter {
            tenant: read_some::<Name>("tenant", self.tenant.as_deref())?.map(TenantId),
            state: read_word("state", self.state.as_deref(), &states)?,
            severity: read_word("severity", self.severity.as_deref(), &severities)?,
            since: read_some("since", self.since.as_deref())?,
        })
    }
}

/// Alerts, newest change first.
pub(in crate::http) async fn list(
    State(app): State<App>,
    Asked(ask): Asked<Question>,
) -> Result<Json<Listing<Alert>>, Problem> {
    let filter = ask.filter()?;
    let paging = ByTime::read(ask.cursor.as_deref(), ask.limit.as_deref())?;
    let rows = app.desk.store().alerts(&filter, paging.window()).await?;
    let (page, next) = paging.cut(rows, |alert| alert.at);
    Ok(Json(Listing {
        items: page.show(),
        next,
    }))
}

/// The deliveries of one story that are shown with it; the list of deliveries has them all.
const DELIVERIES_MAX: usize = 200;

/// One alert with its story.
pub(in crate::http) async fn one(
    State(app): State<App>,
    At(id): At<String>,
) -> Result<Json<AlertStory>, Problem> {
    let id: AlertId = find("alert", &id)?;
    story(&app, id)
        .await?
        .map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no alert `{id}`")))
}

async fn story(app: &App, id: AlertId) -> Result<Option<AlertStory>, Problem> {
    let store = app.desk.store();
    let Some((alert, transitions)) = store.alert(id).await? else {
        return Ok(None);
    };
    let window = Window {
        before: None,
        limit: DELIVERIES_MAX,
    };
    let deliveries = store.deliveries(Some(id.0), window).await?;
    Ok(Some(AlertStory {
        alert: alert.show(),
        transitions: transitions.show(),
        deliveries: deliveries.iter().map(Telling::new).collect(),
    }))
}

/// Somebody looks after it.
pub(in crate::http) async fn acknowledge(
    State(app): State<App>,
    At(id): At<String>,
    Told(word): Told<Word>,
) -> Result<Json<AlertStory>, Problem> {
    command(&app, &id, word, Order::Acknowledge).await
}

/// It is over, a person says.
pub(in crate::http) async fn resolve(
    State(app): State<App>,
    At(id): At<String>,
    Told(word): Told<Word>,
) -> Result<Json<AlertStory>, Problem> {
    command(&app, &id, word, Order::Resolve).await
}

async fn command(
    app: &App,
    id: &str,
    word: Word,
    order: fn(AlertId) -> Order,
) -> Result<Json<AlertStory>, Problem> {
    let id: AlertId = find("alert", id)?;
    let command = Command {
        by: signature(word.by)?,
        what: order(id),
    };
    let missing = || Problem::not_found(format!("there is no open alert `{id}`"));
    match app.desk.command(command).await {
        Reply::Done => story(app, id).await?.map(Json).ok_or_else(missing),
        Reply::NotFound => Err(missing()),
        Reply::Refused(why) => Err(Problem::refused(why)),
        Reply::Decided(_) | Reply::Planned(_) | Reply::Rollback(_) => Err(Problem::internal(
            "the answer does not belong to the question",
        )),
    }
}
