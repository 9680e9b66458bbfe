use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::alert::{Cause, Evidence, episode};
use crate::domain::id::{AlertId, AlertKey, Digest};
use crate::domain::objective::Severity;
use crate::domain::sample::Tally;
use crate::domain::spec::{Matcher, Pattern, Route, Spec};
use crate::domain::time::Span;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_767_600_000 + seconds)
}

fn key(probe: &str) -> AlertKey {
    format!("acme/error-rate/{probe}").parse().unwrap()
}

fn transition(probe: &str, began: i64, to: AlertState, severity: Severity, now: i64) -> Transition {
    let key = key(probe);
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Transition {
        alert: episode(&key, at(began)),
        key: key.clone(),
        at: at(now),
        began: at(began),
        from: AlertState::Pending,
        to,
        severity,
        cause: Cause::Breach,
        labels: BTreeMap::from([
            label("tenant", "acme"),
            label("probe", probe),
            label("severity", severity.as_str()),
        ]),
        annotations: BTreeMap::from([label("summary", "too many errors")]),
        evidence: Box::new(Evidence {
            key,
            measure: "error_ratio".into(),
            condition: "above 10%".into(),
            shown: None,
            value: None,
            over: Duration::from_secs(300),
            window: Span::at(at(now)),
            tally: Tally::default(),
            void: 0,
            why: None,
            points: Vec::new(),
        }),
    }
}

fn child(severity: &str, receivers: &[&str]) -> Route {
    Route {
        matchers: vec![Matcher {
            label: "severity".into(),
            any_of: vec![Pattern::Exact(severity.into())],
        }],
        receivers: receivers.iter().map(|name| name.parse().unwrap()).collect(),
        routes: Vec::new(),
    }
}

fn spec(root: &[&str], routes: Vec<Route>) -> TellerEvent {
    TellerEvent::Spec(Arc::new(Spec {
        route: Route {
            matchers: Vec::new(),
            receivers: root.iter().map(|name| name.parse().unwrap()).collect(),
            routes,
        },
        ..Spec::default()
    }))
}

/// A teller with what the store would remember of it.
struct World {
    teller: Teller,
    seq: u64,
    told: BTreeMap<(Name, AlertId), Told>,
    deliveries: Vec<Delivery>,
    cursor: Seq,
}

impl World {
    fn new(configuration: &TellerEvent) -> Self {
        let mut world = Self {
            teller: Teller::new(Term(1), Vec::new()),
            seq: 0,
            told: BTreeMap::new(),
            deliveries: Vec::new(),
            cursor: Seq(0),
        };
        world.configure(configuration);
        world
    }

    fn configure(&mut self, configuration: &TellerEvent) {
        let mut out = Changes::default();
        self.teller.step(configuration, at(0), &mut out);
        assert_eq!(out, Changes::default());
    }

    /// The process died; the next one reads back what a store answers: records that are open.
    fn restart(&mut self, term: u64, configuration: &TellerEvent) {
        let open = |told: &&Told| told.status == Status::Firing;
        let open = self.told.values().filter(open).cloned().collect();
        self.teller = Teller::new(Term(term), open);
        self.configure(configuration);
    }

    fn post(&mut self, change: Change) -> Vec<String> {
        self.seq += 3;
        let post = Post {
            seq: Seq(self.seq),
            at: at(self.seq as i64),
            change,
        };
        self.step(post)
    }

    fn step(&mut self, post: Post) -> Vec<String> {
        let mut out = Changes::default();
        let now = post.at + Duration::from_secs(1);
        self.teller
            .step(&TellerEvent::Post(Box::new(post)), now, &mut out);
        let mut said = Vec::new();
        for change in out.list {
            match change {
                Change::Deliver(delivery) => {
                    let message = &delivery.message;
                    said.push(format!(
                        "{}: {} ({})",
                        delivery.receiver,
                        message.status.as_str(),
                        message.reason.as_str()
                    ));
                    self.deliveries.push(delivery);
                }
                Change::Told(told) => {
                    self.told.insert((told.receiver.clone(), told.alert), told);
                }
                Change::Read {
                    role: Role::Teller,
                    seq,
                } => self.cursor = seq,
                other => panic!("the teller gave {other:?}"),
            }
        }
        said
    }

    fn alert(&mut self, to: AlertState, severity: Severity) -> Vec<String> {
        self.post(Change::Transition(transition("api", 0, to, severity, 60)))
    }
}

#[test]
fn firing_and_resolved_reach_the_receivers_of_the_route() {
    let mut world = World::new(&spec(&["ops", "hook"], vec![]));
    assert!(
        world
            .alert(AlertState::Pending, Severity::Warning)
            .is_empty()
    );
    assert_eq!(
        world.alert(AlertState::Firing, Severity::Warning),
        ["ops: firing (first)", "hook: firing (first)"]
    );
    assert!(
        world
            .alert(AlertState::Firing, Severity::Warning)
            .is_empty()
    );
    assert_eq!(
        world.alert(AlertState::Resolved, Severity::Warning),
        ["hook: resolved (resolved)", "ops: resolved (resolved)"]
    );
    let [first, .., last] = world.deliveries.as_slice() else {
        panic!("four deliveries");
    };
    assert_eq!(first.message.starts_at, at(0));
    assert_eq!(first.message.ends_at, None);
    assert_eq!(last.message.ends_at, Some(at(60)));
    assert_eq!(first.message.thread, episode(&key("api"), at(0)).0);
    assert_eq!(
        first.id,
        delivery_id(&first.receiver, first.message.thread, Status::Firing, 1)
    );
    assert_eq!((first.created, first.due), (at(6), at(7)));
    assert_eq!(world.cursor, Seq(12));
}

#[test]
fn a_resolve_without_a_firing_tells_nobody() {
    let mut world = World::new(&spec(&["ops"], vec![]));
    assert!(
        world
            .alert(AlertState::Pending, Severity::Critical)
            .is_empty()
    );
    assert!(
        world
            .alert(AlertState::Inactive, Severity::Critical)
            .is_empty()
    );
    assert!(
        world
            .alert(AlertState::Resolved, Severity::Critical)
            .is_empty()
    );
    assert!(world.deliveries.is_empty());
    assert_eq!(world.cursor, Seq(9));
}

#[test]
fn raising_the_severity_is_news_to_those_who_heard_less_and_lowering_it_is_none() {
    let critical = child("critical", &["oncall", "ops"]);
    let mut world = World::new(&spec(&["ops"], vec![critical]));
    assert_eq!(
        world.alert(AlertState::Firing, Severity::Warning),
        ["ops: firing (first)"]
    );
    assert_eq!(
        world.alert(AlertState::Firing, Severity::Critical),
        ["oncall: firing (first)", "ops: firing (severity raised)"]
    );
    assert!(
        world
            .alert(AlertState::Firing, Severity::Warning)
            .is_empty()
    );
    assert!(
        world
            .alert(AlertState::Firing, Severity::Critical)
            .is_empty()
    );
    assert_eq!(
        world.alert(AlertState::Resolved, Severity::Critical),
        ["oncall: resolved (resolved)", "ops: resolved (resolved)"]
    );
}

#[test]
fn who_heard_firing_hears_resolved_though_the_route_and_the_receiver_are_gone() {
    let mut world = World::new(&spec(&["ops"], vec![]));
    world.alert(AlertState::Firing, Severity::Critical);
    world.configure(&spec(&["mail"], vec![]));
    assert_eq!(
        world.alert(AlertState::Resolved, Severity::Critical),
        ["ops: resolved (resolved)"]
    );
}

#[test]
fn an_alert_that_goes_back_to_pending_and_ends_there_is_resolved() {
    let mut world = World::new(&spec(&["ops"], vec![]));
    world.alert(AlertState::Firing, Severity::Critical);
    assert!(
        world
            .alert(AlertState::Pending, Severity::Critical)
            .is_empty()
    );
    assert_eq!(
        world.alert(AlertState::Inactive, Severity::Critical),
        ["ops: resolved (resolved)"]
    );
}

#[test]
fn a_restart_goes_on_from_the_records_without_telling_twice() {
    let configuration = spec(&["ops"], vec![]);
    let mut world = World::new(&configuration);
    world.alert(AlertState::Firing, Severity::Critical);
    world.restart(2, &configuration);
    assert!(
        world
            .alert(AlertState::Firing, Severity::Critical)
            .is_empty()
    );
    assert_eq!(
        world.alert(AlertState::Resolved, Severity::Critical),
        ["ops: resolved (resolved)"]
    );
    let terms: Vec<Term> = world.deliveries.iter().map(|each| each.term).collect();
    assert_eq!(terms, [Term(1), Term(2)]);
}

#[test]
fn a_post_that_is_read_again_changes_nothing() {
    let mut world = World::new(&spec(&["ops"], vec![]));
    let post = Post {
        seq: Seq(7),
        at: at(7),
        change: Change::Notice(notice("decision")),
    };
    assert_eq!(world.step(post.clone()), ["ops: firing (rollback)"]);
    assert!(world.step(post).is_empty());
}

fn notice(about: &str) -> Notice {
    Notice {
        key: Digest::of(&["held", about]),
        at: at(5),
        message: Message {
            status: Status::Firing,
            reason: Reason::Rollback,
            severity: Severity::Critical,
            thread: Digest::of(&[about]),
            labels: BTreeMap::from([("severity".into(), "critical".into())]),
            annotations: BTreeMap::new(),
            starts_at: at(5),
            ends_at: None,
        },
    }
}

#[test]
fn a_notice_is_routed_by_its_labels_and_keeps_its_id_after_a_crash() {
    let critical = child("critical", &["oncall", "ops"]);
    let configuration = spec(&["mail"], vec![critical]);
    let mut world = World::new(&configuration);
    let told = world.post(Change::Notice(notice("a")));
    assert_eq!(
        told,
        ["oncall: firing (rollback)", "ops: firing (rollback)"]
    );
    let before: Vec<DeliveryId> = world.deliveries.iter().map(|each| each.id).collect();
    // Nothing of the last batch was committed: the next process reads the same post.
    world.deliveries.clear();
    world.restart(2, &configuration);
    world.seq -= 3;
    world.post(Change::Notice(notice("a")));
    let after: Vec<DeliveryId> = world.deliveries.iter().map(|each| each.id).collect();
    assert_eq!(before, after);
}

#[test]
fn with_nobody_configured_posts_are_read_all_the_same() {
    let mut world = World::new(&spec(&[], vec![]));
    assert!(
        world
            .alert(AlertState::Firing, Severity::Critical)
            .is_empty()
    );
    assert!(world.post(Change::Notice(notice("a"))).is_empty());
    assert_eq!(world.cursor, Seq(6));
}

#[derive(Clone, Debug)]
enum Act {
    Move(usize, AlertState, Severity),
    Route(Vec<usize>, Vec<usize>),
    Restart,
    Repeat,
}

fn act() -> impl Strategy<Value = Act> {
    let state = prop_oneof![
        Just(AlertState::Pending),
        Just(AlertState::Firing),
        Just(AlertState::Firing),
        Just(AlertState::Inactive),
        Just(AlertState::Resolved),
    ];
    let severity = proptest::sample::select(Severity::ALL.to_vec());
    let some = || proptest::collection::vec(0_usize..4, 0..4);
    prop_oneof![
        6 => (0_usize..3, state, severity).prop_map(|(alert, to, how)| Act::Move(alert, to, how)),
        1 => (some(), some()).prop_map(|(root, critical)| Act::Route(root, critical)),
        1 => Just(Act::Restart),
        1 => Just(Act::Repeat),
    ]
}

const RECEIVERS: [&str; 4] = ["hook", "mail", "oncall", "ops"];
const PROBES: [&str; 3] = ["a", "b", "c"];

fn configuration(root: &[usize], critical: &[usize]) -> TellerEvent {
    let names = |list: &[usize]| -> Vec<&str> { list.iter().map(|i| RECEIVERS[*i]).collect() };
    spec(&names(root), vec![child("critical", &names(critical))])
}

/// Per receiver and episode: firing, firing …, resolved, and never resolved first or alone.
fn contract_holds(world: &World, ended: &BTreeSet<AlertId>) {
    let mut ids = BTreeSet::new();
    let mut threads: BTreeMap<(Name, Digest), Vec<&Delivery>> = BTreeMap::new();
    for delivery in &world.deliveries {
        assert!(ids.insert(delivery.id), "an id was given twice");
        let thread = (delivery.receiver.clone(), delivery.message.thread);
        threads.entry(thread).or_default().push(delivery);
    }
    for ((receiver, thread), deliveries) in threads {
        let orders: Vec<u64> = deliveries.iter().map(|each| each.order).collect();
        assert!(orders.is_sorted_by(|a, b| a < b), "{receiver}: {orders:?}");
        let resolved = |each: &&Delivery| each.message.status == Status::Resolved;
        let (last, before) = deliveries.split_last().unwrap();
        assert!(
            !before.iter().any(resolved),
            "{receiver}: something after resolved"
        );
        assert_eq!(deliveries[0].message.reason, Reason::First, "{receiver}");
        let severities = before.iter().map(|each| each.message.severity);
        assert!(
            severities.is_sorted_by(|a, b| a < b),
            "{receiver}: raised to no more"
        );
        let over = ended.contains(&AlertId(thread));
        assert_eq!(
            resolved(last),
            over,
            "{receiver}: told that it is over or not"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_who_heard_firing_hears_resolved_once_and_nobody_else_does(
        root in proptest::collection::vec(0_usize..4, 0..4),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let mut present = configuration(&root, &[2]);
        let mut world = World::new(&present);
        // The number of the episode of each alert; a new one begins after the old one has ended.
        let mut episodes = [0_i64; 3];
        let mut ended = BTreeSet::new();
        let mut last = None;
        for (step, act) in acts.into_iter().enumerate() {
            match act {
                Act::Move(alert, to, severity) => {
                    let began = episodes[alert];
                    let change = transition(PROBES[alert], began, to, severity, step as i64);
                    if matches!(to, AlertState::Resolved | AlertState::Inactive) {
                        ended.insert(change.alert);
                        episodes[alert] += 1;
                    }
                    last = Some(change.clone());
                    world.post(Change::Transition(change));
                }
                Act::Route(root, critical) => {
                    present = configuration(&root, &critical);
                    world.configure(&present);
                }
                Act::Restart => world.restart(step as u64 + 2, &present),
                Act::Repeat => if let Some(change) = last.clone() {
                    let post = Post { seq: world.cursor, at: at(0), change: Change::Transition(change) };
                    // Only a running teller can be handed a post that it has committed already.
                    if world.teller.read == Some(world.cursor) {
                        prop_assert!(world.step(post).is_empty());
                    }
                },
            }
            contract_holds(&world, &ended);
        }
    }
}
