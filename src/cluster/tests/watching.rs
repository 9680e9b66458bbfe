//! What the watcher reports.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::watch::{Targets, Watch};
use super::*;
use crate::domain::rollout::Sighting;

struct Watching {
    sightings: mpsc::Receiver<Sighting>,
    targets: watch::Sender<Arc<Targets>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

// === impl Watching ===

impl Watching {
    fn start(stage: &Stage, targets: &[WorkloadRef]) -> Self {
        let targets: BTreeSet<_> = targets.iter().cloned().collect();
        let (targets, receiver) = watch::channel(Arc::new(targets));
        let (out, sightings) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let watch = Watch {
            client: stage.clients.watches.clone(),
            targets: receiver,
            out,
            clock: stage.clock.clone(),
        };
        let tasks = TaskTracker::new();
        tasks.spawn(watch.run(stop.clone()));
        tasks.close();
        Self {
            sightings,
            targets,
            stop,
            tasks,
        }
    }

    /// The first sighting from here on of which this is true.
    async fn until(&mut self, what: &str, is: impl Fn(&Sighting) -> bool) -> Sighting {
        let found = async {
            loop {
                let sighting = self.sightings.recv().await.expect("the watcher goes on");
                if is(&sighting) {
                    return sighting;
                }
            }
        };
        tokio::time::timeout(SOON, found)
            .await
            .unwrap_or_else(|_| panic!("never {what}"))
    }

    async fn seen(&mut self, what: &str, is: impl Fn(&Seen) -> bool) -> Seen {
        let found = self
            .until(
                what,
                |sighting| matches!(sighting, Sighting::Seen(seen) if is(seen)),
            )
            .await;
        match found {
            Sighting::Seen(seen) => *seen,
            other => panic!("{other:?}"),
        }
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.tasks.wait()).await.unwrap();
    }
}

#[tokio::test]
async fn the_first_view_is_told_in_full_and_then_a_rollout_as_it_goes() {
    let stage = Stage::with(&["shop:v1"]).await;
    let absent = WorkloadRef::deployment(NAMESPACE, "absent");
    let mut watching = Watching::start(&stage, &[web(), absent.clone()]);
    let first = watching
        .until("gone", |sighting| matches!(sighting, Sighting::Gone { .. }))
        .await;
    assert_eq!(*first.target(), absent);
    let mut watching_web = Watching::start(&stage, &[web()]);
    let seen = watching_web.seen("seen", Seen::rolled_out).await;
    assert_eq!((seen.revision, seen.replicas.ready), (Some(1), 2));

    stage
        .cluster
        .set_image(NAMESPACE, "web", "shop:v2")
        .await
        .unwrap();
    // Sightings are gathered for a moment, so only what stands in the end is told for sure.
    let (mut last, mut pods) = (seen.clone(), BTreeMap::new());
    let all_new = |last: &Seen, pods: &BTreeMap<_, _>| {
        last.revision == Some(2)
            && last.rolled_out()
            && pods.len() == 2
            && pods.values().all(|template| *template == last.template)
    };
    while !all_new(&last, &pods) {
        match watching_web.until("rolled out", |_| true).await {
            Sighting::Seen(now) => last = *now,
            Sighting::Pods { pods: now, .. } => pods = now,
            Sighting::Gone { .. } => panic!("it is there"),
        }
    }
    assert_ne!(last.template, seen.template);
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client(), NAMESPACE);
    api.delete("web", &DeleteParams::background())
        .await
        .unwrap();
    watching_web
        .until("gone", |sighting| matches!(sighting, Sighting::Gone { .. }))
        .await;
    watching_web.end().await;
    watching.end().await;
}

#[tokio::test]
async fn a_new_template_is_never_told_under_the_old_number() {
    let stage = Stage::with(&["shop:v1"]).await;
    let mut watching = Watching::start(&stage, &[web()]);
    let mut pairs = BTreeSet::new();
    for (number, image) in [
        (1, "shop:v1"),
        (2, "shop:v2"),
        (3, "shop:v1"),
        (4, "shop:v2"),
    ] {
        if number > 1 {
            stage
                .cluster
                .set_image(NAMESPACE, "web", image)
                .await
                .unwrap();
        }
        loop {
            let seen = watching.seen(image, |seen| seen.revision.is_some()).await;
            pairs.insert((seen.revision, seen.template));
            if seen.revision == Some(number) && seen.rolled_out() {
                break;
            }
        }
    }
    assert_eq!(pairs.len(), 4, "{pairs:?}");
    watching.end().await;
}

#[tokio::test]
async fn a_watch_that_is_too_old_begins_anew_and_nothing_is_missed() {
    let stage = Stage::remembering(10).await;
    stage
        .cluster
        .apply_deployment(NAMESPACE, "web", "shop:v1", 1)
        .await
        .unwrap();
    stage
        .cluster
        .rolled_out(NAMESPACE, "web", SOON)
        .await
        .unwrap();
    // The watch begins so late after its listing that the changes since then are forgotten: 410.
    let meets = Meets {
        verb: Some("watch"),
        resource: Some("deployments"),
        ..Meets::default()
    };
    stage
        .cluster
        .inject(Fault::once(meets, Effect::Delay(Duration::from_secs(2))));
    let lists = stage.cluster.audit().of("list", "deployments").len();
    let mut watching = Watching::start(&stage, &[web()]);
    watching
        .seen("the first view", |seen| seen.revision == Some(1))
        .await;
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client(), NAMESPACE);
    for turn in 0..30 {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "turn": turn.to_string() } } }));
        api.patch("web", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    stage
        .cluster
        .set_image(NAMESPACE, "web", "shop:v2")
        .await
        .unwrap();
    watching
        .seen("the second template", |seen| seen.revision == Some(2))
        .await;
    assert_eq!(
        stage.cluster.audit().of("list", "deployments").len(),
        lists + 2,
        "it listed anew"
    );
    watching.end().await;
}

#[tokio::test]
async fn workloads_can_be_added_and_taken_away_while_it_runs() {
    let stage = Stage::with(&["shop:v1"]).await;
    stage
        .cluster
        .apply_deployment("store", "api", "shop:v1", 1)
        .await
        .unwrap();
    let mut watching = Watching::start(&stage, &[web()]);
    watching.seen("web", |seen| seen.target == web()).await;
    let api = WorkloadRef::deployment("store", "api");
    watching
        .targets
        .send_replace(Arc::new([api.clone()].into()));
    let first = watching
        .until("api", |sighting| matches!(sighting, Sighting::Seen(_)))
        .await;
    assert_eq!(*first.target(), api);
    stage
        .cluster
        .set_image(NAMESPACE, "web", "shop:v2")
        .await
        .unwrap();
    stage
        .cluster
        .set_image("store", "api", "shop:v2")
        .await
        .unwrap();
    let next = watching
        .until("a template", |sighting| {
            assert_eq!(*sighting.target(), api);
            matches!(sighting, Sighting::Seen(seen) if seen.revision == Some(2))
        })
        .await;
    assert_eq!(*next.target(), api);
    watching.end().await;
}
