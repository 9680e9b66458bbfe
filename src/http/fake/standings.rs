//! What is configured on the afternoon, and how it stands.

use super::at;
use super::rollback_id;
use crate::domain::alert::{AlertState, Doubt, Verdict, episode};
use crate::domain::fact::{Fact, What};
use crate::domain::id::{AlertKey, Digest, Name, ProbeId, TemplateDigest, TenantId, Uid};
use crate::domain::objective::{Comparison, Condition, Measure, NoData, Objective, Severity, Unit};
use crate::domain::rollout::{Marks, Replicas, Rollout, RolloutId, Seen};
use crate::domain::sample::Outcome;
use crate::domain::spec::{Mode, Spec, Tenant, Workload, WorkloadRef};
use crate::domain::standing::{
    LedgerEntry, ObjectiveStanding, ProbeStanding, Trust, WorkloadStanding,
};
use crate::domain::target::{HeartbeatTarget, Probe, Target, TcpTarget};
use crate::domain::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn template(number: u8) -> TemplateDigest {
    TemplateDigest(Digest::of(&[[number]]))
}

pub(super) fn target() -> WorkloadRef {
    WorkloadRef::deployment("acme", "api")
}

pub(super) fn images(number: u8) -> Vec<Arc<str>> {
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

pub(super) fn spec() -> Spec {
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

pub(crate) fn blamed() -> AlertKey {
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

pub(super) fn objectives() -> Vec<ObjectiveStanding> {
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

pub(super) fn probes() -> Vec<ProbeStanding> {
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

pub(super) fn workloads() -> Vec<WorkloadStanding> {
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

pub(super) fn rollout_id(number: u8) -> RolloutId {
    RolloutId {
        uid: Uid("0c1f".into()),
        template: template(number),
        revision: u64::from(number),
    }
}

pub(super) fn facts() -> Vec<Fact> {
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
    // Revision 7 is put back: Kubernetes calls it 9 from then on.
    let put_back = RolloutId {
        revision: 9,
        ..rollout_id(7)
    };
    let again = What::Began(Box::new(Rollout {
        id: put_back.clone(),
        target: target(),
        from: Some(template(8)),
        began: at(416),
        done: None,
        failed: None,
        by: Some(rollback_id()),
        first_sight: false,
        changed_by: Some("holdfast".into()),
        change_cause: None,
    }));
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
        fact(416, again),
        fact(430, What::Done(put_back)),
        fact(
            460,
            What::Quarantined {
                template: template(8),
                rollback: rollout_id(8).rollback(),
            },
        ),
    ]
}
