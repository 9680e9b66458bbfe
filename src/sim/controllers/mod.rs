//! The controllers that make Deployments move: one for Deployments, one for ReplicaSets.
//!
//! They follow Kubernetes' own (`pkg/controller/deployment`, `pkg/controller/replicaset`) step by
//! step, but read the store itself instead of a cache, so they need none of the real ones'
//! expectations and back-off. A round looks at everything; a change of the store or the passing of
//! time starts the next one. A refused write ends the work on that object until the next round.
//!
//! Absent: adoption of orphans, hash collisions, Events, and controllers for StatefulSets,
//! DaemonSets and Services.

mod deployment;
mod desired;
mod replica_set;
mod revision;
mod scale;
mod status;
mod template;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::api::{DEPLOYMENTS, REPLICA_SETS, Store};

/// How often time alone starts a round: deadlines are in whole seconds.
const ROUND_EVERY: Duration = Duration::from_millis(250);
/// Rounds made at once while each changes something; a rollout of a hundred pods needs fewer.
const ROUNDS_MAX: usize = 200;

/// The running controllers; they stop when dropped.
pub struct Controllers {
    _running: JoinSet<()>,
}

impl Controllers {
    /// Starts both controllers over a store.
    pub fn start(store: Arc<Store>) -> Self {
        let mut running = JoinSet::new();
        running.spawn(run(store));
        Self { _running: running }
    }
}

async fn run(store: Arc<Store>) {
    let mut newest = store.newest();
    let mut ticks = tokio::time::interval(ROUND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        newest.mark_unchanged();
        settle(&store);
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
        }
    }
}

/// Makes rounds until one changes nothing.
fn settle(store: &Store) {
    let version = || *store.newest().borrow();
    for _ in 0..ROUNDS_MAX {
        let before = version();
        round(store);
        if version() == before {
            return;
        }
    }
    tracing::debug!("the simulated controllers did not settle and go on in their next round");
}

fn round(store: &Store) {
    for deployment in store.list(&DEPLOYMENTS, "").0 {
        if let Err(refusal) = deployment::sync(store, &deployment) {
            tracing::debug!(%refusal, "a deployment is left for the next round");
        }
    }
    for set in store.list(&REPLICA_SETS, "").0 {
        if let Err(refusal) = replica_set::sync(store, &set) {
            tracing::debug!(%refusal, "a replica set is left for the next round");
        }
    }
}
