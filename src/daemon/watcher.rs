//! Joins the watches of the cluster to those who want to know: follows the configuration, and hands each
//! sighting to the judge and to the steward.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::tasks::Tasks;
use crate::clock::Clock;
use crate::cluster::connect::{Wanted, Wish};
use crate::cluster::watch::{Targets, Watch};
use crate::config::settings::{Kubernetes, KubernetesAccess};
use crate::domain::rollout::Sighting;
use crate::domain::spec::Spec;

/// Sightings on their way: a few for each workload of a large cluster's first view would wait here at most;
/// when it is full the watches wait, and nothing is lost.
const QUEUE: usize = 256;

/// The watcher's parts.
pub struct Watcher {
    /// A client without a read timeout.
    pub client: kube::Client,
    /// The configuration in force.
    pub spec: watch::Receiver<Arc<Spec>>,
    /// Who hears of each sighting, in this order.
    pub listeners: Vec<mpsc::Sender<Sighting>>,
    /// The time of sightings.
    pub clock: Clock,
}

// === impl Watcher ===

impl Watcher {
    /// Starts its tasks.
    pub fn start(self, tasks: &Tasks) {
        let Self {
            client,
            mut spec,
            listeners,
            clock,
        } = self;
        let targets = targets(&spec.borrow_and_update());
        let (retarget, targets) = watch::channel(Arc::new(targets));
        let (out, sightings) = mpsc::channel(QUEUE);
        let stop = tasks.stop().clone();
        let watching = Watch {
            client,
            targets,
            out,
            clock,
        };
        tasks.spawn("watcher", watching.run(stop.clone()));
        let stopped = stop.clone();
        tasks.spawn("watcher-targets", async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = follow(spec, retarget) => stopped.cancelled().await,
            }
        });
        tasks.spawn("watcher-sightings", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = hand_out(sightings, listeners) => {}
            }
        });
    }
}

/// Keeps the targets as the configuration has them; ends when nobody can change it any more.
async fn follow(mut spec: watch::Receiver<Arc<Spec>>, retarget: watch::Sender<Arc<Targets>>) {
    while spec.changed().await.is_ok() {
        let wanted = Arc::new(targets(&spec.borrow_and_update()));
        retarget.send_if_modified(|targets| {
            let differs = *targets != wanted;
            *targets = wanted;
            differs
        });
    }
}

/// Ends when a listener is gone: whoever does not hear of a rollout judges wrongly.
async fn hand_out(mut sightings: mpsc::Receiver<Sighting>, listeners: Vec<mpsc::Sender<Sighting>>) {
    while let Some(sighting) = sightings.recv().await {
        for listener in &listeners {
            if listener.send(sighting.clone()).await.is_err() {
                return;
            }
        }
    }
}

fn targets(spec: &Spec) -> Targets {
    spec.workloads()
        .map(|workload| workload.target.clone())
        .collect()
}

/// What the settings want of a cluster.
#[must_use]
pub fn wanted(settings: &Kubernetes) -> Wanted {
    Wanted {
        access: match settings.access {
            KubernetesAccess::Auto => Wish::Auto,
            KubernetesAccess::None => Wish::None,
            KubernetesAccess::Required => Wish::Required,
        },
        kubeconfig: settings.kubeconfig.clone(),
        context: settings.context.clone(),
    }
}
