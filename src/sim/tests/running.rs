//! Pods that really run, behind a Service, under load.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::*;
use crate::sim::service::{Behind, ServiceProxy};
use crate::sim::traffic::Traffic;

async fn proxy(cluster: &SimCluster, pods: usize) -> ServiceProxy {
    let proxy = cluster.proxy(NAMESPACE, "web").await.unwrap();
    eventually("the proxy knows the pods", async || {
        proxy.pods().len() == pods
    })
    .await;
    proxy
}

async fn get(url: &str) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn waiting(pod: &Pod) -> (String, i32) {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    let Some(container) = statuses.and_then(|all| all.first()) else {
        return Default::default();
    };
    let waiting = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref());
    (
        waiting
            .and_then(|state| state.reason.clone())
            .unwrap_or_default(),
        container.restart_count,
    )
}

#[tokio::test]
async fn a_fifth_of_the_requests_fails_when_the_image_says_so() {
    let cluster = cluster_with("shop:v2-err20", 2).await;
    let proxy = proxy(&cluster, 2).await;
    let mut codes = BTreeMap::<u16, u64>::new();
    for _ in 0..100 {
        *codes.entry(get(&proxy.url()).await.0).or_default() += 1;
    }
    assert_eq!(codes, BTreeMap::from([(200, 80), (500, 20)]));
    let counts = proxy.counts();
    assert_eq!(counts.by_code, codes);
    assert_eq!(
        counts.by_pod.values().copied().collect::<Vec<_>>(),
        [50, 50],
        "round robin"
    );
}

#[tokio::test]
async fn a_pod_says_who_it_is_and_counts_what_it_served() {
    let cluster = cluster_with("shop:v1", 1).await;
    let proxy = proxy(&cluster, 1).await;
    let (code, body) = get(&format!("{}/orders?x=1", proxy.url())).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let pod = &pods(&cluster).await[0];
    assert_eq!(
        (code, &body["version"], &body["pod"]),
        (200, &json!("v1"), &json!(pod.name_any()))
    );
    let (_, metrics) = get(&format!("{}/metrics", proxy.url())).await;
    let expected = format!(
        "http_requests_total{{code=\"200\",pod=\"{}\",namespace=\"shop\",version=\"v1\",tenant=\"shop\"}} 1",
        pod.name_any()
    );
    assert!(
        metrics.lines().any(|line| line == expected),
        "{expected} is not in\n{metrics}"
    );
}

#[tokio::test]
async fn without_a_ready_pod_the_service_answers_503() {
    let cluster = cluster().await;
    cluster
        .apply_deployment(NAMESPACE, "web", "shop:v1-neverready", 1)
        .await
        .unwrap();
    let proxy = cluster.proxy(NAMESPACE, "web").await.unwrap();
    eventually("the pod runs", async || {
        let pods = pods(&cluster).await;
        pods.iter()
            .any(|pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Running"))
    })
    .await;
    assert_eq!(get(&proxy.url()).await.0, 503);
    assert_eq!(proxy.counts().without_pod, 1);
}

#[tokio::test]
async fn a_healthy_rollout_under_load_loses_no_request() {
    let cluster = cluster_with("shop:v1", 3).await;
    let proxy = proxy(&cluster, 3).await;
    let traffic = Traffic::start(proxy.url(), 50).unwrap();
    eventually("traffic flows", async || traffic.counts().answered() > 20).await;
    release(&cluster, "shop:v2").await;
    let before = traffic.counts().answered();
    eventually("traffic still flows", async || {
        traffic.counts().answered() > before + 20
    })
    .await;
    let counts = traffic.counts();
    assert_eq!(
        (counts.failed(), counts.skipped),
        (0, 0),
        "{counts:?}, {:?}",
        proxy.counts()
    );
    assert!(proxy.counts().by_pod.len() >= 6, "both versions answered");
}

#[tokio::test]
async fn a_crash_loop_backs_off_and_counts_its_restarts() {
    let cluster = cluster_with("shop:v1", 1).await;
    cluster
        .set_image(NAMESPACE, "web", "shop:v2-crashloop")
        .await
        .unwrap();
    eventually("a pod crashed twice more", async || {
        let pods = pods(&cluster).await;
        pods.iter()
            .map(waiting)
            .any(|(reason, restarts)| reason == "CrashLoopBackOff" && restarts >= 2)
    })
    .await;
    let status = deployment(&cluster).await.status.unwrap();
    assert_eq!(
        status.available_replicas,
        Some(1),
        "the old pod still serves"
    );
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_waits() {
    let cluster = cluster_with("shop:v1", 1).await;
    cluster
        .set_image(NAMESPACE, "web", "shop:v2-imagepull")
        .await
        .unwrap();
    eventually("the image is not pulled", async || {
        pods(&cluster)
            .await
            .iter()
            .map(waiting)
            .any(|(reason, _)| reason == "ImagePullBackOff")
    })
    .await;
}

#[tokio::test]
async fn a_service_switched_to_another_colour_sends_there() {
    let cluster = cluster().await;
    for colour in ["blue", "green"] {
        cluster
            .apply_deployment(NAMESPACE, colour, &format!("shop:{colour}"), 1)
            .await
            .unwrap();
        cluster.rolled_out(NAMESPACE, colour, SOON).await.unwrap();
    }
    cluster
        .person()
        .apply_service(NAMESPACE, "web", BTreeMap::from([("app", "blue")]))
        .await
        .unwrap();
    let proxy = proxy(&cluster, 1).await;
    assert!(get(&proxy.url()).await.1.contains("blue"));
    let services: Api<k8s_openapi::api::core::v1::Service> =
        Api::namespaced(cluster.client(), NAMESPACE);
    let patch = Patch::Merge(json!({"spec": {"selector": {"app": "green"}}}));
    services
        .patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
    eventually("green answers", async || {
        get(&proxy.url()).await.1.contains("green")
    })
    .await;

    let labels = BTreeMap::from([("app".to_owned(), "blue".to_owned())]);
    let by_labels = ServiceProxy::start(cluster.client(), NAMESPACE, Behind::Labels(labels));
    let by_labels = by_labels.await.unwrap();
    eventually("blue is found", async || by_labels.pods().len() == 1).await;
    assert!(get(&by_labels.url()).await.1.contains("blue"));
}

#[tokio::test]
async fn faults_begin_later_in_a_running_pod() {
    let cluster = cluster_with("shop:v2-err100-later3", 1).await;
    let proxy = proxy(&cluster, 1).await;
    eventually("it fails", async || get(&proxy.url()).await.0 == 500).await;
    let counts = proxy.counts();
    assert!(
        counts.by_code.contains_key(&200),
        "it was well at first: {counts:?}"
    );
}

#[tokio::test]
async fn a_pod_answers_a_little_longer_than_it_is_wanted() {
    let mut options = SimOptions::default();
    options.node.drain = Duration::from_secs(2);
    let cluster = SimCluster::start(clock(), options).await.unwrap();
    cluster
        .apply_deployment(NAMESPACE, "web", "shop:v1", 1)
        .await
        .unwrap();
    cluster.rolled_out(NAMESPACE, "web", SOON).await.unwrap();
    let pod = pods(&cluster).await.remove(0);
    let address = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    let url = format!("http://{address}:8080/");
    let api: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    api.delete(&pod.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    eventually("another pod is ready", async || {
        deployment(&cluster).await.status.unwrap().ready_replicas == Some(1)
            && pods(&cluster).await.len() == 2
    })
    .await;
    assert_eq!(get(&url).await.0, 200, "it drains");
    eventually("it is gone", async || {
        api.get_opt(&pod.name_any()).await.unwrap().is_none()
    })
    .await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(
        http.get(&url).send().await.unwrap_err().is_connect(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn everything_stops_when_the_cluster_is_dropped() {
    let cluster = cluster_with("shop:v1", 1).await;
    let pod = pods(&cluster).await.remove(0);
    let address = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
    let urls = [
        format!("{}/readyz", cluster.url()),
        format!("http://{address}:8080/"),
    ];
    for url in &urls {
        assert_eq!(get(url).await.0, 200, "{url}");
    }
    drop(cluster);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for url in &urls {
        eventually("nobody listens any more", async || {
            http.get(url)
                .send()
                .await
                .is_err_and(|error| error.is_connect())
        })
        .await;
    }
}

#[tokio::test]
async fn many_deployments_roll_out_side_by_side() {
    let cluster = cluster().await;
    let names: Vec<String> = (0..20).map(|number| format!("web-{number}")).collect();
    for name in &names {
        cluster
            .apply_deployment(NAMESPACE, name, "shop:v1", 2)
            .await
            .unwrap();
    }
    for name in &names {
        cluster.rolled_out(NAMESPACE, name, SOON).await.unwrap();
        cluster.set_image(NAMESPACE, name, "shop:v2").await.unwrap();
    }
    for name in &names {
        let after = cluster.rolled_out(NAMESPACE, name, SOON).await.unwrap();
        assert_eq!(revision(&after), 2, "{name}");
    }
}
