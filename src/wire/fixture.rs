//! One of every noun, for tests of whatever is written and read back. Times are seconds after nine
//! o'clock on 2026-01-05.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::{Wire, from_json, to_json};
use crate::domain::alert::{AlertState, Cause, Evidence, Phase, Point, Transition, episode};
use crate::domain::change::{Change, Image, Role, Seq};
use crate::domain::decision::{
    Candidate, Decision, GuardResult, Hold, Petition, Trigger, Verdict, petition_id,
};
use crate::domain::delivery::{
    Attempt, Delivery, DeliveryState, Message, Notice, Reason, Status, Told, delivery_id,
};
use crate::domain::fact::{Fact, What};
use crate::domain::id::{AlertId, AlertKey, DecisionId, Digest, Name, TemplateDigest, Uid};
use crate::domain::need::Need;
use crate::domain::objective::Severity;
use crate::domain::rollback::{Rollback, Stage, Step, Term, TrialEnd};
use crate::domain::rollout::{Rollout, RolloutId};
use crate::domain::sample::{Blind, Reading, Sample, Split, Tally};
use crate::domain::spec::{Mode, WorkloadRef};
use crate::domain::time::{Span, Timestamp};
use crate::domain::trial::{TrialRequest, TrialResult};
use crate::domain::value::Value;

/// Writes a noun as JSON and reads it back.
pub fn round_trip<T: Wire + PartialEq + Debug>(noun: &T) {
    let text = to_json(noun).unwrap();
    assert_eq!(&from_json::<T>(&text).unwrap(), noun, "{text}");
}

/// Seconds after nine.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_603_600 + seconds)
}

/// `acme/errors-N/api`.
pub fn key(number: u64) -> AlertKey {
    format!("acme/errors-{number}/api").parse().unwrap()
}

/// The episode of `key(number)` that began at nine.
pub fn alert(number: u64) -> AlertId {
    episode(&key(number), at(0))
}

/// Evidence with one point of each kind.
pub fn evidence(number: u64) -> Evidence {
    let tally = Tally { good: 80, bad: 20 };
    let point = |seconds, value| Point {
        at: at(seconds),
        tally,
        value,
    };
    Evidence {
        key: key(number),
        measure: "error_ratio".to_owned(),
        condition: "above 5%".to_owned(),
        shown: Some("20%".to_owned()),
        value: Value::ratio(20, 100),
        over: Duration::from_secs(60),
        window: Span {
            from: at(-60),
            to: at(0),
        },
        tally,
        void: 1,
        why: Some("status 500, expected 2xx".into()),
        points: vec![point(-30, None), point(0, Value::ratio(1, 4))],
    }
}

/// A transition of the episode `alert(number)`.
pub fn transition(number: u64, from: AlertState, to: AlertState, seconds: i64) -> Transition {
    Transition {
        alert: alert(number),
        key: key(number),
        at: at(seconds),
        began: at(0),
        from,
        to,
        severity: Severity::Critical,
        cause: Cause::Breach,
        labels: texts(&[("tenant", "acme"), ("severity", "critical")]),
        annotations: texts(&[("summary", "20% of requests fail")]),
        evidence: Box::new(evidence(number)),
    }
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

/// A phase with everything in it.
pub fn phase(number: u64, state: AlertState, seconds: i64) -> Phase {
    Phase {
        key: key(number),
        state,
        severity: Severity::Critical,
        began: at(0),
        since: at(seconds),
        recovered: Some(at(seconds + 1)),
        levels: vec![crate::domain::alert::LevelClock {
            severity: Severity::Critical,
            began: at(0),
            counted: at(1),
        }],
        alert: Some(alert(number)),
        acknowledged: Some(("ada".to_owned(), at(seconds + 2))),
        at: at(seconds),
    }
}

/// The workload that everything is about.
pub fn target() -> WorkloadRef {
    WorkloadRef::deployment("shop", "api")
}

/// A template.
pub fn template(number: u64) -> TemplateDigest {
    TemplateDigest(Digest::of(&[format!("template {number}")]))
}

/// A rollout of `template(number)`.
pub fn rollout_id(number: u64) -> RolloutId {
    RolloutId {
        uid: Uid("5e0c".into()),
        template: template(number),
        revision: number,
    }
}

/// A standing petition that blames `rollout_id(number)`.
pub fn petition(number: u64, seconds: i64) -> Petition {
    let trigger = Trigger::Objective(key(number));
    let workload = "acme/api".parse().unwrap();
    Petition {
        id: petition_id(&workload, &trigger, at(0)),
        workload,
        target: target(),
        trigger,
        began: at(0),
        blames: Ok(rollout_id(number)),
        evidence: vec![evidence(number)],
        at: at(seconds),
        standing: true,
    }
}

/// A decision to roll back.
pub fn decision(number: u64, seconds: i64) -> Decision {
    let candidate = |number, rejected: Option<&str>| Candidate {
        template: template(number),
        revision: Some(number),
        images: vec!["shop/api:1".into()],
        proven: Some(at(-3600)),
        rejected: rejected.map(str::to_owned),
    };
    let guard = |guard: &str, result| GuardResult {
        guard: guard.into(),
        result,
        detail: "the last was 2h ago".to_owned(),
    };
    Decision {
        id: DecisionId(Digest::of(&[format!("decision {number}")])),
        at: at(seconds),
        workload: "acme/api".parse().unwrap(),
        target: target(),
        trigger: Trigger::ProgressDeadline,
        petition: Some(petition(number, 0).id),
        rollout: Some(rollout_id(number)),
        verdict: Verdict::RollBack {
            rollback: rollout_id(number).rollback(),
            to: template(0),
        },
        mode: Mode::Act,
        reason: "20% of requests fail since revision 2".to_owned(),
        candidates: vec![candidate(1, Some("quarantined")), candidate(0, None)],
        guards: vec![
            guard("cooldown", Ok(())),
            guard("budget", Err(Hold::BudgetTenant)),
        ],
        evidence: vec![evidence(number)],
    }
}

/// Every stage, in order of the names.
pub fn stages() -> [Stage; 7] {
    [
        Stage::Requested,
        Stage::Applying {
            resource_version: "4711".into(),
        },
        Stage::Verifying { since: Some(at(9)) },
        Stage::Succeeded,
        Stage::NotCaused,
        Stage::Failed {
            why: "forbidden".into(),
        },
        Stage::Superseded {
            why: "revision 3 appeared".into(),
        },
    ]
}

/// A rollback of `rollout_id(number)` in this stage, requested `number` seconds after nine.
pub fn rollback(number: u64, stage: Stage) -> Rollback {
    let requested = at(i64::try_from(number).unwrap());
    Rollback {
        id: rollout_id(number).rollback(),
        attempt: 1,
        decision: decision(number, 0).id,
        workload: "acme/api".parse().unwrap(),
        target: target(),
        rollout: rollout_id(number),
        to: template(0),
        trigger: Trigger::Person("ada".into()),
        requested,
        applied: Some(requested + Duration::from_millis(1)),
        ended: stage.terminal().then(|| requested + Duration::from_secs(1)),
        term: Term(3),
        conflicts: 1,
        steps: vec![Step {
            at: requested,
            stage: stage.as_str(),
            what: "asked for".to_owned(),
        }],
        stage,
    }
}

/// The trial of `rollback(1)`.
pub fn trial_request() -> TrialRequest {
    TrialRequest {
        rollback: rollout_id(1).rollback(),
        workload: "acme/api".parse().unwrap(),
        target: target(),
        to: template(0),
        trigger: Trigger::Objective(key(1)),
        applied: at(8),
    }
}

/// What came of it.
pub fn trial_result(end: Option<TrialEnd>) -> TrialResult {
    TrialResult {
        rollback: rollout_id(1).rollback(),
        at: at(20),
        rolled_out: Some(at(9)),
        end,
        superseded: end.is_none().then(|| "revision 3 appeared".into()),
        evidence: vec![evidence(1)],
    }
}

/// What is told of `alert(number)`.
pub fn message(number: u64) -> Message {
    Message {
        status: Status::Firing,
        reason: Reason::First,
        severity: Severity::Critical,
        thread: alert(number).0,
        labels: texts(&[("alertname", "errors")]),
        annotations: texts(&[("summary", "20% of requests fail")]),
        starts_at: at(0),
        ends_at: None,
    }
}

/// The `order`-th delivery of `alert(number)` to this receiver.
pub fn delivery(receiver: &str, number: u64, order: u64, seconds: i64) -> Delivery {
    let receiver: Name = receiver.parse().unwrap();
    Delivery {
        id: delivery_id(&receiver, alert(number).0, Status::Firing, order),
        receiver,
        message: message(number),
        order,
        created: at(seconds),
        due: at(seconds),
        attempts: 0,
        term: Term(3),
        state: DeliveryState::Due,
    }
}

/// A try at it; still due ones are due 30 seconds later.
pub fn attempt(delivery: &Delivery, number: u32, state: DeliveryState, seconds: i64) -> Attempt {
    Attempt {
        delivery: delivery.id,
        number,
        at: at(seconds),
        answer: "503 Service Unavailable".into(),
        state,
        due: at(seconds + 30),
    }
}

/// That firing of `alert(number)` was told.
pub fn told(receiver: &str, number: u64, seconds: i64) -> Told {
    Told {
        receiver: receiver.parse().unwrap(),
        alert: alert(number),
        status: Status::Firing,
        severity: Severity::Warning,
        delivery: delivery(receiver, number, 1, 0).id,
        count: 1,
        at: at(seconds),
    }
}

/// A notice.
pub fn notice(number: u64, seconds: i64) -> Notice {
    Notice {
        key: Digest::of(&[format!("notice {number}")]),
        at: at(seconds),
        message: message(number),
    }
}

/// A fact of each kind; of proofs one by baking and one by a person.
pub fn facts(number: u64) -> Vec<Fact> {
    let template = template(number);
    let id = rollout_id(number);
    let rollback = id.rollback();
    let rollout = Rollout {
        id: id.clone(),
        target: target(),
        from: Some(self::template(0)),
        began: at(0),
        done: Some(at(5)),
        failed: None,
        by: Some(rollback),
        first_sight: false,
        changed_by: Some("kubectl".into()),
        change_cause: None,
    };
    let kept = Duration::from_secs(90);
    let kinds = [
        What::FirstSeen {
            template,
            revision: Some(number),
            images: vec!["shop/api:2".into()],
        },
        What::Began(Box::new(rollout)),
        What::Done(id.clone()),
        What::Failed(id),
        What::Baked { template, kept },
        What::Proven { template, by: None },
        What::Proven {
            template,
            by: Some("ada".into()),
        },
        What::Blamed { template },
        What::Quarantined { template, rollback },
        What::Released { template, rollback },
    ];
    let fact = |(second, what)| Fact {
        target: target(),
        at: at(second),
        what,
    };
    (0..).zip(kinds).map(fact).collect()
}

/// A reading of each kind.
pub fn readings() -> Vec<Reading> {
    let part = |pod: &str, bad| (Arc::from(pod), Tally { good: 30, bad });
    vec![
        Reading::Look {
            good: true,
            latency: Some(Duration::from_micros(12_345)),
            value: Value::try_new(-0.25).ok(),
            why: None,
        },
        Reading::Look {
            good: false,
            latency: None,
            value: None,
            why: Some("connection refused".into()),
        },
        Reading::Counts(Split::whole(Tally { good: 60, bad: 2 })),
        Reading::Counts(Split {
            total: Tally { good: 60, bad: 2 },
            by_pod: [part("api-1", 0), part("api-2", 2)].into(),
        }),
        Reading::Void(Blind::Source("prometheus".parse().unwrap())),
        Reading::Void(Blind::Network),
        Reading::Void(Blind::Resolver),
        Reading::Void(Blind::Local),
        Reading::Void(Blind::Empty),
    ]
}

/// A look at `acme/SERIES` that was good and took 10 ms.
pub fn sample(series: &str, seconds: i64) -> Sample {
    Sample {
        series: format!("acme/{series}").parse().unwrap(),
        span: Span::at(at(seconds)),
        reading: Reading::Look {
            good: true,
            latency: Some(Duration::from_millis(10)),
            value: None,
            why: None,
        },
    }
}

/// An image of `acme/SERIES`.
pub fn image(series: &str, shape: &str, seconds: i64) -> Image {
    Image {
        series: format!("acme/{series}").parse().unwrap(),
        shape: Digest::of(&[shape]),
        at: at(seconds),
        bytes: [1, 2, 3].into(),
    }
}

/// A need for the last `span` seconds of `acme/SERIES` until `seconds`.
pub fn need(series: &str, shape: &str, span: u64, seconds: i64) -> Need {
    Need {
        series: format!("acme/{series}").parse().unwrap(),
        shape: Digest::of(&[shape]),
        span: Duration::from_secs(span),
        until: at(seconds),
    }
}

/// One change of each kind (and one fact of each).
pub fn one_of_each() -> Vec<Change> {
    let delivery = delivery("pager", 1, 1, 5);
    let attempt = attempt(&delivery, 1, DeliveryState::Due, 6);
    let mut changes = vec![
        Change::Keep(sample("api", 1)),
        Change::Image(image("api", "shape", 1)),
        Change::Phase(phase(1, AlertState::Pending, 1)),
        Change::Forget(key(2)),
        Change::Transition(transition(1, AlertState::Pending, AlertState::Firing, 1)),
        Change::Acknowledged {
            alert: alert(1),
            by: "ada".to_owned(),
            at: at(2),
        },
        Change::Petition(petition(1, 2)),
        Change::Trial(trial_request()),
        Change::Tried(trial_result(None)),
        Change::Need(need("api", "shape", 60, 1)),
        Change::Decision(decision(1, 3)),
        Change::Rollback(rollback(1, Stage::Requested)),
        Change::Notice(notice(1, 4)),
        Change::Deliver(delivery),
        Change::Told(told("pager", 1, 5)),
        Change::Attempt(attempt),
        Change::Read {
            role: Role::Judge,
            seq: Seq(0),
        },
    ];
    changes.extend(facts(1).into_iter().map(Change::Fact));
    changes
}
