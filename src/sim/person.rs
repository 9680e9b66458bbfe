//! What a person does to a cluster with `kubectl`: make namespaces, Services and Deployments, release.
//!
//! It works against any API server, so the same story can be told of the simulated cluster and of a
//! real one.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::pod::PORT;

/// How often a rollout is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Somebody with a client.
#[derive(Clone)]
pub struct Person {
    client: Client,
}

/// Why something a person wanted was not done.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The API server refused or did not answer.
    #[error("the API server did not take {what}")]
    Write {
        /// What was asked for.
        what: String,
        /// The refusal.
        #[source]
        error: Box<kube::Error>,
    },
    /// The object is not one of its kind.
    #[error("failed to write the object {0}")]
    Unreadable(String, #[source] serde_json::Error),
    /// A rollout did not end in time.
    #[error("deployment {0} was not rolled out in time")]
    NotRolledOut(String),
}

impl Person {
    /// Somebody who uses the client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Makes sure that a namespace exists.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn apply_namespace(&self, name: &str) -> Result<(), PersonError> {
        self.apply::<Namespace>(
            Api::all(self.client.clone()),
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
    ) -> Result<Deployment, PersonError> {
        self.apply_namespace(namespace).await?;
        self.apply_service(namespace, name, BTreeMap::from([("app", name)]))
            .await?;
        let container = json!({
            "name": name,
            "image": image,
            "ports": [{"containerPort": PORT}],
            "readinessProbe": {
                "httpGet": {"path": "/health", "port": PORT},
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
        let deployments = Api::namespaced(self.client.clone(), namespace);
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
    ) -> Result<Service, PersonError> {
        let service = json!({
            "metadata": {"name": name},
            "spec": {
                "selector": selector,
                "ports": [{"port": 80, "targetPort": PORT}],
            },
        });
        self.apply(
            Api::namespaced(self.client.clone(), namespace),
            name,
            service,
        )
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
    ) -> Result<Deployment, PersonError> {
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": name, "image": image},
        ]}}}});
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams {
            field_manager: Some("sim".to_owned()),
            ..PatchParams::default()
        };
        deployments
            .patch(name, &params, &Patch::Strategic(patch))
            .await
            .map_err(refused(name))
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
    ) -> Result<Deployment, PersonError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let deadline = Instant::now() + within;
        loop {
            let deployment = deployments.get(name).await.map_err(refused(name))?;
            if is_rolled_out(&deployment) {
                return Ok(deployment);
            }
            if Instant::now() >= deadline {
                return Err(PersonError::NotRolledOut(name.to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Creates an object, or merges it into the one that exists.
    async fn apply<K>(&self, api: Api<K>, name: &str, object: Value) -> Result<K, PersonError>
    where
        K: Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let unreadable = |error: serde_json::Error| PersonError::Unreadable(name.to_owned(), error);
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

fn refused(what: &str) -> impl Fn(kube::Error) -> PersonError {
    move |error| PersonError::Write {
        what: what.to_owned(),
        error: Box::new(error),
    }
}
