//! The judge: samples to transitions and petitions.
//!
//! ```text
//! sample ──► series ──► monitors ──► transitions
//!                          │
//! sighting ─► rollouts ────┴──► bake (proven) · petitions (this release seems bad) · trials (did it help?)
//! ```
//!
//! One judge a shard of tenants. It sees no budgets and no other tenants, so it never decides: it commits
//! petitions, and the steward answers. It reads no history: it asks for it ([`Need`](super::need::Need))
//! and is "rebuilding" until the answer comes.

mod bake;
mod eyes;
mod petitions;
mod reload;
mod sightings;
mod trials;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::alert::{AlertState, Cause, Doubt, Phase, Verdict};
use super::change::{Change, Changes, Image, Reply};
use super::command::{Command, Order};
use super::event::{JudgeEvent, Machine};
use super::fact::{Fact, What};
use super::id::{AlertId, AlertKey, Digest, ProbeId, WorkloadId};
use super::ledger::Ledger;
use super::monitor::Monitor;
use super::need::History;
use super::rollout::Seen;
use super::sample::{Blind, Reading, Sample};
use super::series::Series;
use super::spec::{Mode, Spec, Workload, WorkloadRef};
use super::standing::{ObjectiveStanding, ProbeStanding, WorkloadStanding};
use super::time::Timestamp;

use self::bake::Bake;
use self::eyes::Eyes;
use self::petitions::Raised;
use self::sightings::Arriving;
use self::trials::Trial;

/// A series is imaged when an hour is sealed.
const IMAGE_EVERY: Duration = Duration::from_secs(3600);
/// Live samples kept while a series is being read back, at most: a minute of one-second looks.
const WAITING_MAX: usize = 64;

/// What the judge goes on from after a restart.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Where monitors stood.
    pub phases: Vec<Phase>,
    /// All facts in order.
    pub facts: Vec<Fact>,
    /// Petitions that stand.
    pub petitions: Vec<super::decision::Petition>,
    /// Trials of rollbacks that are being verified.
    pub trials: Vec<super::trial::TrialRequest>,
}

/// The machine.
#[derive(Debug)]
pub struct Judge {
    spec: Arc<Spec>,
    series: HashMap<ProbeId, Tracked>,
    workloads: BTreeMap<WorkloadRef, Watched>,
    eyes: Eyes,
    trials: Vec<Trial>,
    timers: BTreeSet<(Timestamp, Timer)>,
    /// Phases of monitors that no configuration has claimed yet.
    phases: HashMap<AlertKey, Phase>,
    ledgers: HashMap<WorkloadRef, Ledger>,
    petitions: Vec<super::decision::Petition>,
    /// Petitions that stand, of all workloads.
    raised: usize,
}

/// A probe's series with the monitors that read it.
#[derive(Debug)]
struct Tracked {
    series: Series,
    shape: Digest,
    every: Duration,
    monitors: Vec<Monitor>,
    /// Workloads one of whose triggers is judged here.
    concerns: Vec<WorkloadRef>,
    /// Live samples that wait until the past is read back; none: it is.
    waiting: Option<Vec<Sample>>,
    imaged: Timestamp,
}

/// A workload under watch.
#[derive(Debug)]
struct Watched {
    spec: Arc<Workload>,
    seen: Option<Seen>,
    arriving: Option<Arriving>,
    ledger: Ledger,
    bake: Bake,
    raised: Vec<Raised>,
}

/// What is due later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A silence may have become an alert.
    Silence(ProbeId),
    /// A bake may have progressed.
    Bake(WorkloadRef),
    /// A trial's deadline may have passed.
    Trial(Digest),
}

// === impl Judge ===

impl Judge {
    /// A judge that goes on from there. It judges nothing until it is given a configuration.
    #[must_use]
    pub fn new(restored: Restored) -> Self {
        let Restored {
            phases,
            facts,
            petitions,
            trials,
        } = restored;
        let mut ledgers: HashMap<WorkloadRef, Ledger> = HashMap::new();
        for fact in &facts {
            ledgers.entry(fact.target.clone()).or_default().apply(fact);
        }
        Self {
            spec: Arc::default(),
            series: HashMap::new(),
            workloads: BTreeMap::new(),
            eyes: Eyes::restore(&phases),
            trials: trials.into_iter().map(Trial::new).collect(),
            timers: BTreeSet::new(),
            phases: phases
                .into_iter()
                .map(|phase| (phase.key.clone(), phase))
                .collect(),
            ledgers,
            petitions,
            raised: 0,
        }
    }

    fn sample(&mut self, sample: &Sample, now: Timestamp, out: &mut Changes) {
        let Some(tracked) = self.series.get_mut(&sample.series) else {
            return;
        };
        out.push(Change::Keep(sample.clone()));
        self.eyes.look(&self.spec, sample, tracked.every, now, out);
        if let Some(waiting) = &mut tracked.waiting {
            if waiting.len() < WAITING_MAX {
                waiting.push(sample.clone());
            }
            return;
        }
        tracked.record(sample, now, out);
        if let Some(due) = tracked.evaluate(now, out) {
            self.timers
                .insert((due, Timer::Silence(sample.series.clone())));
        }
        // Only a critical breach, or a petition that may have to be withdrawn, concerns a workload: most
        // samples are neither.
        let pressing = tracked
            .monitors
            .iter()
            .any(|monitor| monitor.critical_since().is_some());
        if pressing || self.raised > 0 {
            for target in tracked.concerns.clone() {
                self.consider(&target, now, out);
            }
        }
        self.try_series(&sample.series, now, out);
    }

    fn history(&mut self, history: &History, now: Timestamp, out: &mut Changes) {
        let Some(tracked) = self.series.get_mut(&history.series) else {
            return;
        };
        let Some(waiting) = tracked.waiting.take() else {
            return;
        };
        let after = history
            .image
            .as_ref()
            .filter(|image| image.shape == tracked.shape && tracked.series.restore(&image.bytes))
            .map(|image| image.at);
        for sample in history
            .samples
            .iter()
            .filter(|sample| Some(sample.span.to) > after)
        {
            tracked.series.record(sample);
        }
        for monitor in &mut tracked.monitors {
            monitor.resume(&tracked.series, now);
        }
        for sample in &waiting {
            tracked.record(sample, now, out);
        }
        if tracked.series.last().is_some() && !waiting.is_empty() {
            tracked.evaluate(now, out);
        }
        for target in tracked.concerns.clone() {
            self.consider(&target, now, out);
        }
    }

    fn command(&mut self, command: &Command, now: Timestamp, out: &mut Changes) {
        let Command { by, what } = command;
        out.reply = Some(match what {
            Order::Acknowledge(alert) => self.acknowledge(*alert, by, now, out),
            Order::Resolve(alert) => self.resolve(*alert, now, out),
            Order::RollBack { .. } | Order::Prove { .. } => {
                Reply::Refused("rollbacks are decided by the leader".to_owned())
            }
        });
    }

    fn find(&mut self, alert: AlertId) -> Option<(&mut Monitor, &mut Series)> {
        self.series.values_mut().find_map(|tracked| {
            let Tracked {
                monitors, series, ..
            } = tracked;
            let monitor = monitors
                .iter_mut()
                .find(|monitor| monitor.alert() == Some(alert))?;
            Some((monitor, series))
        })
    }

    fn acknowledge(
        &mut self,
        alert: AlertId,
        by: &str,
        now: Timestamp,
        out: &mut Changes,
    ) -> Reply {
        let Some((monitor, _)) = self.find(alert) else {
            return Reply::NotFound;
        };
        monitor.acknowledge(by, now);
        out.push(Change::Acknowledged {
            alert,
            by: by.to_owned(),
            at: now,
        });
        out.push(Change::Phase(monitor.phase(now)));
        Reply::Done
    }

    fn resolve(&mut self, alert: AlertId, now: Timestamp, out: &mut Changes) -> Reply {
        let Some((monitor, series)) = self.find(alert) else {
            return Reply::NotFound;
        };
        let moved = monitor.end(Cause::Person, series, now);
        let phase = monitor.phase(now);
        let Some(transition) = moved.transition else {
            return Reply::NotFound;
        };
        let key = transition.key.clone();
        out.push(Change::Phase(phase));
        out.push(Change::Transition(transition));
        let concerns = self
            .series
            .get(&key.series())
            .map(|tracked| tracked.concerns.clone());
        for target in concerns.unwrap_or_default() {
            self.consider(&target, now, out);
        }
        Reply::Done
    }

    fn post(&mut self, change: &Change, now: Timestamp, out: &mut Changes) {
        match change {
            Change::Fact(fact) => {
                if let Some(watched) = self.workloads.get_mut(&fact.target) {
                    watched.ledger.apply(fact);
                    if matches!(fact.what, What::Blamed { .. }) {
                        watched.bake.restart();
                    }
                } else {
                    self.ledgers
                        .entry(fact.target.clone())
                        .or_default()
                        .apply(fact);
                }
            }
            Change::Trial(request) => self.begin_trial(request, now, out),
            _ => {}
        }
    }

    /// How the objectives stand.
    #[must_use]
    pub fn objectives(&self) -> Vec<ObjectiveStanding> {
        let mut list: Vec<ObjectiveStanding> = self
            .series
            .values()
            .flat_map(|tracked| {
                tracked
                    .monitors
                    .iter()
                    .map(move |monitor| (tracked, monitor))
            })
            .map(|(tracked, monitor)| {
                let open = monitor.state() != AlertState::Inactive;
                ObjectiveStanding {
                    key: monitor.objective().key.clone(),
                    verdict: match tracked.waiting {
                        Some(_) => Verdict::Inconclusive(Doubt::Rebuilding),
                        None => monitor.verdict(),
                    },
                    state: monitor.state(),
                    severity: open.then(|| monitor.severity()),
                    since: open.then(|| monitor.since()),
                    alert: monitor.alert(),
                    samples: monitor.samples(),
                }
            })
            .chain(self.eyes.standing())
            .collect();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    }

    /// How the probes stand.
    #[must_use]
    pub fn probes(&self) -> Vec<ProbeStanding> {
        let mut list: Vec<ProbeStanding> = self
            .series
            .iter()
            .map(|(probe, tracked)| {
                let last = tracked.series.last();
                ProbeStanding {
                    probe: probe.clone(),
                    outcome: last.map(|last| last.outcome),
                    at: last.map(|last| last.at),
                    latency: last.and_then(|last| last.latency),
                    value: last.and_then(|last| last.value),
                    why: last.and_then(|last| last.why.clone()),
                }
            })
            .collect();
        list.sort_by(|a, b| a.probe.cmp(&b.probe));
        list
    }

    /// How the workloads stand.
    #[must_use]
    pub fn workloads(&self) -> Vec<WorkloadStanding> {
        let mut list: Vec<WorkloadStanding> = self
            .workloads
            .values()
            .map(|watched| WorkloadStanding {
                id: watched.spec.id.clone(),
                target: watched.spec.target.clone(),
                mode: mode_in_force(
                    &watched.spec,
                    self.spec.rollback.mode,
                    watched.seen.as_ref(),
                ),
                seen: watched.seen.clone(),
                rollout: watched.ledger.current().cloned(),
                ledger: watched.ledger.standing(),
                bake: watched.spec.bake,
            })
            .collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    fn watched(&self, id: &WorkloadId) -> Option<&Watched> {
        self.workloads
            .values()
            .find(|watched| watched.spec.id == *id)
    }
}

/// The mode in force: the configured one, under the ceiling; an annotation can only lower it.
#[must_use]
pub fn mode_in_force(workload: &Workload, ceiling: Mode, seen: Option<&Seen>) -> Mode {
    let annotated = seen.and_then(|seen| seen.marks.mode).unwrap_or(Mode::Act);
    workload.mode.min(ceiling).min(annotated)
}

// === impl Tracked ===

impl Tracked {
    fn record(&mut self, sample: &Sample, now: Timestamp, out: &mut Changes) {
        self.series.record(sample);
        let empty = matches!(sample.reading, Reading::Void(Blind::Empty));
        if !empty && now.since(self.imaged) >= IMAGE_EVERY {
            self.imaged = now;
            out.push(Change::Image(Image {
                series: sample.series.clone(),
                shape: self.shape,
                at: sample.span.to,
                bytes: self.series.image().into(),
            }));
        }
    }

    /// Judges all monitors; answers when a silence would become an alert.
    fn evaluate(&mut self, now: Timestamp, out: &mut Changes) -> Option<Timestamp> {
        let mut due = None;
        for monitor in &mut self.monitors {
            let moved = monitor.evaluate(&mut self.series, now);
            if moved.changed {
                out.push(Change::Phase(monitor.phase(now)));
            }
            if let Some(transition) = moved.transition {
                out.push(Change::Transition(transition));
            }
            let silent = monitor.silent_at(&self.series).filter(|at| *at > now);
            due = [due, silent].into_iter().flatten().min();
        }
        due
    }
}

impl Machine for Judge {
    type Event = JudgeEvent;

    fn step(&mut self, event: &JudgeEvent, now: Timestamp, out: &mut Changes) {
        match event {
            JudgeEvent::Sample(sample) => self.sample(sample, now, out),
            JudgeEvent::Sighting(sighting) => self.sighting(sighting, now, out),
            JudgeEvent::Spec(spec) => self.reconfigure(spec, now, out),
            JudgeEvent::History(history) => self.history(history, now, out),
            JudgeEvent::Post(post) => {
                self.post(&post.change, now, out);
                out.push(Change::Read {
                    role: super::change::Role::Judge,
                    seq: post.seq,
                });
            }
            JudgeEvent::Command(command) => self.command(command, now, out),
        }
    }

    fn wake(&mut self, now: Timestamp, out: &mut Changes) {
        while self.timers.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, timer)) = self.timers.pop_first() else {
                break;
            };
            match timer {
                Timer::Silence(series) => {
                    let Some(tracked) = self.series.get_mut(&series) else {
                        continue;
                    };
                    if let Some(due) = tracked.evaluate(now, out) {
                        self.timers.insert((due, Timer::Silence(series)));
                    }
                }
                Timer::Bake(target) => self.bake(&target, now, out),
                Timer::Trial(rollback) => self.wake_trial(rollback, now, out),
            }
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }
}
