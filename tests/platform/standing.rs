//! The loops that stand: the watch and the lease.

use std::sync::Arc;
use std::time::Duration;

use holdfast::clock::Clock;
use holdfast::cluster::lease::LeaseTimes;
use holdfast::cluster::lease_object::{LeaseObject, NAME};
use holdfast::cluster::watch::Watch;
use holdfast::daemon::leadership::{Election, Leadership, identity};
use holdfast::domain::rollback::Term;
use holdfast::domain::rollout::Sighting;
use holdfast::telemetry::metrics::Metrics;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acting::Stage;

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_rollout_is_watched_with_the_rights_of_the_base() {
    let stage = Stage::begin("watch").await;
    let first = stage.release("registry.example/web:v1").await;
    let (_targets, targets) = watch::channel(Arc::new([stage.target()].into()));
    let (out, mut sightings) = mpsc::channel(16);
    let watching = Watch {
        client: stage.clients.watches.clone(),
        targets,
        out,
        clock: Clock::system(),
    };
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(watching.run(stop.clone()));
    tasks.close();

    let mut numbered = async |number: u64| {
        let found = async {
            loop {
                match sightings.recv().await.unwrap() {
                    Sighting::Seen(seen) if seen.revision == Some(number) => return seen.template,
                    Sighting::Seen(seen) => assert!(seen.revision.is_none_or(|it| it < number)),
                    Sighting::Pods { .. } => {}
                    Sighting::Gone { .. } => panic!("it is there"),
                }
            }
        };
        tokio::time::timeout(SOON, found).await.unwrap()
    };
    assert_eq!(numbered(1).await, first.template);
    let second = stage.release("registry.example/web:v2").await;
    assert_eq!(numbered(2).await, second.template);
    stop.cancel();
    tokio::time::timeout(SOON, tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn the_lease_is_held_and_handed_over_with_the_rights_of_the_base() {
    let stage = Stage::begin("lease").await;
    for term in 1..=2 {
        let (_fit, fit) = watch::channel(true);
        let (out, mut leadership) = watch::channel(Leadership::Follows);
        let (stop, drained) = (CancellationToken::new(), CancellationToken::new());
        let clock = Clock::system();
        let election = Election {
            lease: LeaseObject::new(stage.clients.calls.clone(), &stage.namespace, NAME),
            identity: identity("host", &clock),
            times: LeaseTimes::lasting(Duration::from_secs(6)),
            clock,
            fit,
            drained: drained.clone(),
            metrics: Arc::new(Metrics::register(&mut Registry::default())),
            out,
        };
        let tasks = TaskTracker::new();
        tasks.spawn(election.run(stop.clone()));
        tasks.close();
        let leads = leadership.wait_for(|now| now.term(Duration::ZERO).is_some());
        let leads = *tokio::time::timeout(SOON, leads).await.unwrap().unwrap();
        assert_eq!(leads.term(Duration::ZERO), Some(Term(term)));
        // It renews: the end moves on.
        let renewed = leadership.wait_for(|now| *now != leads && *now != Leadership::Follows);
        tokio::time::timeout(SOON, renewed).await.unwrap().unwrap();
        drained.cancel();
        stop.cancel();
        tokio::time::timeout(SOON, tasks.wait()).await.unwrap();
    }
}
