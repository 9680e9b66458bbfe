//! A daemon that is not there: a desk with a whole afternoon on it, for tests of what is answered.
//!
//! Two tenants. `acme` released revision 8 of its API at 14:05, a fifth of its requests failed, and it was
//! rolled back to revision 7, which helped. `globex` broke a promise without a rollout and was held.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;

use super::desk::{ConfigStanding, Desk, Health, Run};
use super::server::Server;
use crate::domain::alert::{
    AlertState, Cause, Doubt, Evidence, Point, Transition, Verdict, episode,
};
use crate::domain::change::{Batch, Change, Fence, Reply, Role};
use crate::domain::command::{Command, Order};
use crate::domain::decision::{self, Candidate, Decision, GuardResult, Hold, Trigger};
use crate::domain::delivery::{
    Attempt, Delivery, DeliveryState, Message, Reason, Status, delivery_id,
};
use crate::domain::fact::{Fact, What};
use crate::domain::id::{
    AlertKey, BatchId, DecisionId, Digest, Name, ProbeId, RollbackId, TemplateDigest, TenantId, Uid,
};
use crate::domain::objective::{Comparison, Condition, Measure, NoData, Objective, Severity, Unit};
use crate::domain::observation::{Finding, Observation, Stage as Reached};
use crate::domain::rollback::{Rollback, Stage, Step, Term};
use crate::domain::rollout::{Marks, Replicas, Rollout, RolloutId, Seen};
use crate::domain::sample::{Outcome, Reading, Sample, Tally};
use crate::domain::spec::{Mode, Spec, Tenant, Workload, WorkloadRef};
use crate::domain::standing::{
    LedgerEntry, ObjectiveStanding, ProbeStanding, Trust, WorkloadStanding,
};
use crate::domain::target::{HeartbeatTarget, Probe, Target, TcpTarget};
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::telemetry::metrics::Metrics;

/// Seconds after 14:00 on the afternoon.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_621_600 + seconds)
}

/// The desk; what it says can be changed before it is asked.
pub(crate) struct FakeDesk {
    pub(super) spec: Arc<Spec>,
    pub(super) config: ConfigStanding,
    pub(super) health: Health,
    pub(super) store: Arc<Memory>,
    pub(super) objectives: Vec<ObjectiveStanding>,
    pub(super) probes: Vec<ProbeStanding>,
    pub(super) workloads: Vec<WorkloadStanding>,
    pub(super) facts: Vec<Fact>,
    pub(super) reload: Result<(), Vec<String>>,
    /// What was commanded.
    pub(super) commands: Mutex<Vec<Command>>,
}

#[async_trait]
impl Desk for FakeDesk {
    fn spec(&self) -> Arc<Spec> {
        Arc::clone(&self.spec)
    }
    fn config(&self) -> ConfigStanding {
        self.config.clone()
    }
    fn health(&self) -> Health {
        self.health.clone()
    }
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }
    fn now(&self) -> Timestamp {
        at(900)
    }
    async fn objectives(&self) -> Vec<ObjectiveStanding> {
        self.objectives.clone()
    }
    async fn probes(&self) -> Vec<ProbeStanding> {
        self.probes.clone()
    }
    async fn workloads(&self) -> Vec<WorkloadStanding> {
        self.workloads.clone()
    }
    async fn facts(&self) -> Vec<Fact> {
        self.facts.clone()
    }
    /// Answers like the machines: known alerts are done, `acme/api` is rolled back (or planned),
    /// `globex/web` is held.
    async fn command(&self, command: Command) -> Reply {
        let what = command.what.clone();
        self.commands.lock().unwrap().push(command);
        match what {
            Order::Acknowledge(alert) | Order::Resolve(alert) => {
                match self.store.alert(alert).await {
                    Ok(Some((alert, _))) if alert.state == AlertState::Firing => Reply::Done,
                    Ok(Some(_)) => Reply::Refused("the alert is over".to_owned()),
                    Ok(None) | Err(_) => Reply::NotFound,
                }
            }
            Order::RollBack { to: Some(_), .. } => Reply::NotFound,
            Order::RollBack { dry_run: true, .. } => Reply::Planned(Box::new(rolled_back())),
            Order::RollBack { workload, .. } if workload.tenant.0.as_str() == "acme" => {
                Reply::Decided(rolled_back().id)
            }
            Order::RollBack { .. } => Reply::Decided(held().id),
            Order::Prove { .. } => Reply::Done,
        }
    }
    async fn run_probe(&self, probe: &ProbeId) -> Option<Run> {
        self.spec.probe(probe)?;
        let span = Span::at(at(900));
        let latency = Duration::from_millis(12);
        Some(Run {
            observation: Observation {
                probe: probe.clone(),
                span,
                ended: at(900) + latency,
                reached: Reached::Connect,
                stages: vec![
                    (Reached::Resolve, Duration::from_millis(2)),
                    (Reached::Connect, Duration::from_millis(10)),
                ],
                result: Ok(Finding::Look {
                    latency,
                    value: None,
                }),
                took: latency,
            },
            sample: look(&probe.to_string(), 900, true),
        })
    }
    async fn heartbeat(&self, probe: &ProbeId) -> bool {
        self.spec
            .probe(probe)
            .is_some_and(|probe| matches!(probe.target, Target::Heartbeat(_)))
    }
    async fn reload(&self) -> Result<(), Vec<String>> {
        self.reload.clone()
    }
}

impl FakeDesk {
    /// A server before this desk, with some metrics counted.
    pub(crate) fn server(self) -> (Server, Arc<Self>) {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.probe_missed_ticks.inc();
        metrics.evaluation_lag.observe(0.001);
        let desk = Arc::new(self);
        let server = Server {
            desk: Arc::clone(&desk) as Arc<dyn Desk>,
            registry: Arc::new(registry),
        };
        (server, desk)
    }
}

/// Nothing configured, nothing remembered.
pub(super) fn empty() -> FakeDesk {
    FakeDesk {
        spec: Arc::new(Spec::default()),
        config: ConfigStanding {
            hash: "3fa94c1e77d0".to_owned(),
            since: at(-86_400),
            tried: at(-86_400),
            successful: true,
            faults: Vec::new(),
            lints: Vec::new(),
        },
        health: Health {
            tasks: BTreeMap::from([("judge", 1), ("prober", 1), ("teller", 1)]),
            died: None,
            leads: Some(Term(7)),
            cluster: true,
            started: at(-86_400),
        },
        store: Arc::new(Memory::new()),
        objectives: Vec::new(),
        probes: Vec::new(),
        workloads: Vec::new(),
        facts: Vec::new(),
        reload: Ok(()),
        commands: Mutex::default(),
    }
}

/// The whole afternoon.
pub(crate) async fn afternoon() -> FakeDesk {
    let mut desk = empty();
    desk.spec = Arc::new(spec());
    desk.objectives = objectives();
    desk.probes = probes();
    desk.workloads = workloads();
    desk.facts = facts();
    commit(&desk.store, changes()).await;
    desk
}

/// Puts changes into the store as the machines would.
pub(super) async fn commit(store: &Memory, changes: Vec<Change>) {
    let batch = Batch {
        id: BatchId(Digest::of(&[format!("{changes:?}")])),
        at: at(0),
        changes,
    };
    let fence = Fence {
        role: Role::Judge,
        term: Term(7),
    };
    store.commit(&batch, fence).await.unwrap();
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(super) fn template(number: u8) -> TemplateDigest {
    TemplateDigest(Digest::of(&[[number]]))
}

fn target() -> WorkloadRef {
    WorkloadRef::deployment("acme", "api")
}

fn images(number: u8) -> Vec<Arc<str>> {
    vec![format!("registry.example/acme/api:1.{number}.0").into()]
}

fn objective(
    key: &str,
    measure: Measure,
    levels: &[(Severity, f64)],
    unit: Unit,
) -> Arc<Objective> {
    let above = |limit: f64| Condition {
        comparison: Comparison::Above,
        limit: Value::try_new(limit).unwrap(),
        unit,
    };
    Arc::new(Objective {
        key: key.parse().unwrap(),
        measure,
        over: Duration::from_secs(120),
        levels: levels
            .iter()
            .map(|(severity, limit)| (*severity, above(*limit)))
            .collect(),
        wait: Duration::ZERO,
        keep_firing: Duration::ZERO,
        recover: None,
        samples_min: 50,
        no_data: NoData::Keep,
        no_data_after: Duration::from_secs(120),
        rollback: true,
        runbook: None,
        summary: None,
        labels: Arc::default(),
    })
}

fn tenant(
    id: &str,
    plan: &str,
    objectives: Vec<Arc<Objective>>,
    workload: &str,
    mode: Mode,
) -> Tenant {
    let tenant_id = TenantId(name(id));
    let probe = |text: &str, target: Target| {
        let id = ProbeId {
            tenant: tenant_id.clone(),
            probe: name(text),
        };
        let probe = Probe {
            id,
            target,
            every: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            retries: 0,
            labels: BTreeMap::new(),
        };
        (name(text), Arc::new(probe))
    };
    let tcp = |port| {
        Target::Tcp(TcpTarget {
            host: format!("api.{id}.svc"),
            port,
        })
    };
    let beat = Target::Heartbeat(HeartbeatTarget {
        max_age: Duration::from_secs(3600),
    });
    Tenant {
        id: tenant_id.clone(),
        plan: Some(plan.to_owned()),
        namespaces: vec![id.to_owned()],
        labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
        probes: BTreeMap::from([
            probe("api", tcp(80)),
            probe("traffic", tcp(9090)),
            probe("nightly", beat),
        ]),
        objectives,
        workloads: BTreeMap::from([(
            name(workload),
            Arc::new(Workload {
                id: format!("{id}/{workload}").parse().unwrap(),
                target: WorkloadRef::deployment(id, workload),
                mode,
                triggers: vec![name("error-rate")],
                bake: Duration::from_secs(1800),
                attribution: Duration::from_secs(3600),
                cooldown: Duration::from_secs(3600),
                per_day: 2,
            }),
        )]),
    }
}

fn spec() -> Spec {
    let errors = [(Severity::Critical, 0.1), (Severity::Warning, 0.05)];
    let slow = [(Severity::Critical, 2.0), (Severity::Warning, 1.0)];
    let promises = |id: &str| {
        vec![
            objective(
                &format!("{id}/error-rate/traffic"),
                Measure::ErrorRatio,
                &errors,
                Unit::Ratio,
            ),
            objective(
                &format!("{id}/response-time/api"),
                Measure::Quantile(950),
                &slow,
                Unit::Seconds,
            ),
        ]
    };
    let tenants = [
        tenant("acme", "enterprise", promises("acme"), "api", Mode::Act),
        tenant("globex", "basic", promises("globex"), "web", Mode::Observe),
    ];
    Spec {
        tenants: tenants
            .into_iter()
            .map(|tenant| (tenant.id.clone(), Arc::new(tenant)))
            .collect(),
        ..Spec::default()
    }
}

pub(crate) fn broken() -> AlertKey {
    "globex/response-time/api".parse().unwrap()
}

pub(super) fn blamed() -> AlertKey {
    "acme/error-rate/traffic".parse().unwrap()
}

fn standing(key: &str, verdict: Verdict, samples: u64) -> ObjectiveStanding {
    ObjectiveStanding {
        key: key.parse().unwrap(),
        verdict,
        state: AlertState::Inactive,
        severity: None,
        since: None,
        alert: None,
        samples,
    }
}

fn objectives() -> Vec<ObjectiveStanding> {
    let value = |number: f64| Value::try_new(number).ok();
    let mut slow = standing(
        "globex/response-time/api",
        Verdict::Breached(Severity::Critical, value(2.84)),
        60,
    );
    slow.state = AlertState::Firing;
    slow.severity = Some(Severity::Critical);
    slow.since = Some(at(700));
    slow.alert = Some(episode(&broken(), at(640)));
    vec![
        standing("acme/error-rate/traffic", Verdict::Met(value(0.002)), 4810),
        standing("acme/response-time/api", Verdict::Met(value(0.182)), 60),
        standing(
            "globex/error-rate/traffic",
            Verdict::Inconclusive(Doubt::TooFewSamples),
            12,
        ),
        slow,
    ]
}

fn probes() -> Vec<ProbeStanding> {
    let probe = |id: &str, outcome, millis: u64, why: Option<&str>| ProbeStanding {
        probe: id.parse().unwrap(),
        outcome,
        at: Some(at(895)),
        latency: Some(Duration::from_millis(millis)),
        value: None,
        why: why.map(Into::into),
    };
    vec![
        probe("acme/api", Some(Outcome::Good), 12, None),
        probe("acme/nightly", None, 0, None),
        probe("acme/traffic", Some(Outcome::Good), 31, None),
        probe("globex/api", Some(Outcome::Bad), 2840, Some("timed out")),
        probe(
            "globex/nightly",
            Some(Outcome::Void),
            0,
            Some("the source has nothing to say"),
        ),
        probe("globex/traffic", Some(Outcome::Good), 24, None),
    ]
}

fn entry(number: u8, trust: Trust, current: bool) -> LedgerEntry {
    LedgerEntry {
        template: template(number),
        revision: Some(u64::from(number)),
        images: images(number),
        first_seen: at(-86_400),
        trust,
        proven: (trust == Trust::Proven).then(|| at(-3600)),
        kept: Duration::from_secs(1800),
        current,
    }
}

fn workloads() -> Vec<WorkloadStanding> {
    let seen = Seen {
        at: at(890),
        target: target(),
        uid: Uid("0c1f".into()),
        resource_version: "4711".into(),
        generation: 9,
        observed_generation: 9,
        template: template(7),
        revision: Some(9),
        replicas: Replicas {
            desired: 3,
            total: 3,
            updated: 3,
            ready: 3,
            available: 3,
        },
        paused: false,
        deadline_exceeded: false,
        history_limit: 10,
        revisions: Vec::new(),
        marks: Marks::default(),
        changed_by: Some("holdfast".into()),
        change_cause: None,
        owner: None,
        applied: true,
    };
    let acme = WorkloadStanding {
        id: "acme/api".parse().unwrap(),
        target: target(),
        mode: Mode::Act,
        seen: Some(seen),
        rollout: None,
        ledger: vec![
            entry(8, Trust::Quarantined, false),
            entry(7, Trust::Proven, true),
            entry(6, Trust::Proven, false),
        ],
        bake: Duration::from_secs(1800),
    };
    let globex = WorkloadStanding {
        id: "globex/web".parse().unwrap(),
        target: WorkloadRef::deployment("globex", "web"),
        mode: Mode::Observe,
        seen: None,
        rollout: None,
        ledger: Vec::new(),
        bake: Duration::from_secs(1800),
    };
    vec![acme, globex]
}

fn rollout_id(number: u8) -> RolloutId {
    RolloutId {
        uid: Uid("0c1f".into()),
        template: template(number),
        revision: u64::from(number),
    }
}

fn facts() -> Vec<Fact> {
    let fact = |seconds, what| Fact {
        target: target(),
        at: at(seconds),
        what,
    };
    let began = |number: u8, from, seconds, by| {
        What::Began(Box::new(Rollout {
            id: rollout_id(number),
            target: target(),
            from,
            began: at(seconds),
            done: None,
            failed: None,
            by,
            first_sight: from.is_none(),
            changed_by: Some("kubectl-client-side-apply".into()),
            change_cause: Some("ship the new basket".into()),
        }))
    };
    let first = |number: u8| What::FirstSeen {
        template: template(number),
        revision: Some(u64::from(number)),
        images: images(number),
    };
    vec![
        fact(-86_400, first(7)),
        fact(-86_400, began(7, None, -86_400, None)),
        fact(-86_300, What::Done(rollout_id(7))),
        fact(300, first(8)),
        fact(300, began(8, Some(template(7)), 300, None)),
        fact(330, What::Done(rollout_id(8))),
        fact(
            460,
            What::Quarantined {
                template: template(8),
                rollback: rollout_id(8).rollback(),
            },
        ),
    ]
}

pub(super) fn look(series: &str, seconds: i64, good: bool) -> Sample {
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

pub(super) fn rollback(stage: Stage) -> Rollback {
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

pub(super) fn delivery(thread: Digest, seconds: i64, receiver: &str, summary: &str) -> Delivery {
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

fn changes() -> Vec<Change> {
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
