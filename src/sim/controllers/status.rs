//! A Deployment's status: counts, and the conditions that say how its rollout goes.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::desired::{Desired, Set, Sets};
use crate::sim::api::{DEPLOYMENTS, Refusal, Scope, Store};
use crate::sim::object::{as_map, list, map_value, number, text, time, written};

const AVAILABLE_REASON: &str = "NewReplicaSetAvailable";
const TIMED_OUT_REASON: &str = "ProgressDeadlineExceeded";

/// A condition to be set.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    pub(super) fn progressing(status: &'static str, reason: &'static str, message: String) -> Self {
        Self {
            kind: "Progressing",
            status,
            reason,
            message,
        }
    }
}

/// Sets a condition unless one of the same status and reason is there.
pub(super) fn set(status: &mut Value, condition: &Condition, now: Timestamp) {
    let current = find(status, condition.kind);
    let has_status = current.is_some_and(|current| text(current, "/status") == condition.status);
    if has_status && current.is_some_and(|current| text(current, "/reason") == condition.reason) {
        return;
    }
    replace(status, condition, now);
}

/// Sets a condition; the time of transition stays if its status does.
fn replace(status: &mut Value, condition: &Condition, now: Timestamp) {
    let since = find(status, condition.kind)
        .filter(|current| text(current, "/status") == condition.status)
        .map(|current| text(current, "/lastTransitionTime").to_owned());
    let Condition {
        kind,
        status: value,
        reason,
        message,
    } = condition;
    remove(status, kind);
    let entry = json!({
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastUpdateTime": written(now),
        "lastTransitionTime": since.unwrap_or_else(|| written(now)),
    });
    let conditions = as_map(status)
        .entry("conditions")
        .or_insert_with(|| json!([]));
    if let Value::Array(conditions) = conditions {
        conditions.push(entry);
    }
}

fn remove(status: &mut Value, kind: &str) {
    if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| text(condition, "/type") != kind);
    }
}

fn find<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == kind)
}

/// Says on a Deployment with a deadline that it was paused or resumed, so that the pause does not
/// count as lack of progress.
pub(super) fn note_pause(store: &Store, desired: &mut Desired) -> Result<(), Refusal> {
    let status = &desired.object["status"];
    let reason = find(status, "Progressing").map_or("", |condition| text(condition, "/reason"));
    if desired.deadline_seconds.is_none() || reason == TIMED_OUT_REASON {
        return Ok(());
    }
    let noted = match (desired.is_paused, reason == "DeploymentPaused") {
        (true, false) => ("DeploymentPaused", "Deployment is paused"),
        (false, true) => ("DeploymentResumed", "Deployment is resumed"),
        (true, true) | (false, false) => return Ok(()),
    };
    let condition = Condition::progressing("Unknown", noted.0, noted.1.to_owned());
    let now = store.now();
    let object = store.write_back(&DEPLOYMENTS, &desired.object, Scope::Status, |object| {
        set(map_value(object, "status"), &condition, now);
    })?;
    desired.object = object;
    Ok(())
}

/// Whether progress is judged: not while paused or merely scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Judged,
    Ignored,
}

/// Writes the status, if it says something new.
pub(super) fn write(
    store: &Store,
    desired: &Desired,
    sets: &Sets,
    progress: Progress,
) -> Result<(), Refusal> {
    let now = store.now();
    let before = &desired.object["status"];
    let mut status = counted(desired, sets, now);
    if progress == Progress::Judged {
        judge(desired, sets, before, &mut status, now);
    }
    if status == *before {
        return Ok(());
    }
    store.write_back(&DEPLOYMENTS, &desired.object, Scope::Status, |object| {
        object["status"] = status;
    })?;
    Ok(())
}

fn counted(desired: &Desired, sets: &Sets, now: Timestamp) -> Value {
    let available = sets.available();
    let counts = [
        ("replicas", sets.all().map(Set::actual).sum()),
        (
            "updatedReplicas",
            sets.current.as_ref().map_or(0, Set::actual),
        ),
        ("readyReplicas", sets.all().map(Set::ready).sum()),
        ("availableReplicas", available),
        ("unavailableReplicas", (sets.replicas() - available).max(0)),
    ];
    let mut status = json!({
        "observedGeneration": number(&desired.object, "/metadata/generation"),
    });
    for (key, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        status[key] = count.into();
    }
    if let Some(conditions) = desired.object.pointer("/status/conditions") {
        status["conditions"] = conditions.clone();
    }
    let enough = available >= desired.replicas - desired.max_unavailable();
    let (value, reason, message) = if enough {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    let condition = Condition {
        kind: "Available",
        status: value,
        reason,
        message: message.to_owned(),
    };
    set(&mut status, &condition, now);
    status
}

/// Sets the Progressing condition: done, moving, or stuck for too long.
fn judge(desired: &Desired, sets: &Sets, before: &Value, status: &mut Value, now: Timestamp) {
    let Some(deadline) = desired.deadline_seconds else {
        remove(status, "Progressing");
        return;
    };
    let current = find(before, "Progressing");
    let reason = current.map_or("", |condition| text(condition, "/reason"));
    let is_settled = number(status, "/replicas") == number(status, "/updatedReplicas");
    if is_settled && reason == AVAILABLE_REASON {
        return;
    }
    let subject = match &sets.current {
        Some(set) => format!("ReplicaSet \"{}\"", set.name()),
        None => format!("Deployment \"{}\"", desired.name()),
    };
    if is_complete(desired, status) {
        let message = format!("{subject} has successfully progressed.");
        set(
            status,
            &Condition::progressing("True", AVAILABLE_REASON, message),
            now,
        );
    } else if has_moved(before, status) {
        let message = format!("{subject} is progressing.");
        replace(
            status,
            &Condition::progressing("True", "ReplicaSetUpdated", message),
            now,
        );
    } else if is_timed_out(current, deadline, now) {
        let message = format!("{subject} has timed out progressing.");
        set(
            status,
            &Condition::progressing("False", TIMED_OUT_REASON, message),
            now,
        );
    }
}

/// Whether every pod is of the current template, available, and none is left over.
pub(super) fn is_complete(desired: &Desired, status: &Value) -> bool {
    ["/updatedReplicas", "/replicas", "/availableReplicas"]
        .iter()
        .all(|pointer| number(status, pointer) == desired.replicas)
        && number(status, "/observedGeneration") >= number(&desired.object, "/metadata/generation")
}

fn has_moved(before: &Value, after: &Value) -> bool {
    let old = |status| number(status, "/replicas") - number(status, "/updatedReplicas");
    let grew = |pointer| number(after, pointer) > number(before, pointer);
    grew("/updatedReplicas")
        || old(after) < old(before)
        || grew("/readyReplicas")
        || grew("/availableReplicas")
}

fn is_timed_out(current: Option<&Value>, deadline_seconds: i64, now: Timestamp) -> bool {
    let Some(current) = current else { return false };
    match text(current, "/reason") {
        // Done, and the next rollout has not begun to move: its deadline has not begun either.
        AVAILABLE_REASON => return false,
        TIMED_OUT_REASON => return true,
        _ => {}
    }
    time(current, "/lastUpdateTime")
        .is_some_and(|since| since + SignedDuration::from_secs(deadline_seconds) < now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn the_time_of_transition_stays_while_the_status_does() {
        let mut status = json!({});
        let first = Condition::progressing("True", "ReplicaSetUpdated", String::new());
        replace(&mut status, &first, NOW);
        let later = NOW + SignedDuration::from_secs(5);
        replace(&mut status, &first, later);
        let condition = find(&status, "Progressing").unwrap();
        assert_eq!(condition["lastTransitionTime"], "1970-01-01T00:00:00Z");
        assert_eq!(condition["lastUpdateTime"], "1970-01-01T00:00:05Z");
        assert_eq!(list(&status, "/conditions").len(), 1);
    }

    #[test]
    fn a_deadline_counts_from_the_last_progress() {
        let stuck =
            json!({"reason": "ReplicaSetUpdated", "lastUpdateTime": "1970-01-01T00:00:00Z"});
        let at = |seconds| NOW + SignedDuration::from_secs(seconds);
        assert!(!is_timed_out(Some(&stuck), 10, at(10)));
        assert!(is_timed_out(Some(&stuck), 10, at(11)));
        let done = json!({"reason": AVAILABLE_REASON, "lastUpdateTime": "1970-01-01T00:00:00Z"});
        assert!(!is_timed_out(Some(&done), 10, at(1000)));
    }
}
