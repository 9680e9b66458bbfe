//! How many pods each set may have: the rolling update, recreate, and scaling in proportion.

use serde_json::Value;

use super::desired::{DESIRED_REPLICAS, Desired, MAX_REPLICAS, Set, Sets};
use crate::sim::api::{REPLICA_SETS, Refusal, Scope, Store};
use crate::sim::object::set_annotation;

/// Whether a step changed the size of a set; if so, the status is written before the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Yes,
    No,
}

impl From<bool> for Moved {
    fn from(moved: bool) -> Self {
        if moved { Self::Yes } else { Self::No }
    }
}

/// Writes on a set how large its Deployment was meant to be when the set was last scaled.
pub(super) fn annotate(desired: &Desired, set: &mut Value) {
    set_annotation(set, DESIRED_REPLICAS, &desired.replicas.to_string());
    set_annotation(set, MAX_REPLICAS, &desired.max_replicas().to_string());
}

fn resize(store: &Store, desired: &Desired, set: &Set, size: i64) -> Result<Moved, Refusal> {
    store.write_back(&REPLICA_SETS, &set.object, Scope::Object, |object| {
        object["spec"]["replicas"] = size.into();
        annotate(desired, object);
    })?;
    Ok(Moved::from(set.replicas() != size))
}

/// The size of the current set: as large as the surge permits.
pub(super) fn newest_replicas(desired: &Desired, sets: &Sets) -> i64 {
    if !desired.is_rolling {
        return desired.replicas;
    }
    let own = sets.current.as_ref().map_or(0, Set::replicas);
    let room = desired.max_replicas() - sets.replicas();
    if room <= 0 {
        return own;
    }
    own + room.min(desired.replicas - own)
}

/// Scales the current set towards its size, down at once or up as far as the surge permits.
pub(super) fn move_current(
    store: &Store,
    desired: &Desired,
    sets: &Sets,
) -> Result<Moved, Refusal> {
    let Some(current) = &sets.current else {
        return Ok(Moved::No);
    };
    let size = if current.replicas() > desired.replicas {
        desired.replicas
    } else {
        newest_replicas(desired, sets)
    };
    if current.replicas() == size {
        Ok(Moved::No)
    } else {
        resize(store, desired, current, size)
    }
}

/// Scales old sets down: first what is unhealthy anyway, then what availability permits.
pub(super) fn shrink_old(store: &Store, desired: &Desired, sets: &Sets) -> Result<Moved, Refusal> {
    if sets.active_old().next().is_none() {
        return Ok(Moved::No);
    }
    let available_min = desired.replicas - desired.max_unavailable();
    let current_unavailable = sets
        .current
        .as_ref()
        .map_or(0, |current| current.replicas() - current.available());
    let removable = sets.replicas() - available_min - current_unavailable;
    if removable <= 0 {
        return Ok(Moved::No);
    }
    let mut old: Vec<&Set> = sets.active_old().collect();
    old.sort_by_key(|set| set.age_key());
    let mut sizes: Vec<i64> = old.iter().map(|set| set.replicas()).collect();
    let mut left = removable;
    for (size, set) in sizes.iter_mut().zip(&old) {
        let unhealthy = (set.replicas() - set.available()).clamp(0, left);
        *size -= unhealthy;
        left -= unhealthy;
    }
    let mut surplus = (sets.available() - available_min).max(0);
    for size in &mut sizes {
        let less = surplus.min(*size);
        *size -= less;
        surplus -= less;
    }
    let mut moved = Moved::No;
    for (set, size) in old.into_iter().zip(sizes) {
        if set.replicas() != size && resize(store, desired, set, size)? == Moved::Yes {
            moved = Moved::Yes;
        }
    }
    Ok(moved)
}

/// Scales every old set to nothing.
pub(super) fn empty_old(store: &Store, desired: &Desired, sets: &Sets) -> Result<Moved, Refusal> {
    let mut moved = Moved::No;
    for set in sets.active_old() {
        moved = resize(store, desired, set, 0)?;
    }
    Ok(moved)
}

/// Whether the Deployment's size changed since its sets were last scaled.
pub(super) fn is_scaling(desired: &Desired, sets: &Sets) -> bool {
    let mut active = sets.all().filter(|set| set.replicas() > 0);
    active.any(|set| {
        set.annotated(DESIRED_REPLICAS)
            .is_some_and(|was| was != desired.replicas)
    })
}

/// Follows a change of size without moving the rollout itself.
pub(super) fn follow(store: &Store, desired: &Desired, sets: &Sets) -> Result<(), Refusal> {
    let active: Vec<&Set> = sets.all().filter(|set| set.replicas() > 0).collect();
    let alone = match active.as_slice() {
        [] => sets
            .current
            .as_ref()
            .or_else(|| sets.old.iter().max_by_key(|set| set.age_key())),
        [alone] => Some(*alone),
        _ => None,
    };
    if let Some(alone) = alone {
        resize(store, desired, alone, desired.replicas)?;
        return Ok(());
    }
    if sets
        .current
        .as_ref()
        .is_some_and(|current| is_saturated(desired, current))
    {
        for set in sets.active_old() {
            resize(store, desired, set, 0)?;
        }
        return Ok(());
    }
    if desired.is_rolling {
        share_out(store, desired, active)
    } else {
        Ok(())
    }
}

fn is_saturated(desired: &Desired, set: &Set) -> bool {
    set.annotated(DESIRED_REPLICAS) == Some(desired.replicas)
        && set.replicas() == desired.replicas
        && set.available() == desired.replicas
}

/// Gives or takes pods from several sets in proportion to their sizes.
fn share_out(store: &Store, desired: &Desired, mut active: Vec<&Set>) -> Result<(), Refusal> {
    let present: i64 = active.iter().map(|set| set.replicas()).sum();
    let allowed = if desired.replicas > 0 {
        desired.max_replicas()
    } else {
        0
    };
    let change = allowed - present;
    // The largest set first; of equals the newer one grows and the older one shrinks.
    active.sort_by(|one, other| {
        let by_size = other.replicas().cmp(&one.replicas());
        let by_age = one.age_key().cmp(&other.age_key());
        by_size.then(if change > 0 { by_age.reverse() } else { by_age })
    });
    let mut left = change;
    let mut sizes = Vec::with_capacity(active.len());
    for set in &active {
        let share = share(desired, set);
        let taken = if change > 0 {
            share.clamp(0, left)
        } else {
            share.clamp(left, 0)
        };
        left -= taken;
        sizes.push(set.replicas() + taken);
    }
    for (index, (set, size)) in active.into_iter().zip(sizes).enumerate() {
        let leftover = if index == 0 { left } else { 0 };
        resize(store, desired, set, (size + leftover).max(0))?;
    }
    Ok(())
}

/// What a set should gain or lose, rounded to the nearest whole pod.
fn share(desired: &Desired, set: &Set) -> i64 {
    let own = set.replicas();
    if desired.replicas == 0 {
        return -own;
    }
    let was = set
        .annotated(MAX_REPLICAS)
        .unwrap_or_else(|| crate::sim::object::number(&desired.object, "/status/replicas"));
    if was <= 0 {
        return 0;
    }
    (own * desired.max_replicas() * 2 + was) / (was * 2) - own
}
