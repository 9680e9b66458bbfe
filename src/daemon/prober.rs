//! The prober: looks at everything when it is due, and hands what it saw to the judge.
//!
//! One loop owns the schedule and sleeps until the next tick; each look is a task of its own, so a slow
//! target delays nobody. What a look brought back goes through `Sight` (with the self-checks, if no
//! answer came), into the metrics and to the judge. A reload replaces what changed and nothing else: a
//! probe whose target is the same keeps its counters and its last beat.
//!
//! ```text
//!  spec ─► schedule ─► look ─► observation ─► sight ─► sample ─► judge
//!             ▲          │                     ▲
//!             └─finished─┘               self-checks
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};

use super::tasks::Tasks;
use crate::clock::Clock;
use crate::domain::event::JudgeEvent;
use crate::domain::id::ProbeId;
use crate::domain::observation::Observation;
use crate::domain::sample::Sample;
use crate::domain::sight::{SelfChecks, Sight};
use crate::domain::spec::Spec;
use crate::domain::time::Timestamp;
use crate::probe::means::Means;
use crate::probe::schedule::{Limits, Schedule, Start};
use crate::probe::selfcheck::SelfCheck;
use crate::telemetry::metrics::Metrics;

mod gauges;
mod slot;

use slot::Slot;

/// Looks at a time. Each holds a socket and may hold a body of 1 MiB: 256 fit below the 1 024 file
/// descriptors that are the least a container has, with room for store, cluster and server. With healthy
/// targets (≤ 100 ms) they carry 2 560 looks a second; if every look hangs for 10 s, 25 a second.
const LOOKS_MAX: usize = 256;

/// Looks of one tenant at a time: an eighth of all, so that seven tenants whose targets all hang leave
/// room for the others.
const LOOKS_TENANT_MAX: usize = LOOKS_MAX / 8;

/// Looks that people ask for at a time; they do not take the schedule's slots.
const RUNS_MAX: usize = 8;

/// How long a sample waits for a judge that does not take it. Then it is dropped and counted: probing
/// goes on, and 256 looks cannot all hang here for longer than the shortest sensible interval.
const JUDGE_PATIENCE: Duration = Duration::from_secs(1);

/// The longest sleep: a wall clock that is set forward is noticed within it.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// What the prober needs.
pub struct Prober {
    /// Where its tasks live.
    pub tasks: Tasks,
    /// What time it is.
    pub clock: Clock,
    /// What it measures.
    pub metrics: Arc<Metrics>,
    /// What all probes share.
    pub means: Means,
    /// Holdfast's own eyes.
    pub self_check: SelfCheck,
    /// The configuration in force.
    pub spec: watch::Receiver<Arc<Spec>>,
    /// The judge.
    pub output: mpsc::Sender<JudgeEvent>,
}

/// Asks the prober for more than its schedule; cheap to clone.
#[derive(Clone)]
pub struct ProberHandle(Arc<Shared>);

struct Shared {
    clock: Clock,
    metrics: Arc<Metrics>,
    means: Means,
    self_check: SelfCheck,
    output: mpsc::Sender<JudgeEvent>,
    slots: RwLock<BTreeMap<ProbeId, Arc<Slot>>>,
    runs: Semaphore,
}

// === impl Prober ===

impl Prober {
    /// Starts to look. The handle knows the probes of the configuration at once.
    #[must_use]
    pub fn start(self) -> ProberHandle {
        let Self {
            tasks,
            clock,
            metrics,
            means,
            self_check,
            mut spec,
            output,
        } = self;
        let shared = Arc::new(Shared {
            clock,
            metrics,
            means,
            self_check,
            output,
            slots: RwLock::default(),
            runs: Semaphore::new(RUNS_MAX),
        });
        let mut schedule = Schedule::new(Limits {
            total: LOOKS_MAX,
            tenant: LOOKS_TENANT_MAX,
        });
        let now = shared.clock.now();
        let first = spec.borrow_and_update().clone();
        shared.replace(&mut schedule, &first, now);
        let handle = ProberHandle(shared.clone());
        tasks.spawn("prober", run(shared, tasks.clone(), schedule, spec));
        handle
    }
}

async fn run(
    shared: Arc<Shared>,
    tasks: Tasks,
    mut schedule: Schedule,
    mut spec: watch::Receiver<Arc<Spec>>,
) {
    // One place for each look that can go on: a look that ends never waits for this loop.
    let (ended_tx, mut ended_rx) = mpsc::channel::<ProbeId>(LOOKS_MAX);
    let mut reloads = true;
    loop {
        let now = shared.clock.now();
        let missed = schedule.tick(now);
        if missed > 0 {
            shared.metrics.probe_missed_ticks.inc_by(missed);
        }
        while let Some(start) = schedule.next_start() {
            begin(&shared, &tasks, &mut schedule, start, &ended_tx);
        }
        let sleep = schedule.wake_at().map_or(SLEEP_MAX, |due| {
            due.since(shared.clock.now()).min(SLEEP_MAX)
        });
        tokio::select! {
            // Biased: to stop comes first, then to free slots, then to take a reload.
            biased;
            () = tasks.stop().cancelled() => return,
            Some(id) = ended_rx.recv() => {
                schedule.finished(&id);
                while let Ok(id) = ended_rx.try_recv() {
                    schedule.finished(&id);
                }
            }
            changed = spec.changed(), if reloads => {
                reloads = changed.is_ok();
                let wanted = spec.borrow_and_update().clone();
                shared.replace(&mut schedule, &wanted, shared.clock.now());
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

fn begin(
    shared: &Arc<Shared>,
    tasks: &Tasks,
    schedule: &mut Schedule,
    start: Start,
    ended: &mpsc::Sender<ProbeId>,
) {
    let Start { id, due } = start;
    let Some(slot) = shared.slot(&id) else {
        schedule.finished(&id);
        return;
    };
    let (shared, ended) = (shared.clone(), ended.clone());
    let stop = tasks.stop().clone();
    tasks.spawn_brief("look", async move {
        let lag = shared.clock.now().since(due);
        shared.metrics.probe_start_lag.observe(lag.as_secs_f64());
        let whole = async {
            let (_, sample) = shared.observe(&slot).await;
            shared.hand_on(&slot, sample).await;
        };
        // Nobody waits for a slow target when the daemon is to end.
        if stop.run_until_cancelled(whole).await.is_none() || ended.send(id).await.is_err() {
            tracing::debug!("a look was left because the prober ends");
        }
    });
}

// === impl ProberHandle ===

impl ProberHandle {
    /// Looks once now, whatever the schedule says; the sample counts like any other. Waits if the probe
    /// is being looked at already. None: there is no such probe.
    pub async fn run_now(&self, id: &ProbeId) -> Option<(Observation, Sample)> {
        let slot = self.0.slot(id)?;
        let _permit = self.0.runs.acquire().await.ok()?;
        let (observation, sample) = self.0.observe(&slot).await;
        self.0.hand_on(&slot, sample.clone()).await;
        Some((observation, sample))
    }

    /// Takes a heartbeat. False: there is no such heartbeat probe.
    #[must_use]
    pub fn beat(&self, id: &ProbeId) -> bool {
        let slot = self.0.slot(id);
        let heart = slot.as_ref().and_then(|slot| slot.heart());
        if let Some(heart) = heart {
            heart.beat(self.0.clock.now());
        }
        heart.is_some()
    }
}

// === impl Shared ===

impl Shared {
    fn slot(&self, id: &ProbeId) -> Option<Arc<Slot>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(id).cloned()
    }

    /// Takes a configuration: what did not change is not touched.
    fn replace(&self, schedule: &mut Schedule, spec: &Spec, now: Timestamp) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *slots);
        for probe in spec.probes() {
            let slot = match before.remove(&probe.id) {
                Some(slot) if slot.probe() == probe => slot,
                Some(slot) => Arc::new(slot.changed_to(probe, &self.means, now)),
                None => Arc::new(Slot::new(probe, &self.means, &self.metrics, now)),
            };
            slots.insert(probe.id.clone(), slot);
        }
        for slot in before.into_values() {
            slot.retire(&self.metrics);
        }
        let ticks = slots
            .values()
            .map(|slot| (slot.probe().id.clone(), slot.probe().every));
        schedule.replace(ticks, now);
    }

    async fn observe(&self, slot: &Slot) -> (Observation, Sample) {
        let observation = slot.look(&self.clock).await;
        let checks = if Sight::needs_self_check(&observation) {
            self.self_check.look().await
        } else {
            SelfChecks::default()
        };
        let sample = Sight::see(&observation, checks);
        let took = observation.took.as_secs_f64();
        self.metrics.probe_durations.observe(took);
        slot.record(&self.metrics, sample.outcome(), took);
        (observation, sample)
    }

    /// Gives the sample to the judge, in bounded time.
    async fn hand_on(&self, slot: &Slot, sample: Sample) {
        if slot.is_retired() {
            return;
        }
        let event = match self.output.try_send(JudgeEvent::Sample(sample)) {
            Ok(()) => return,
            Err(
                mpsc::error::TrySendError::Full(event) | mpsc::error::TrySendError::Closed(event),
            ) => event,
        };
        if self
            .output
            .send_timeout(event, JUDGE_PATIENCE)
            .await
            .is_err()
        {
            self.metrics.samples_dropped.inc();
            let probe = &slot.probe().id;
            tracing::warn!(%probe, "a sample of {probe} was dropped: the judge did not take it in time");
        }
    }
}

#[cfg(test)]
mod tests;
