//! A Deployment and its ReplicaSets, read once for a round.

use std::sync::Arc;

use serde_json::Value;

use super::template;
use crate::sim::api::{REPLICA_SETS, Store};
use crate::sim::object::{
    annotation, controller_uid, is_terminating, is_true, name, namespace, number, number_or, text,
    uid,
};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// What a Deployment asks for.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    pub(super) object: Arc<Value>,
    pub(super) replicas: i64,
    pub(super) is_rolling: bool,
    pub(super) is_paused: bool,
    max_surge: i64,
    max_unavailable: i64,
    /// Old sets to keep; absent means all of them.
    pub(super) history_limit: Option<i64>,
    /// Seconds without progress before a rollout has failed; absent means never.
    pub(super) deadline_seconds: Option<i64>,
}

/// A ReplicaSet of a Deployment.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) object: Arc<Value>,
}

/// The sets of a Deployment: the one of its template, and the others.
#[derive(Debug, Clone)]
pub(super) struct Sets {
    pub(super) current: Option<Set>,
    pub(super) old: Vec<Set>,
}

impl Desired {
    pub(super) fn read(object: &Arc<Value>) -> Self {
        /// What Kubernetes stores for "no limit".
        const NO_LIMIT: i64 = 2_147_483_647;
        let limit = |pointer| {
            let limit = object.pointer(pointer)?.as_i64()?;
            (limit != NO_LIMIT).then_some(limit)
        };
        let replicas = number_or(object, "/spec/replicas", 1);
        let is_rolling = text(object, "/spec/strategy/type") != "Recreate";
        let share = |key: &str, round| {
            let pointer = format!("/spec/strategy/rollingUpdate/{key}");
            scaled(object.pointer(&pointer), replicas, round)
        };
        let (mut max_surge, mut max_unavailable) = (0, 0);
        if is_rolling {
            max_surge = share("maxSurge", Round::Up);
            max_unavailable = share("maxUnavailable", Round::Down);
            if max_surge == 0 && max_unavailable == 0 {
                // Both round to nothing: the rollout must be able to move all the same.
                max_unavailable = 1;
            }
        }
        Self {
            object: Arc::clone(object),
            replicas,
            is_rolling,
            is_paused: is_true(object, "/spec/paused"),
            max_surge,
            max_unavailable,
            history_limit: limit("/spec/revisionHistoryLimit"),
            deadline_seconds: limit("/spec/progressDeadlineSeconds"),
        }
    }

    pub(super) fn name(&self) -> &str {
        name(&self.object)
    }

    pub(super) fn max_unavailable(&self) -> i64 {
        self.max_unavailable.min(self.replicas)
    }

    /// The most pods there may be during a rollout.
    pub(super) fn max_replicas(&self) -> i64 {
        self.replicas + self.max_surge
    }

    pub(super) fn template(&self) -> &Value {
        &self.object["spec"]["template"]
    }

    /// The Deployment's sets as they are now.
    pub(super) fn sets(&self, store: &Store) -> Sets {
        let (objects, _) = store.list(&REPLICA_SETS, namespace(&self.object));
        let mut sets: Vec<Set> = objects
            .into_iter()
            .filter(|set| controller_uid(set) == Some(uid(&self.object)))
            .map(|object| Set { object })
            .collect();
        // The oldest set with the template is the one, so that every reader picks the same.
        sets.sort_by(|one, other| one.age_key().cmp(&other.age_key()));
        let place = sets
            .iter()
            .position(|set| template::are_equal(set.template(), self.template()));
        let current = place.map(|place| sets.remove(place));
        Sets { current, old: sets }
    }
}

impl Sets {
    pub(super) fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.current)
    }

    pub(super) fn active_old(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().filter(|set| set.replicas() > 0)
    }

    pub(super) fn replicas(&self) -> i64 {
        self.all().map(Set::replicas).sum()
    }

    pub(super) fn available(&self) -> i64 {
        self.all().map(Set::available).sum()
    }
}

impl Set {
    pub(super) fn name(&self) -> &str {
        name(&self.object)
    }

    /// Oldest first; the name breaks ties within a second, as in the real controller.
    pub(super) fn age_key(&self) -> (&str, &str) {
        (
            text(&self.object, "/metadata/creationTimestamp"),
            name(&self.object),
        )
    }

    pub(super) fn template(&self) -> &Value {
        &self.object["spec"]["template"]
    }

    pub(super) fn replicas(&self) -> i64 {
        number(&self.object, "/spec/replicas")
    }

    pub(super) fn available(&self) -> i64 {
        number(&self.object, "/status/availableReplicas")
    }

    pub(super) fn ready(&self) -> i64 {
        number(&self.object, "/status/readyReplicas")
    }

    pub(super) fn actual(&self) -> i64 {
        number(&self.object, "/status/replicas")
    }

    /// The revision number; absent if it cannot be read, zero if there is none.
    pub(super) fn revision(&self) -> Option<i64> {
        match annotation(&self.object, REVISION) {
            None | Some("") => Some(0),
            Some(revision) => revision.parse().ok(),
        }
    }

    pub(super) fn annotated(&self, key: &str) -> Option<i64> {
        annotation(&self.object, key)?.parse().ok()
    }

    /// Whether the set has settled at nothing, so that it may be cleaned up.
    pub(super) fn is_spent(&self) -> bool {
        let observed = number(&self.object, "/status/observedGeneration");
        self.replicas() == 0
            && self.actual() == 0
            && number(&self.object, "/metadata/generation") <= observed
            && !is_terminating(&self.object)
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A count, or a percentage of the replicas.
fn scaled(value: Option<&Value>, replicas: i64, round: Round) -> i64 {
    match value {
        Some(Value::Number(count)) => count.as_i64().unwrap_or_default(),
        Some(Value::String(percentage)) => {
            let percent: i64 = percentage.trim_end_matches('%').parse().unwrap_or_default();
            match round {
                Round::Up => (percent * replicas + 99) / 100,
                Round::Down => percent * replicas / 100,
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(replicas: i64, surge: Value, unavailable: Value, expected: (i64, i64)) {
        let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": rolling});
        let object = Arc::new(json!({"spec": {"replicas": replicas, "strategy": strategy}}));
        let desired = Desired::read(&object);
        let surge = desired.max_replicas() - replicas;
        assert_eq!((surge, desired.max_unavailable()), expected);
    }

    #[test]
    fn surge_rounds_up_and_unavailability_down() {
        check(4, json!("25%"), json!("25%"), (1, 1));
        check(3, json!("25%"), json!("25%"), (1, 0));
        check(10, json!("25%"), json!("25%"), (3, 2));
        check(3, json!(2), json!(0), (2, 0));
    }

    #[test]
    fn a_rollout_can_always_move() {
        check(3, json!(0), json!("10%"), (0, 1));
        check(0, json!("25%"), json!("25%"), (0, 0));
    }
}
