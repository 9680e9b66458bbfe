//! The controllers that make Deployments move: one for Deployments, one for ReplicaSets.
//!
//! They follow Kubernetes' own (`pkg/controller/deployment`, `pkg/controller/replicaset`) step by
//! step, but read the store itself instead of a cache, so they need none of the real ones'
//! expectations and back-off. A round looks at what a change concerns, or at everything when time has
//! passed. A refused write ends the work on that object until the next round.
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

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::api::{Change, DEPLOYMENTS, Key, PODS, REPLICA_SETS, Store};
use super::object::controller_name;

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
    let mut seen = 0;
    loop {
        newest.mark_unchanged();
        settle(&store, &mut seen);
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            // Deadlines pass without a change: everything is looked at.
            _ = ticks.tick() => round(&store, &everything(&store)),
        }
    }
}

/// Looks at what changed until nothing changes any more.
fn settle(store: &Store, seen: &mut u64) {
    for _ in 0..ROUNDS_MAX {
        let touched = match store.changes_after(*seen) {
            Ok((changes, version)) => {
                *seen = version;
                changes
                    .iter()
                    .flat_map(|change| owners(store, change))
                    .collect()
            }
            Err(_) => {
                *seen = *store.newest().borrow();
                everything(store)
            }
        };
        if touched.is_empty() {
            return;
        }
        round(store, &touched);
    }
    tracing::debug!("the simulated controllers did not settle and go on in their next round");
}

/// The Deployments and ReplicaSets that a change concerns; one that does not exist does no harm.
fn owners(store: &Store, change: &Change) -> Vec<Key> {
    let Change { key, object, .. } = change;
    let controller = |object: &Value, resource| {
        controller_name(object).map(|name| Key::new(resource, &key.namespace, name))
    };
    let concerned = if key.resource == &DEPLOYMENTS {
        [Some(key.clone()), None]
    } else if key.resource == &REPLICA_SETS {
        [Some(key.clone()), controller(object, &DEPLOYMENTS)]
    } else if key.resource == &PODS {
        let set = controller(object, &REPLICA_SETS);
        let of_set = set.as_ref().and_then(|set| store.get(set));
        [set, of_set.and_then(|set| controller(&set, &DEPLOYMENTS))]
    } else {
        [None, None]
    };
    concerned.into_iter().flatten().collect()
}

fn everything(store: &Store) -> BTreeSet<Key> {
    let keys = |resource| {
        let (objects, _) = store.list(resource, "");
        objects
            .into_iter()
            .map(move |object| Key::of(resource, &object))
    };
    keys(&DEPLOYMENTS).chain(keys(&REPLICA_SETS)).collect()
}

/// One look at each; Deployments come first, so that their sets act on what they just became.
fn round(store: &Store, touched: &BTreeSet<Key>) {
    for key in touched {
        let Some(object) = store.get(key) else {
            continue;
        };
        let looked = if key.resource == &DEPLOYMENTS {
            deployment::sync(store, &object)
        } else {
            replica_set::sync(store, &object)
        };
        if let Err(refusal) = looked {
            tracing::debug!(%refusal, "an object is left for the next round");
        }
    }
}
