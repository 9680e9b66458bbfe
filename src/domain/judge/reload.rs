//! Taking a configuration: only what changed is replaced.
//!
//! A probe whose shape (kind, target, expectation) is the same keeps its series; an objective of the
//! same key keeps its phase. What was removed is resolved as removed, and told: also when it was removed
//! while the daemon was down, because phases that no objective claims are looked through as well.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::alert::Cause;
use super::super::change::{Change, Changes};
use super::super::id::{AlertKey, ProbeId, TenantId};
use super::super::monitor::Monitor;
use super::super::need::Need;
use super::super::objective::{Measure, Objective};
use super::super::series::{Series, Shape};
use super::super::spec::{Spec, WorkloadRef};
use super::super::target::Probe;
use super::super::time::Timestamp;
use super::bake::Bake;
use super::petitions::Raised;
use super::{Judge, Timer, Tracked, Watched};

fn shape(probe: &Probe, objectives: &[Arc<Objective>]) -> Shape {
    let mut shape = Shape {
        every: probe.every,
        ..Shape::default()
    };
    for objective in objectives {
        match objective.measure {
            Measure::Quantile(_) => shape.quantiles.push(objective.over),
            Measure::Availability
            | Measure::ErrorRatio
            | Measure::Value
            | Measure::ConsecutiveFailures => shape.counts.push(objective.over),
        }
    }
    for windows in [&mut shape.counts, &mut shape.quantiles] {
        windows.sort_unstable();
        windows.dedup();
    }
    shape
}

impl Judge {
    pub(super) fn reconfigure(&mut self, spec: &Arc<Spec>, now: Timestamp, out: &mut Changes) {
        let old = std::mem::replace(&mut self.spec, spec.clone());
        let mut wanted: HashMap<ProbeId, Vec<Arc<Objective>>> = spec
            .probes()
            .map(|probe| (probe.id.clone(), Vec::new()))
            .collect();
        for objective in spec.objectives() {
            if let Some(list) = wanted.get_mut(&objective.key.series()) {
                list.push(objective.clone());
            }
        }
        let gone: Vec<ProbeId> = self
            .series
            .keys()
            .filter(|id| !wanted.contains_key(*id))
            .cloned()
            .collect();
        for id in gone {
            if let Some(tracked) = self.series.remove(&id) {
                remove(tracked, now, out);
            }
        }
        for (id, objectives) in wanted {
            if let Some(probe) = spec.probe(&id) {
                self.track(&old, probe, &objectives, now, out);
            }
        }
        self.forget_unclaimed(now, out);
        self.watch(now, out);
        self.eyes.reconfigure(spec, now, out);
        self.schedule_trials(now);
    }

    fn track(
        &mut self,
        old: &Spec,
        probe: &Arc<Probe>,
        objectives: &[Arc<Objective>],
        now: Timestamp,
        out: &mut Changes,
    ) {
        let shape = shape(probe, objectives);
        let before = self.series.remove(&probe.id);
        let same_windows = old.probe(&probe.id).is_some_and(|old_probe| {
            let mine: Vec<Arc<Objective>> = old
                .objectives()
                .filter(|objective| objective.key.series() == probe.id)
                .cloned()
                .collect();
            self::shape(old_probe, &mine) == shape
        });
        let mut monitors = BTreeMap::new();
        let (series, waiting) = match before {
            Some(mut tracked) => {
                let same_shape = tracked.shape == probe.shape();
                for monitor in std::mem::take(&mut tracked.monitors) {
                    monitors.insert(monitor.objective().key.clone(), monitor);
                }
                drop_monitors(&mut monitors, objectives, &mut tracked.series, now, out);
                if same_shape && same_windows {
                    (tracked.series, tracked.waiting)
                } else {
                    // Another shape starts anew; other windows read the past back from the store.
                    (Series::new(&shape), same_shape.then(Vec::new))
                }
            }
            None => (Series::new(&shape), Some(Vec::new())),
        };
        let rebuilding = waiting.is_some();
        let monitors = objectives
            .iter()
            .map(|objective| match monitors.remove(&objective.key) {
                Some(mut monitor) => {
                    monitor.retune(objective.clone());
                    monitor
                }
                None => match self.phases.remove(&objective.key) {
                    Some(phase) => Monitor::restore(objective.clone(), &phase, now),
                    None => Monitor::new(objective.clone(), now),
                },
            })
            .collect();
        if rebuilding {
            out.push(Change::Need(Need {
                series: probe.id.clone(),
                shape: probe.shape(),
                span: shape.reach(),
                until: now,
            }));
        }
        let mut tracked = Tracked {
            series,
            shape: probe.shape(),
            every: probe.every,
            monitors,
            concerns: Vec::new(),
            waiting,
            imaged: now,
        };
        tracked.concerns = concerns(&self.spec, &tracked);
        if !rebuilding && let Some(due) = tracked.evaluate(now, out) {
            self.timers.insert((due, Timer::Silence(probe.id.clone())));
        }
        self.silences(&probe.id, &tracked);
        self.series.insert(probe.id.clone(), tracked);
    }

    /// A silence is noticed also if not a single sample ever comes.
    fn silences(&mut self, probe: &ProbeId, tracked: &Tracked) {
        let due = tracked
            .monitors
            .iter()
            .filter_map(|m| m.silent_at(&tracked.series))
            .min();
        if let Some(due) = due {
            self.timers.insert((due, Timer::Silence(probe.clone())));
        }
    }

    /// Phases from before a restart whose objective is no longer configured.
    fn forget_unclaimed(&mut self, now: Timestamp, out: &mut Changes) {
        let own = TenantId::own();
        let unclaimed: Vec<AlertKey> = self
            .phases
            .keys()
            .filter(|key| key.tenant != own)
            .cloned()
            .collect();
        for key in unclaimed {
            let Some(phase) = self.phases.remove(&key) else {
                continue;
            };
            let mut series = Series::new(&Shape::default());
            let objective = Arc::new(stub(&key));
            let mut monitor = Monitor::restore(objective, &phase, now);
            let moved = monitor.end(Cause::Removed, &mut series, now);
            out.push(Change::Forget(key));
            if let Some(transition) = moved.transition {
                out.push(Change::Transition(transition));
            }
        }
    }

    fn watch(&mut self, now: Timestamp, out: &mut Changes) {
        let wanted: BTreeMap<WorkloadRef, _> = self
            .spec
            .workloads()
            .map(|workload| (workload.target.clone(), workload.clone()))
            .collect();
        let gone: Vec<WorkloadRef> = self
            .workloads
            .keys()
            .filter(|t| !wanted.contains_key(*t))
            .cloned()
            .collect();
        for target in gone {
            if let Some(mut watched) = self.workloads.remove(&target) {
                for raised in &mut watched.raised {
                    raised.withdraw(now, out);
                }
                self.ledgers.insert(target, watched.ledger);
            }
        }
        for (target, workload) in wanted {
            match self.workloads.get_mut(&target) {
                Some(watched) => watched.spec = workload,
                None => {
                    let mut mine = Vec::new();
                    self.petitions.retain(|petition| {
                        let other = petition.target != target;
                        if !other {
                            mine.push(Raised::restore(petition.clone()));
                        }
                        other
                    });
                    let watched = Watched {
                        spec: workload,
                        seen: None,
                        arriving: None,
                        ledger: self.ledgers.remove(&target).unwrap_or_default(),
                        bake: Bake::default(),
                        raised: mine,
                    };
                    self.workloads.insert(target.clone(), watched);
                }
            }
            self.count_raised();
            self.consider(&target, now, out);
        }
        self.count_raised();
    }
}

/// Workloads one of whose triggers is judged on this series.
fn concerns(spec: &Spec, tracked: &Tracked) -> Vec<WorkloadRef> {
    let mut targets = HashSet::new();
    for monitor in &tracked.monitors {
        let key = &monitor.objective().key;
        let Some(tenant) = spec.tenants.get(&key.tenant) else {
            continue;
        };
        for workload in tenant.workloads.values() {
            if workload.triggers.contains(&key.objective) {
                targets.insert(workload.target.clone());
            }
        }
    }
    targets.into_iter().collect()
}

fn drop_monitors(
    monitors: &mut BTreeMap<AlertKey, Monitor>,
    objectives: &[Arc<Objective>],
    series: &mut Series,
    now: Timestamp,
    out: &mut Changes,
) {
    monitors.retain(|key, monitor| {
        let stays = objectives.iter().any(|objective| objective.key == *key);
        if !stays {
            end(monitor, series, now, out);
        }
        stays
    });
}

fn remove(mut tracked: Tracked, now: Timestamp, out: &mut Changes) {
    for monitor in &mut tracked.monitors {
        end(monitor, &mut tracked.series, now, out);
    }
}

fn end(monitor: &mut Monitor, series: &mut Series, now: Timestamp, out: &mut Changes) {
    let moved = monitor.end(Cause::Removed, series, now);
    out.push(Change::Forget(monitor.objective().key.clone()));
    if let Some(transition) = moved.transition {
        out.push(Change::Transition(transition));
    }
}

/// What stands in for an objective that is no longer configured, to resolve its alert.
fn stub(key: &AlertKey) -> Objective {
    Objective {
        key: key.clone(),
        measure: Measure::Availability,
        over: std::time::Duration::ZERO,
        levels: Vec::new(),
        wait: std::time::Duration::ZERO,
        keep_firing: std::time::Duration::ZERO,
        recover: None,
        samples_min: 1,
        no_data: super::super::objective::NoData::Keep,
        no_data_after: std::time::Duration::MAX,
        rollback: false,
        runbook: None,
        summary: None,
        labels: Arc::default(),
    }
}
