//! Stories of the platform against the simulated cluster, through the product's own clients over HTTP.

mod acting;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp as Instant};
use serde_json::Value;

use super::connect::{Clients, Wanted, Wish, connect};
use super::kubernetes::Kubernetes;
use super::template;
use crate::clock::Clock;
use crate::domain::id::TemplateDigest;
use crate::domain::rollout::Seen;
use crate::domain::spec::WorkloadRef;
use crate::domain::time::Timestamp;
use crate::sim::api::{Effect, Fault, Meets};
use crate::sim::{SimCluster, SimOptions};

/// Longer than anything here takes on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Where the workload is.
pub const NAMESPACE: &str = "shop";

/// A simulated cluster, and Holdfast's clients of it.
pub struct Stage {
    /// The cluster.
    pub cluster: SimCluster,
    /// The clients.
    pub clients: Clients,
    /// The platform.
    pub platform: Kubernetes,
    /// Holdfast's clock, which stands still.
    pub clock: Clock,
}

// === impl Stage ===

impl Stage {
    /// A cluster that remembers so many changes for watches.
    pub async fn remembering(history_max: usize) -> Self {
        let started = tokio::time::Instant::now();
        let begin: Instant = "2026-03-01T12:00:00Z".parse().unwrap();
        let now = Arc::new(move || begin + SignedDuration::try_from(started.elapsed()).unwrap());
        let options = SimOptions {
            history_max,
            ..SimOptions::default()
        };
        let cluster = SimCluster::start(now, options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kubeconfig");
        std::fs::write(&path, cluster.kubeconfig()).unwrap();
        let wanted = Wanted {
            access: Wish::Required,
            kubeconfig: Some(path),
            context: None,
        };
        let clients = connect(&wanted).await.unwrap().unwrap();
        let clock = Clock::set(Timestamp::from_secs(1_767_603_600));
        let platform = Kubernetes::new(clients.calls.clone(), clock.clone(), "test");
        Self {
            cluster,
            clients,
            platform,
            clock,
        }
    }

    /// A cluster in which `shop/web` has been rolled out with each of these images in turn.
    pub async fn with(images: &[&str]) -> Self {
        let stage = Self::remembering(10_000).await;
        for (index, image) in images.iter().enumerate() {
            if index == 0 {
                stage
                    .cluster
                    .apply_deployment(NAMESPACE, "web", image, 2)
                    .await
                    .unwrap();
            } else {
                stage
                    .cluster
                    .set_image(NAMESPACE, "web", image)
                    .await
                    .unwrap();
            }
            stage
                .cluster
                .rolled_out(NAMESPACE, "web", SOON)
                .await
                .unwrap();
        }
        stage
    }

    /// The workload as it is, once the controller has numbered its template.
    pub async fn settled(&self) -> Seen {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let seen = self.platform.look(&web()).await.unwrap().unwrap();
            if seen.revision.is_some() && seen.rolled_out() {
                return seen;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not settled: {seen:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Patches that Holdfast sent to Deployments: when each was answered, with which code.
    pub fn patches(&self) -> Vec<(u16, Value)> {
        let sent = self.cluster.audit().of("patch", "deployments").into_iter();
        let own = sent.filter(|entry| entry.field_manager == "holdfast");
        own.map(|entry| (entry.code, entry.body)).collect()
    }

    /// Lets one patch of a Deployment meet a fault.
    pub fn next_patch(&self, effect: Effect) {
        let meets = Meets {
            verb: Some("patch"),
            resource: Some("deployments"),
            ..Meets::default()
        };
        self.cluster.inject(Fault::once(meets, effect));
    }
}

/// The workload.
pub fn web() -> WorkloadRef {
    WorkloadRef::deployment(NAMESPACE, "web")
}

/// The template of a revision by its number.
pub fn numbered(seen: &Seen, number: u64) -> TemplateDigest {
    seen.revisions
        .iter()
        .find(|revision| revision.number == number)
        .unwrap()
        .template
}

/// The digest of the Deployment's template as the API server has it.
pub async fn present(stage: &Stage) -> TemplateDigest {
    let deployment = stage
        .cluster
        .rolled_out(NAMESPACE, "web", SOON)
        .await
        .unwrap();
    let object = serde_json::to_value(&deployment).unwrap();
    template::digest(object.pointer("/spec/template").unwrap())
}
