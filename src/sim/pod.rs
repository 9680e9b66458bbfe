//! One pod on the node: its address, its process, its readiness, and the status that tells of them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Now;
use super::app::{App, Identity};
use super::image::{Faults, Image};
use super::node::NodeOptions;
use super::object::written;
use super::serving::Serving;

/// The port of a container that names none.
pub(super) const PORT: u16 = 8080;
/// How long a request to the API server may take before it is tried again.
pub(super) const REQUEST_LASTS: Duration = Duration::from_secs(10);
/// The pause between two tries of a write the API server did not take.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often a pod without a readiness probe is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Addresses tried before a pod is said to have none; other processes may hold some.
const ADDRESSES_TRIED: u32 = 500;

/// A pod and everything needed to run it.
pub(super) struct PodRun {
    pub(super) client: Client,
    pub(super) http: reqwest::Client,
    pub(super) pod: Pod,
    pub(super) options: Arc<NodeOptions>,
    pub(super) now: Now,
    /// Cancelled when the pod is to end.
    pub(super) stop: CancellationToken,
}

/// What is known of a running pod's one process.
struct Life {
    run: PodRun,
    api: Api<Pod>,
    image: Image,
    started: Instant,
    started_at: String,
    address: Option<SocketAddr>,
    restarts: u32,
    last_end: Option<Value>,
    /// The conditions as reported, with the time of their last change.
    conditions: Vec<(&'static str, bool, String)>,
}

/// How a process ended.
enum End {
    Crashed,
    Stopped,
}

/// The readiness probe of a container.
struct Readiness {
    path: String,
    delay: Duration,
    period: Duration,
    timeout: Duration,
    failures_max: i32,
}

impl PodRun {
    /// Runs the pod until it is stopped, then removes it from the API server.
    pub(super) async fn run(self) {
        let namespace = self.pod.namespace().unwrap_or_default();
        let api = Api::namespaced(self.client.clone(), &namespace);
        let image = Image::parse(
            container(&self.pod)
                .and_then(|c| c.image.as_deref())
                .unwrap_or(""),
        );
        let started_at = written((self.now)());
        let mut life = Life {
            api,
            image,
            started: Instant::now(),
            started_at,
            address: None,
            restarts: 0,
            last_end: None,
            conditions: Vec::new(),
            run: self,
        };
        life.live().await;
        remove(&life.api, &life.run.pod).await;
    }
}

/// Tells the API server that the pod has ended; a failure is met by the node's next look.
pub(super) async fn remove(api: &Api<Pod>, pod: &Pod) {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: pod.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let name = pod.name_any();
    match tokio::time::timeout(REQUEST_LASTS, api.delete(&name, &params)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(pod = name, %error, "the end of a pod was not taken"),
        Err(_) => tracing::debug!(pod = name, "the end of a pod was not answered"),
    }
}

impl Life {
    async fn live(&mut self) {
        if self.image.is_missing {
            return self.wait_for_image().await;
        }
        let Some(mut listener) = self.settle_down().await else {
            let message = "no loopback address is free for the container's port";
            let waiting = json!({"waiting": {"reason": "RunContainerError", "message": message}});
            self.report(waiting, false).await;
            return self.run.stop.cancelled().await;
        };
        loop {
            if let End::Stopped = self.run_container(listener).await {
                return;
            }
            if !self.back_off().await {
                return;
            }
            self.restarts += 1;
            // The address is the pod's; only its own old process could still hold it.
            listener = loop {
                let Some(address) = self.address else { return };
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(error) => {
                        tracing::debug!(%address, %error, "a pod waits for its address");
                        if !self.pause(TRY_AGAIN_AFTER).await {
                            return;
                        }
                    }
                }
            };
        }
    }

    /// Takes an address of the pod's own.
    async fn settle_down(&mut self) -> Option<TcpListener> {
        let port = container_port(&self.run.pod);
        for _ in 0..ADDRESSES_TRIED {
            let address = SocketAddr::V4(SocketAddrV4::new(next_address(), port));
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    self.address = Some(address);
                    return Some(listener);
                }
                Err(error) => tracing::debug!(%address, %error, "an address is not free"),
            }
        }
        None
    }

    async fn wait_for_image(&mut self) {
        let image = container(&self.run.pod)
            .and_then(|c| c.image.clone())
            .unwrap_or_default();
        for reason in ["ErrImagePull", "ImagePullBackOff"] {
            let message = format!("failed to pull image \"{image}\": not found");
            let waiting = json!({"waiting": {"reason": reason, "message": message}});
            self.report(waiting, false).await;
            if !self.pause(self.run.options.crash_back_off).await {
                return;
            }
        }
        self.run.stop.cancelled().await;
    }

    /// Runs the process until it crashes or is stopped.
    async fn run_container(&mut self, listener: TcpListener) -> End {
        let crash_at = self.image.crashes_after().map(|after| self.started + after);
        if crash_at.is_some_and(|at| at <= Instant::now()) {
            return End::Crashed;
        }
        let identity = Identity {
            pod: self.run.pod.name_any(),
            namespace: self.run.pod.namespace().unwrap_or_default(),
            tenant: self.run.pod.labels().get("tenant").cloned(),
        };
        let app = App::new(self.image.clone(), identity, self.started);
        let _serving = Serving::start(listener, app.router(), CancellationToken::new());
        let since = written((self.run.now)());
        let stop = self.run.stop.clone();
        let crash = async {
            match crash_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {
                // What still comes in is answered: the proxies learn of the end a little later.
                tokio::time::sleep(self.run.options.drain).await;
                End::Stopped
            }
            () = crash => End::Crashed,
            () = self.watch_readiness(&since) => End::Stopped,
        }
    }

    /// Reports whether the process is ready, and again whenever that changes.
    async fn watch_readiness(&mut self, since: &str) {
        let readiness = Readiness::of(&self.run.pod);
        let running = json!({"running": {"startedAt": since}});
        let mut is_ready = false;
        let mut failures = 0;
        if let Some(readiness) = &readiness {
            self.report(running.clone(), false).await;
            tokio::time::sleep(readiness.delay).await;
        }
        let period = readiness
            .as_ref()
            .map_or(LOOK_EVERY, |readiness| readiness.period);
        loop {
            let (answers, failures_max) = match &readiness {
                Some(readiness) => (self.probe(readiness).await, readiness.failures_max),
                None => (!self.faults().is_unready, 1),
            };
            failures = if answers { 0 } else { failures + 1 };
            let was_ready = is_ready;
            is_ready = answers || (is_ready && failures < failures_max);
            if is_ready != was_ready || self.conditions.is_empty() {
                self.report(running.clone(), is_ready).await;
            }
            tokio::time::sleep(period).await;
        }
    }

    fn faults(&self) -> Faults {
        self.image.faults_at(self.started.elapsed())
    }

    async fn probe(&self, readiness: &Readiness) -> bool {
        let Some(address) = self.address else {
            return false;
        };
        let url = format!("http://{address}{}", readiness.path);
        match self
            .run
            .http
            .get(url)
            .timeout(readiness.timeout)
            .send()
            .await
        {
            Ok(answer) => answer.status().is_success() || answer.status().is_redirection(),
            Err(_) => false,
        }
    }

    /// Reports the crash and waits; false if the pod was stopped meanwhile.
    async fn back_off(&mut self) -> bool {
        let now = written((self.run.now)());
        let end = json!({"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now});
        self.last_end = Some(json!({"terminated": end}));
        let options = &self.run.options;
        let doubled = options
            .crash_back_off
            .saturating_mul(1 << self.restarts.min(16));
        let wait = doubled.min(options.crash_back_off_max);
        let message = format!("back-off {wait:?} restarting failed container");
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
        self.report(waiting, false).await;
        self.pause(wait).await
    }

    /// Waits; false if the pod was stopped meanwhile.
    async fn pause(&self, wait: Duration) -> bool {
        tokio::select! {
            () = self.run.stop.cancelled() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Writes the pod's status until it is taken, the pod is gone or it is stopped.
    async fn report(&mut self, state: Value, is_ready: bool) {
        let status = self.status(&state, is_ready);
        let patch =
            Patch::Merge(json!({"metadata": {"uid": self.run.pod.uid()}, "status": status}));
        let name = self.run.pod.name_any();
        let params = PatchParams::default();
        loop {
            let write = self.api.patch_status(&name, &params, &patch);
            match tokio::time::timeout(REQUEST_LASTS, write).await {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(refused))) if matches!(refused.code, 404 | 409 | 422) => {
                    tracing::debug!(pod = name, %refused, "a pod's status is not wanted");
                    return;
                }
                Ok(Err(error)) => tracing::debug!(pod = name, %error, "a status was not taken"),
                Err(_) => tracing::debug!(pod = name, "a status was not answered"),
            }
            if !self.pause(TRY_AGAIN_AFTER).await {
                return;
            }
        }
    }

    fn status(&mut self, state: &Value, is_ready: bool) -> Value {
        let is_running = state.get("running").is_some();
        let has_run = is_running || self.last_end.is_some();
        let containers = self.run.pod.spec.iter().flat_map(|spec| &spec.containers);
        let statuses: Vec<Value> = containers
            .clone()
            .map(|container| {
                json!({
                    "name": container.name,
                    "image": container.image,
                    "imageID": if has_run { container.image.clone() } else { None }.unwrap_or_default(),
                    "ready": is_ready,
                    "started": is_running,
                    "restartCount": self.restarts,
                    "state": state,
                    "lastState": self.last_end.clone().unwrap_or_else(|| json!({})),
                })
            })
            .collect();
        let names: Vec<&str> = containers
            .map(|container| container.name.as_str())
            .collect();
        let unready = format!("containers with unready status: [{}]", names.join(" "));
        let mut status = json!({
            "phase": if has_run { "Running" } else { "Pending" },
            "startTime": self.started_at,
            "hostIP": "127.0.0.1",
            "hostIPs": [{"ip": "127.0.0.1"}],
            "containerStatuses": statuses,
            "conditions": self.conditions(is_ready, &unready),
        });
        if let Some(address) = self.address {
            status["podIP"] = address.ip().to_string().into();
            status["podIPs"] = json!([{"ip": address.ip().to_string()}]);
        }
        status
    }

    fn conditions(&mut self, is_ready: bool, unready: &str) -> Vec<Value> {
        let now = written((self.run.now)());
        let before = std::mem::take(&mut self.conditions);
        let kinds = [
            ("PodScheduled", true),
            ("Initialized", true),
            ("ContainersReady", is_ready),
            ("Ready", is_ready),
        ];
        let mut written = Vec::with_capacity(kinds.len());
        for (kind, holds) in kinds {
            let kept = before
                .iter()
                .find(|(name, was, _)| *name == kind && *was == holds);
            let since = kept.map_or_else(|| now.clone(), |(_, _, since)| since.clone());
            let mut condition = json!({
                "type": kind,
                "status": if holds { "True" } else { "False" },
                "lastTransitionTime": since,
            });
            if !holds {
                condition["reason"] = "ContainersNotReady".into();
                condition["message"] = unready.into();
            }
            written.push(condition);
            self.conditions.push((kind, holds, since));
        }
        written
    }
}

impl Readiness {
    fn of(pod: &Pod) -> Option<Self> {
        let probe = container(pod)?.readiness_probe.as_ref()?;
        let get = probe.http_get.as_ref()?;
        let seconds = |value: Option<i32>, absent: u64| {
            Duration::from_secs(
                value
                    .and_then(|value| value.try_into().ok())
                    .unwrap_or(absent),
            )
        };
        Some(Self {
            path: get.path.clone().unwrap_or_else(|| "/".to_owned()),
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            failures_max: probe.failure_threshold.unwrap_or(3),
        })
    }
}

/// The container that is run: the first.
fn container(pod: &Pod) -> Option<&Container> {
    pod.spec.as_ref()?.containers.first()
}

/// The port the pod listens on.
pub(super) fn container_port(pod: &Pod) -> u16 {
    container(pod)
        .and_then(|container| container.ports.as_ref()?.first())
        .and_then(|port| port.container_port.try_into().ok())
        .unwrap_or(PORT)
}

/// The next of the loopback addresses 127.1.0.1 to 127.1.253.254.
///
/// Processes begin at different ones, so that two test runs rarely meet.
fn next_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const ADDRESSES: u32 = 254 * 254;
    let place = NEXT.fetch_add(1, Ordering::Relaxed);
    let place = place.wrapping_add(std::process::id().wrapping_mul(251)) % ADDRESSES;
    let third = u8::try_from(place / 254).unwrap_or_default();
    let fourth = u8::try_from(place % 254 + 1).unwrap_or(1);
    Ipv4Addr::new(127, 1, third, fourth)
}
