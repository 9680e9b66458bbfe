//! Trials: did the rollback help? Judged on the events after the platform has rolled the target out,
//! never on windows still full of the old failure.

use std::time::Duration;

use super::super::change::{Change, Changes};
use super::super::decision::Trigger;
use super::super::id::{AlertKey, Digest, ProbeId};
use super::super::monitor::{Measured, evidence, measure};
use super::super::objective::{Objective, Severity};
use super::super::rollback::TrialEnd;
use super::super::rollout::Seen;
use super::super::sample::Outcome;
use super::super::target::{PrometheusForm, PrometheusTarget, Target};
use super::super::time::Timestamp;
use super::super::trial::{TrialRequest, TrialResult};
use super::super::value::Value;
use super::{Judge, Timer};

/// The least time a rollback is given to help (rollback.md, "Acting").
const DEADLINE_MIN: Duration = Duration::from_secs(600);
/// The longest that a kept promise is watched before the rollback counts as a success.
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// A trial that cannot be judged at all ends after this many deadlines.
const UNCLEAR_AFTER: u32 = 6;
/// As bad as before: at least this part of the breach that led to the rollback.
const SAME_PER_MILLE: u16 = 800;
/// How often a trial is looked at when no sample comes.
const LOOK: Duration = Duration::from_secs(5);

/// One trial.
#[derive(Debug)]
pub(super) struct Trial {
    request: TrialRequest,
    began: Option<Timestamp>,
    /// When the target was rolled out: nothing before counts.
    mark: Option<Timestamp>,
    /// The patch was seen on the object.
    patched: bool,
    /// Time that could not be judged.
    lost: Duration,
    looked: Option<Timestamp>,
    /// When it is looked at next without an event: one timer a trial.
    due: Option<Timestamp>,
}

impl Trial {
    pub(super) const fn new(request: TrialRequest) -> Self {
        Self {
            request,
            began: None,
            mark: None,
            patched: false,
            lost: Duration::ZERO,
            looked: None,
            due: None,
        }
    }

    fn result(&self, now: Timestamp) -> TrialResult {
        TrialResult {
            rollback: self.request.rollback,
            at: now,
            rolled_out: self.mark,
            end: None,
            superseded: None,
            evidence: Vec::new(),
        }
    }

    /// Takes a sighting of the workload. True: the trial is over.
    fn see(&mut self, seen: &Seen, now: Timestamp, out: &mut Changes) -> bool {
        let mine = seen.marks.rollback == Some(self.request.rollback);
        let at_target = seen.template == self.request.to;
        self.patched |= mine;
        if self.patched && !at_target {
            let who = seen.changed_by.as_deref().unwrap_or("somebody");
            let why = format!("{who} has put another template in its place");
            out.push(Change::Tried(TrialResult {
                superseded: Some(why.into()),
                ..self.result(now)
            }));
            return true;
        }
        if self.mark.is_none() && mine && at_target && seen.rolled_out() {
            self.mark = Some(now);
            out.push(Change::Tried(self.result(now)));
        }
        false
    }
}

impl Judge {
    pub(super) fn begin_trial(
        &mut self,
        request: &TrialRequest,
        now: Timestamp,
        out: &mut Changes,
    ) {
        if self
            .trials
            .iter()
            .any(|trial| trial.request.rollback == request.rollback)
        {
            return;
        }
        let mut trial = Trial::new(request.clone());
        trial.began = Some(now);
        let seen = self
            .workloads
            .get(&request.target)
            .and_then(|watched| watched.seen.clone());
        if let Some(seen) = seen
            && trial.see(&seen, now, out)
        {
            return;
        }
        let rollback = request.rollback.0;
        self.trials.push(trial);
        self.schedule_trials(now);
        self.try_one(rollback, now, out);
    }

    /// Sees to it that every trial is looked at again, also one that was read back after a restart and
    /// whose workload is never seen again: it must come to an end too.
    pub(super) fn schedule_trials(&mut self, now: Timestamp) {
        for trial in &mut self.trials {
            if trial.due.is_none_or(|due| due <= now) {
                trial.due = Some(now + LOOK);
                let timer = Timer::Trial(trial.request.rollback.0);
                self.timers.insert((now + LOOK, timer));
            }
        }
    }

    pub(super) fn see_trials(&mut self, seen: &Seen, now: Timestamp, out: &mut Changes) {
        let mut rolled_out = Vec::new();
        self.trials.retain_mut(|trial| {
            if trial.request.target != seen.target {
                return true;
            }
            if trial.began.is_none() {
                // Read back after a restart: its clock begins with the first sight.
                trial.began = Some(now);
            }
            rolled_out.push(trial.request.rollback.0);
            !trial.see(seen, now, out)
        });
        self.schedule_trials(now);
        for rollback in rolled_out {
            self.try_one(rollback, now, out);
        }
    }

    pub(super) fn try_series(&mut self, series: &ProbeId, now: Timestamp, out: &mut Changes) {
        if self.trials.is_empty() {
            return;
        }
        let concerned: Vec<Digest> = self
            .trials
            .iter()
            .filter(|trial| match &trial.request.trigger {
                Trigger::Objective(key) => key.series() == *series,
                Trigger::ProgressDeadline | Trigger::Person(_) => false,
            })
            .map(|trial| trial.request.rollback.0)
            .collect();
        for rollback in concerned {
            self.try_one(rollback, now, out);
        }
    }

    pub(super) fn wake_trial(&mut self, rollback: Digest, now: Timestamp, out: &mut Changes) {
        self.try_one(rollback, now, out);
        self.schedule_trials(now);
    }

    fn try_one(&mut self, rollback: Digest, now: Timestamp, out: &mut Changes) {
        let Some(place) = self
            .trials
            .iter()
            .position(|t| t.request.rollback.0 == rollback)
        else {
            return;
        };
        let mut trial = self.trials.swap_remove(place);
        match self.judge_trial(&mut trial, now) {
            Some((end, evidence)) => out.push(Change::Tried(TrialResult {
                end: Some(end),
                evidence,
                ..trial.result(now)
            })),
            None => self.trials.push(trial),
        }
    }

    fn judge_trial(
        &mut self,
        trial: &mut Trial,
        now: Timestamp,
    ) -> Option<(TrialEnd, Vec<super::super::alert::Evidence>)> {
        let began = *trial.began.get_or_insert(now);
        let Some(mark) = trial.mark else {
            let late = now.since(began) >= DEADLINE_MIN;
            return late.then(|| (TrialEnd::Unclear, Vec::new()));
        };
        let Trigger::Objective(key) = trial.request.trigger.clone() else {
            return Some((TrialEnd::Recovered, Vec::new()));
        };
        let before = self.breached_value(trial, &key);
        let counted = self.counters(&key);
        let tracked = self.series.get_mut(&key.series());
        let judged = tracked
            .filter(|tracked| tracked.waiting.is_none())
            .and_then(|tracked| {
                let monitor = tracked.monitors.iter().find(|m| m.objective().key == key)?;
                Some((monitor.objective().clone(), tracked))
            });
        let Some((objective, tracked)) = judged else {
            let late = now.since(mark) >= DEADLINE_MIN * UNCLEAR_AFTER;
            return late.then(|| (TrialEnd::Unclear, Vec::new()));
        };
        // Counters may hold events from before the mark in the first look after it.
        let since = if counted { mark + tracked.every } else { mark };
        let measured = measure(&objective, &mut tracked.series, now, Some(since));
        let blind = tracked
            .series
            .last()
            .is_some_and(|last| last.outcome == Outcome::Void);
        let end = trial.weigh(&objective, tracked.every, measured, blind, before, now)?;
        let evidence = vec![evidence(&objective, &mut tracked.series, now, Some(since))];
        Some((end, evidence))
    }

    fn counters(&self, key: &AlertKey) -> bool {
        self.spec.probe(&key.series()).is_some_and(|probe| {
            matches!(
                &probe.target,
                Target::Prometheus(PrometheusTarget {
                    form: PrometheusForm::Counters { .. },
                    ..
                })
            )
        })
    }

    /// How bad it was when the rollback was asked for.
    fn breached_value(&self, trial: &Trial, key: &AlertKey) -> Option<Value> {
        let watched = self.watched(&trial.request.workload)?;
        let petition = watched
            .raised
            .iter()
            .map(super::petitions::Raised::petition)
            .find(|petition| petition.trigger == Trigger::Objective(key.clone()))?;
        petition.evidence.last().and_then(|evidence| evidence.value)
    }
}

impl Trial {
    fn weigh(
        &mut self,
        objective: &Objective,
        every: Duration,
        measured: Measured,
        blind: bool,
        before: Option<Value>,
        now: Timestamp,
    ) -> Option<TrialEnd> {
        let mark = self.mark?;
        let (over, wait) = (objective.over, objective.wait);
        let deadline = DEADLINE_MIN.max(over + wait);
        let value = measured
            .value
            .filter(|_| !blind && measured.samples >= objective.samples_min);
        let Some(value) = value else {
            self.lost += now.since(self.looked.replace(now).unwrap_or(mark));
            let late = now.since(mark) >= deadline * UNCLEAR_AFTER;
            return late.then_some(TrialEnd::Unclear);
        };
        self.looked = Some(now);
        let elapsed = now.since(mark).saturating_sub(self.lost);
        let critical = objective.condition(Severity::Critical)?;
        if !critical.holds(value) {
            let settle = if objective.measure.windowed() {
                over.min(SETTLE_MAX)
            } else {
                (every * 3).max(wait).min(SETTLE_MAX)
            };
            return (elapsed >= settle).then_some(TrialEnd::Recovered);
        }
        let same = before.is_none_or(|before| value.as_far(critical.limit, before, SAME_PER_MILLE));
        let settled = elapsed >= over + wait;
        ((settled && same) || elapsed >= deadline).then_some(TrialEnd::Still)
    }
}
