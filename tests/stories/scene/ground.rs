//! What every scene stands on: rights that have arrived, the node that runs pods, targets that follow them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast::clock::Clock;
use holdfast::sim::node::{Node, NodeOptions};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use tokio::sync::OnceCell;

use super::PATIENCE;
use crate::support::controlplane::{ControlPlane, client_of};
use crate::support::eventually::eventually;
use crate::support::prometheus::{Target, write_targets};

/// The authorizer hears of roles a moment after they are written; a daemon that asks before would
/// believe that it may not act.
pub async fn wait_for_rights(kubeconfig: &Path, namespace: &str) {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client_of(kubeconfig).await);
    let review: SelfSubjectAccessReview = serde_json::from_value(json!({
        "metadata": {},
        "spec": { "resourceAttributes": {
            "group": "apps", "resource": "deployments", "verb": "patch", "namespace": namespace,
        }},
    }))
    .expect("a review");
    eventually("the roles have arrived", PATIENCE, || async {
        let answer = reviews.create(&PostParams::default(), &review).await;
        match answer.map(|review| review.status.is_some_and(|status| status.allowed)) {
            Ok(true) => Ok(()),
            Ok(false) => Err("not allowed".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

/// Starts the node that runs the pods of all stories. It has a runtime of its own: a story's runtime
/// ends with the story.
pub async fn run_pods(plane: &'static ControlPlane) {
    static NODE: OnceCell<()> = OnceCell::const_new();
    NODE.get_or_init(|| async {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("node".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .expect("a runtime can be built");
                runtime.block_on(async {
                    let clock = Clock::system();
                    let now = Arc::new(move || {
                        jiff::Timestamp::from_microsecond(clock.now().as_micros())
                            .expect("the present is in range")
                    });
                    let client = plane.client().await;
                    let node = Node::start(client, NodeOptions::default(), now).await;
                    let _node = node.expect("the API server takes a node");
                    ready.send(()).expect("somebody waits for the node");
                    std::future::pending::<()>().await;
                });
            })
            .expect("a thread can be started");
        is_ready.await.expect("the node starts");
    })
    .await;
}

/// Keeps Prometheus' targets equal to the pods that run.
pub async fn follow_pods(client: kube::Client, namespace: String, folder: PathBuf) {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = Vec::new();
    loop {
        ticks.tick().await;
        let Ok(listed) = pods.list(&ListParams::default()).await else {
            continue;
        };
        let mut targets: Vec<Target> = listed.items.iter().filter_map(target).collect();
        targets.sort_by_key(|target| target.address);
        let addresses: Vec<SocketAddr> = targets.iter().map(|target| target.address).collect();
        if addresses != known {
            write_targets(&folder, &targets);
            known = addresses;
        }
    }
}

fn target(pod: &Pod) -> Option<Target> {
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.as_ref()?.parse().ok()?;
    let container = pod.spec.as_ref()?.containers.first()?;
    let port = container.ports.as_ref()?.first()?.container_port;
    let port = u16::try_from(port).ok()?;
    Some(Target::new(SocketAddr::new(address, port), &[]))
}
