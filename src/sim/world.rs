//! The whole simulated cluster in one value.

use std::io;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::Now;
use super::api::{ApiServer, Audit, Fault, HISTORY_MAX, Store};
use super::controllers::Controllers;
use super::node::{Node, NodeError, NodeOptions};
use super::person::{Person, PersonError};
use super::service::{Behind, ProxyError, ServiceProxy};

/// How a simulated cluster is made.
#[derive(Debug, Clone)]
pub struct SimOptions {
    /// Changes a watch can look back on.
    pub history_max: usize,
    /// How the node behaves.
    pub node: NodeOptions,
}

/// A running cluster; everything stops when it is dropped.
pub struct SimCluster {
    // Dropped in this order: who asks goes before who answers.
    _node: Node,
    _controllers: Controllers,
    client: Client,
    api: ApiServer,
}

/// Why something could not be done to the simulated cluster.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No port could be had.
    #[error("failed to start the simulated API server")]
    Listen(#[source] io::Error),
    /// The client could not be made.
    #[error("failed to make a client of the simulated API server")]
    Client(#[source] Box<kube::Error>),
    /// The node did not start.
    #[error("failed to start the simulated node")]
    Node(#[source] NodeError),
    /// The proxy did not start.
    #[error("failed to start a service proxy")]
    Proxy(#[source] ProxyError),
    /// What a person wanted was not done.
    #[error("failed to do to the simulated cluster what was asked for")]
    Person(#[source] PersonError),
    /// A URL or header could not be read.
    #[error("{0} cannot be used for a client")]
    Unusable(String),
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            history_max: HISTORY_MAX,
            node: NodeOptions::default(),
        }
    }
}

impl SimCluster {
    /// Starts an API server, the controllers and one node.
    ///
    /// # Errors
    /// If one of them does not start.
    pub async fn start(now: Now, options: SimOptions) -> Result<Self, SimError> {
        let api = ApiServer::start(now.clone(), options.history_max)
            .await
            .map_err(SimError::Listen)?;
        let controllers = Controllers::start(api.store().clone());
        let client = client_of(&api.url(), "sim")?;
        let node_client = client_of(&api.url(), "sim-node")?;
        let node = Node::start(node_client, options.node, now)
            .await
            .map_err(SimError::Node)?;
        Ok(Self {
            _node: node,
            _controllers: controllers,
            client,
            api,
        })
    }

    /// A client, with the user agent `sim`.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client with a user agent of its own, to be told apart in the audit list.
    ///
    /// # Errors
    /// If the user agent cannot be a header.
    pub fn client_named(&self, user_agent: &str) -> Result<Client, SimError> {
        client_of(&self.api.url(), user_agent)
    }

    /// The API server's URL.
    pub fn url(&self) -> String {
        self.api.url()
    }

    /// A kubeconfig for the cluster; JSON, which is YAML too.
    pub fn kubeconfig(&self) -> String {
        let named = |kind: &str, inside: Value| json!([{"name": "sim", kind: inside}]);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sim",
            "clusters": named("cluster", json!({"server": self.url()})),
            "users": named("user", json!({})),
            "contexts": named("context", json!({"cluster": "sim", "user": "sim", "namespace": "default"})),
        });
        format!("{config:#}\n")
    }

    /// What was asked of the API server.
    pub fn audit(&self) -> &Audit {
        self.api.audit()
    }

    /// The objects themselves, past the API.
    pub fn store(&self) -> &Store {
        self.api.store()
    }

    /// Makes the API server have a fault.
    pub fn inject(&self, fault: Fault) {
        self.api.inject(fault);
    }

    /// Ends all faults of the API server.
    pub fn heal(&self) {
        self.api.heal();
    }

    /// Ends every open watch, as a restart of the API server would.
    pub fn break_watches(&self) {
        self.api.break_watches();
    }

    /// Somebody who does to the cluster what people do with `kubectl`.
    pub fn person(&self) -> Person {
        Person::new(self.client())
    }

    /// Makes a Deployment (and a Service and a namespace of or for it) as asked for.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn apply_deployment(
        &self,
        namespace: &str,
        name: &str,
        image: &str,
        replicas: u32,
    ) -> Result<Deployment, SimError> {
        let person = self.person();
        person
            .apply_deployment(namespace, name, image, replicas)
            .await
            .map_err(SimError::Person)
    }

    /// Gives the container named like the Deployment another image, as `kubectl set image` does.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn set_image(
        &self,
        namespace: &str,
        name: &str,
        image: &str,
    ) -> Result<Deployment, SimError> {
        self.person()
            .set_image(namespace, name, image)
            .await
            .map_err(SimError::Person)
    }

    /// Waits until the Deployment's newest template is rolled out.
    ///
    /// # Errors
    /// If it is not within the time given, or the API server refuses.
    pub async fn rolled_out(
        &self,
        namespace: &str,
        name: &str,
        within: Duration,
    ) -> Result<Deployment, SimError> {
        self.person()
            .rolled_out(namespace, name, within)
            .await
            .map_err(SimError::Person)
    }

    /// Starts a proxy before a Service.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn proxy(&self, namespace: &str, service: &str) -> Result<ServiceProxy, SimError> {
        let behind = Behind::Service(service.to_owned());
        let client = self.client_named("sim-proxy")?;
        ServiceProxy::start(client, namespace, behind)
            .await
            .map_err(SimError::Proxy)
    }
}

fn client_of(url: &str, user_agent: &str) -> Result<Client, SimError> {
    let unusable = || SimError::Unusable(format!("{url} with {user_agent:?}"));
    let mut config = Config::new(url.parse().map_err(|_| unusable())?);
    let agent = HeaderValue::from_str(user_agent).map_err(|_| unusable())?;
    config.headers.push((USER_AGENT, agent));
    Client::try_from(config).map_err(|error| SimError::Client(Box::new(error)))
}
