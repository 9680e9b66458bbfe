//! Proving a revision: a whole bake inside all trigger objectives, counted from the rollout's end.
//!
//! Time in which a promise could not be judged does not count; a breach begins the bake anew.

use std::time::Duration;

use super::super::alert::Verdict;
use super::super::change::{Change, Changes};
use super::super::fact::{Fact, What};
use super::super::id::AlertKey;
use super::super::spec::{Workload, WorkloadRef};
use super::super::time::Timestamp;
use super::{Judge, Timer};

/// A bake is looked at twenty times, but not more often than each second nor more seldom than this.
const LOOK_MAX: Duration = Duration::from_secs(30);
const LOOK_MIN: Duration = Duration::from_secs(1);

/// The clock of a bake; the time kept so far stands in the ledger.
#[derive(Debug, Default)]
pub(super) struct Bake {
    /// When it was last looked at and all was well.
    clean: Option<Timestamp>,
    due: Option<Timestamp>,
}

/// How the promises stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promises {
    Kept,
    Unclear,
    Broken,
}

impl Bake {
    pub(super) fn restart(&mut self) {
        self.clean = None;
    }
}

impl Judge {
    /// Looks at a workload's bake, and sees to it that it is looked at again.
    pub(super) fn bake(&mut self, target: &WorkloadRef, now: Timestamp, out: &mut Changes) {
        let Some(watched) = self.workloads.get(target) else {
            return;
        };
        if watched.bake.due.is_some_and(|due| due > now) {
            return;
        }
        let Some(rollout) = watched.ledger.current() else {
            return;
        };
        let template = rollout.id.template;
        let entry = watched.ledger.get(template);
        let open = entry.is_none_or(|entry| entry.proven.is_none());
        let done = rollout.done.is_some();
        let present = watched
            .seen
            .as_ref()
            .is_some_and(|seen| seen.template == template);
        if !open {
            return;
        }
        let kept = entry.map_or(Duration::ZERO, |entry| entry.kept);
        let bake = watched.spec.bake;
        let promises = self.promises(&watched.spec.clone());
        let Some(watched) = self.workloads.get_mut(target) else {
            return;
        };
        let look = (bake / 20).clamp(LOOK_MIN, LOOK_MAX);
        watched.bake.due = Some(now + look);
        self.timers
            .insert((now + look, Timer::Bake(target.clone())));
        if !done || !present {
            watched.bake.clean = None;
            return;
        }
        let now_kept = match promises {
            Promises::Kept => {
                let since = watched.bake.clean.replace(now).unwrap_or(now);
                kept + now.since(since)
            }
            Promises::Unclear => {
                watched.bake.clean = None;
                kept
            }
            Promises::Broken => {
                watched.bake.clean = None;
                Duration::ZERO
            }
        };
        let mut note = |what: What| {
            let fact = Fact {
                target: target.clone(),
                at: now,
                what,
            };
            watched.ledger.apply(&fact);
            out.push(Change::Fact(fact));
        };
        if now_kept != kept {
            note(What::Baked {
                template,
                kept: now_kept,
            });
        }
        if now_kept >= bake && promises == Promises::Kept {
            note(What::Proven { template, by: None });
        }
    }

    /// The alert keys of a workload's triggers; if it has none, of all the tenant's objectives.
    pub(super) fn promised(&self, workload: &Workload) -> Vec<AlertKey> {
        let Some(tenant) = self.spec.tenants.get(&workload.id.tenant) else {
            return Vec::new();
        };
        let all = workload.triggers.is_empty();
        tenant
            .objectives
            .iter()
            .filter(|objective| all || workload.triggers.contains(&objective.key.objective))
            .map(|objective| objective.key.clone())
            .collect()
    }

    fn promises(&self, workload: &Workload) -> Promises {
        let mut together = Promises::Kept;
        for key in self.promised(workload) {
            let monitor = self.series.get(&key.series()).and_then(|tracked| {
                let waiting = tracked.waiting.is_some();
                let monitor = tracked.monitors.iter().find(|m| m.objective().key == key)?;
                (!waiting).then_some(monitor)
            });
            match monitor.map(super::super::monitor::Monitor::verdict) {
                Some(Verdict::Met(_)) => {}
                Some(Verdict::Breached(..)) => return Promises::Broken,
                Some(Verdict::Inconclusive(_)) | None => together = Promises::Unclear,
            }
        }
        together
    }
}
