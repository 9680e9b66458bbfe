//! The whole loop on real time and real sockets: what is waited for is an event, with a deadline.

use std::collections::BTreeMap;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::id::TenantId;
use crate::domain::sample::{Blind, Outcome, Reading};
use crate::domain::spec::Tenant;
use crate::domain::target::{
    HeartbeatTarget, HttpExpectation, HttpTarget, Probe, Target, TcpTarget,
};
use crate::probe::stand_in::{Act, StandIn, nobody};

const DEADLINE: Duration = Duration::from_secs(20);

struct World {
    handle: ProberHandle,
    samples: mpsc::Receiver<JudgeEvent>,
    spec: watch::Sender<Arc<Spec>>,
    metrics: Arc<Metrics>,
    registry: Registry,
    tasks: Tasks,
}

impl World {
    fn new(probes: Vec<Probe>, self_check: SelfCheck, queue: usize) -> Self {
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        let tasks = Tasks::new(CancellationToken::new());
        let (output, samples) = mpsc::channel(queue);
        let (spec, receiver) = watch::channel(Arc::new(spec_of(probes)));
        let handle = Prober {
            tasks: tasks.clone(),
            clock: Clock::system(),
            metrics: metrics.clone(),
            means: Means::default(),
            self_check,
            spec: receiver,
            output,
        }
        .start();
        Self {
            handle,
            samples,
            spec,
            metrics,
            registry,
            tasks,
        }
    }

    async fn next(&mut self) -> Sample {
        match tokio::time::timeout(DEADLINE, self.samples.recv()).await {
            Ok(Some(JudgeEvent::Sample(sample))) => sample,
            other => panic!("no sample came: {other:?}"),
        }
    }

    fn scrape(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "never happened: {what}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert_eq!(self.tasks.died(), None, "a task died");
        self.tasks.stop().cancel();
    }
}

fn spec_of(probes: Vec<Probe>) -> Spec {
    let id: TenantId = TenantId("acme".parse().unwrap());
    let tenant = Tenant {
        id: id.clone(),
        plan: None,
        namespaces: vec!["acme".into()],
        labels: BTreeMap::new(),
        probes: probes
            .into_iter()
            .map(|probe| (probe.id.probe.clone(), Arc::new(probe)))
            .collect(),
        objectives: Vec::new(),
        workloads: BTreeMap::new(),
    };
    Spec {
        tenants: BTreeMap::from([(id, Arc::new(tenant))]),
        ..Spec::default()
    }
}

fn probe(name: &str, target: Target) -> Probe {
    Probe {
        id: format!("acme/{name}").parse().unwrap(),
        target,
        every: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        retries: 0,
        labels: BTreeMap::new(),
    }
}

fn http(url: String) -> Target {
    Target::Http(Box::new(HttpTarget {
        url,
        method: "GET".into(),
        headers: BTreeMap::new(),
        body: None,
        expect: HttpExpectation::default(),
        value: None,
        redirects_max: 0,
    }))
}

fn heartbeat(seconds: u64) -> Target {
    Target::Heartbeat(HeartbeatTarget {
        max_age: Duration::from_secs(seconds),
    })
}

fn rarely(mut probe: Probe) -> Probe {
    probe.every = Duration::from_secs(100_000);
    probe.timeout = Duration::from_secs(5);
    probe
}

#[tokio::test]
async fn due_probes_are_looked_at_again_and_again_and_their_samples_reach_the_judge() {
    let server = StandIn::new(|_| Act::status("200 OK")).await;
    let probes = vec![
        probe("api", http(server.url("/"))),
        probe("shop", http(server.url("/shop"))),
    ];
    let mut world = World::new(probes, SelfCheck::none(), 64);
    let mut seen = BTreeMap::<String, Vec<Timestamp>>::new();
    while seen.len() < 2 || seen.values().any(|times| times.len() < 3) {
        let sample = world.next().await;
        assert_eq!(sample.outcome(), Outcome::Good);
        seen.entry(sample.series.to_string())
            .or_default()
            .push(sample.span.to);
    }
    for times in seen.values() {
        assert!(times.is_sorted(), "{times:?}");
    }
    let text = world.scrape();
    assert!(
        text.contains(r#"probe_success{tenant="acme",probe="api"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"holdfast_probes_total{tenant="acme",probe="api",outcome="bad"} 0"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_target_that_hangs_delays_nobody_and_misses_its_own_ticks() {
    let silent = StandIn::new(|_| Act::Silence).await;
    let server = StandIn::new(|_| Act::status("200 OK")).await;
    let mut hanging = probe("hanging", http(silent.url("/")));
    hanging.every = Duration::from_millis(50);
    hanging.timeout = Duration::from_secs(60);
    let mut world = World::new(
        vec![hanging, probe("api", http(server.url("/")))],
        SelfCheck::none(),
        64,
    );
    for _ in 0..5 {
        assert_eq!(world.next().await.series.to_string(), "acme/api");
    }
    world
        .until("a missed tick", |world| {
            world.metrics.probe_missed_ticks.get() > 0
        })
        .await;
    assert_eq!(silent.requests().len(), 1, "ticks do not pile up");
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_forgets_what_is_gone() {
    let server = StandIn::new(|_| Act::status("200 OK")).await;
    let job = rarely(probe("job", heartbeat(3600)));
    let api = probe("api", http(server.url("/")));
    let mut world = World::new(vec![job.clone(), api], SelfCheck::none(), 64);
    assert!(world.handle.beat(&job.id));
    assert_eq!(world.next().await.series.to_string(), "acme/api");
    assert!(world.scrape().contains(r#"probe="api""#));

    let mut slower = job.clone();
    slower.every = Duration::from_secs(200_000);
    world.spec.send(Arc::new(spec_of(vec![slower]))).unwrap();
    world
        .until("the metrics of acme/api are gone", |world| {
            !world.scrape().contains(r#"probe="api""#)
        })
        .await;
    assert!(
        world
            .handle
            .run_now(&"acme/api".parse().unwrap())
            .await
            .is_none()
    );
    let (_, sample) = world.handle.run_now(&job.id).await.unwrap();
    assert_eq!(
        sample.outcome(),
        Outcome::Good,
        "the beat before the reload is known"
    );

    world
        .spec
        .send(Arc::new(spec_of(vec![rarely(probe("job", heartbeat(60)))])))
        .unwrap();
    let handle = world.handle.clone();
    let forgotten = tokio::time::timeout(DEADLINE, async {
        loop {
            let (_, sample) = handle.run_now(&job.id).await.unwrap();
            if sample.reading == Reading::Void(Blind::Empty) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(forgotten.await.is_ok(), "another target is another series");
}

#[tokio::test]
async fn only_a_heartbeat_probe_takes_beats() {
    let job = rarely(probe("job", heartbeat(60)));
    let api = rarely(probe("api", http("http://127.0.0.1:1/".into())));
    let world = World::new(vec![job, api], SelfCheck::none(), 8);
    assert!(world.handle.beat(&"acme/job".parse().unwrap()));
    assert!(!world.handle.beat(&"acme/api".parse().unwrap()));
    assert!(!world.handle.beat(&"acme/nothing".parse().unwrap()));
}

#[tokio::test]
async fn a_refused_connection_is_bad_while_holdfast_sees_and_void_while_it_does_not() {
    let address = nobody().await;
    let tcp = Target::Tcp(TcpTarget {
        host: address.ip().to_string(),
        port: address.port(),
    });
    let id: ProbeId = "acme/db".parse().unwrap();
    let api_server = StandIn::new(|_| Act::status("400 Bad Request")).await;
    for (api_server, expected) in [
        (api_server.address(), Outcome::Bad),
        (nobody().await, Outcome::Void),
    ] {
        let check = SelfCheck::new(Some(api_server.to_string()), None);
        let mut world = World::new(vec![rarely(probe("db", tcp.clone()))], check, 8);
        let (_, sample) = world.handle.run_now(&id).await.unwrap();
        assert_eq!(sample.outcome(), expected);
        assert_eq!(
            world.next().await,
            sample,
            "a look on demand counts like any other"
        );
        let known = world
            .scrape()
            .contains(r#"probe_success{tenant="acme",probe="db"} 0"#);
        assert_eq!(known, expected == Outcome::Bad, "blind is not broken");
    }
}

#[tokio::test]
async fn a_judge_that_takes_nothing_costs_samples_that_are_counted_and_stops_no_look() {
    let server = StandIn::new(|_| Act::status("200 OK")).await;
    let world = World::new(
        vec![probe("api", http(server.url("/")))],
        SelfCheck::none(),
        1,
    );
    world
        .until("two dropped samples", |world| {
            world.metrics.samples_dropped.get() >= 2
        })
        .await;
    assert!(server.requests().len() >= 3);
}
