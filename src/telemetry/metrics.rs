//! The metrics that loops write. Fields of one struct, registered once, passed in; what can be read at
//! scrape time (states, depths, ledgers) is not kept here but collected by the server when it is asked.
//! Labels are tenants, probes, receivers and words from enums: their number is bounded by the
//! configuration, and a probe that is removed is removed here too.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// `tenant`, `probe`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProbeLabels {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub probe: String,
}

/// `tenant`, `probe`, `outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub probe: String,
    /// good, bad or void.
    pub outcome: String,
}

/// `receiver`, `outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeliveryLabels {
    /// Whom.
    pub receiver: String,
    /// delivered, retried, refused, cancelled, given-up.
    pub outcome: String,
}

/// `reason`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// A word from an enum.
    pub reason: String,
}

/// `namespace`, `workload`, `trigger`, `outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RollbackLabels {
    /// Where.
    pub namespace: String,
    /// Which.
    pub workload: String,
    /// What blamed it.
    pub trigger: String,
    /// How it ended.
    pub outcome: String,
}

/// `namespace`, `workload`, `outcome`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RolloutLabels {
    /// Where.
    pub namespace: String,
    /// Which.
    pub workload: String,
    /// began, done, failed.
    pub outcome: String,
}

/// `tenant`, `objective`, `severity`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ViolationLabels {
    /// Whose.
    pub tenant: String,
    /// Which.
    pub objective: String,
    /// How severe.
    pub severity: String,
}

/// `state`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// A word from an enum.
    pub state: String,
}

/// Seconds from 0.5 ms to about 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
}

/// A gauge of fractions.
pub type Fraction = Gauge<f64, AtomicU64>;

macro_rules! metrics {
    ($($(#[doc = $doc:literal])* $field:ident: $type:ty = $name:literal, $make:expr;)*) => {
        /// All metrics that loops write.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        /// Every metric's name as it is scraped: counters end in `_total`.
        #[must_use]
        pub fn names() -> Vec<String> {
            [$(($name, stringify!($type))),*]
                .into_iter()
                .map(|(name, kind)| {
                    let suffix = if kind.contains("Counter") { "_total" } else { "" };
                    format!("{name}{suffix}")
                })
                .collect()
        }

        impl Metrics {
            /// Makes and registers them.
            #[must_use]
            pub fn register(registry: &mut Registry) -> Self {
                let metrics = Self { $($field: $make,)* };
                $(registry.register($name, concat!($($doc),*).trim().trim_end_matches('.'), metrics.$field.clone());)*
                metrics
            }
        }
    };
}

metrics! {
    /// 1 if the probe's last look was good.
    probe_success: Family<ProbeLabels, Gauge> = "probe_success", Family::default();
    /// How long the probe's last look took.
    probe_duration: Family<ProbeLabels, Fraction> = "probe_duration_seconds", Family::default();
    /// How long looks take.
    probe_durations: Histogram = "holdfast_probe_duration_seconds", seconds();
    /// Looks by outcome.
    probes: Family<OutcomeLabels, Counter> = "holdfast_probes", Family::default();
    /// How much later than scheduled looks began.
    probe_start_lag: Histogram = "holdfast_probe_start_lag_seconds", seconds();
    /// Looks that were not made because the one before was still going on, or no slot was free.
    probe_missed_ticks: Counter = "holdfast_probe_missed_ticks", Counter::default();
    /// Alert transitions by the state they led to.
    alert_transitions: Family<StateLabels, Counter> = "holdfast_alert_transitions", Family::default();
    /// Breaches of objectives that began to fire.
    sla_violations: Family<ViolationLabels, Counter> = "holdfast_sla_violations", Family::default();
    /// Rollouts by what became of them.
    rollouts: Family<RolloutLabels, Counter> = "holdfast_rollouts", Family::default();
    /// How long rollouts took from first sight to done.
    rollout_duration: Histogram = "holdfast_rollout_duration_seconds", Histogram::new(exponential_buckets(1.0, 2.0, 12));
    /// Rollbacks by how they ended.
    rollbacks: Family<RollbackLabels, Counter> = "holdfast_rollbacks", Family::default();
    /// How long rollbacks took from request to end.
    rollback_duration: Histogram = "holdfast_rollback_duration_seconds", Histogram::new(exponential_buckets(1.0, 2.0, 12));
    /// Decisions not to roll back, by reason.
    holds: Family<ReasonLabels, Counter> = "holdfast_holds", Family::default();
    /// Deliveries by outcome.
    deliveries: Family<DeliveryLabels, Counter> = "holdfast_deliveries", Family::default();
    /// Deliveries that are due.
    outbox_depth: Gauge = "holdfast_outbox_depth", Gauge::default();
    /// Age of the oldest delivery that is due.
    outbox_oldest_age: Fraction = "holdfast_outbox_oldest_age_seconds", Fraction::default();
    /// From the decision to tell until the receiver took it.
    notification_latency: Histogram = "holdfast_notification_latency_seconds", seconds();
    /// Samples that were lost because the store did not answer for too long; must be 0.
    samples_dropped: Counter = "holdfast_samples_dropped", Counter::default();
    /// From the end of a look until its sample was judged.
    evaluation_lag: Histogram = "holdfast_evaluation_lag_seconds", seconds();
    /// How long commits take.
    store_commit: Histogram = "holdfast_store_commit_seconds", seconds();
    /// 1 if the last reload of the configuration was successful.
    config_last_reload_successful: Gauge = "holdfast_config_last_reload_successful", Gauge::default();
    /// When the configuration in force was taken.
    config_last_reload_success_timestamp: Fraction = "holdfast_config_last_reload_success_timestamp_seconds", Fraction::default();
    /// 1 if this process leads.
    leader: Gauge = "holdfast_leader", Gauge::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_help_text_and_a_base_unit() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.probe_missed_ticks.inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("holdfast_probe_missed_ticks_total 1"),
            "{text}"
        );
        for line in text.lines().filter(|line| line.starts_with("# HELP")) {
            assert!(line.split_whitespace().count() > 3, "{line}");
        }
    }
}
