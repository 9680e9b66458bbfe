//! What happened on the afternoon, noun by noun.

use super::at;
use super::standings::{blamed, broken, images, name, rollout_id, target, template};
use crate::domain::alert::{AlertState, Cause, Evidence, Point, Transition, episode};
use crate::domain::change::Change;
use crate::domain::decision::{self, Candidate, Decision, GuardResult, Hold, Trigger};
use crate::domain::delivery::{
    Attempt, Delivery, DeliveryState, Message, Reason, Status, delivery_id,
};
use crate::domain::id::{AlertKey, DecisionId, Digest, RollbackId};
use crate::domain::objective::Severity;
use crate::domain::rollback::{Rollback, Stage, Step, Term};
use crate::domain::sample::{Reading, Sample, Tally};
use crate::domain::spec::{Mode, WorkloadRef};
use crate::domain::time::Span;
use crate::domain::value::Value;
use std::collections::BTreeMap;
use std::time::Duration;
pub(crate) fn look(series: &str, seconds: i64, good: bool) -> Sample {
    Sample {
        series: series.parse().unwrap(),
        span: Span::at(at(seconds)),
        reading: Reading::Look {
            good,
            latency: Some(Duration::from_millis(12)),
            value: None,
            why: (!good).then(|| "timed out".into()),
        },
    }
}

fn evidence(key: &AlertKey) -> Evidence {
    let ratios = [
        2, 1, 0, 3, 1, 2, 0, 1, 2, 1, 0, 2, 1, 3, 2, 1, 60, 148, 189, 205, 193, 211, 198, 202,
    ];
    let points = ratios
        .iter()
        .zip(0_i64..)
        .map(|(bad, place)| Point {
            at: at(60 + place * 15),
            tally: Tally {
                good: 1000 - bad,
                bad: *bad,
            },
            value: Value::ratio(*bad, 1000),
        })
        .collect();
    Evidence {
        key: key.clone(),
        measure: "error_ratio".to_owned(),
        condition: "above 10%".to_owned(),
        shown: Some("19.8%".to_owned()),
        value: Value::try_new(0.198).ok(),
        over: Duration::from_secs(120),
        window: Span {
            from: at(290),
            to: at(410),
        },
        tally: Tally {
            good: 6416,
            bad: 1584,
        },
        void: 1,
        why: None,
        points,
    }
}

fn transition(key: &AlertKey, began: i64, to: AlertState, seconds: i64) -> Transition {
    let (from, cause) = match to {
        AlertState::Resolved => (AlertState::Firing, Cause::Recovered),
        AlertState::Firing => (AlertState::Pending, Cause::Breach),
        AlertState::Pending | AlertState::Inactive => (AlertState::Inactive, Cause::Breach),
    };
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Transition {
        alert: episode(key, at(began)),
        key: key.clone(),
        at: at(seconds),
        began: at(began),
        from,
        to,
        severity: Severity::Critical,
        cause,
        labels: BTreeMap::from([
            text("alertname", key.objective.as_str()),
            text("severity", "critical"),
        ]),
        annotations: BTreeMap::from([
            text(
                "summary",
                &format!("{} of {} is out of bounds", key.objective, key.tenant),
            ),
            text(
                "description",
                "19.8% of 8000 events in 2m were bad; critical is above 10%",
            ),
            text("runbook_url", "https://runbooks.example/errors"),
        ]),
        evidence: Box::new(evidence(key)),
    }
}

fn guards(hold: Option<Hold>) -> Vec<GuardResult> {
    let guard = |name: &str, result: Result<(), Hold>, detail: &str| GuardResult {
        guard: name.into(),
        result,
        detail: detail.to_owned(),
    };
    let mut list = vec![
        guard("blind", Ok(()), "all eyes are open"),
        guard(
            "too-few-samples",
            Ok(()),
            "8000 events since the rollout began",
        ),
        guard("cooldown", Ok(()), "no rollback in the last 1h"),
        guard("budget-workload", Ok(()), "0 of 2 in 24h"),
    ];
    if let Some(hold) = hold {
        list.push(guard("mode", Err(hold), "the workload's mode is observe"));
    }
    list
}

pub(crate) fn rolled_back() -> Decision {
    let candidate = |number: u8, rejected: Option<&str>| Candidate {
        template: template(number),
        revision: Some(u64::from(number)),
        images: images(number),
        proven: (number < 8).then(|| at(-3600)),
        rejected: rejected.map(ToOwned::to_owned),
    };
    Decision {
        id: DecisionId(Digest::of(&["rolled back"])),
        at: at(415),
        workload: "acme/api".parse().unwrap(),
        target: target(),
        trigger: Trigger::Objective(blamed()),
        petition: None,
        rollout: Some(rollout_id(8)),
        verdict: decision::Verdict::RollBack {
            rollback: rollout_id(8).rollback(),
            to: template(7),
        },
        mode: Mode::Act,
        reason: "19.8% of requests fail since revision 8; revision 7 kept the promise for a day"
            .to_owned(),
        candidates: vec![
            candidate(8, Some("it is the one that is blamed")),
            candidate(7, None),
            candidate(6, Some("revision 7 was proven later")),
        ],
        guards: guards(None),
        evidence: vec![evidence(&blamed())],
    }
}

pub(crate) fn held() -> Decision {
    Decision {
        id: DecisionId(Digest::of(&["held"])),
        at: at(705),
        workload: "globex/web".parse().unwrap(),
        target: WorkloadRef::deployment("globex", "web"),
        trigger: Trigger::Objective(broken()),
        petition: None,
        rollout: None,
        verdict: decision::Verdict::Hold(Hold::ModeObserve),
        mode: Mode::Observe,
        reason: "mode is observe: revision 3 would have been put back".to_owned(),
        candidates: Vec::new(),
        guards: guards(Some(Hold::ModeObserve)),
        evidence: Vec::new(),
    }
}

pub(crate) fn rollback(stage: Stage) -> Rollback {
    let step = |seconds, stage, what: &str| Step {
        at: at(seconds),
        stage,
        what: what.to_owned(),
    };
    Rollback {
        id: rollout_id(8).rollback(),
        attempt: 1,
        decision: rolled_back().id,
        workload: "acme/api".parse().unwrap(),
        target: target(),
        rollout: rollout_id(8),
        to: template(7),
        trigger: Trigger::Objective(blamed()),
        requested: at(415),
        applied: Some(at(416)),
        ended: stage.terminal().then(|| at(610)),
        term: Term(7),
        conflicts: 0,
        stage,
        steps: vec![
            step(415, "requested", "by the decision"),
            step(415, "applying", "patch conditional on version 4702"),
            step(
                416,
                "verifying",
                "the patch was accepted; revision 7 is rolling out",
            ),
            step(430, "verifying", "revision 7 is rolled out"),
            step(610, "succeeded", "0.2% of 11800 events since then were bad"),
        ],
    }
}

pub(crate) fn delivery(thread: Digest, seconds: i64, receiver: &str, summary: &str) -> Delivery {
    let receiver = name(receiver);
    Delivery {
        id: delivery_id(
            &receiver,
            thread,
            Status::Firing,
            u64::try_from(seconds).unwrap(),
        ),
        receiver,
        message: Message {
            status: Status::Firing,
            reason: Reason::Rollback,
            severity: Severity::Critical,
            thread,
            labels: BTreeMap::from([("alertname".to_owned(), "rollback".to_owned())]),
            annotations: BTreeMap::from([("summary".to_owned(), summary.to_owned())]),
            starts_at: at(seconds),
            ends_at: None,
        },
        order: 1,
        created: at(seconds),
        due: at(seconds),
        attempts: 0,
        term: Term(7),
        state: DeliveryState::Due,
    }
}

fn attempt(delivery: &Delivery, number: u32, answer: &str, state: DeliveryState) -> Change {
    Change::Attempt(Attempt {
        delivery: delivery.id,
        number,
        at: delivery.created + Duration::from_secs(u64::from(number)),
        answer: answer.into(),
        state,
        due: delivery.created + Duration::from_secs(60),
    })
}

pub(super) fn changes() -> Vec<Change> {
    let mut changes: Vec<Change> = (0..60)
        .map(|number| Change::Keep(look("globex/api", number * 15, number % 5 != 0)))
        .collect();
    for (key, began, to, seconds) in [
        (blamed(), 306, AlertState::Pending, 320),
        (blamed(), 306, AlertState::Firing, 410),
        (blamed(), 306, AlertState::Resolved, 600),
        (broken(), 640, AlertState::Firing, 700),
    ] {
        changes.push(Change::Transition(transition(&key, began, to, seconds)));
    }
    changes.push(Change::Decision(rolled_back()));
    changes.push(Change::Decision(held()));
    changes.push(Change::Rollback(rollback(Stage::Succeeded)));
    let requested = delivery(
        rolled_back().id.0,
        415,
        "ops",
        "acme/api is rolled back to revision 7",
    );
    let verified = delivery(
        rolled_back().id.0,
        610,
        "ops",
        "acme/api: revision 7 helped",
    );
    let slow = delivery(
        episode(&broken(), at(640)).0,
        700,
        "mail",
        "response-time of globex is out of bounds",
    );
    for delivery in [&requested, &verified, &slow] {
        changes.push(Change::Deliver(delivery.clone()));
    }
    changes.push(attempt(
        &requested,
        1,
        "503 Service Unavailable",
        DeliveryState::Due,
    ));
    changes.push(attempt(&requested, 2, "200 OK", DeliveryState::Delivered));
    changes.push(attempt(&verified, 1, "200 OK", DeliveryState::Delivered));
    changes.push(attempt(
        &slow,
        1,
        "429 Too Many Requests, again in 60s",
        DeliveryState::Due,
    ));
    changes
}

/// The id of the only rollback there is.
pub(crate) fn rollback_id() -> RollbackId {
    rollout_id(8).rollback()
}
