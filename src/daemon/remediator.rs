//! The acting loop, the leader's alone: takes each open rollback through its stages.
//!
//! Wake-ups hint, scans decide: at each turn all open rollbacks are read from the store. For each that has
//! something to do the object is looked at, what was seen goes to the steward, and only the row that comes
//! back *after its commit* says whether a patch is to be sent. So the intent is on record before the patch,
//! and after a crash, a lost answer or a conflict the same path is taken again: look, report, perhaps send.
//!
//! A second run of any step is harmless: the patch is conditional on the version that was committed, and
//! Events are named by what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::leadership::Leadership;
use crate::clock::Clock;
use crate::cluster::{Announcement, Platform, PlatformError, Precondition, Undo, call};
use crate::domain::id::RollbackId;
use crate::domain::rollback::{Answer, Duty, Happening, Observed, Rollback, Stage, Term};
use crate::domain::spec::WorkloadRef;
use crate::store::{Store, Window};
use crate::telemetry::metrics::{Metrics, RollbackLabels};

/// How many rollbacks are worked on at once. Budgets allow a handful an hour; this is for the hour after an
/// outage of the API server.
const AT_ONCE: usize = 8;
/// How many open rollbacks one turn reads: more than all budgets together allow.
const OPEN_MAX: usize = 256;
/// How often is looked without a hint: what a hint that got lost costs at most.
const SCAN: Duration = Duration::from_secs(1);
/// Pause after a turn of work that has to be repeated: doubled each time, up to the limit.
const PAUSE: Duration = Duration::from_millis(250);
/// See [`PAUSE`]. While the API server does not answer, more often would not help it.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// The steward's desk: where what happened to a rollback is reported.
#[async_trait]
pub trait StewardDesk: Send + Sync + 'static {
    /// Reports it and answers, after the commit, how the rollback stands then. `None`: it is not known (any
    /// more), or could not be committed; nothing may be done on the strength of it.
    async fn happened(&self, id: RollbackId, happening: Happening) -> Option<Rollback>;
}

/// The loop.
pub struct Remediator {
    /// Where the rollbacks are read.
    pub store: Arc<dyn Store>,
    /// Where they are carried out.
    pub platform: Arc<dyn Platform>,
    /// Where what happened is reported.
    pub desk: Arc<dyn StewardDesk>,
    /// Whether this process leads.
    pub leadership: watch::Receiver<Leadership>,
    /// An act is begun only if this much of the leadership is left.
    pub margin: Duration,
    /// The time written on objects.
    pub clock: Clock,
    /// Counts of rollbacks that ended.
    pub metrics: Arc<Metrics>,
    /// Hints that there may be something to do.
    pub hint: Arc<Notify>,
}

/// What a turn of work on one rollback leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Nothing, for now.
    Nothing,
    /// The same again, after a pause.
    Again,
    /// The same again, the claim included.
    Unclaimed,
}

/// What is remembered between turns; a restart begins with nothing, which costs at most a superfluous look.
#[derive(Default)]
struct Memory {
    /// Open rollbacks of the last turn, to notice their ends.
    open: BTreeSet<RollbackId>,
    /// Rollbacks that have to wait: until when, after how many repetitions.
    pauses: BTreeMap<RollbackId, (Instant, u32)>,
    /// Rollbacks and workloads that are being worked on.
    busy: BTreeMap<RollbackId, WorkloadRef>,
    /// The term of the last turn, and the rollbacks that have to be claimed in it.
    term: Option<Term>,
    unclaimed: BTreeSet<RollbackId>,
}

// === impl Remediator ===

impl Remediator {
    /// Runs until `stop`; a patch that is under way is awaited.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut leadership = self.leadership.clone();
        let worker = Arc::new(Worker {
            platform: self.platform.clone(),
            desk: self.desk.clone(),
            leadership: self.leadership.clone(),
            margin: self.margin,
            clock: self.clock.clone(),
        });
        let mut memory = Memory::default();
        let mut working = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(SCAN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((id, claim, left)) = working.next() => memory.finished(id, claim, left),
                _ = ticks.tick() => {}
                () = self.hint.notified() => {}
                Ok(()) = leadership.changed() => { leadership.borrow_and_update(); }
            }
            for (rollback, claim) in self.scan(&mut memory).await {
                if working.len() == AT_ONCE {
                    break;
                }
                let id = rollback.id;
                memory.busy.insert(id, rollback.target.clone());
                memory.unclaimed.remove(&id);
                let worker = worker.clone();
                working.push(async move { (id, claim, worker.turn(rollback, claim).await) });
            }
        }
        while working.next().await.is_some() {}
    }

    /// Reads what is open and answers what there is to do now, with the term to claim it in, if it must be.
    async fn scan(&mut self, memory: &mut Memory) -> Vec<(Rollback, Option<Term>)> {
        let Some(term) = self.leadership.borrow().term(self.margin) else {
            // What ends from here on is the next leader's to tell.
            memory.term = None;
            memory.open.clear();
            return Vec::new();
        };
        let window = Window {
            before: None,
            limit: OPEN_MAX,
        };
        let open = match self.store.rollbacks(true, window).await {
            Ok(open) => open,
            Err(error) => {
                tracing::warn!(error = call::chain(&error), "open rollbacks cannot be read");
                return Vec::new();
            }
        };
        let ids: BTreeSet<_> = open.iter().map(|rollback| rollback.id).collect();
        self.ended(memory, &ids).await;
        if memory.term != Some(term) {
            memory.unclaimed = ids.clone();
            memory.term = Some(term);
            memory.pauses.clear();
        }
        memory.open = ids;
        let mut workloads: BTreeSet<_> = memory.busy.values().cloned().collect();
        let now = Instant::now();
        let mut due = Vec::new();
        // Oldest first: the store answers the newest first.
        for rollback in open.into_iter().rev() {
            let claim = memory.unclaimed.contains(&rollback.id).then_some(term);
            let has_duty = claim.is_some() || rollback.duty() == Duty::Observe;
            let waits = memory
                .pauses
                .get(&rollback.id)
                .is_some_and(|(until, _)| now < *until);
            if has_duty && !waits && workloads.insert(rollback.target.clone()) {
                due.push((rollback, claim));
            }
        }
        due
    }

    /// Counts and announces rollbacks that were open and are not any more.
    async fn ended(&self, memory: &mut Memory, open: &BTreeSet<RollbackId>) {
        let ended: Vec<_> = memory.open.difference(open).copied().collect();
        for id in ended {
            memory.pauses.remove(&id);
            memory.unclaimed.remove(&id);
            match self.store.rollback(id).await {
                Ok(Some(rollback)) if rollback.stage.terminal() => {
                    self.count(&rollback);
                    announce(&*self.platform, ending(&rollback)).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = call::chain(&error), "rollback {id} cannot be read");
                }
            }
        }
    }

    fn count(&self, rollback: &Rollback) {
        let labels = RollbackLabels {
            namespace: rollback.target.namespace().to_owned(),
            workload: rollback.target.name().to_owned(),
            trigger: rollback.trigger.label().to_owned(),
            outcome: rollback.stage.as_str().to_owned(),
        };
        self.metrics.rollbacks.get_or_create(&labels).inc();
        if let Some(ended) = rollback.ended {
            self.metrics
                .rollback_duration
                .observe(ended.since(rollback.requested).as_secs_f64());
        }
    }
}

// === impl Memory ===

impl Memory {
    fn finished(&mut self, id: RollbackId, claimed: Option<Term>, left: Left) {
        self.busy.remove(&id);
        match left {
            Left::Nothing => {
                self.pauses.remove(&id);
            }
            Left::Again | Left::Unclaimed => {
                // Until it is claimed in this term, an older leader's patch may still find its precondition.
                if left == Left::Unclaimed && self.term == claimed {
                    self.unclaimed.insert(id);
                }
                let times = self.pauses.get(&id).map_or(0, |(_, times)| *times);
                let pause = PAUSE.saturating_mul(1 << times.min(16)).min(PAUSE_MAX);
                self.pauses.insert(id, (Instant::now() + pause, times + 1));
            }
        }
    }
}

/// Works on one rollback.
struct Worker {
    platform: Arc<dyn Platform>,
    desk: Arc<dyn StewardDesk>,
    leadership: watch::Receiver<Leadership>,
    margin: Duration,
    clock: Clock,
}

// === impl Worker ===

impl Worker {
    async fn turn(&self, rollback: Rollback, claim: Option<Term>) -> Left {
        let id = rollback.id;
        match self.try_turn(rollback, claim).await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(rollback = %id, error = call::chain(&error),
                    "rollback {id} cannot go on; trying again");
                // Claiming twice does nothing; not to claim at all would.
                claim.map_or(Left::Again, |_| Left::Unclaimed)
            }
        }
    }

    /// Claims the object if it was in flight when this leader took over, then looks, reports, and sends the
    /// patch if the committed row says so.
    async fn try_turn(
        &self,
        rollback: Rollback,
        claim: Option<Term>,
    ) -> Result<Left, PlatformError> {
        let id = rollback.id;
        if let Some(term) = claim {
            match self.platform.claim(&rollback.target, term).await {
                // What forbids the claim forbids the patch: that is for the patch's answer to say.
                Ok(()) | Err(PlatformError::Forbidden { .. }) => {}
                Err(error) => return Err(error),
            }
            if self
                .desk
                .happened(id, Happening::Claimed(term))
                .await
                .is_none()
            {
                return Ok(Left::Unclaimed);
            }
        }
        if rollback.duty() == Duty::Wait {
            return Ok(Left::Nothing);
        }
        let observed = match self.platform.observe(&rollback.target, rollback.to).await {
            Ok(observed) => observed,
            // Whoever may not look may not act: the patch would be refused for the same reason.
            Err(PlatformError::Forbidden { .. }) => {
                let refused =
                    Answer::Refused(crate::domain::decision::Hold::NoPermission.as_str().into());
                return Ok(self.forbidden(id, refused).await);
            }
            Err(error) => return Err(error),
        };
        let report = Happening::Observed(observed.clone());
        let Some(row) = self.desk.happened(id, report).await else {
            return Ok(Left::Again);
        };
        self.said(&rollback, &row).await;
        match (&row.stage, observed) {
            (Stage::Applying { resource_version }, Some(observed))
                if *resource_version == observed.resource_version =>
            {
                Ok(self.apply(&row, observed).await)
            }
            (Stage::Requested | Stage::Applying { .. }, _) => Ok(Left::Again),
            _ => Ok(Left::Nothing),
        }
    }

    /// Only a rollback whose intent is committed can be refused; one that is merely requested waits.
    async fn forbidden(&self, id: RollbackId, refused: Answer) -> Left {
        match self.desk.happened(id, Happening::Answered(refused)).await {
            Some(row) if row.stage.terminal() => Left::Nothing,
            Some(_) | None => Left::Again,
        }
    }

    /// Sends the patch whose intent is committed, if the leadership is still good, and reports the answer.
    async fn apply(&self, row: &Rollback, observed: Observed) -> Left {
        let id = row.id;
        let Some(term) = self.leadership.borrow().term(self.margin) else {
            tracing::info!(rollback = %id, "rollback {id} is left to the next leader");
            return Left::Again;
        };
        let undo = Undo {
            rollback: id,
            target: row.target.clone(),
            from: observed.template,
            to: row.to,
            at: self.clock.now(),
            term,
        };
        let precondition = Precondition {
            uid: row.rollout.uid.clone(),
            resource_version: observed.resource_version,
        };
        let answer = self.platform.undo(&undo, &precondition).await;
        tracing::info!(rollback = %id, workload = %row.target, ?answer,
            "rollback {id}: the patch of {} was answered", row.target);
        let applied = answer == Answer::Applied;
        let reported = self.desk.happened(id, Happening::Answered(answer)).await;
        if let Some(after) = &reported {
            self.said(row, after).await;
        }
        match reported {
            Some(row) if row.duty() == Duty::Wait => Left::Nothing,
            // Not reported: the next look finds the patch on the object.
            None if applied => Left::Again,
            Some(_) | None => Left::Again,
        }
    }

    /// Announces that the patch is on the object, when a report led to that.
    async fn said(&self, before: &Rollback, after: &Rollback) {
        let applied = |row: &Rollback| matches!(row.stage, Stage::Verifying { .. });
        if applied(after) && !applied(before) {
            announce(&*self.platform, applying(after)).await;
        }
    }
}

/// Events are for people: one that cannot be written is logged, and nothing waits for it.
async fn announce(platform: &dyn Platform, announcement: Announcement) {
    if let Err(error) = platform.announce(&announcement).await {
        tracing::debug!(error = call::chain(&error), "an Event cannot be written");
    }
}

fn announcement(
    rollback: &Rollback,
    reason: &'static str,
    note: String,
    warning: bool,
) -> Announcement {
    Announcement {
        target: rollback.target.clone(),
        uid: rollback.rollout.uid.clone(),
        reason,
        note,
        warning,
    }
}

fn applying(rollback: &Rollback) -> Announcement {
    let note = format!(
        "put template {} back in place of {} (revision {}), blamed by {}; rollback {}, decision {}",
        rollback.to.0.short(),
        rollback.rollout.template.0.short(),
        rollback.rollout.revision,
        rollback.trigger,
        rollback.id,
        rollback.decision,
    );
    announcement(rollback, "RolledBack", note, true)
}

fn ending(rollback: &Rollback) -> Announcement {
    let (reason, why, warning) = match &rollback.stage {
        Stage::Succeeded => (
            "RollbackSucceeded",
            "the promise is kept again".into(),
            false,
        ),
        Stage::NotCaused => (
            "RollbackDidNotHelp",
            "it is as broken as before: not caused by the release".into(),
            true,
        ),
        Stage::Failed { why } => ("RollbackFailed", why.clone(), true),
        Stage::Superseded { why } => ("RollbackSuperseded", why.clone(), true),
        Stage::Requested | Stage::Applying { .. } | Stage::Verifying { .. } => {
            ("RollbackOpen", Arc::from(rollback.stage.as_str()), false)
        }
    };
    let note = format!(
        "rollback {} ended: {}: {why}",
        rollback.id,
        rollback.stage.as_str()
    );
    announcement(rollback, reason, note, warning)
}

#[cfg(test)]
#[cfg(feature = "demo")]
#[path = "remediator_tests.rs"]
mod tests;
