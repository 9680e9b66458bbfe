//! Alerts, their transitions, and the evidence these rest on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::{instant, some_instant, spelled};
use crate::domain::alert as domain;

/// One episode of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The episode.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// Which promise.
    pub objective: String,
    /// Judged on which probe.
    pub probe: String,
    /// pending, firing, resolved, or inactive: it was pending and never fired.
    pub state: String,
    /// How severe it is, or was last.
    pub severity: String,
    /// When the breach began.
    pub began: String,
    /// When it began to fire.
    pub fired: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// What moved it last.
    pub cause: String,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When that was.
    pub acknowledged_at: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `summary`, `description`, `runbook_url`.
    pub annotations: BTreeMap<String, String>,
    /// When it last changed.
    pub at: String,
}

impl From<&domain::Alert> for Alert {
    fn from(alert: &domain::Alert) -> Self {
        let acknowledged = alert.acknowledged.as_ref();
        Self {
            id: alert.id.to_string(),
            tenant: alert.key.tenant.to_string(),
            objective: alert.key.objective.to_string(),
            probe: alert.key.probe.to_string(),
            state: alert.state.as_str().to_owned(),
            severity: alert.severity.to_string(),
            began: instant(alert.began),
            fired: some_instant(alert.fired),
            ended: some_instant(alert.ended),
            cause: alert.cause.as_str().to_owned(),
            acknowledged_by: acknowledged.map(|(by, _)| by.clone()),
            acknowledged_at: acknowledged.map(|(_, at)| instant(*at)),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            at: instant(alert.at),
        }
    }
}

/// One alert with its story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertStory {
    /// The alert.
    pub alert: Alert,
    /// What happened to it, oldest first.
    pub transitions: Vec<Transition>,
    /// Who was told of it, newest first.
    pub deliveries: Vec<Delivery>,
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: String,
    /// From which state.
    pub from: String,
    /// To which state.
    pub to: String,
    /// How severe it was then.
    pub severity: String,
    /// What moved it.
    pub cause: String,
    /// What it rests on.
    pub evidence: Evidence,
}

impl From<&domain::Transition> for Transition {
    fn from(transition: &domain::Transition) -> Self {
        Self {
            at: instant(transition.at),
            from: transition.from.as_str().to_owned(),
            to: transition.to.as_str().to_owned(),
            severity: transition.severity.to_string(),
            cause: transition.cause.as_str().to_owned(),
            evidence: Evidence::from(&*transition.evidence),
        }
    }
}

/// What a verdict rested on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whose.
    pub tenant: String,
    /// Which promise.
    pub objective: String,
    /// Measured on which probe.
    pub probe: String,
    /// What was measured: `error_ratio`.
    pub measure: String,
    /// The condition in words: `above 10%`; empty when nothing was breached.
    pub condition: String,
    /// The value as people read it: `19.8%`.
    pub shown: Option<String>,
    /// The value.
    pub value: Option<f64>,
    /// The trailing span: `2m`.
    pub over: String,
    /// The window after which (exclusive) events were counted.
    pub from: String,
    /// The window up to which (inclusive) events were counted.
    pub to: String,
    /// Good events in the window.
    pub good: u64,
    /// Bad events in the window.
    pub bad: u64,
    /// Looks in the window that were void.
    pub void: u64,
    /// What the last bad look said.
    pub why: Option<String>,
    /// The recent past, oldest first.
    pub points: Vec<Point>,
}

/// One point of the recent past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// End of the slice.
    pub at: String,
    /// Good events in it.
    pub good: u64,
    /// Bad events in it.
    pub bad: u64,
    /// The measured value in it.
    pub value: Option<f64>,
}

impl From<&domain::Evidence> for Evidence {
    fn from(evidence: &domain::Evidence) -> Self {
        Self {
            tenant: evidence.key.tenant.to_string(),
            objective: evidence.key.objective.to_string(),
            probe: evidence.key.probe.to_string(),
            measure: evidence.measure.clone(),
            condition: evidence.condition.clone(),
            shown: evidence.shown.clone(),
            value: evidence.value.map(|value| value.get()),
            over: spelled(evidence.over),
            from: instant(evidence.window.from),
            to: instant(evidence.window.to),
            good: evidence.tally.good,
            bad: evidence.tally.bad,
            void: evidence.void,
            why: evidence.why.as_ref().map(ToString::to_string),
            points: evidence.points.iter().map(Point::from).collect(),
        }
    }
}

impl From<&domain::Point> for Point {
    fn from(point: &domain::Point) -> Self {
        Self {
            at: instant(point.at),
            good: point.tally.good,
            bad: point.tally.bad,
            value: point.value.map(|value| value.get()),
        }
    }
}
