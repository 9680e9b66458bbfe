//! One look at one Deployment.

use std::sync::Arc;

use serde_json::Value;

use super::desired::{Desired, Set, Sets};
use super::revision::{self, Missing};
use super::scale::{self, Moved};
use super::status::{self, Progress};
use crate::sim::api::{PODS, Refusal, Store};
use crate::sim::object::{controller_uid, is_terminating, namespace, text, uid};

/// Takes one step towards what the Deployment asks for, and writes its status.
pub(super) fn sync(store: &Store, deployment: &Arc<Value>) -> Result<(), Refusal> {
    if is_terminating(deployment) {
        return Ok(());
    }
    let mut desired = Desired::read(deployment);
    status::note_pause(store, &mut desired)?;
    if desired.is_paused {
        return scaled(store, &mut desired);
    }
    let sets = desired.sets(store);
    if scale::is_scaling(&desired, &sets) {
        return scaled(store, &mut desired);
    }
    if desired.is_rolling {
        roll(store, &mut desired)
    } else {
        recreate(store, &mut desired)
    }
}

/// A paused or resized Deployment: sizes follow, the template does not.
fn scaled(store: &Store, desired: &mut Desired) -> Result<(), Refusal> {
    let sets = revision::sync(store, desired, Missing::Leave)?;
    scale::follow(store, desired, &sets)?;
    let sets = desired.sets(store);
    if desired.is_paused {
        revision::clean_up(store, desired, &sets)?;
    }
    status::write(store, desired, &desired.sets(store), Progress::Ignored)
}

fn roll(store: &Store, desired: &mut Desired) -> Result<(), Refusal> {
    let sets = revision::sync(store, desired, Missing::Create)?;
    if scale::move_current(store, desired, &sets)? == Moved::No
        && scale::shrink_old(store, desired, &sets)? == Moved::No
    {
        clean_up_when_done(store, desired, &sets)?;
    }
    status::write(store, desired, &desired.sets(store), Progress::Judged)
}

fn recreate(store: &Store, desired: &mut Desired) -> Result<(), Refusal> {
    let sets = revision::sync(store, desired, Missing::Leave)?;
    let emptied = scale::empty_old(store, desired, &sets)?;
    if emptied == Moved::No && !has_old_pods(store, desired, &sets) {
        let sets = revision::sync(store, desired, Missing::Create)?;
        if scale::move_current(store, desired, &sets)? == Moved::No {
            clean_up_when_done(store, desired, &sets)?;
        }
    }
    status::write(store, desired, &desired.sets(store), Progress::Judged)
}

fn clean_up_when_done(store: &Store, desired: &Desired, sets: &Sets) -> Result<(), Refusal> {
    if status::is_complete(desired, &desired.object["status"]) {
        revision::clean_up(store, desired, sets)?;
    }
    Ok(())
}

/// Whether a pod of an older set still runs, also one that is on its way out.
fn has_old_pods(store: &Store, desired: &Desired, sets: &Sets) -> bool {
    let (pods, _) = store.list(&PODS, namespace(&desired.object));
    let is_old = |pod: &Value| {
        let owner = controller_uid(pod);
        sets.old
            .iter()
            .any(|set: &Set| owner == Some(uid(&set.object)))
    };
    let ended = |pod: &Value| ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
    pods.iter().any(|pod| is_old(pod) && !ended(pod))
}
