//! Stories of the pure core: what must happen, and above all what must not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::alert::AlertState;
use crate::domain::change::Change;
use crate::domain::decision::{Hold, Verdict};
use crate::domain::delivery::Status;
use crate::domain::event::{Access, StewardEvent};
use crate::domain::fact::What;
use crate::domain::id::{Digest, Name, ProbeId, RollbackId, TemplateDigest, TenantId, Uid};
use crate::domain::judge::{Judge, Restored};
use crate::domain::objective::{Comparison, Condition, Measure, NoData, Objective, Severity, Unit};
use crate::domain::rollback::{Answer, Happening, Observed, Stage, Term};
use crate::domain::rollout::{Marks, Replicas, Revision, Seen, Sighting};
use crate::domain::sample::{Blind, Reading, Sample, Split, Tally};
use crate::domain::spec::{
    Address, Channel, Mode, Receiver, RollbackPolicy, Route, Spec, Tenant, Workload, WorkloadRef,
};
use crate::domain::steward::{self, Steward};
use crate::domain::target::{
    CounterPart, HttpTarget, Probe, PrometheusForm, PrometheusTarget, Target,
};
use crate::domain::teller::Teller;
use crate::domain::time::{Span, Timestamp};
use crate::domain::value::Value;

use super::driver::Replay;

const START: Timestamp = Timestamp::from_secs(1_767_603_600);
const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn template(version: &str) -> TemplateDigest {
    TemplateDigest(Digest::of(&[version]))
}

fn target() -> WorkloadRef {
    WorkloadRef::deployment("acme", "shop")
}

fn series() -> ProbeId {
    "acme/traffic".parse().unwrap()
}

/// A tenant with counters of its traffic, an error ratio over ten seconds, and a workload in mode act.
fn spec(change: impl FnOnce(&mut Tenant, &mut Workload, &mut RollbackPolicy)) -> Arc<Spec> {
    let tenant = TenantId(name("acme"));
    let probe = Probe {
        id: series(),
        target: Target::Prometheus(PrometheusTarget {
            source: name("prometheus"),
            url: "http://127.0.0.1:9090".to_owned(),
            form: PrometheusForm::Counters {
                total: "http_requests_total".to_owned(),
                part: CounterPart::Bad("http_requests_total{code=~\"5..\"}".to_owned()),
                pod_label: "pod".to_owned(),
            },
        }),
        every: SECOND,
        timeout: SECOND,
        retries: 0,
        labels: BTreeMap::new(),
    };
    let above = |per_cent: u64| Condition {
        comparison: Comparison::Above,
        limit: Value::ratio(per_cent, 100).unwrap(),
        unit: Unit::Ratio,
    };
    let objective = Objective {
        key: "acme/error-rate/traffic".parse().unwrap(),
        measure: Measure::ErrorRatio,
        over: SECOND * 10,
        levels: vec![
            (Severity::Critical, above(10)),
            (Severity::Warning, above(5)),
        ],
        wait: Duration::ZERO,
        keep_firing: Duration::ZERO,
        recover: None,
        samples_min: 50,
        no_data: NoData::Keep,
        no_data_after: SECOND * 10,
        rollback: true,
        runbook: None,
        summary: None,
        labels: Arc::default(),
    };
    let mut workload = Workload {
        id: "acme/shop".parse().unwrap(),
        target: target(),
        mode: Mode::Act,
        triggers: vec![name("error-rate")],
        bake: SECOND * 20,
        attribution: SECOND * 600,
        cooldown: SECOND * 30,
        per_day: 2,
    };
    let mut policy = RollbackPolicy {
        mode: Mode::Act,
        per_hour: 5,
        per_tenant_per_day: 3,
    };
    let mut acme = Tenant {
        id: tenant.clone(),
        plan: None,
        namespaces: vec!["acme".to_owned()],
        labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
        probes: BTreeMap::from([(name("traffic"), Arc::new(probe))]),
        objectives: vec![Arc::new(objective)],
        workloads: BTreeMap::new(),
    };
    change(&mut acme, &mut workload, &mut policy);
    acme.workloads.insert(name("shop"), Arc::new(workload));
    let ops = Receiver {
        name: name("ops"),
        channel: Channel::Webhook {
            url: Address::Plain("http://127.0.0.1:1/".to_owned()),
            secret: None,
        },
    };
    Arc::new(Spec {
        tenants: BTreeMap::from([(tenant, Arc::new(acme))]),
        receivers: BTreeMap::from([(name("ops"), Arc::new(ops))]),
        route: Route {
            receivers: vec![name("ops")],
            ..Route::default()
        },
        rollback: policy,
    })
}

/// The world around the machines: a workload, its traffic, a remediator that always succeeds.
struct Story {
    replay: Replay,
    revision: u64,
    current: &'static str,
    held: Vec<(&'static str, u64)>,
    marks: Marks,
    failing: u64,
}

impl Story {
    fn begin(spec: &Arc<Spec>) -> Self {
        let judge = Judge::new(Restored::default());
        let teller = Teller::new(Term(1), Vec::new());
        let steward = Steward::new(steward::Restored::default());
        let mut replay = Replay::new(START, judge, teller, steward);
        replay.configure(spec);
        replay.steward(&StewardEvent::Leads(Term(1)));
        replay.steward(&StewardEvent::Platform(Access::Open));
        let mut story = Self {
            replay,
            revision: 1,
            current: "v1",
            held: vec![("v1", 1)],
            marks: Marks::default(),
            failing: 0,
        };
        story.look();
        story
    }

    fn seen(&self) -> Seen {
        let revisions = self.held.iter().map(|(version, number)| Revision {
            template: template(version),
            number: *number,
            held_by: format!("shop-{version}").into(),
            images: vec![format!("shop:{version}").into()],
            ready: u32::from(*version == self.current) * 3,
        });
        Seen {
            at: self.replay.now(),
            target: target(),
            uid: Uid("uid-1".into()),
            resource_version: self.revision.to_string().into(),
            generation: 1,
            observed_generation: 1,
            template: template(self.current),
            revision: Some(self.revision),
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
            revisions: revisions.collect(),
            marks: self.marks.clone(),
            changed_by: Some("kubectl-client-side-apply".into()),
            change_cause: None,
            owner: None,
            applied: false,
        }
    }

    fn look(&mut self) {
        self.replay.sighting(Sighting::Seen(Box::new(self.seen())));
    }

    fn release(&mut self, version: &'static str, failing: u64) {
        self.revision += 1;
        self.current = version;
        self.failing = failing;
        self.held.retain(|(held, _)| *held != version);
        self.held.push((version, self.revision));
        self.look();
    }

    /// Seconds of traffic, a hundred requests each.
    fn traffic(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.replay.advance(SECOND);
            let tally = Tally {
                good: 100 - self.failing,
                bad: self.failing,
            };
            self.replay
                .sample(self.sample(Reading::Counts(Split::whole(tally))));
        }
    }

    fn blind(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.replay.advance(SECOND);
            self.replay
                .sample(self.sample(Reading::Void(Blind::Source(name("prometheus")))));
        }
    }

    fn sample(&self, reading: Reading) -> Sample {
        let now = self.replay.now();
        Sample {
            series: series(),
            span: Span {
                from: now - SECOND,
                to: now,
            },
            reading,
        }
    }

    fn holds(&self) -> Vec<Hold> {
        self.decisions(|verdict| match verdict {
            Verdict::Hold(hold) => Some(*hold),
            Verdict::RollBack { .. } => None,
        })
    }

    fn rollbacks(&self) -> Vec<RollbackId> {
        self.decisions(|verdict| match verdict {
            Verdict::RollBack { rollback, .. } => Some(*rollback),
            Verdict::Hold(_) => None,
        })
    }

    fn decisions<T>(&self, pick: impl Fn(&Verdict) -> Option<T>) -> Vec<T> {
        let verdicts = self
            .replay
            .journal()
            .iter()
            .filter_map(|change| match change {
                Change::Decision(decision) => Some(&decision.verdict),
                _ => None,
            });
        verdicts.filter_map(pick).collect()
    }

    fn stage(&self) -> Option<Stage> {
        self.replay
            .journal()
            .iter()
            .rev()
            .find_map(|change| match change {
                Change::Rollback(row) => Some(row.stage.clone()),
                _ => None,
            })
    }

    /// What a remediator does: observe, patch, report.
    fn remediate(&mut self) {
        let id = *self.rollbacks().last().unwrap();
        let observed = Observed {
            rollout: self.seen().rollout_id(),
            resource_version: self.revision.to_string().into(),
            template: template(self.current),
            rollback: self.marks.rollback,
            target_exists: true,
            paused: false,
            refused: None,
        };
        self.replay.steward(&StewardEvent::Happening(
            id,
            Happening::Observed(Some(observed)),
        ));
        assert!(matches!(self.stage(), Some(Stage::Applying { .. })));
        self.replay.steward(&StewardEvent::Happening(
            id,
            Happening::Answered(Answer::Applied),
        ));
        self.marks.rollback = Some(id);
        self.marks.rolled_back_from = Some(template(self.current));
        self.marks.rolled_back_at = Some(self.replay.now());
    }

    /// Transitions and deliveries as one line each.
    fn told(&self) -> Vec<String> {
        let line = |change: &Change| match change {
            Change::Transition(transition) => Some(format!(
                "{} {} -> {}",
                transition.key,
                transition.from.as_str(),
                transition.to.as_str()
            )),
            Change::Deliver(delivery) => Some(format!(
                "to {}: {} [{}]",
                delivery.receiver,
                delivery.message.annotations["summary"],
                delivery.message.status.as_str(),
            )),
            _ => None,
        };
        self.replay.journal().iter().filter_map(line).collect()
    }
}

#[test]
fn a_sample_goes_through_judge_and_teller_to_a_delivery() {
    let mut story = Story::begin(&spec(|_, workload, _| workload.triggers.clear()));
    story.traffic(10);
    story.failing = 30;
    story.traffic(10);
    story.failing = 0;
    story.traffic(12);
    insta::assert_snapshot!(story.told().join("\n"), @r"
    acme/error-rate/traffic inactive -> firing
    to ops: acme: error-rate is 6% [firing]
    acme/error-rate/traffic firing -> firing
    to ops: acme: error-rate is 12% [firing]
    acme/error-rate/traffic firing -> firing
    acme/error-rate/traffic firing -> resolved
    to ops: acme: error-rate is as promised again (3%) [resolved]
    ");
}

#[test]
fn a_bad_release_is_rolled_back_once_verified_and_told() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    let proven = story.replay.judge().workloads()[0].ledger[0].proven;
    assert!(
        proven.is_some(),
        "a revision that kept its promises for a bake is proven"
    );
    story.release("v2", 20);
    story.traffic(8);
    assert_eq!(story.rollbacks().len(), 1);
    story.remediate();
    story.release("v1", 0);
    story.traffic(20);
    assert_eq!(story.stage(), Some(Stage::Succeeded));
    assert_eq!(
        story.rollbacks().len(),
        1,
        "at most once, however long the window stays full"
    );
    assert_eq!(story.holds(), []);
    let quarantined = story.replay.journal().iter().any(|change| {
        matches!(change, Change::Fact(fact) if matches!(fact.what, What::Quarantined { template: t, .. } if t == template("v2")))
    });
    assert!(quarantined);
    insta::assert_snapshot!(story.told().join("\n"), @r"
    acme/error-rate/traffic inactive -> firing
    to ops: acme: error-rate is 6% [firing]
    acme/error-rate/traffic firing -> firing
    to ops: acme: error-rate is 12% [firing]
    to ops: acme/shop: rolling back [firing]
    to ops: acme/shop: rolled back, verifying [firing]
    acme/error-rate/traffic firing -> firing
    acme/error-rate/traffic firing -> resolved
    to ops: acme: error-rate is as promised again (4%) [resolved]
    to ops: acme/shop: the rollback helped [resolved]
    ");
}

#[test]
fn the_same_bad_release_applied_again_is_judged_again_and_then_held() {
    let mut story = Story::begin(&spec(|_, workload, _| {
        workload.cooldown = SECOND;
        workload.per_day = 10;
    }));
    story.traffic(25);
    for round in 1..=3 {
        story.release("v2", 20);
        story.traffic(10);
        if round == 3 {
            break;
        }
        assert_eq!(story.rollbacks().len(), round);
        story.remediate();
        story.release("v1", 0);
        story.traffic(30);
    }
    assert_eq!(story.rollbacks().len(), 2, "never a loop");
    assert_eq!(story.holds(), [Hold::Reapplied]);
}

#[test]
fn a_rollback_that_does_not_help_is_not_followed_by_another() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.release("v2", 20);
    story.traffic(8);
    story.remediate();
    story.release("v1", 20);
    story.traffic(60);
    assert_eq!(story.stage(), Some(Stage::NotCaused));
    assert_eq!(story.rollbacks().len(), 1);
    let ledger = story.replay.judge().workloads()[0].ledger.clone();
    let v2 = ledger
        .iter()
        .find(|entry| entry.template == template("v2"))
        .unwrap();
    assert_ne!(
        v2.trust.as_str(),
        "quarantined",
        "not caused by the release lifts the quarantine"
    );
    assert!(
        story
            .told()
            .iter()
            .any(|line| line.contains("not caused by the release"))
    );
}

/// One breach, one reason: told once, and no rollback.
fn held(story: &mut Story, reason: Hold) {
    story.traffic(60);
    assert_eq!(story.rollbacks(), []);
    assert_eq!(story.holds(), [reason]);
    let told = story
        .told()
        .iter()
        .filter(|line| line.contains("not rolled back") || line.contains("would have"))
        .count();
    assert_eq!(told, 1, "a hold is told once a reason: {:#?}", story.told());
}

#[test]
fn without_a_rollout_nothing_is_rolled_back() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.failing = 20;
    held(&mut story, Hold::NoRollout);
}

#[test]
fn a_breach_that_is_older_than_the_rollout_does_not_blame_it() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.failing = 20;
    story.traffic(7);
    story.release("v2", 20);
    story.traffic(60);
    assert_eq!(story.rollbacks(), []);
    assert_eq!(story.holds(), [Hold::NoRollout, Hold::BrokenBefore]);
}

#[test]
fn a_breach_that_was_growing_when_the_rollout_began_does_not_blame_it() {
    // Only the warning is breached when v2 comes; the critical limit is passed a second later.
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.failing = 20;
    story.traffic(5);
    story.release("v2", 20);
    held(&mut story, Hold::BrokenBefore);
}

#[test]
fn in_mode_observe_it_says_what_it_would_have_done() {
    let mut story = Story::begin(&spec(|_, workload, _| workload.mode = Mode::Observe));
    story.traffic(25);
    story.release("v2", 20);
    held(&mut story, Hold::ModeObserve);
}

#[test]
fn one_episode_of_a_trigger_is_one_petition_however_its_value_wavers() {
    let mut story = Story::begin(&spec(|tenant, workload, _| {
        workload.mode = Mode::Observe;
        let objective = Arc::make_mut(&mut tenant.objectives[0]);
        objective.recover = Some(Condition {
            comparison: Comparison::Below,
            limit: Value::ratio(2, 100).unwrap(),
            unit: Unit::Ratio,
        });
    }));
    story.traffic(25);
    story.release("v2", 20);
    story.traffic(15);
    story.failing = 8;
    story.traffic(15);
    story.failing = 20;
    story.traffic(15);
    assert_eq!(story.holds(), [Hold::ModeObserve]);
    let ends = story
        .told()
        .iter()
        .filter(|line| line.contains("over without"))
        .count();
    assert_eq!(ends, 0, "it is not over while it still fires");
}

#[test]
fn a_spent_budget_holds() {
    let mut story = Story::begin(&spec(|_, workload, _| workload.per_day = 0));
    story.traffic(25);
    story.release("v2", 20);
    held(&mut story, Hold::BudgetWorkload);
}

#[test]
fn without_a_proven_revision_there_is_no_target() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(5);
    story.release("v2", 20);
    held(&mut story, Hold::NoBaseline);
}

#[test]
fn a_proven_revision_that_the_platform_has_forgotten_is_gone() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.held.clear();
    story.release("v2", 20);
    held(&mut story, Hold::BaselineGone);
}

#[test]
fn blind_is_not_broken() {
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.release("v2", 0);
    story.traffic(5);
    story.blind(120);
    story.traffic(20);
    assert_eq!(story.rollbacks(), []);
    assert_eq!(story.holds(), []);
    insta::assert_snapshot!(story.told().join("\n"), @r"
    holdfast/blind/prometheus inactive -> firing
    to ops: Holdfast is blind: prometheus does not answer [firing]
    holdfast/blind/prometheus firing -> resolved
    to ops: Holdfast sees again: prometheus answers [resolved]
    ");
}

#[test]
fn a_window_full_of_old_errors_is_no_verdict_on_the_rollback() {
    // The alert goes on firing while the window slides; the trial looks past it.
    let mut story = Story::begin(&spec(|_, _, _| {}));
    story.traffic(25);
    story.release("v2", 60);
    story.traffic(6);
    story.remediate();
    story.release("v1", 0);
    story.traffic(5);
    let firing = story.replay.judge().objectives();
    assert!(
        firing
            .iter()
            .any(|standing| standing.state == AlertState::Firing)
    );
    assert!(matches!(story.stage(), Some(Stage::Verifying { .. })));
    story.traffic(20);
    assert_eq!(story.stage(), Some(Stage::Succeeded));
}

#[test]
fn whatever_was_told_to_fire_is_told_to_be_over_when_its_objective_is_removed() {
    let before = spec(|_, workload, _| workload.triggers.clear());
    let mut story = Story::begin(&before);
    story.traffic(10);
    story.failing = 30;
    story.traffic(10);
    let after = spec(|tenant, workload, _| {
        workload.triggers.clear();
        tenant.objectives.clear();
    });
    story.replay.configure(&after);
    let last = story.told().last().cloned().unwrap_or_default();
    assert_eq!(
        last,
        "to ops: acme: error-rate is no longer watched [resolved]"
    );
    let open = story
        .replay
        .journal()
        .iter()
        .filter_map(|change| match change {
            Change::Told(told) => Some((told.alert, told.status)),
            _ => None,
        });
    let last: BTreeMap<_, _> = open.collect();
    assert!(last.values().all(|status| *status == Status::Resolved));
}

#[test]
fn an_http_probe_is_judged_by_its_row_of_failures() {
    let mut story = Story::begin(&spec(|tenant, workload, _| {
        workload.triggers.clear();
        let id: ProbeId = "acme/api".parse().unwrap();
        let http = HttpTarget {
            url: "http://127.0.0.1/".to_owned(),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            expect: crate::domain::target::HttpExpectation::default(),
            value: None,
            redirects_max: 0,
        };
        let traffic = tenant.probes[&name("traffic")].clone();
        let probe = Probe {
            id: id.clone(),
            target: Target::Http(Box::new(http)),
            ..(*traffic).clone()
        };
        tenant.probes.insert(name("api"), Arc::new(probe));
        let mut objective = (*tenant.objectives[0]).clone();
        objective.key = "acme/up/api".parse().unwrap();
        objective.measure = Measure::ConsecutiveFailures;
        objective.samples_min = 1;
        objective.levels = vec![(
            Severity::Critical,
            Condition {
                comparison: Comparison::AtLeast,
                limit: Value::whole(3),
                unit: Unit::Number,
            },
        )];
        tenant.objectives.push(Arc::new(objective));
    }));
    let look = |story: &mut Story, reading: Reading| {
        story.replay.advance(SECOND);
        let now = story.replay.now();
        let series = "acme/api".parse().unwrap();
        story.replay.sample(Sample {
            series,
            span: Span::at(now),
            reading,
        });
    };
    let answer = |good: bool| Reading::Look {
        good,
        latency: Some(Duration::from_millis(5)),
        value: None,
        why: (!good).then(|| "status 500, expected 2xx".into()),
    };
    for good in [true, false, false, true, false] {
        look(&mut story, answer(good));
    }
    look(&mut story, Reading::Void(Blind::Network));
    look(&mut story, answer(false));
    assert_eq!(story.told(), Vec::<String>::new());
    look(&mut story, answer(false));
    look(&mut story, answer(true));
    insta::assert_snapshot!(story.told().join("\n"), @r"
    acme/up/api inactive -> firing
    to ops: acme: up is 3 [firing]
    acme/up/api firing -> resolved
    to ops: acme: up is as promised again (0) [resolved]
    ");
}

#[path = "restarts.rs"]
mod restarts;
