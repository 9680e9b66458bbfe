//! The simulated cluster and a real control plane tell the same story.
//!
//! The story writes down what a client can see: generations, revisions, annotations, conditions, and
//! the sentences of refusals. `same.txt` is what Kubernetes 1.36.3 let it see; the simulation must
//! match it always, and the real one is asked again whenever its binaries are at hand.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::plane::{self, Plane};
use super::*;
use crate::sim::node::{Node, NodeOptions};
use crate::sim::person::Person;
use crate::sim::service::{Behind, ServiceProxy};

const EXPECTED: &str = include_str!("same.txt");
const OTHER_UID: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn the_simulated_cluster_tells_the_story_kubernetes_tells() {
    let cluster = cluster().await;
    let told = Story::of(cluster.client()).tell().await;
    assert_eq!(told, EXPECTED, "the simulation told:\n{told}");
}

#[tokio::test]
#[ignore = "needs a control plane: HOLDFAST_TEST_ASSETS names the folder of its binaries"]
async fn a_real_control_plane_still_tells_that_story() {
    let binaries = plane::assets().expect("HOLDFAST_TEST_ASSETS names a folder");
    let plane = Plane::start(&binaries).await;
    let client = plane.client().await;
    let _node = Node::start(client.clone(), NodeOptions::default(), clock())
        .await
        .unwrap();
    let told = Story::of(client).tell().await;
    assert_eq!(told, EXPECTED, "the real one told:\n{told}");
}

struct Story {
    client: Client,
    person: Person,
    deployments: Api<Deployment>,
    sets: Api<ReplicaSet>,
    /// The Deployment's uid, to be taken out of what is told.
    uid: String,
    told: String,
}

impl Story {
    fn of(client: Client) -> Self {
        Self {
            person: Person::new(client.clone()),
            deployments: Api::namespaced(client.clone(), NAMESPACE),
            sets: Api::namespaced(client.clone(), NAMESPACE),
            uid: String::new(),
            told: String::new(),
            client,
        }
    }

    async fn tell(mut self) -> String {
        self.forward().await;
        self.refusals().await;
        self.more_refusals().await;
        self.back().await;
        self.sizes_and_pauses().await;
        self.failure().await;
        self.end().await;
        self.told
    }

    async fn forward(&mut self) {
        self.person
            .apply_deployment(NAMESPACE, "web", "shop:v1", 2)
            .await
            .unwrap();
        self.settle("v1 is made").await;
        self.annotate("first").await;
        self.settle("v1 is annotated").await;
        self.annotate("second").await;
        self.person
            .set_image(NAMESPACE, "web", "shop:v2-err20")
            .await
            .unwrap();
        self.settle("v2 is released").await;
        self.ask().await;
    }

    async fn refusals(&mut self) {
        let seen = self.deployments.get("web").await.unwrap();
        let set = self.sorted_sets().await.remove(0);
        let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
        let params = PatchParams::default();
        self.deployments
            .patch("web", &params, &label)
            .await
            .unwrap();
        let mut other = self.deployments.get("web").await.unwrap();
        self.uid = other.metadata.uid.replace(OTHER_UID.to_owned()).unwrap();

        let stale = Patch::Json::<()>(undo(&seen, &set));
        self.refused(
            "a patch of a stale version",
            self.deployments.patch("web", &params, &stale).await,
        );
        let wrong = Patch::Json::<()>(undo(&other, &set));
        self.refused(
            "a patch of another uid",
            self.deployments.patch("web", &params, &wrong).await,
        );
        let missing = json!([{"op": "replace", "path": "/metadata/nothing/here", "value": "x"}]);
        let missing = Patch::Json::<()>(serde_json::from_value(missing).unwrap());
        let answer = self.deployments.patch("web", &params, &missing).await;
        self.told_code("a patch of a missing path", answer);
        let post = PostParams::default();
        self.refused(
            "a stale replacement",
            self.deployments.replace("web", &post, &seen).await,
        );
        self.refused(
            "a replacement of another uid",
            self.deployments.replace("web", &post, &other).await,
        );
    }

    async fn more_refusals(&mut self) {
        let now = self.deployments.get("web").await.unwrap();
        let (post, params) = (PostParams::default(), PatchParams::default());
        self.refused(
            "what exists made again",
            self.deployments.create(&post, &fresh(&now)).await,
        );
        self.refused("what does not exist", self.deployments.get("nothing").await);
        let labels = json!({"spec": {"template": {"metadata": {"labels": {"app": "other"}}}}});
        let answer = self
            .deployments
            .patch("web", &params, &Patch::Merge(labels))
            .await;
        self.told_code("labels apart from the selector", answer);
        let selector = json!({"spec": {
            "selector": {"matchLabels": {"app": "other"}},
            "template": {"metadata": {"labels": {"app": "other"}}},
        }});
        let answer = self
            .deployments
            .patch("web", &params, &Patch::Merge(selector))
            .await;
        self.told_code("another selector", answer);
        let uid = Some(OTHER_UID.to_owned());
        let preconditions = Some(Preconditions {
            uid,
            resource_version: None,
        });
        let params = DeleteParams {
            preconditions,
            ..DeleteParams::default()
        };
        self.refused(
            "a deletion of another uid",
            self.deployments.delete("web", &params).await,
        );
        let nowhere: Api<Deployment> = Api::namespaced(self.client.clone(), "nowhere");
        let mut stray = fresh(&now);
        stray.metadata.namespace = None;
        self.refused("an unknown namespace", nowhere.create(&post, &stray).await);
    }

    async fn back(&mut self) {
        let bad = self.deployments.get("web").await.unwrap();
        let set = self.sorted_sets().await.remove(0);
        let patch = Patch::Json::<()>(undo(&bad, &set));
        self.deployments
            .patch("web", &PatchParams::default(), &patch)
            .await
            .unwrap();
        self.settle("v2 is undone").await;
        self.ask().await;
    }

    async fn sizes_and_pauses(&mut self) {
        self.merge(json!({"spec": {"replicas": 5}})).await;
        self.settle("five pods are asked for").await;
        self.merge(json!({"spec": {"replicas": 1}})).await;
        self.settle("one pod is asked for").await;
        self.merge(json!({"spec": {"paused": true}})).await;
        self.until_reason("DeploymentPaused").await;
        self.person
            .set_image(NAMESPACE, "web", "shop:v3")
            .await
            .unwrap();
        self.look("v3 is released into a pause").await;
        self.merge(json!({"spec": {"paused": false}})).await;
        self.settle("the pause is over").await;
    }

    async fn failure(&mut self) {
        self.merge(json!({"spec": {"progressDeadlineSeconds": 3}}))
            .await;
        self.settle("a deadline is set").await;
        self.person
            .set_image(NAMESPACE, "web", "shop:v4-neverready")
            .await
            .unwrap();
        self.until_reason("ProgressDeadlineExceeded").await;
        self.look("v4 never becomes ready").await;
        self.person
            .set_image(NAMESPACE, "web", "shop:v3")
            .await
            .unwrap();
        self.settle("v3 is set again").await;
        self.merge(json!({"spec": {"revisionHistoryLimit": 0}}))
            .await;
        eventually("the history is gone", async || {
            self.sorted_sets().await.len() == 1
        })
        .await;
        self.settle("no history is kept").await;
    }

    async fn end(&mut self) {
        self.deployments
            .delete("web", &DeleteParams::default())
            .await
            .unwrap();
        eventually("all sets are gone", async || {
            self.sorted_sets().await.is_empty()
        })
        .await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let none = ListParams::default();
        eventually("all pods are gone", async || {
            pods.list(&none).await.unwrap().items.is_empty()
        })
        .await;
        self.told
            .push_str("the deployment is deleted, and what it owned is gone\n");
    }

    async fn merge(&self, patch: Value) {
        let patch = Patch::Merge(patch);
        self.deployments
            .patch("web", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn annotate(&self, cause: &str) {
        self.merge(json!({"metadata": {"annotations": {"kubernetes.io/change-cause": cause}}}))
            .await;
    }

    async fn sorted_sets(&self) -> Vec<ReplicaSet> {
        let mut sets = self.sets.list(&ListParams::default()).await.unwrap().items;
        sets.sort_by_key(revision);
        sets
    }

    async fn until_reason(&self, wanted: &str) {
        eventually(wanted, async || {
            reason(&self.deployments.get("web").await.unwrap(), "Progressing") == wanted
        })
        .await;
    }

    /// Waits until the rollout is done and its pods alone are left, then looks.
    async fn settle(&mut self, when: &str) {
        self.person
            .rolled_out(NAMESPACE, "web", SOON)
            .await
            .unwrap();
        self.until_reason("NewReplicaSetAvailable").await;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        eventually("the old pods are gone", async || {
            let wanted = self
                .deployments
                .get("web")
                .await
                .unwrap()
                .spec
                .unwrap()
                .replicas
                .unwrap();
            let pods = pods.list(&ListParams::default()).await.unwrap().items;
            i32::try_from(pods.len()).unwrap() == wanted
        })
        .await;
        self.look(when).await;
    }

    /// Waits until the controllers rest, then writes down the Deployment and its sets.
    async fn look(&mut self, when: &str) {
        let mut before = String::new();
        let mut still = 0;
        eventually("the controllers rest", async || {
            let now = self.described().await;
            still = if now == before { still + 1 } else { 0 };
            before = now;
            still > 10
        })
        .await;
        self.told.push_str(&format!("{when}\n{before}"));
    }

    async fn described(&self) -> String {
        let deployment = self.deployments.get("web").await.unwrap();
        let mut text = format!("  {}\n", described(&deployment, &deployment.status));
        let status = deployment.status.clone().unwrap_or_default();
        let mut conditions: Vec<_> = status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .map(|one| {
                format!(
                    "{}={} {}",
                    one.type_,
                    one.status,
                    one.reason.unwrap_or_default()
                )
            })
            .collect();
        conditions.sort();
        text.push_str(&format!("  {}\n", conditions.join(", ")));
        for set in self.sorted_sets().await {
            text.push_str(&format!(
                "  {} {}\n",
                image_of(&set),
                described(&set, &set.status)
            ));
        }
        text
    }

    /// Asks a hundred times through the Service and writes down how many failed.
    async fn ask(&mut self) {
        let behind = Behind::Service("web".to_owned());
        let proxy = ServiceProxy::start(self.client.clone(), NAMESPACE, behind)
            .await
            .unwrap();
        eventually("the proxy knows the pods", async || proxy.pods().len() == 2).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for _ in 0..100 {
            http.get(proxy.url()).send().await.unwrap();
        }
        self.told.push_str(&format!(
            "a hundred requests: {:?}\n",
            proxy.counts().by_code
        ));
    }

    fn refused<T>(&mut self, what: &str, answer: Result<T, kube::Error>) {
        let Err(kube::Error::Api(status)) = answer else {
            panic!("{what} was not refused")
        };
        let message = status
            .message
            .replace(OTHER_UID, "OTHER")
            .replace(&self.uid, "UID");
        self.told.push_str(&format!(
            "{what}: {} {}: {message}\n",
            status.code, status.reason
        ));
    }

    /// Only the code and reason: the sentence quotes whole objects or the library's own words.
    fn told_code<T>(&mut self, what: &str, answer: Result<T, kube::Error>) {
        let Err(kube::Error::Api(status)) = answer else {
            panic!("{what} was not refused")
        };
        self.told
            .push_str(&format!("{what}: {} {}\n", status.code, status.reason));
    }
}

fn fresh(deployment: &Deployment) -> Deployment {
    let mut fresh = deployment.clone();
    fresh.metadata.resource_version = None;
    fresh.metadata.uid = None;
    fresh.status = None;
    fresh
}

/// Generation, annotations and counts; times, hashes and conditions aside.
fn described(object: &impl kube::ResourceExt, status: &Option<impl serde::Serialize>) -> String {
    let annotations: Vec<_> = object
        .annotations()
        .iter()
        .map(|(key, value)| format!("{}={value}", key.rsplit('/').next().unwrap_or_default()))
        .collect();
    let status = serde_json::to_value(status).unwrap();
    let observed = &status["observedGeneration"];
    let counts: Vec<_> = status
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| key.as_str() != "observedGeneration" && value.is_i64())
        .filter(|(key, _)| key.as_str() != "terminatingReplicas")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let generation = object.meta().generation.unwrap_or_default();
    format!(
        "generation {generation} observed {observed} [{}] [{}]",
        annotations.join(" "),
        counts.join(" ")
    )
}
