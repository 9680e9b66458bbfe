//! Says what was committed: counts it in the metrics, and tells in the log what an operator would want
//! to have told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{info, warn};

use crate::domain::alert::{AlertState, Transition};
use crate::domain::change::Change;
use crate::domain::decision::{Decision, Verdict};
use crate::domain::fact::{Fact, What};
use crate::domain::rollback::Rollback;
use crate::domain::rollout::RolloutId;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics::{
    Metrics, ReasonLabels, RolloutLabels, StateLabels, ViolationLabels,
};

/// Rollouts whose begin is remembered, to say how long they took.
const ROLLOUTS_MAX: usize = 4096;

/// Counts and narrates.
pub struct Narrator {
    metrics: Arc<Metrics>,
    began: Mutex<HashMap<RolloutId, Timestamp>>,
}

// === impl Narrator ===

impl Narrator {
    /// A narrator that counts in these metrics.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            began: Mutex::default(),
        }
    }

    /// Takes what was committed.
    pub fn committed(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Transition(transition) => self.transition(transition),
                Change::Fact(fact) => self.fact(fact),
                Change::Decision(decision) => self.decision(decision),
                Change::Rollback(rollback) => self.rollback(rollback),
                _ => {}
            }
        }
    }

    fn transition(&self, transition: &Transition) {
        let Transition {
            key, to, severity, ..
        } = transition;
        let labels = StateLabels {
            state: to.as_str().to_owned(),
        };
        self.metrics
            .alert_transitions
            .get_or_create_owned(&labels)
            .inc();
        let summary = transition
            .annotations
            .get("summary")
            .map_or("", String::as_str);
        match to {
            AlertState::Firing => {
                if transition.from != AlertState::Firing {
                    let labels = ViolationLabels {
                        tenant: key.tenant.to_string(),
                        objective: key.objective.to_string(),
                        severity: severity.to_string(),
                    };
                    self.metrics
                        .sla_violations
                        .get_or_create_owned(&labels)
                        .inc();
                }
                warn!(alert = %key, %severity, "{key} fires ({severity}): {summary}");
            }
            AlertState::Resolved => info!(alert = %key, "{key} is resolved: {summary}"),
            AlertState::Inactive | AlertState::Pending => {
                tracing::debug!(alert = %key, "{key} is {}", to.as_str());
            }
        }
    }

    fn fact(&self, fact: &Fact) {
        let target = &fact.target;
        let count = |outcome: &str| {
            let labels = RolloutLabels {
                namespace: target.namespace().to_owned(),
                workload: target.name().to_owned(),
                outcome: outcome.to_owned(),
            };
            self.metrics.rollouts.get_or_create_owned(&labels).inc();
        };
        match &fact.what {
            What::Began(rollout) if !rollout.first_sight => {
                count("began");
                let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
                if began.len() < ROLLOUTS_MAX {
                    began.insert(rollout.id.clone(), rollout.began);
                }
                info!(workload = %target, "a rollout of {target} began");
            }
            What::Done(id) => {
                let began = self
                    .began
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(id);
                if let Some(began) = began {
                    count("done");
                    self.metrics
                        .rollout_duration
                        .observe(fact.at.since(began).as_secs_f64());
                    info!(workload = %target, "the rollout of {target} is done");
                }
            }
            What::Failed(_) => {
                count("failed");
                warn!(workload = %target, "the rollout of {target} did not get ready in time");
            }
            What::Proven { template, by } => {
                let who = by.as_deref().unwrap_or("its bake");
                info!(workload = %target, "{} of {target} is proven by {who}", template.0.short());
            }
            What::Quarantined { template, .. } => {
                warn!(workload = %target, "{} of {target} is quarantined", template.0.short());
            }
            What::Began(_)
            | What::FirstSeen { .. }
            | What::Baked { .. }
            | What::Blamed { .. }
            | What::Released { .. } => {}
        }
    }

    fn decision(&self, decision: &Decision) {
        let Decision {
            workload, reason, ..
        } = decision;
        match &decision.verdict {
            Verdict::Hold(hold) => {
                let labels = ReasonLabels {
                    reason: hold.as_str().to_owned(),
                };
                self.metrics.holds.get_or_create_owned(&labels).inc();
                info!(%workload, hold = hold.as_str(), "{workload} is not rolled back: {reason}");
            }
            Verdict::RollBack { rollback, .. } => {
                warn!(%workload, %rollback, "{workload} is rolled back: {reason}");
            }
        }
    }

    fn rollback(&self, rollback: &Rollback) {
        let Rollback { workload, id, .. } = rollback;
        let stage = rollback.stage.as_str();
        let last = rollback.steps.last().map_or("", |step| step.what.as_str());
        info!(%workload, rollback = %id, stage, "rollback of {workload}: {stage}: {last}");
    }
}
