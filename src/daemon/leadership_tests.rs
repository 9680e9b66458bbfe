//! Two processes and one lease, against the simulated cluster.

use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use super::*;
use crate::sim::api::{Effect, Fault, Meets};
use crate::sim::{SimCluster, SimOptions};

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

struct Process {
    leadership: watch::Receiver<Leadership>,
    fit: watch::Sender<bool>,
    drained: CancellationToken,
    stop: CancellationToken,
    task: TaskTracker,
}

async fn cluster() -> SimCluster {
    let started = Instant::now();
    let begin: jiff::Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let now = Arc::new(move || begin + SignedDuration::try_from(started.elapsed()).unwrap());
    SimCluster::start(now, SimOptions::default()).await.unwrap()
}

fn process(cluster: &SimCluster, name: &str) -> Process {
    let client = cluster.client_named(name).unwrap();
    let (fit, fit_seen) = watch::channel(true);
    let (out, leadership) = watch::channel(Leadership::Follows);
    let (stop, drained) = (CancellationToken::new(), CancellationToken::new());
    let clock = Clock::system();
    let election = Election {
        lease: LeaseObject::new(client, "default", crate::cluster::lease_object::NAME),
        identity: identity(name, &clock),
        times: LeaseTimes::lasting(Duration::from_secs(3)),
        clock,
        fit: fit_seen,
        drained: drained.clone(),
        metrics: Arc::new(Metrics::register(&mut Registry::default())),
        out,
    };
    let task = TaskTracker::new();
    task.spawn(election.run(stop.clone()));
    task.close();
    Process {
        leadership,
        fit,
        drained,
        stop,
        task,
    }
}

impl Process {
    async fn leads(&mut self) -> Term {
        let leads = self
            .leadership
            .wait_for(|now| now.term(Duration::ZERO).is_some());
        let leads = *tokio::time::timeout(SOON, leads).await.unwrap().unwrap();
        leads.term(Duration::ZERO).expect("it leads")
    }

    async fn follows(&mut self) {
        let follows = self.leadership.wait_for(|now| *now == Leadership::Follows);
        tokio::time::timeout(SOON, follows).await.unwrap().unwrap();
    }

    fn leads_now(&self) -> bool {
        self.leadership.borrow().term(Duration::ZERO).is_some()
    }

    async fn end(self) {
        self.drained.cancel();
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_only_when_it_is_drained() {
    let cluster = cluster().await;
    let mut first = process(&cluster, "first");
    assert_eq!(first.leads().await, Term(1));
    let mut second = process(&cluster, "second");
    first.stop.cancel();
    first.follows().await;
    assert!(!second.leads_now());
    first.drained.cancel();
    assert_eq!(second.leads().await, Term(2));
    second.end().await;
    let mut third = process(&cluster, "third");
    assert_eq!(
        third.leads().await,
        Term(3),
        "a released lease is free at once"
    );
    third.end().await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_follows_before_another_leads() {
    let cluster = cluster().await;
    let mut first = process(&cluster, "first");
    first.leads().await;
    let mut second = process(&cluster, "second");
    for effect in [Effect::Refuse, Effect::Hang] {
        let meets = Meets {
            resource: Some("leases"),
            user_agent: Some("first".to_owned()),
            ..Meets::default()
        };
        cluster.inject(Fault::lasting(meets, effect));
        first.follows().await;
        let second_leads = tokio::time::timeout(SOON, async {
            while !second.leads_now() {
                assert!(!first.leads_now(), "both lead");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        second_leads.await.unwrap();
        assert!(!first.leads_now());
        cluster.heal();
        let term = second.leads().await;
        second.stop.cancel();
        second.drained.cancel();
        assert!(first.leads().await > term);
        second = process(&cluster, "second");
    }
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn an_unfit_leader_gives_the_lease_up_and_tries_again_when_it_is_fit() {
    let cluster = cluster().await;
    let mut first = process(&cluster, "first");
    let term = first.leads().await;
    first.fit.send_replace(false);
    first.follows().await;
    let mut second = process(&cluster, "second");
    assert!(second.leads().await > term);
    first.fit.send_replace(true);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!first.leads_now());
    second.end().await;
    assert!(first.leads().await > term);
    first.end().await;
}

#[tokio::test]
async fn what_others_put_on_the_lease_stays() {
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::api::{Api, Patch, PatchParams};
    let cluster = cluster().await;
    let mut first = process(&cluster, "first");
    first.leads().await;
    let api: Api<Lease> = Api::namespaced(cluster.client(), "default");
    let patch = Patch::Merge(serde_json::json!({ "metadata": { "labels": { "team": "ops" } } }));
    let labelled = api
        .patch("holdfast", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let before = labelled.spec.unwrap().renew_time;
    let renewed = tokio::time::timeout(SOON, async {
        loop {
            let lease = api.get("holdfast").await.unwrap();
            if lease.spec.as_ref().unwrap().renew_time != before {
                return lease;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let renewed = renewed.await.unwrap();
    assert_eq!(
        renewed
            .metadata
            .labels
            .unwrap()
            .get("team")
            .map(String::as_str),
        Some("ops")
    );
    assert_eq!(renewed.spec.unwrap().lease_transitions, Some(1));
    first.end().await;
}
