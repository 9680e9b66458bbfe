//! The page of one alert: its transitions, what they rest on, who was told.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use super::decision::{Event, EvidenceItem, in_order};
use super::{Chip, Frame, MessageRow, Tone, View, render, severity_tone};
use crate::domain::alert::{Alert, AlertState, Transition};
use crate::domain::id::AlertId;
use crate::http::asking::{Asked, At, find};
use crate::http::problem::Problem;
use crate::http::server::App;
use crate::store::Window;

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    frame: Frame,
    chip: Chip,
    headline: String,
    description: String,
    runbook: Option<String>,
    runbook_is_link: bool,
    events: Vec<Event>,
    evidence: Vec<EvidenceItem>,
    messages: Vec<MessageRow>,
    labels: BTreeMap<String, String>,
    id: String,
}

/// The page.
pub(in crate::http) async fn page(
    State(app): State<App>,
    At(id): At<String>,
    Asked(view): Asked<View>,
) -> Result<Html<String>, Problem> {
    let id: AlertId = find("alert", &id)?;
    let store = app.desk.store();
    let (alert, transitions) = store
        .alert(id)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no alert `{id}`")))?;
    /// As many as anybody reads on one page.
    const MESSAGES: usize = 50;
    let window = Window {
        before: None,
        limit: MESSAGES,
    };
    let deliveries = store.deliveries(Some(id.0), window).await?;
    let now = app.desk.now();
    let open = matches!(alert.state, AlertState::Pending | AlertState::Firing);
    let headline = alert
        .annotations
        .get("summary")
        .cloned()
        .unwrap_or_else(|| alert.key.to_string());
    let runbook = alert.annotations.get("runbook_url").cloned();
    render(&AlertPage {
        frame: Frame::new(&app, &view, headline.clone(), open),
        chip: chip(&alert),
        headline,
        description: alert
            .annotations
            .get("description")
            .cloned()
            .unwrap_or_default(),
        // Only what a browser fetches: a configuration can say `javascript:` too.
        runbook_is_link: runbook
            .as_ref()
            .is_some_and(|url| url.starts_with("https://") || url.starts_with("http://")),
        runbook,
        events: in_order(events(&alert, &transitions)),
        evidence: transitions
            .last()
            .map(|transition| EvidenceItem::new(&transition.evidence, None))
            .into_iter()
            .collect(),
        messages: deliveries
            .iter()
            .map(|row| MessageRow::new(row, now))
            .collect(),
        labels: alert.labels,
        id: id.to_string(),
    })
}

fn chip(alert: &Alert) -> Chip {
    match alert.state {
        AlertState::Firing => Chip {
            tone: severity_tone(alert.severity),
            word: alert.severity.as_str(),
        },
        AlertState::Pending => Chip {
            tone: Tone::Warn,
            word: alert.state.as_str(),
        },
        AlertState::Resolved => Chip {
            tone: Tone::Good,
            word: alert.state.as_str(),
        },
        AlertState::Inactive => Chip {
            tone: Tone::Quiet,
            word: "never fired",
        },
    }
}

fn events(alert: &Alert, transitions: &[Transition]) -> Vec<Event> {
    let mut events = vec![Event::new(alert.began, Tone::Bad, "The promise broke", "")];
    events.extend(transitions.iter().map(|transition| {
        let tone = match transition.to {
            AlertState::Pending => Tone::Warn,
            AlertState::Firing => severity_tone(transition.severity),
            AlertState::Resolved => Tone::Good,
            AlertState::Inactive => Tone::Quiet,
        };
        let shown = transition.evidence.shown.clone().unwrap_or_default();
        let detail = format!(
            "{} ({}) {shown}",
            transition.severity,
            transition.cause.as_str()
        );
        Event::new(transition.at, tone, transition.to.as_str(), detail)
    }));
    if let Some((by, at)) = &alert.acknowledged {
        events.push(Event::new(
            *at,
            Tone::Busy,
            "Acknowledged",
            format!("by {by}"),
        ));
    }
    events
}
