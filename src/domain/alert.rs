//! The standing of an objective over time: inactive, pending, firing, and resolved as a transition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::id::{AlertId, AlertKey, Digest};
use super::objective::Severity;
use super::sample::Tally;
use super::time::{Span, Timestamp};
use super::value::Value;

/// What an objective looks like at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As promised.
    Met(Option<Value>),
    /// Not as promised, this badly.
    Breached(Severity, Option<Value>),
    /// Not enough honest samples to judge.
    Inconclusive(Doubt),
}

/// Why a verdict is inconclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    /// No sample yet, or none in the window.
    NoData,
    /// Fewer events than `min_samples`.
    TooFewSamples,
    /// The last looks were void.
    Blind,
    /// The series is being read back from the store after a restart.
    Rebuilding,
}

impl Doubt {
    /// The name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no-data",
            Self::TooFewSamples => "too-few-samples",
            Self::Blind => "blind",
            Self::Rebuilding => "rebuilding",
        }
    }
}

/// States of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// Nothing to say.
    Inactive,
    /// Breached, but young.
    Pending,
    /// Breached long enough.
    Firing,
    /// Met long enough; the episode is over.
    Resolved,
}

impl AlertState {
    /// All, in order of life.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Pending, Self::Firing, Self::Resolved];

    /// The state's name in output and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What moved an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The condition was breached.
    Breach,
    /// A more or less severe condition is breached now.
    Severity,
    /// It is as promised again.
    Recovered,
    /// Silence lasted longer than `no_data_after`.
    NoData,
    /// The objective, its probe or its tenant was taken out of the configuration.
    Removed,
    /// A person said so.
    Person,
}

impl Cause {
    /// The cause's name in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breach => "breach",
            Self::Severity => "severity",
            Self::Recovered => "recovered",
            Self::NoData => "no-data",
            Self::Removed => "removed",
            Self::Person => "person",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Breach,
            Self::Severity,
            Self::Recovered,
            Self::NoData,
            Self::Removed,
            Self::Person,
        ]
        .into_iter()
        .find(|cause| cause.as_str() == text)
    }
}

/// What a verdict rested on; stored with transitions, petitions and decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which alert.
    pub key: AlertKey,
    /// What was measured, by name (`error_ratio`).
    pub measure: String,
    /// The condition in words (`above 10%`); empty when nothing is breached.
    pub condition: String,
    /// The measured value in the condition's unit (`19.8%`), if there was one.
    pub shown: Option<String>,
    /// The measured value.
    pub value: Option<Value>,
    /// The trailing span.
    pub over: Duration,
    /// What the window covered.
    pub window: Span,
    /// Events in the window.
    pub tally: Tally,
    /// Looks in the window that were void.
    pub void: u64,
    /// What the last bad look said, if looks say something.
    pub why: Option<Arc<str>>,
    /// The recent past of the series, oldest first, at most 60 points.
    pub points: Vec<Point>,
}

/// One point of a series' recent past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// End of the slice.
    pub at: Timestamp,
    /// Events in it.
    pub tally: Tally,
    /// The measured value in it, if there was one.
    pub value: Option<Value>,
}

/// A change of an alert's state (or of its severity while firing).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The episode.
    pub alert: AlertId,
    /// Which alert.
    pub key: AlertKey,
    /// When.
    pub at: Timestamp,
    /// When the breach of this episode began.
    pub began: Timestamp,
    /// From which state.
    pub from: AlertState,
    /// To which state.
    pub to: AlertState,
    /// How severe it is now (when resolved: was).
    pub severity: Severity,
    /// What moved it.
    pub cause: Cause,
    /// Labels of the alert, severity included.
    pub labels: BTreeMap<String, String>,
    /// `summary`, `description`, `runbook_url`.
    pub annotations: BTreeMap<String, String>,
    /// What it rests on; boxed because most changes are samples.
    pub evidence: Box<Evidence>,
}

/// The id of the episode of `key` whose breach began at `began`.
#[must_use]
pub fn episode(key: &AlertKey, began: Timestamp) -> AlertId {
    AlertId(Digest::of(&[
        b"alert".as_slice(),
        key.to_string().as_bytes(),
        &began.as_micros().to_le_bytes(),
    ]))
}

/// One level whose condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelClock {
    /// Which level.
    pub severity: Severity,
    /// When its breach began.
    pub began: Timestamp,
    /// The same, moved by the time that could not be judged: `for` is counted from here.
    pub counted: Timestamp,
}

/// Where a monitor stands; written at each change (pending included), read back after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Which alert.
    pub key: AlertKey,
    /// Inactive, pending or firing.
    pub state: AlertState,
    /// Severity of the open episode.
    pub severity: Severity,
    /// When the breach of the open episode began.
    pub began: Timestamp,
    /// When the present state was entered.
    pub since: Timestamp,
    /// Until when a recovered alert goes on firing (`keep_firing_for`), if that clock runs.
    pub recovered: Option<Timestamp>,
    /// The levels whose conditions hold, with the clocks of `for`.
    pub levels: Vec<LevelClock>,
    /// The episode, if there is one open.
    pub alert: Option<AlertId>,
    /// Who acknowledged the episode, and when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// When this row was written.
    pub at: Timestamp,
}

/// An episode of an alert as lists and the API show it: a fold over its transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The episode.
    pub id: AlertId,
    /// Which alert.
    pub key: AlertKey,
    /// Pending, firing or resolved (inactive: it was pending and never fired).
    pub state: AlertState,
    /// How severe it is, or was last.
    pub severity: Severity,
    /// When the breach began.
    pub began: Timestamp,
    /// When it began to fire.
    pub fired: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What moved it last.
    pub cause: Cause,
    /// Who acknowledged it, and when.
    pub acknowledged: Option<(String, Timestamp)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the last transition.
    pub annotations: BTreeMap<String, String>,
    /// When it last changed.
    pub at: Timestamp,
}

impl Alert {
    /// The first transition of an episode makes the alert.
    #[must_use]
    pub fn open(transition: &Transition) -> Self {
        let mut alert = Self {
            id: transition.alert,
            key: transition.key.clone(),
            state: transition.to,
            severity: transition.severity,
            began: transition.began,
            fired: None,
            ended: None,
            cause: transition.cause,
            acknowledged: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            at: transition.at,
        };
        alert.apply(transition);
        alert
    }

    /// Each further transition changes it.
    pub fn apply(&mut self, transition: &Transition) {
        self.state = transition.to;
        self.severity = transition.severity;
        self.cause = transition.cause;
        self.labels = transition.labels.clone();
        self.annotations = transition.annotations.clone();
        self.at = transition.at;
        match transition.to {
            AlertState::Pending => {}
            AlertState::Firing => {
                self.fired.get_or_insert(transition.at);
            }
            AlertState::Inactive | AlertState::Resolved => self.ended = Some(transition.at),
        }
    }
}
