//! A small node: it takes every pending pod and runs it as an HTTP server in this process.
//!
//! It is scheduler and kubelet in one and speaks to any API server through a client, so the tests
//! use it with a real control plane. It knows pods from a watch and looks at all it knows whenever
//! something happened or a second passed; so a lost write or a restarted API server delays it and
//! nothing else. Absent: resources, taints, volumes, liveness probes, init containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Now;
use super::object::written;
use super::pod::{self, PodRun, REQUEST_LASTS};

/// How often the node looks at its pods when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a node behaves.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Its name.
    pub name: String,
    /// How long a pod goes on answering after its deletion was asked for.
    pub drain: Duration,
    /// The wait after a first crash; doubled with each further one. Kubernetes takes 10 s.
    pub crash_back_off: Duration,
    /// The longest wait between two crashes. Kubernetes takes 300 s.
    pub crash_back_off_max: Duration,
}

impl Default for NodeOptions {
    /// Faster than a real kubelet, so that a story need not wait minutes for a second crash.
    fn default() -> Self {
        Self {
            name: "sim-node".to_owned(),
            drain: Duration::from_millis(500),
            crash_back_off: Duration::from_secs(1),
            crash_back_off_max: Duration::from_secs(30),
        }
    }
}

/// A running node; it and its pods stop when it is dropped.
pub struct Node {
    name: String,
    _running: JoinSet<()>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The API server did not take the node.
    #[error("failed to register the node")]
    Register(#[source] Box<kube::Error>),
    /// The client for readiness probes could not be made.
    #[error("failed to make the HTTP client of the node's probes")]
    Http(#[source] reqwest::Error),
}

impl Node {
    /// Registers a node with the API server and starts taking pods.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn start(client: Client, options: NodeOptions, now: Now) -> Result<Self, NodeError> {
        register(&client, &options.name, &now)
            .await
            .map_err(|error| NodeError::Register(Box::new(error)))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(NodeError::Http)?;
        let name = options.name.clone();
        let keeper = Keeper {
            client,
            http,
            options: Arc::new(options),
            now,
            known: BTreeMap::new(),
            running: BTreeMap::new(),
            busy: BTreeSet::new(),
            work: JoinSet::new(),
        };
        let mut running = JoinSet::new();
        running.spawn(keeper.keep());
        Ok(Self {
            name,
            _running: running,
        })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

async fn register(client: &Client, name: &str, now: &Now) -> Result<(), kube::Error> {
    let nodes: Api<NodeObject> = Api::all(client.clone());
    let mut node = NodeObject::default();
    node.metadata.name = Some(name.to_owned());
    node.metadata.labels = Some(BTreeMap::from([(
        "kubernetes.io/hostname".to_owned(),
        name.to_owned(),
    )]));
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(refused)) if refused.code == 409 => {}
        other => drop(other?),
    }
    let time = written(now());
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "allocatable": {"pods": "1000", "cpu": "64", "memory": "64Gi"},
        "capacity": {"pods": "1000", "cpu": "64", "memory": "64Gi"},
        "conditions": [{
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "the simulated node runs",
            "lastHeartbeatTime": time,
            "lastTransitionTime": time,
        }],
    }});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// The node's one loop and what it knows.
struct Keeper {
    client: Client,
    http: reqwest::Client,
    options: Arc<NodeOptions>,
    now: Now,
    /// Pods by uid, as the API server last told of them.
    known: BTreeMap<String, Pod>,
    /// Pods with a process, and the token that ends it.
    running: BTreeMap<String, CancellationToken>,
    /// Pods of which a write is under way.
    busy: BTreeSet<String>,
    work: JoinSet<Done>,
}

/// What a piece of work was, and for which pod.
enum Done {
    Ran(String),
    Wrote(String),
}

impl Keeper {
    async fn keep(mut self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut events = std::pin::pin!(watch(pods, watcher::Config::default()).default_backoff());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listed = BTreeMap::new();
        loop {
            tokio::select! {
                event = next(&mut events) => match event {
                    Some(event) => self.note(event, &mut listed),
                    None => return,
                },
                Some(done) = self.work.join_next() => match done {
                    Ok(Done::Ran(uid)) => drop(self.running.remove(&uid)),
                    Ok(Done::Wrote(uid)) => drop(self.busy.remove(&uid)),
                    Err(error) => tracing::warn!(%error, "work of the simulated node broke off"),
                },
                _ = ticks.tick() => {}
            }
            self.look();
        }
    }

    fn note(&mut self, event: Event<Pod>, listed: &mut BTreeMap<String, Pod>) {
        let uid = |pod: &Pod| pod.uid().unwrap_or_default();
        match event {
            Event::Apply(pod) => drop(self.known.insert(uid(&pod), pod)),
            Event::Delete(pod) => drop(self.known.remove(&uid(&pod))),
            Event::Init => listed.clear(),
            Event::InitApply(pod) => drop(listed.insert(uid(&pod), pod)),
            Event::InitDone => self.known = std::mem::take(listed),
        }
    }

    /// Looks at every pod and starts what is to be done.
    fn look(&mut self) {
        for (uid, stop) in &self.running {
            let is_ending = self.known.get(uid).is_none_or(is_terminating);
            if is_ending {
                stop.cancel();
            }
        }
        let mut idle = Vec::new();
        for (uid, pod) in &self.known {
            let is_bound = pod
                .spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.is_some());
            // A pod just bound is run at once, though the work of binding it rests a while.
            let rests = self.busy.contains(uid) && (!is_bound || is_terminating(pod));
            if !self.running.contains_key(uid) && !rests {
                idle.push((uid.clone(), pod.clone()));
            }
        }
        for (uid, pod) in idle {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
            let is_mine = node == Some(self.options.name.as_str());
            match (node.is_some(), is_terminating(&pod)) {
                (false, false) => self.bind(uid, pod),
                (true, false) if is_mine => self.run(uid, pod),
                (true, true) if is_mine => self.forget(uid, pod),
                (true | false, _) => {}
            }
        }
    }

    fn bind(&mut self, uid: String, pod: Pod) {
        self.busy.insert(uid.clone());
        let pods = self.pods_of(&pod);
        let name = pod.name_any();
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": pod.namespace(), "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.options.name},
        });
        self.work.spawn(async move {
            let params = PostParams::default();
            let bind = pods.create_subresource::<Value, Value>("binding", &name, &params, &binding);
            match tokio::time::timeout(REQUEST_LASTS, bind).await {
                // The watch tells of the bound pod; until then it must not be bound again.
                Ok(Ok(_)) => tokio::time::sleep(LOOK_EVERY).await,
                Ok(Err(error)) => {
                    tracing::debug!(pod = name, %error, "a pod was not bound");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(_) => tracing::debug!(pod = name, "the binding of a pod was not answered"),
            }
            Done::Wrote(uid)
        });
    }

    fn run(&mut self, uid: String, pod: Pod) {
        let stop = CancellationToken::new();
        self.running.insert(uid.clone(), stop.clone());
        let run = PodRun {
            client: self.client.clone(),
            http: self.http.clone(),
            pod,
            options: Arc::clone(&self.options),
            now: Arc::clone(&self.now),
            stop,
        };
        self.work.spawn(async move {
            run.run().await;
            Done::Ran(uid)
        });
    }

    /// Removes a pod that has no process and is to end.
    fn forget(&mut self, uid: String, pod: Pod) {
        self.busy.insert(uid.clone());
        let pods = self.pods_of(&pod);
        self.work.spawn(async move {
            pod::remove(&pods, &pod).await;
            tokio::time::sleep(LOOK_EVERY).await;
            Done::Wrote(uid)
        });
    }

    fn pods_of(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }
}

fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The next event of a watch; its errors are told and waited out by its own back-off.
pub(super) async fn next<K>(
    events: &mut (impl Stream<Item = Result<Event<K>, watcher::Error>> + Unpin),
) -> Option<Event<K>> {
    loop {
        match events.next().await? {
            Ok(event) => return Some(event),
            Err(error) => tracing::debug!(%error, "a watch is interrupted and begins again"),
        }
    }
}
