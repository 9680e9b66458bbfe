//! Watches Deployments, ReplicaSets and pods of the configured namespaces, and reports sightings.
//!
//! Listing, resuming, bookmarks, back-off and the listing anew after a 410 are `kube`'s; objects become
//! digests as they come ([`view`](super::view)). Pods are watched by their metadata alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call;
use super::deployment::Deployment;
use super::replica_set::ReplicaSet;
use super::view::{Change, Pod, Step, View};
use crate::clock::Clock;
use crate::domain::id::Uid;
use crate::domain::rollout::Sighting;
use crate::domain::spec::WorkloadRef;

/// How long changes of a workload are gathered before it is reported: a rollout changes a Deployment and
/// its ReplicaSets several times within milliseconds.
const GATHER: Duration = Duration::from_millis(50);

/// The workloads to watch.
pub type Targets = BTreeSet<WorkloadRef>;

/// What the watches of a namespace say: a change, or that one of them failed.
type Said = (Arc<str>, Result<Change, String>);

/// The watches.
pub struct Watch {
    /// A client without a read timeout.
    pub client: kube::Client,
    /// What to watch; may change at any time.
    pub targets: watch::Receiver<Arc<Targets>>,
    /// Who is told.
    pub out: mpsc::Sender<Sighting>,
    /// The time of sightings.
    pub clock: Clock,
}

struct Streams {
    all: SelectAll<BoxStream<'static, Said>>,
    stops: BTreeMap<Arc<str>, CancellationToken>,
    failing: BTreeSet<Arc<str>>,
}

// === impl Watch ===

impl Watch {
    /// Runs until `stop` is cancelled or nobody listens any more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut view = View::default();
        let mut streams = Streams {
            all: SelectAll::new(),
            stops: BTreeMap::new(),
            failing: BTreeSet::new(),
        };
        let targets = self.targets.borrow_and_update().clone();
        streams.retarget(&self.client, &mut view, &targets);
        let mut due: Option<Instant> = None;
        loop {
            let gathered = tokio::time::sleep_until(due.unwrap_or_else(Instant::now));
            // Biased: stopping and new targets come before the flood; the flood never starves what is due,
            // because what is due is asked before it.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.targets.changed() => {
                    let targets = self.targets.borrow_and_update().clone();
                    streams.retarget(&self.client, &mut view, &targets);
                }
                () = gathered, if due.is_some() => {
                    due = None;
                    if self.tell(&mut view, &stop).await.is_err() {
                        return;
                    }
                }
                Some((namespace, said)) = streams.all.next() => {
                    streams.note(&namespace, &said);
                    if let Ok(change) = said {
                        view.apply(&namespace, change);
                    }
                    if view.is_dirty() && due.is_none() {
                        due = Some(Instant::now() + GATHER);
                    }
                }
            }
        }
    }

    async fn tell(&self, view: &mut View, stop: &CancellationToken) -> Result<(), Closed> {
        for sighting in view.take(self.clock.now()) {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Closed),
                sent = self.out.send(sighting) => sent.map_err(|_| Closed)?,
            }
        }
        Ok(())
    }
}

/// Nobody listens any more.
struct Closed;

// === impl Streams ===

impl Streams {
    /// Begins and ends watches as the targets want it. The watches of a namespace begin anew when something
    /// more is watched in it: what was of no concern before has not been kept.
    fn retarget(&mut self, client: &kube::Client, view: &mut View, targets: &Arc<Targets>) {
        let anew = view.retarget(Targets::clone(targets));
        let keep: BTreeSet<_> = view.namespaces().cloned().collect();
        self.stops.retain(|namespace, stop| {
            let stays = keep.contains(namespace) && !anew.contains(namespace);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for namespace in anew {
            let stop = CancellationToken::new();
            self.stops.insert(namespace.clone(), stop.clone());
            for stream in open(client, &namespace, targets) {
                let ended = stop.clone().cancelled_owned();
                self.all.push(stream.take_until(ended).boxed());
            }
        }
        self.failing.retain(|namespace| keep.contains(namespace));
    }

    /// Logs when a namespace begins to fail and when it is well again.
    fn note(&mut self, namespace: &Arc<str>, said: &Result<Change, String>) {
        match said {
            Err(error) if self.failing.insert(namespace.clone()) => {
                tracing::warn!(%namespace, %error, "watching namespace {namespace} fails; trying again");
            }
            Err(error) => tracing::debug!(%namespace, %error, "watching still fails"),
            Ok(_) if self.failing.remove(namespace) => {
                tracing::info!(%namespace, "watching namespace {namespace} works again");
            }
            Ok(_) => {}
        }
    }
}

/// The three watches of a namespace.
fn open(
    client: &kube::Client,
    namespace: &Arc<str>,
    targets: &Arc<Targets>,
) -> [BoxStream<'static, Said>; 3] {
    let wanted = |targets: &Arc<Targets>| {
        let targets = targets.clone();
        let namespace = namespace.clone();
        move |name: &str| targets.contains(&WorkloadRef::deployment(&namespace, name))
    };
    let config = watcher::Config::default;

    let resource = ApiResource::erase::<apps::Deployment>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let is_wanted = wanted(targets);
    let deployments = watcher::watcher(api, config())
        .default_backoff()
        .map(move |event| {
            event.map(|event| {
                Change::Deployment(step(event, |object: &DynamicObject| {
                    Deployment::read(object).filter(|read| is_wanted(read.target.name()))
                }))
            })
        });

    let resource = ApiResource::erase::<apps::ReplicaSet>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let is_wanted = wanted(targets);
    let sets = watcher::watcher(api, config())
        .default_backoff()
        .map(move |event| {
            event.map(|event| {
                Change::ReplicaSet(step(event, |object: &DynamicObject| {
                    ReplicaSet::read(object).filter(|read| is_wanted(&read.owner_name))
                }))
            })
        });

    let api: Api<PartialObjectMeta<core::Pod>> = Api::namespaced(client.clone(), namespace);
    let pods = watcher::watcher(api, config())
        .default_backoff()
        .map(|event| event.map(|event| Change::Pod(step(event, pod))));

    [
        told(namespace, deployments.boxed()),
        told(namespace, sets.boxed()),
        told(namespace, pods.boxed()),
    ]
}

fn told(
    namespace: &Arc<str>,
    stream: BoxStream<'static, watcher::Result<Change>>,
) -> BoxStream<'static, Said> {
    let namespace = namespace.clone();
    let said = move |change: watcher::Result<Change>| {
        (
            namespace.clone(),
            change.map_err(|error| call::chain(&error)),
        )
    };
    stream.map(said).boxed()
}

fn step<K, T>(event: Event<K>, read: impl Fn(&K) -> Option<T>) -> Step<Option<T>> {
    match event {
        Event::Init => Step::Begin,
        Event::InitApply(object) => Step::Listed(read(&object)),
        Event::InitDone => Step::Complete,
        Event::Apply(object) => Step::Changed(read(&object)),
        Event::Delete(object) => Step::Deleted(read(&object)),
    }
}

/// A pod that a ReplicaSet controls.
fn pod(object: &PartialObjectMeta<core::Pod>) -> Option<Pod> {
    let owners = object.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == "ReplicaSet").then_some(())?;
    let name = object.metadata.name.as_deref()?;
    Some(Pod {
        name: name.into(),
        set: Uid(owner.uid.as_str().into()),
    })
}
