//! A user-space proxy that plays a Service: one loopback port, round robin over the ready pods.
//!
//! It follows the pods (and the Service's selector, so a blue/green switch works) through a client,
//! against any API server. As with kube-proxy a request goes to one pod and is not tried again: a
//! connection that is refused is the caller's 502. Without a ready pod the answer is 503.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Client, ResourceExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::node::next;
use super::pod::container_port;
use super::serving::Serving;

/// How long a pod may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The largest body passed on.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Which pods are behind the proxy.
#[derive(Debug, Clone)]
pub enum Behind {
    /// Those with these labels.
    Labels(BTreeMap<String, String>),
    /// Those a Service of the namespace selects, as it is from moment to moment.
    Service(String),
}

/// What the proxy has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Answers of pods, by status code.
    pub by_code: BTreeMap<u16, u64>,
    /// Answers of pods, by pod.
    pub by_pod: BTreeMap<String, u64>,
    /// Requests for which no pod was ready (503).
    pub without_pod: u64,
    /// Requests a pod did not take or did not answer (502).
    pub unanswered: u64,
}

/// A running proxy; it stops when dropped.
pub struct ServiceProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _serving: Serving,
    _following: JoinSet<()>,
}

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No port could be had.
    #[error("failed to listen for the service proxy")]
    Listen(#[source] io::Error),
    /// The client towards the pods could not be made.
    #[error("failed to make the HTTP client of the service proxy")]
    Http(#[source] reqwest::Error),
}

struct Shared {
    http: reqwest::Client,
    endpoints: Mutex<Vec<Endpoint>>,
    turn: AtomicUsize,
    counts: Mutex<ProxyCounts>,
}

/// A pod that takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    pod: String,
    address: String,
}

impl ServiceProxy {
    /// Starts a proxy before pods of a namespace.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(
        client: Client,
        namespace: &str,
        behind: Behind,
    ) -> Result<Self, ProxyError> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(ProxyError::Listen)?;
        let address = listener.local_addr().map_err(ProxyError::Listen)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ProxyError::Http)?;
        let shared = Arc::new(Shared {
            http,
            endpoints: Mutex::default(),
            turn: AtomicUsize::new(0),
            counts: Mutex::default(),
        });
        let follower = Follower {
            shared: Arc::clone(&shared),
            pods: BTreeMap::new(),
            selector: None,
            target_port: None,
        };
        let mut following = JoinSet::new();
        following.spawn(follower.follow(client, namespace.to_owned(), behind));
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let serving = Serving::start(listener, router, CancellationToken::new());
        Ok(Self {
            shared,
            address,
            _serving: serving,
            _following: following,
        })
    }

    /// The URL at which the Service is reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been answered so far.
    pub fn counts(&self) -> ProxyCounts {
        self.shared
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The names of the pods that take requests now.
    pub fn pods(&self) -> Vec<String> {
        let endpoints = self
            .shared
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        endpoints
            .iter()
            .map(|endpoint| endpoint.pod.clone())
            .collect()
    }
}

struct Follower {
    shared: Arc<Shared>,
    pods: BTreeMap<String, Pod>,
    /// The labels asked for; absent while the Service is not known.
    selector: Option<BTreeMap<String, String>>,
    /// The Service's target port; the pods' own if absent.
    target_port: Option<u16>,
}

impl Follower {
    async fn follow(mut self, client: Client, namespace: String, behind: Behind) {
        let name = match behind {
            Behind::Labels(labels) => {
                self.selector = Some(labels);
                None
            }
            Behind::Service(name) => Some(name),
        };
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        let only = name
            .as_ref()
            .map_or_else(String::new, |name| format!("metadata.name={name}"));
        let config = watcher::Config::default().fields(&only);
        let mut services = std::pin::pin!(watch(services, config).default_backoff());
        let mut pods = std::pin::pin!(watch(pods, watcher::Config::default()).default_backoff());
        let mut listed = BTreeMap::new();
        loop {
            tokio::select! {
                event = next(&mut services), if name.is_some() => match event {
                    Some(event) => self.note_service(event),
                    None => return,
                },
                event = next(&mut pods) => match event {
                    Some(event) => self.note_pod(event, &mut listed),
                    None => return,
                },
            }
            self.publish();
        }
    }

    fn note_service(&mut self, event: Event<Service>) {
        match event {
            Event::Apply(service) | Event::InitApply(service) => {
                let spec = service.spec.unwrap_or_default();
                self.selector = spec.selector;
                let port = spec.ports.and_then(|ports| ports.into_iter().next());
                self.target_port = match port.and_then(|port| port.target_port) {
                    Some(IntOrString::Int(port)) => port.try_into().ok(),
                    Some(IntOrString::String(_)) | None => None,
                };
            }
            Event::Delete(_) => self.selector = None,
            Event::Init | Event::InitDone => {}
        }
    }

    fn note_pod(&mut self, event: Event<Pod>, listed: &mut BTreeMap<String, Pod>) {
        let uid = |pod: &Pod| pod.uid().unwrap_or_default();
        match event {
            Event::Apply(pod) => drop(self.pods.insert(uid(&pod), pod)),
            Event::Delete(pod) => drop(self.pods.remove(&uid(&pod))),
            Event::Init => listed.clear(),
            Event::InitApply(pod) => drop(listed.insert(uid(&pod), pod)),
            Event::InitDone => self.pods = std::mem::take(listed),
        }
    }

    fn publish(&self) {
        let endpoints: Vec<Endpoint> = match &self.selector {
            Some(selector) => self
                .pods
                .values()
                .filter_map(|pod| self.endpoint(pod, selector))
                .collect(),
            None => Vec::new(),
        };
        *self
            .shared
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = endpoints;
    }

    fn endpoint(&self, pod: &Pod, selector: &BTreeMap<String, String>) -> Option<Endpoint> {
        let is_selected = selector
            .iter()
            .all(|(key, value)| pod.labels().get(key) == Some(value));
        let status = pod.status.as_ref()?;
        let is_ready = status
            .conditions
            .as_ref()?
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if !is_selected || !is_ready || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let port = self.target_port.unwrap_or_else(|| container_port(pod));
        let address = format!("{}:{port}", status.pod_ip.as_ref()?);
        Some(Endpoint {
            pod: pod.name_any(),
            address,
        })
    }
}

impl Shared {
    /// The pod whose turn it is.
    fn choose(&self) -> Option<Endpoint> {
        let endpoints = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let place = turn.checked_rem(endpoints.len())?;
        endpoints.get(place).cloned()
    }

    fn count(&self, note: impl FnOnce(&mut ProxyCounts)) {
        note(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(endpoint) = shared.choose() else {
        shared.count(|counts| counts.without_pod += 1);
        return (StatusCode::SERVICE_UNAVAILABLE, "no pod is ready").into_response();
    };
    match pass_on(&shared.http, &endpoint, request).await {
        Ok(response) => {
            let code = response.status().as_u16();
            shared.count(|counts| {
                *counts.by_code.entry(code).or_default() += 1;
                *counts.by_pod.entry(endpoint.pod).or_default() += 1;
            });
            response
        }
        Err(Unanswered(reason)) => {
            tracing::debug!(pod = endpoint.pod, reason, "a pod did not answer");
            shared.count(|counts| counts.unanswered += 1);
            (StatusCode::BAD_GATEWAY, reason).into_response()
        }
    }
}

/// Why a request got no answer.
struct Unanswered(String);

async fn pass_on(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    request: Request,
) -> Result<Response, Unanswered> {
    let (parts, body) = request.into_parts();
    let because = |error: &dyn std::error::Error| Unanswered(error.to_string());
    let body = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| because(&error))?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut passed = http.request(parts.method, format!("http://{}{path}", endpoint.address));
    for (name, value) in parts
        .headers
        .iter()
        .filter(|(name, _)| !is_between_neighbours(name))
    {
        passed = passed.header(name, value);
    }
    let answer = passed
        .body(body)
        .send()
        .await
        .map_err(|error| because(&error))?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer
        .headers()
        .iter()
        .filter(|(name, _)| !is_between_neighbours(name))
    {
        response = response.header(name, value);
    }
    let body = answer.bytes().await.map_err(|error| because(&error))?;
    response
        .body(Body::from(body))
        .map_err(|error| because(&error))
}

/// Headers that concern one connection, and those the client sets itself.
fn is_between_neighbours(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
    ]
    .contains(name)
}
