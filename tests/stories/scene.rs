//! The scene of a story: a shop with customers on a real API server, and the daemon that watches it.
//!
//! ```text
//!  customers ──► door (FaultProxy) ──► service proxy ──► pods ◄── node ◄── ControlPlane
//!                  ▲  probe                                │ /metrics          ▲
//!               Daemon ──► source (FaultProxy) ──► Prometheus                  │
//!                  ├─────► api_server (FaultProxy) ────────────────────────────┘
//!                  └─────► ops (Receiver)
//! ```
//!
//! `Plan` says how it differs from the usual one; any key of the configuration is reached by a JSON
//! pointer. Times are short (a window of 10 s, a bake of 8 s), deadlines are long.

mod config;
mod ground;
mod looks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast::sim::person::Person;
use holdfast::sim::service::{Behind, ServiceProxy};
use holdfast::sim::traffic::Traffic;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::config::{FILE, Parts, put, usual, write_document};
use self::ground::{follow_pods, run_pods, wait_for_rights};
use crate::support::assets;
use crate::support::controlplane::{ControlPlane, control_plane};
use crate::support::daemon::{Daemon, DaemonPlan};
use crate::support::eventually::eventually;
use crate::support::faults::FaultProxy;
use crate::support::kubectl::install_account;
use crate::support::process::free_ports;
use crate::support::prometheus::Prometheus;
use crate::support::receiver::Receiver;

/// Longer than any step takes on a machine that builds and runs other stories beside.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Long enough for a wrong step to show: the steward decides anew every 5 s, windows slide every 250 ms.
pub const QUIET: Duration = Duration::from_secs(7);

pub const TENANT: &str = "acme";
pub const WORKLOAD: &str = "shop";
pub const OBJECTIVE: &str = "error-rate";

const CUSTOMERS_PER_SECOND: u32 = 20;

/// How a story's scene differs from the usual one.
pub struct Plan {
    story: &'static str,
    image: &'static str,
    replicas: u32,
    rolled_out: bool,
    prometheus: bool,
    lease_seconds: u64,
    changes: Vec<(String, Value)>,
    environment: Vec<(String, String)>,
}

pub struct Scene {
    pub plane: &'static ControlPlane,
    pub namespace: String,
    /// Everything of the story is below; `holdfast/holdfast.log` is the daemon's log.
    pub folder: PathBuf,
    pub person: Person,
    /// The way of customers and probes to the shop: break it, and all versions fail.
    pub door: FaultProxy,
    pub shop: ServiceProxy,
    pub traffic: Traffic,
    /// Who is told.
    pub ops: Receiver,
    /// If the plan asked for it; the daemon reaches it through `source`.
    pub prometheus: Option<Prometheus>,
    pub source: FaultProxy,
    pub daemon: Daemon,
    /// What stands between that daemon and the API server.
    pub api_server: FaultProxy,
    /// The kubeconfig of the daemon's account, by way of `api_server`.
    pub kubeconfig: PathBuf,
    account: String,
    plan: Plan,
    _tasks: JoinSet<()>,
}

impl Plan {
    pub fn new(story: &'static str) -> Self {
        Self {
            story,
            image: "shop:v1",
            replicas: 2,
            rolled_out: true,
            prometheus: false,
            lease_seconds: 5,
            changes: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// What the shop runs when the daemon first sees it.
    pub fn image(mut self, image: &'static str) -> Self {
        self.image = image;
        self
    }

    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Does not wait until the first image is rolled out: for one that never is.
    pub fn not_rolled_out(mut self) -> Self {
        self.rolled_out = false;
        self
    }

    /// Judges by a real Prometheus that scrapes the pods instead of by looks at the shop.
    pub fn by_prometheus(mut self) -> Self {
        self.prometheus = true;
        self
    }

    pub fn lease_seconds(mut self, seconds: u64) -> Self {
        self.lease_seconds = seconds;
        self
    }

    /// Sets a key of the configuration by its JSON pointer; `null` takes it away.
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        self.changes.push((pointer.to_owned(), value.into()));
        self
    }

    /// Gives the daemon a variable of its environment.
    pub fn environment(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets a key of the shop's entry under `workloads`.
    pub fn workload(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(
            &format!("/tenants/{TENANT}/workloads/{WORKLOAD}/{key}"),
            value,
        )
    }

    /// Sets a key of the objective that is the trigger.
    pub fn objective(self, key: &str, value: impl Into<Value>) -> Self {
        self.with(
            &format!("/tenants/{TENANT}/objectives/{OBJECTIVE}/{key}"),
            value,
        )
    }

    /// Sets it all up and starts the daemon, which is ready when this returns.
    pub async fn set(self) -> Scene {
        let plane = control_plane().await;
        run_pods(plane).await;
        let namespace = plane.namespace(self.story).await;
        let folder = assets::run_folder().join(&namespace);
        let account = install_account(plane, &manifests(), &namespace)
            .unwrap_or_else(|reason| panic!("k8s/ was not installed: {reason}"));
        let client = plane.client().await;
        let person = Person::new(client.clone());
        person
            .apply_deployment(&namespace, WORKLOAD, self.image, self.replicas)
            .await
            .expect("an administrator may deploy");
        let shop = ServiceProxy::start(
            client.clone(),
            &namespace,
            Behind::Service(WORKLOAD.to_owned()),
        )
        .await
        .expect("loopback has a free port");
        if self.rolled_out {
            person
                .rolled_out(&namespace, WORKLOAD, PATIENCE)
                .await
                .expect("the first image is rolled out");
            eventually("the shop is open", PATIENCE, || async {
                let open = shop.pods().len();
                if open == self.replicas as usize {
                    Ok(())
                } else {
                    Err(format!("{open} pods"))
                }
            })
            .await;
        }
        let door = FaultProxy::start(address_of(&shop.url())).await;
        let traffic = Traffic::start(door.url(), CUSTOMERS_PER_SECOND).expect("a plain client");
        let ops = Receiver::start().await;
        let mut tasks = JoinSet::new();
        let (prometheus, source) = if self.prometheus {
            let prometheus = Prometheus::start(&[]).await;
            let source = FaultProxy::start(prometheus.address()).await;
            let targets = prometheus.folder().to_path_buf();
            tasks.spawn(follow_pods(client, namespace.clone(), targets));
            (Some(prometheus), source)
        } else {
            (None, FaultProxy::start(door.address()).await)
        };
        let api_server = FaultProxy::start(plane.address()).await;
        let kubeconfig = plane
            .kubeconfig_through(api_server.address(), &namespace, &account)
            .await;
        wait_for_rights(&kubeconfig, &namespace).await;
        let parts = Parts {
            namespace: &namespace,
            door: &door.url(),
            source: &source.url(),
            ops: &ops.url(),
        };
        let daemon_plan = self.prepare(&parts, &folder.join("holdfast"), &kubeconfig);
        let daemon = Daemon::start(daemon_plan).await;
        Scene {
            plane,
            namespace,
            folder,
            person,
            door,
            shop,
            traffic,
            ops,
            prometheus,
            source,
            daemon,
            api_server,
            kubeconfig,
            account,
            plan: self,
            _tasks: tasks,
        }
    }

    /// Writes the configuration of one daemon and says how to start it.
    fn prepare(&self, parts: &Parts<'_>, folder: &Path, kubeconfig: &Path) -> DaemonPlan {
        let [port] = free_ports();
        let mut plan = DaemonPlan::new(folder, port);
        std::fs::create_dir_all(&plan.config).expect("the run's folder is writable");
        let document = self.document(parts, folder, port, kubeconfig);
        write_document(&plan.config, &document);
        plan.environment.push((
            "HOLDFAST_LEASE_SECONDS".to_owned(),
            self.lease_seconds.to_string(),
        ));
        plan.environment.extend(self.environment.iter().cloned());
        plan
    }

    fn document(&self, parts: &Parts<'_>, folder: &Path, port: u16, kubeconfig: &Path) -> Value {
        let mut document = usual(parts, folder, port, kubeconfig);
        if self.prometheus {
            let selector = format!("http_requests_total{{namespace=\"{}\"}}", parts.namespace);
            let bad = format!(
                "http_requests_total{{namespace=\"{}\",code=\"500\"}}",
                parts.namespace
            );
            document["tenants"][TENANT]["probes"]["storefront"] = json!({
                "prometheus": { "url": parts.source, "total": selector, "bad": bad },
                "every": "1s",
                "timeout": "1s",
            });
        }
        for (pointer, value) in &self.changes {
            put(&mut document, pointer, value.clone());
        }
        document
    }
}

impl Scene {
    /// Waits until the revision with this image is proven in the ledger.
    pub async fn proven(&self, image: &str) {
        self.trust(image, "proven").await;
    }

    /// Waits until the ledger trusts the revision with this image so far: `baking`, `proven`, `quarantined`.
    pub async fn trust(&self, image: &str, wanted: &str) {
        let path = self.workload_path();
        self.daemon
            .wait_for(
                &format!("{image} is {wanted}"),
                &path,
                PATIENCE,
                |workload| (trust_of(workload, image)? == wanted).then_some(()),
            )
            .await;
    }

    /// How far the ledger trusts the revision with this image.
    pub async fn trust_now(&self, image: &str) -> Option<String> {
        let workload = self.daemon.get_json(&self.workload_path()).await.ok()?;
        trust_of(&workload, image).map(str::to_owned)
    }

    /// Gives the shop another image, as `kubectl set image` does.
    pub async fn release(&self, image: &str) {
        self.person
            .set_image(&self.namespace, WORKLOAD, image)
            .await
            .expect("an administrator may release");
    }

    /// Waits until whatever the Deployment asks for is rolled out, and gives it.
    pub async fn rolled_out(&self) -> Deployment {
        self.person
            .rolled_out(&self.namespace, WORKLOAD, PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.daemon.log_end()))
    }

    /// The Deployment as it is.
    pub async fn deployment(&self) -> Deployment {
        let deployments = Api::namespaced(self.plane.client().await, &self.namespace);
        deployments.get(WORKLOAD).await.expect("it is there")
    }

    /// The image that the Deployment's template names.
    pub async fn image(&self) -> String {
        image_of(&self.deployment().await)
    }

    /// Writes the configuration again with these keys changed; the daemon notices by itself.
    pub fn configure(&self, changes: &[(&str, Value)]) {
        let folder = self.folder.join("holdfast/config");
        let text = std::fs::read_to_string(folder.join(FILE)).expect("it was written");
        let mut document = serde_json::from_str(&text).expect("by us");
        for (pointer, value) in changes {
            put(&mut document, pointer, value.clone());
        }
        write_document(&folder, &document);
    }

    /// Another daemon on the same cluster, with its own store, port and way to the API server.
    pub async fn another(&self, name: &str) -> (Daemon, FaultProxy) {
        let api_server = FaultProxy::start(self.plane.address()).await;
        let kubeconfig = self
            .plane
            .kubeconfig_through(api_server.address(), &self.namespace, &self.account)
            .await;
        let parts = Parts {
            namespace: &self.namespace,
            door: &self.door.url(),
            source: &self.source.url(),
            ops: &self.ops.url(),
        };
        let plan = self
            .plan
            .prepare(&parts, &self.folder.join(name), &kubeconfig);
        (Daemon::start(plan).await, api_server)
    }

    pub fn workload_path(&self) -> String {
        format!("/api/v1/workloads/{}/deployment/{WORKLOAD}", self.namespace)
    }
}

/// The first container's image.
pub fn image_of(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let pod = template.and_then(|template| template.spec.as_ref());
    pod.and_then(|pod| pod.containers.first()?.image.clone())
        .expect("a shop has an image")
}

fn trust_of<'a>(workload: &'a Value, image: &str) -> Option<&'a str> {
    let mut ledger = workload["ledger"].as_array()?.iter();
    let entry = ledger.find(|entry| entry["images"][0] == image)?;
    entry["trust"].as_str()
}

fn manifests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("k8s")
}

fn address_of(url: &str) -> SocketAddr {
    let address = url.trim_start_matches("http://");
    address.parse().expect("a proxy's URL is an address")
}
