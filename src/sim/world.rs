//! The whole simulated cluster, and what a person would do to it with `kubectl`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Now;
use super::api::{ApiServer, Audit, Fault, HISTORY_MAX, Store};
use super::controllers::Controllers;
use super::node::{Node, NodeError, NodeOptions};
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
    /// The API server refused.
    #[error("the simulated API server did not take {what}")]
    Write {
        /// What was written.
        what: String,
        /// The refusal.
        #[source]
        error: Box<kube::Error>,
    },
    /// A URL or header could not be read.
    #[error("{0} cannot be used for a client")]
    Unusable(String),
    /// A rollout did not end in time.
    #[error("deployment {0} was not rolled out in time")]
    NotRolledOut(String),
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

    /// Makes sure that a namespace exists.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn apply_namespace(&self, name: &str) -> Result<(), SimError> {
        self.apply::<Namespace>(
            Api::all(self.client()),
            name,
            json!({"metadata": {"name": name}}),
        )
        .await?;
        Ok(())
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
        self.apply_namespace(namespace).await?;
        self.apply_service(namespace, name, BTreeMap::from([("app", name)]))
            .await?;
        let container = json!({
            "name": name,
            "image": image,
            "ports": [{"containerPort": super::pod::PORT}],
            "readinessProbe": {
                "httpGet": {"path": "/health", "port": super::pod::PORT},
                "periodSeconds": 1,
                "failureThreshold": 2,
            },
        });
        let deployment = json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name, "tenant": namespace}},
                    "spec": {"containers": [container]},
                },
            },
        });
        let deployments = Api::namespaced(self.client(), namespace);
        self.apply(deployments, name, deployment).await
    }

    /// Makes a Service that selects pods by labels, on port 80.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn apply_service(
        &self,
        namespace: &str,
        name: &str,
        selector: BTreeMap<&str, &str>,
    ) -> Result<Service, SimError> {
        let service = json!({
            "metadata": {"name": name},
            "spec": {
                "selector": selector,
                "ports": [{"port": 80, "targetPort": super::pod::PORT}],
            },
        });
        self.apply(Api::namespaced(self.client(), namespace), name, service)
            .await
    }

    /// Gives the first container another image, as `kubectl set image` does.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn set_image(
        &self,
        namespace: &str,
        name: &str,
        image: &str,
    ) -> Result<Deployment, SimError> {
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": name, "image": image},
        ]}}}});
        let deployments: Api<Deployment> = Api::namespaced(self.client(), namespace);
        let params = PatchParams {
            field_manager: Some("sim".to_owned()),
            ..PatchParams::default()
        };
        deployments
            .patch(name, &params, &Patch::Strategic(patch))
            .await
            .map_err(refused(name))
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
        let deployments: Api<Deployment> = Api::namespaced(self.client(), namespace);
        let deadline = Instant::now() + within;
        let mut newest = self.api.store().newest();
        loop {
            newest.mark_unchanged();
            let deployment = deployments.get(name).await.map_err(refused(name))?;
            if is_rolled_out(&deployment) {
                return Ok(deployment);
            }
            match tokio::time::timeout_at(deadline, newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(SimError::NotRolledOut(name.to_owned())),
            }
        }
    }

    /// Creates an object, or merges it into the one that exists.
    async fn apply<K>(&self, api: Api<K>, name: &str, object: Value) -> Result<K, SimError>
    where
        K: Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let unreadable = |error: serde_json::Error| SimError::Unusable(format!("{name}: {error}"));
        let typed = serde_json::from_value(object.clone()).map_err(unreadable)?;
        match api.create(&PostParams::default(), &typed).await {
            Err(kube::Error::Api(exists)) if exists.code == 409 => {
                let patch = Patch::Merge(object);
                api.patch(name, &PatchParams::default(), &patch)
                    .await
                    .map_err(refused(name))
            }
            created => created.map_err(refused(name)),
        }
    }
}

/// Whether every pod is of the newest template and available.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && [
            status.replicas,
            status.updated_replicas,
            status.available_replicas,
        ]
        .iter()
        .all(|count| count.unwrap_or(0) == wanted)
}

fn refused(what: &str) -> impl Fn(kube::Error) -> SimError {
    move |error| SimError::Write {
        what: what.to_owned(),
        error: Box::new(error),
    }
}

fn client_of(url: &str, user_agent: &str) -> Result<Client, SimError> {
    let unusable = || SimError::Unusable(format!("{url} with {user_agent:?}"));
    let mut config = Config::new(url.parse().map_err(|_| unusable())?);
    let agent = HeaderValue::from_str(user_agent).map_err(|_| unusable())?;
    config.headers.push((USER_AGENT, agent));
    Client::try_from(config).map_err(|error| SimError::Client(Box::new(error)))
}
