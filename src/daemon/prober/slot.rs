//! One probe as it is configured now, with what it keeps between looks and over reloads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::gauges::Gauges;
use crate::clock::Clock;
use crate::domain::observation::Observation;
use crate::domain::sample::Outcome;
use crate::domain::target::Probe;
use crate::domain::time::Timestamp;
use crate::probe::heartbeat::Heart;
use crate::probe::means::Means;
use crate::probe::{self, Kept, Look};
use crate::telemetry::metrics::Metrics;

/// A probe that is looked at.
pub(super) struct Slot {
    probe: Arc<Probe>,
    /// Built when it is first due, so that the work of thousands is spread like their looks and neither a
    /// start nor a reload waits for it.
    look: OnceLock<Arc<dyn Look>>,
    means: Means,
    kept: Kept,
    gauges: Arc<Gauges>,
    /// Held while it looks: a look on demand and a scheduled one must not take the same counters' increase.
    turn: Arc<Mutex<()>>,
    retired: AtomicBool,
}

// === impl Slot ===

impl Slot {
    pub(super) fn new(
        probe: &Arc<Probe>,
        means: &Means,
        metrics: &Metrics,
        now: Timestamp,
    ) -> Self {
        let kept = Kept::anew(&probe.target, now);
        Self {
            probe: probe.clone(),
            look: OnceLock::new(),
            means: means.clone(),
            kept,
            gauges: Arc::new(Gauges::new(&probe.id, metrics)),
            turn: Arc::default(),
            retired: AtomicBool::new(false),
        }
    }

    /// The same probe, configured otherwise; with the same target it goes on where it was.
    pub(super) fn changed_to(&self, probe: &Arc<Probe>, means: &Means, now: Timestamp) -> Self {
        let kept = if self.probe.target == probe.target {
            self.kept.clone()
        } else {
            // A look at the old target that still goes on is no look at the new one.
            self.retired.store(true, Ordering::SeqCst);
            Kept::anew(&probe.target, now)
        };
        Self {
            probe: probe.clone(),
            look: OnceLock::new(),
            means: means.clone(),
            kept,
            gauges: self.gauges.clone(),
            turn: self.turn.clone(),
            retired: AtomicBool::new(false),
        }
    }

    pub(super) const fn probe(&self) -> &Arc<Probe> {
        &self.probe
    }

    pub(super) const fn heart(&self) -> Option<&Arc<Heart>> {
        match &self.kept {
            Kept::Heart(heart) => Some(heart),
            Kept::Nothing | Kept::Counters(_) => None,
        }
    }

    pub(super) async fn look(&self, clock: &Clock) -> Observation {
        let _turn = self.turn.lock().await;
        let look = self
            .look
            .get_or_init(|| probe::build(&self.probe, &self.means, &self.kept));
        look.look(clock.now()).await
    }

    pub(super) fn record(&self, metrics: &Metrics, outcome: Outcome, seconds: f64) {
        if !self.is_retired() {
            self.gauges.record(metrics, outcome, seconds);
        }
    }

    /// The probe is gone: a look that still goes on leaves no trace.
    pub(super) fn retire(&self, metrics: &Metrics) {
        self.retired.store(true, Ordering::SeqCst);
        self.gauges.remove(metrics);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }
}
