//! The metrics of one probe. The handles are kept, so that a look costs three atomic writes.

use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::domain::id::ProbeId;
use crate::domain::sample::Outcome;
use crate::telemetry::metrics::{Fraction, Metrics, OutcomeLabels, ProbeLabels};

const OUTCOMES: [Outcome; 3] = [Outcome::Good, Outcome::Bad, Outcome::Void];

/// Handles to the metrics of one probe.
pub(super) struct Gauges {
    labels: ProbeLabels,
    outcomes: [Counter; 3],
    last: Mutex<Last>,
}

enum Last {
    /// Nothing is known, so there is no `probe_success`: neither before the first look nor after a void
    /// one. A 0 there would page about the target for our own blindness.
    Unknown,
    Known(Gauge, Fraction),
    /// The probe is gone; nothing is written any more.
    Removed,
}

// === impl Gauges ===

impl Gauges {
    pub(super) fn new(id: &ProbeId, metrics: &Metrics) -> Self {
        let labels = ProbeLabels {
            tenant: id.tenant.to_string(),
            probe: id.probe.to_string(),
        };
        let counter = |outcome| metrics.probes.get_or_create_owned(&of(&labels, outcome));
        Self {
            outcomes: OUTCOMES.map(counter),
            labels,
            last: Mutex::new(Last::Unknown),
        }
    }

    pub(super) fn record(&self, metrics: &Metrics, outcome: Outcome, seconds: f64) {
        let [good, bad, void] = &self.outcomes;
        let (counter, success) = match outcome {
            Outcome::Good => (good, Some(1)),
            Outcome::Bad => (bad, Some(0)),
            Outcome::Void => (void, None),
        };
        counter.inc();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*last, success) {
            (Last::Removed, _) | (Last::Unknown, None) => {}
            (Last::Known(gauge, duration), Some(success)) => {
                gauge.set(success);
                duration.set(seconds);
            }
            (Last::Unknown, Some(success)) => {
                let gauge = metrics.probe_success.get_or_create_owned(&self.labels);
                let duration = metrics.probe_duration.get_or_create_owned(&self.labels);
                gauge.set(success);
                duration.set(seconds);
                *last = Last::Known(gauge, duration);
            }
            (Last::Known(..), None) => {
                self.forget(metrics);
                *last = Last::Unknown;
            }
        }
    }

    pub(super) fn remove(&self, metrics: &Metrics) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last::Removed;
        self.forget(metrics);
        for outcome in OUTCOMES {
            metrics.probes.remove(&of(&self.labels, outcome));
        }
    }

    fn forget(&self, metrics: &Metrics) {
        metrics.probe_success.remove(&self.labels);
        metrics.probe_duration.remove(&self.labels);
    }
}

fn of(labels: &ProbeLabels, outcome: Outcome) -> OutcomeLabels {
    OutcomeLabels {
        tenant: labels.tenant.clone(),
        probe: labels.probe.clone(),
        outcome: outcome.as_str().to_owned(),
    }
}
