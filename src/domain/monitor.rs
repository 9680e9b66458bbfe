//! One objective's phase over time: inactive, pending, firing, resolved.
//!
//! ```text
//!            breached                     held for `for`
//! inactive ───────────► pending ─────────────────────────► firing ◄─┐ severity changed
//!     ▲                    │ met                             │  └───┘
//!     └────────────────────┘      met (recover) for keep_firing_for
//!     ▲                                                      │
//!     └──────────────────── resolved ◄───────────────────────┘
//! ```
//!
//! A verdict that is inconclusive moves nothing and stops the clocks: neither does a blind minute make a
//! breach a minute older, nor does it make a recovery a minute longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alert::{
    AlertState, Cause, Doubt, Evidence, LevelClock, Phase, Point, Transition, Verdict, episode,
};
use super::id::AlertId;
use super::objective::{Measure, NoData, Objective, Severity};
use super::sample::{Outcome, Tally};
use super::series::Series;
use super::time::{Span, Spelled, Timestamp};
use super::value::Value;

/// Points that evidence shows at most: what fits a chart and a message.
const POINTS_MAX: usize = 60;

/// What was measured at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The value, if there was anything to measure.
    pub value: Option<Value>,
    /// Events it rests on.
    pub samples: u64,
}

/// Measures an objective on its series; after `since` only, if given.
#[must_use]
pub fn measure(
    objective: &Objective,
    series: &mut Series,
    now: Timestamp,
    since: Option<Timestamp>,
) -> Measured {
    let over = objective.over;
    match objective.measure {
        Measure::Availability => {
            let tally = series.count(now, over, since).tally;
            Measured {
                value: Value::ratio(tally.good, tally.valid()),
                samples: tally.valid(),
            }
        }
        Measure::ErrorRatio => {
            let tally = series.count(now, over, since).tally;
            Measured {
                value: Value::ratio(tally.bad, tally.valid()),
                samples: tally.valid(),
            }
        }
        Measure::Quantile(per_mille) => {
            let (latency, samples) = series.quantile(now, over, since, per_mille);
            Measured {
                value: latency.map(Value::seconds),
                samples,
            }
        }
        Measure::Value => match series.value() {
            Some((at, value)) if since.is_none_or(|since| at > since) => Measured {
                value: Some(value),
                samples: 1,
            },
            _ => Measured {
                value: None,
                samples: 0,
            },
        },
        Measure::ConsecutiveFailures => {
            let seen = series
                .conclusive()
                .filter(|at| since.is_none_or(|since| *at > since));
            let failures = match since {
                // A row that is longer than the looks since the mark did not begin after it.
                Some(_) => series
                    .failures()
                    .min(series.count(now, over, since).tally.bad),
                None => series.failures(),
            };
            Measured {
                value: seen.map(|_| Value::whole(failures)),
                samples: u64::from(seen.is_some()),
            }
        }
    }
}

/// The phase of one objective on one series.
#[derive(Clone, Debug)]
pub struct Monitor {
    objective: Arc<Objective>,
    verdict: Verdict,
    samples: u64,
    state: AlertState,
    severity: Severity,
    began: Timestamp,
    since: Timestamp,
    /// By severity: the clock of each level whose condition holds.
    levels: [Option<LevelClock>; 3],
    recovered: Option<Timestamp>,
    alert: Option<AlertId>,
    acknowledged: Option<(String, Timestamp)>,
    evaluated: Option<Timestamp>,
    first_seen: Timestamp,
}

/// What an evaluation gave.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// The change of state, if there was one.
    pub transition: Option<Transition>,
    /// Whether the phase row must be written.
    pub changed: bool,
}

// === impl Monitor ===

impl Monitor {
    /// A monitor that has seen nothing.
    #[must_use]
    pub fn new(objective: Arc<Objective>, now: Timestamp) -> Self {
        Self {
            objective,
            verdict: Verdict::Inconclusive(Doubt::NoData),
            samples: 0,
            state: AlertState::Inactive,
            severity: Severity::Info,
            began: now,
            since: now,
            levels: [None; 3],
            recovered: None,
            alert: None,
            acknowledged: None,
            evaluated: None,
            first_seen: now,
        }
    }

    /// A monitor that goes on where its phase row says it stood; see [`Monitor::resume`].
    #[must_use]
    pub fn restore(objective: Arc<Objective>, phase: &Phase, now: Timestamp) -> Self {
        let mut monitor = Self::new(objective, now);
        monitor.state = phase.state;
        monitor.severity = phase.severity;
        monitor.began = phase.began;
        monitor.since = phase.since;
        monitor.recovered = phase.recovered;
        monitor.alert = phase.alert;
        monitor.acknowledged.clone_from(&phase.acknowledged);
        for clock in &phase.levels {
            monitor.levels[clock.severity as usize] = Some(*clock);
        }
        monitor.verdict = Verdict::Inconclusive(Doubt::Rebuilding);
        monitor
    }

    /// The series is back after a restart: the time since it last said something was not judged.
    pub fn resume(&mut self, series: &Series, now: Timestamp) {
        self.evaluated = Some(series.conclusive().unwrap_or(now));
        self.stop_clocks(now);
        self.evaluated = Some(now);
    }

    /// The objective in force.
    #[must_use]
    pub const fn objective(&self) -> &Arc<Objective> {
        &self.objective
    }

    /// Puts a retuned objective in force; the phase is kept and judged by it from the next sample on.
    pub fn retune(&mut self, objective: Arc<Objective>) {
        for severity in Severity::ALL {
            if objective.condition(severity).is_none() {
                self.levels[severity as usize] = None;
            }
        }
        self.objective = objective;
    }

    /// The last verdict.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Events the last verdict rests on.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Inactive, pending or firing.
    #[must_use]
    pub const fn state(&self) -> AlertState {
        self.state
    }

    /// Severity of the open episode.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// Since when the state.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// The open episode.
    #[must_use]
    pub const fn alert(&self) -> Option<AlertId> {
        self.alert
    }

    /// When the breach of the open episode began, at whatever level.
    #[must_use]
    pub const fn began(&self) -> Timestamp {
        self.began
    }

    /// When the critical breach began, while it fires as critical.
    #[must_use]
    pub fn critical_since(&self) -> Option<Timestamp> {
        let firing = self.state == AlertState::Firing && self.severity == Severity::Critical;
        let clock = self.levels[Severity::Critical as usize];
        firing.then(|| clock.map_or(self.began, |clock| clock.began))
    }

    /// When silence becomes an alert by itself, if the objective says so.
    #[must_use]
    pub fn silent_at(&self, series: &Series) -> Option<Timestamp> {
        match self.objective.no_data {
            NoData::Keep => None,
            NoData::Raise(_) => {
                Some(series.conclusive().unwrap_or(self.first_seen) + self.objective.no_data_after)
            }
        }
    }

    /// Judges the series at `now` and moves the phase.
    pub fn evaluate(&mut self, series: &mut Series, now: Timestamp) -> Moved {
        self.verdict = self.judge(series, now);
        let before = (self.state, self.severity, self.levels, self.recovered);
        let moved = match self.verdict {
            Verdict::Inconclusive(_) => {
                self.stop_clocks(now);
                self.silence(series, now)
            }
            Verdict::Breached(_, value) | Verdict::Met(value) => match value {
                Some(value) => self.conclude(value, now),
                None => None,
            },
        };
        self.evaluated = Some(now);
        let changed = before.0 != self.state
            || before.1 != self.severity
            || before.3 != self.recovered
            || before.2.map(|c| c.map(|c| c.began)) != self.levels.map(|c| c.map(|c| c.began));
        let transition = moved.map(|(from, cause)| self.transition(from, cause, series, now));
        if matches!(self.state, AlertState::Resolved) {
            self.close(now);
        }
        Moved {
            transition,
            changed,
        }
    }

    fn judge(&mut self, series: &mut Series, now: Timestamp) -> Verdict {
        let measured = measure(&self.objective, series, now, None);
        self.samples = measured.samples;
        if series
            .last()
            .is_some_and(|last| last.outcome == Outcome::Void)
        {
            return Verdict::Inconclusive(Doubt::Blind);
        }
        let stale = series
            .conclusive()
            .is_none_or(|at| now.since(at) > self.objective.no_data_after);
        let Some(value) = measured.value.filter(|_| !stale) else {
            return Verdict::Inconclusive(Doubt::NoData);
        };
        if measured.samples < self.objective.samples_min {
            return Verdict::Inconclusive(Doubt::TooFewSamples);
        }
        match self.objective.breached(value) {
            Some(severity) => Verdict::Breached(severity, Some(value)),
            None => Verdict::Met(Some(value)),
        }
    }

    /// Time that could not be judged counts for no clock.
    fn stop_clocks(&mut self, now: Timestamp) {
        let lost = self
            .evaluated
            .map_or(Duration::ZERO, |last| now.since(last));
        for clock in self.levels.iter_mut().flatten() {
            clock.counted = clock.counted + lost;
        }
        if let Some(recovered) = &mut self.recovered {
            *recovered = *recovered + lost;
        }
    }

    fn silence(&mut self, series: &Series, now: Timestamp) -> Option<(AlertState, Cause)> {
        let NoData::Raise(severity) = self.objective.no_data else {
            return None;
        };
        let due = self.silent_at(series).is_some_and(|at| now >= at);
        if !due || (self.state == AlertState::Firing && self.severity >= severity) {
            return None;
        }
        let from = self.state;
        if from == AlertState::Inactive {
            self.open(now);
        }
        self.fire(severity, now);
        Some((from, Cause::NoData))
    }

    fn conclude(&mut self, value: Value, now: Timestamp) -> Option<(AlertState, Cause)> {
        for (severity, condition) in &self.objective.levels {
            let clock = &mut self.levels[*severity as usize];
            if condition.holds(value) {
                clock.get_or_insert(LevelClock {
                    severity: *severity,
                    began: now,
                    counted: now,
                });
            } else {
                *clock = None;
            }
        }
        let began = self.levels.iter().flatten().map(|clock| clock.began).min();
        let wait = self.objective.wait;
        let ripe = self
            .levels
            .iter()
            .flatten()
            .filter(|clock| now.since(clock.counted) >= wait)
            .map(|clock| clock.severity)
            .max();
        match self.state {
            AlertState::Inactive | AlertState::Resolved => {
                let began = began?;
                self.open(began);
                match ripe {
                    Some(severity) => self.fire(severity, now),
                    None => {
                        self.severity = self.highest();
                        self.enter(AlertState::Pending, now);
                    }
                }
                Some((AlertState::Inactive, Cause::Breach))
            }
            AlertState::Pending => self.ripen(began, ripe, now),
            AlertState::Firing => self.burn(value, ripe, now),
        }
    }

    fn ripen(
        &mut self,
        began: Option<Timestamp>,
        ripe: Option<Severity>,
        now: Timestamp,
    ) -> Option<(AlertState, Cause)> {
        if began.is_none() {
            self.enter(AlertState::Inactive, now);
            return Some((AlertState::Pending, Cause::Recovered));
        }
        self.severity = self.highest();
        let severity = ripe?;
        self.fire(severity, now);
        Some((AlertState::Pending, Cause::Breach))
    }

    fn burn(
        &mut self,
        value: Value,
        ripe: Option<Severity>,
        now: Timestamp,
    ) -> Option<(AlertState, Cause)> {
        let breached = self.levels.iter().any(Option::is_some);
        let recovered = !breached
            && self
                .objective
                .recover
                .is_none_or(|recover| recover.holds(value));
        if recovered {
            let since = *self.recovered.get_or_insert(now);
            if now.since(since) >= self.objective.keep_firing {
                self.enter(AlertState::Resolved, now);
                return Some((AlertState::Firing, Cause::Recovered));
            }
            return None;
        }
        self.recovered = None;
        let raised = ripe.filter(|severity| *severity > self.severity);
        // With a condition for recovery the severity stays until that is met, or it would flap below it.
        let lowered = (breached && self.objective.recover.is_none())
            .then(|| self.highest())
            .filter(|severity| *severity < self.severity);
        let severity = raised.or(lowered)?;
        self.severity = severity;
        Some((AlertState::Firing, Cause::Severity))
    }

    fn highest(&self) -> Severity {
        self.levels
            .iter()
            .flatten()
            .map(|clock| clock.severity)
            .max()
            .unwrap_or(self.severity)
    }

    fn open(&mut self, began: Timestamp) {
        self.began = began;
        self.alert = Some(episode(&self.objective.key, began));
        self.acknowledged = None;
    }

    fn fire(&mut self, severity: Severity, now: Timestamp) {
        self.severity = severity;
        self.recovered = None;
        self.enter(AlertState::Firing, now);
    }

    fn enter(&mut self, state: AlertState, now: Timestamp) {
        self.state = state;
        self.since = now;
    }

    fn close(&mut self, now: Timestamp) {
        self.enter(AlertState::Inactive, now);
        self.levels = [None; 3];
        self.recovered = None;
        self.alert = None;
        self.acknowledged = None;
    }

    /// Ends the episode because the objective was removed or a person says so.
    pub fn end(&mut self, cause: Cause, series: &mut Series, now: Timestamp) -> Moved {
        let (from, to) = match self.state {
            AlertState::Firing => (AlertState::Firing, AlertState::Resolved),
            AlertState::Pending => (AlertState::Pending, AlertState::Inactive),
            AlertState::Inactive | AlertState::Resolved => return Moved::default(),
        };
        self.enter(to, now);
        let transition = self.transition(from, cause, series, now);
        self.close(now);
        Moved {
            transition: Some(transition),
            changed: true,
        }
    }

    /// A person looks after it.
    pub fn acknowledge(&mut self, by: &str, now: Timestamp) {
        self.acknowledged = Some((by.to_owned(), now));
    }

    /// The row to be written.
    #[must_use]
    pub fn phase(&self, now: Timestamp) -> Phase {
        Phase {
            key: self.objective.key.clone(),
            state: self.state,
            severity: self.severity,
            began: self.began,
            since: self.since,
            recovered: self.recovered,
            levels: self.levels.iter().flatten().copied().collect(),
            alert: self.alert,
            acknowledged: self.acknowledged.clone(),
            at: now,
        }
    }

    fn transition(
        &mut self,
        from: AlertState,
        cause: Cause,
        series: &mut Series,
        now: Timestamp,
    ) -> Transition {
        let evidence = evidence(&self.objective, series, now, None);
        let objective = &self.objective;
        Transition {
            alert: self
                .alert
                .unwrap_or_else(|| episode(&objective.key, self.began)),
            key: objective.key.clone(),
            at: now,
            began: self.began,
            from,
            to: self.state,
            severity: self.severity,
            cause,
            labels: objective.alert_labels(self.severity),
            annotations: annotations(objective, self.severity, self.state, cause, &evidence),
            evidence: Box::new(evidence),
        }
    }
}

/// What a verdict on this objective rests on at `now` (after `since` only, if given).
#[must_use]
pub fn evidence(
    objective: &Objective,
    series: &mut Series,
    now: Timestamp,
    since: Option<Timestamp>,
) -> Evidence {
    let measured = measure(objective, series, now, since);
    let bucket = series.count(now, objective.over, since);
    let condition = measured
        .value
        .and_then(|value| objective.breached(value))
        .and_then(|severity| objective.condition(severity))
        .map(|condition| condition.to_string())
        .unwrap_or_default();
    let from = since.map_or(now - objective.over, |since| {
        since.max(now - objective.over)
    });
    Evidence {
        key: objective.key.clone(),
        measure: objective.measure.name(),
        condition,
        shown: measured.value.map(|value| objective.unit().show(value)),
        value: measured.value,
        over: objective.over,
        window: Span { from, to: now },
        tally: bucket.tally,
        void: u64::from(bucket.void),
        why: series.bad_why().cloned(),
        points: points(objective, series, now),
    }
}

fn points(objective: &Objective, series: &Series, now: Timestamp) -> Vec<Point> {
    let value = |tally: Tally| match objective.measure {
        Measure::Availability => Value::ratio(tally.good, tally.valid()),
        Measure::ErrorRatio | Measure::ConsecutiveFailures => {
            Value::ratio(tally.bad, tally.valid())
        }
        Measure::Quantile(_) | Measure::Value => None,
    };
    let mut points: Vec<Point> = series
        .slices(now, objective.over)
        .filter(|(_, bucket)| bucket.tally.valid() > 0)
        .map(|(at, bucket)| Point {
            at,
            tally: bucket.tally,
            value: value(bucket.tally),
        })
        .collect();
    if points.len() > POINTS_MAX {
        points.drain(..points.len() - POINTS_MAX);
    }
    points
}

fn annotations(
    objective: &Objective,
    severity: Severity,
    state: AlertState,
    cause: Cause,
    evidence: &Evidence,
) -> BTreeMap<String, String> {
    let key = &objective.key;
    let shown = evidence.shown.as_deref().unwrap_or("unknown");
    let made = match (state, cause) {
        (_, Cause::NoData) => {
            format!(
                "{}: nothing heard of {} for {}",
                key.tenant,
                key.probe,
                Spelled(objective.no_data_after)
            )
        }
        (AlertState::Resolved, Cause::Removed) => {
            format!("{}: {} is no longer watched", key.tenant, key.objective)
        }
        (AlertState::Resolved, Cause::Person) => {
            format!("{}: {} was resolved by a person", key.tenant, key.objective)
        }
        (AlertState::Resolved | AlertState::Inactive, _) => {
            format!(
                "{}: {} is as promised again ({shown})",
                key.tenant, key.objective
            )
        }
        (AlertState::Pending | AlertState::Firing, _) => {
            format!("{}: {} is {shown}", key.tenant, key.objective)
        }
    };
    let limit = objective
        .condition(severity)
        .map(|c| c.to_string())
        .unwrap_or_default();
    let mut description = format!(
        "{} of {}/{} over {} is {shown}, {severity} is {limit}; {} events, {} of them bad",
        evidence.measure,
        key.tenant,
        key.probe,
        Spelled(objective.over),
        evidence.tally.valid(),
        evidence.tally.bad,
    );
    if let Some(why) = evidence.why.as_deref().filter(|_| evidence.tally.bad > 0) {
        description.push_str("; the last bad look: ");
        description.push_str(why);
    }
    let mut annotations = BTreeMap::new();
    let summary = match (&objective.summary, state) {
        (Some(own), AlertState::Firing | AlertState::Pending) => own.clone(),
        _ => made,
    };
    annotations.insert("summary".to_owned(), summary);
    annotations.insert("description".to_owned(), description);
    if let Some(runbook) = &objective.runbook {
        annotations.insert("runbook_url".to_owned(), runbook.clone());
    }
    annotations
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
mod tests;
