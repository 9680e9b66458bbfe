//! The API server as a client meets it.

use futures::StreamExt as _;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Event as CoreEvent};
use k8s_openapi::api::events::v1::Event as NewEvent;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Config, ResourceExt as _};
use serde_json::json;

use super::*;
use crate::sim::api::{Effect, Fault, Meets};

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("not refused by the server: {other}"),
    }
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}})).unwrap()
}

#[tokio::test]
async fn a_stale_version_in_a_patch_is_a_conflict_and_a_wrong_uid_invalid() {
    let cluster = cluster_with("shop:v1", 1).await;
    let seen = deployment(&cluster).await;
    let moved = patch(
        &cluster,
        json!({"metadata": {"labels": {"touched": "yes"}}}),
    )
    .await;
    let before = cluster.audit().of("patch", "deployments").len();
    let set = sets(&cluster).await.remove(0);
    let api = deployments(&cluster);

    let stale = Patch::Json::<()>(undo(&seen, &set));
    let error = api
        .patch("web", &PatchParams::default(), &stale)
        .await
        .unwrap_err();
    assert_eq!(code(&error), 409);
    assert!(
        error.to_string().contains("the object has been modified"),
        "{error}"
    );

    let mut other = moved.clone();
    other.metadata.uid = Some("00000000-0000-4000-8000-000000000000".to_owned());
    other.metadata.resource_version = deployment(&cluster).await.resource_version();
    let wrong = Patch::Json::<()>(undo(&other, &set));
    let error = api
        .patch("web", &PatchParams::default(), &wrong)
        .await
        .unwrap_err();
    assert_eq!(code(&error), 422);
    assert!(error.to_string().contains("field is immutable"), "{error}");

    let error = api
        .replace("web", &PostParams::default(), &seen)
        .await
        .unwrap_err();
    assert_eq!(code(&error), 409);
    assert_eq!(cluster.audit().of("patch", "deployments").len(), before + 2);
}

#[tokio::test]
async fn generations_rise_with_spec_and_annotations_and_not_with_status() {
    let cluster = cluster_with("shop:v1", 1).await;
    let generation = |deployment: &Deployment| deployment.metadata.generation.unwrap();
    let first = generation(&deployment(&cluster).await);
    let labelled = patch(&cluster, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert_eq!(generation(&labelled), first);
    let annotated = patch(&cluster, json!({"metadata": {"annotations": {"a": "b"}}})).await;
    assert_eq!(generation(&annotated), first + 1);
    let ignored = patch(&cluster, json!({"status": {"replicas": 77}})).await;
    assert_eq!(generation(&ignored), first + 1);
    assert_ne!(
        ignored.status.unwrap().replicas,
        Some(77),
        "a plain write has no say in status"
    );
    let status = Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"collisionCount": 3}}));
    let api = deployments(&cluster);
    let written = api
        .patch_status("web", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(generation(&written), first + 1);
    assert_eq!(
        written.spec.unwrap().replicas,
        Some(1),
        "a write of status has no say in spec"
    );
    assert_eq!(written.status.unwrap().collision_count, Some(3));
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_real_server() {
    let cluster = cluster().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let post = PostParams::default();
    maps.create(&post, &config_map("one")).await.unwrap();
    assert_eq!(
        code(&maps.create(&post, &config_map("one")).await.unwrap_err()),
        409
    );
    assert_eq!(
        code(
            &maps
                .create(&post, &config_map("No Name"))
                .await
                .unwrap_err()
        ),
        422
    );
    assert_eq!(code(&maps.get("two").await.unwrap_err()), 404);
    let nowhere: Api<ConfigMap> = Api::namespaced(cluster.client(), "nowhere");
    assert_eq!(
        code(&nowhere.create(&post, &config_map("one")).await.unwrap_err()),
        404
    );
    let apply = Patch::Apply(config_map("one"));
    let params = PatchParams::apply("tests");
    assert_eq!(
        code(&maps.patch("one", &params, &apply).await.unwrap_err()),
        415
    );
    let other = Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    };
    let params = DeleteParams {
        preconditions: Some(other),
        ..DeleteParams::default()
    };
    assert_eq!(code(&maps.delete("one", &params).await.unwrap_err()), 409);
    maps.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(maps.get_opt("one").await.unwrap().is_none());
}

#[tokio::test]
async fn a_watch_sees_changes_and_survives_that_its_history_is_gone() {
    let cluster = cluster().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let others: Api<ConfigMap> = Api::namespaced(cluster.client(), "kube-system");
    let post = PostParams::default();
    // Short watches without bookmarks fall behind what happens elsewhere.
    let config = watcher::Config::default().timeout(1).disable_bookmarks();
    let mut events = std::pin::pin!(kube::runtime::watcher(maps.clone(), config));
    let mut told = Vec::new();
    let (mut compacted, mut later) = (false, false);
    let deadline = Instant::now() + SOON;
    while !(told.iter().filter(|one| *one == "init").count() > 1
        && told.contains(&"+late".to_owned()))
    {
        let next = tokio::time::timeout_at(deadline, events.next()).await;
        match next
            .unwrap_or_else(|_| panic!("the watch stopped after {told:?}"))
            .unwrap()
        {
            Ok(Event::Init) => told.push("init".to_owned()),
            Ok(Event::InitDone) if compacted && !later => {
                later = true;
                maps.create(&post, &config_map("late")).await.unwrap();
            }
            Ok(Event::InitDone) => {
                maps.create(&post, &config_map("early")).await.unwrap();
            }
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                told.push(format!("+{}", map.name_any()));
                if !compacted {
                    compacted = true;
                    maps.delete("early", &DeleteParams::default())
                        .await
                        .unwrap();
                    others
                        .create(&post, &config_map("elsewhere"))
                        .await
                        .unwrap();
                }
            }
            Ok(Event::Delete(map)) => {
                told.push(format!("-{}", map.name_any()));
                others.create(&post, &config_map("more")).await.unwrap();
                cluster.store().compact();
            }
            Err(watcher::Error::WatchError(status)) => told.push(status.code.to_string()),
            Err(error) => panic!("{error} after {told:?}"),
        }
    }
    assert_eq!(told, ["init", "+early", "-early", "410", "init", "+late"]);
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_a_refused_one_was_not() {
    let cluster = cluster_with("shop:v1", 1).await;
    let meets = || Meets {
        verb: Some("patch"),
        resource: Some("deployments"),
        ..Meets::default()
    };
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"mark": value}}}));
    let api = deployments(&cluster);
    let params = PatchParams::default();

    cluster.inject(Fault::once(meets(), Effect::LoseAnswer));
    let lost = api.patch("web", &params, &label("lost")).await.unwrap_err();
    assert!(!matches!(lost, kube::Error::Api(_)), "{lost}");
    assert_eq!(deployment(&cluster).await.labels()["mark"], "lost");

    cluster.inject(Fault::once(meets(), Effect::Refuse));
    let refused = api
        .patch("web", &params, &label("refused"))
        .await
        .unwrap_err();
    assert!(!matches!(refused, kube::Error::Api(_)), "{refused}");
    assert_eq!(deployment(&cluster).await.labels()["mark"], "lost");

    cluster.inject(Fault::once(meets(), Effect::Forbidden));
    let forbidden = api
        .patch("web", &params, &label("forbidden"))
        .await
        .unwrap_err();
    assert_eq!(code(&forbidden), 403);

    cluster.inject(Fault::once(meets(), Effect::TooManyRequests(1)));
    api.patch("web", &params, &label("again")).await.unwrap();
    let codes: Vec<_> = cluster
        .audit()
        .of("patch", "deployments")
        .iter()
        .map(|entry| entry.code)
        .collect();
    assert_eq!(
        codes,
        [200, 0, 403, 429, 200],
        "the client tried again after the 429"
    );
}

#[tokio::test]
async fn the_audit_tells_who_sent_what() {
    let cluster = cluster_with("shop:v1", 1).await;
    let client = cluster.client_named("holdfast/0.1").unwrap();
    let api: Api<Deployment> = Api::namespaced(client, NAMESPACE);
    let params = PatchParams {
        field_manager: Some("holdfast".to_owned()),
        ..Default::default()
    };
    let body = json!({"metadata": {"annotations": {"a": "b"}}});
    api.patch("web", &params, &Patch::Merge(&body))
        .await
        .unwrap();
    let entries = cluster.audit().of("patch", "deployments");
    let entry = entries.last().unwrap();
    assert_eq!(entry.user_agent, "holdfast/0.1");
    assert_eq!(entry.field_manager, "holdfast");
    assert_eq!(
        (entry.namespace.as_str(), entry.name.as_str()),
        (NAMESPACE, "web")
    );
    assert_eq!(entry.content_type, "application/merge-patch+json");
    assert_eq!((entry.code, &entry.body), (200, &body));
}

#[tokio::test]
async fn events_of_both_groups_are_the_same_events() {
    let cluster = cluster().await;
    let new: Api<NewEvent> = Api::namespaced(cluster.client(), "default");
    let event: NewEvent = serde_json::from_value(json!({
        "metadata": {"name": "told"},
        "eventTime": "2026-03-01T12:00:00.000000Z",
        "regarding": {"kind": "Deployment", "name": "web"},
        "reason": "RolledBack",
        "note": "web went back to v1",
        "type": "Warning",
    }))
    .unwrap();
    new.create(&PostParams::default(), &event).await.unwrap();
    let core: Api<CoreEvent> = Api::namespaced(cluster.client(), "default");
    let params = ListParams::default().fields("involvedObject.name=web");
    let listed = core.list(&params).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].message.as_deref(), Some("web went back to v1"));
    assert_eq!(listed[0].involved_object.name.as_deref(), Some("web"));
}

#[tokio::test]
async fn metadata_can_be_asked_for_alone() {
    let cluster = cluster_with("shop:v1", 1).await;
    let listed = deployments(&cluster)
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(revision(&listed.items[0]), 1);
    let one = deployments(&cluster).get_metadata("web").await.unwrap();
    assert_eq!(one.types.unwrap().kind, "PartialObjectMetadata");
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_away() {
    let cluster = cluster().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    let mut held = config_map("held");
    held.metadata.finalizers = Some(vec!["example.org/hold".to_owned()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    maps.delete("held", &DeleteParams::default()).await.unwrap();
    let waiting = maps.get("held").await.unwrap();
    assert!(waiting.metadata.deletion_timestamp.is_some());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &free)
        .await
        .unwrap();
    assert!(maps.get_opt("held").await.unwrap().is_none());
}

#[tokio::test]
async fn the_kubeconfig_leads_to_the_cluster() {
    let cluster = cluster().await;
    let config = Kubeconfig::from_yaml(&cluster.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options)
        .await
        .unwrap();
    let version = Client::try_from(config)
        .unwrap()
        .apiserver_version()
        .await
        .unwrap();
    assert_eq!(
        (version.major.as_str(), version.minor.as_str()),
        ("1", "36")
    );
}

#[tokio::test]
async fn what_is_forbidden_is_known_to_who_asks() {
    let cluster = cluster_with("shop:v1", 1).await;
    let patching = || Meets {
        verb: Some("patch"),
        resource: Some("deployments"),
        user_agent: Some("holdfast".to_owned()),
        ..Meets::default()
    };
    cluster.inject(Fault::lasting(patching(), Effect::Forbidden));
    let may = async |user_agent: &str, verb: &str| {
        let reviews: Api<SelfSubjectAccessReview> =
            Api::all(cluster.client_named(user_agent).unwrap());
        let review = json!({"spec": {"resourceAttributes": {
            "verb": verb, "group": "apps", "resource": "deployments", "namespace": NAMESPACE,
        }}});
        let review = serde_json::from_value(review).unwrap();
        let reviewed = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        reviewed.status.unwrap().allowed
    };
    assert!(!may("holdfast", "patch").await);
    assert!(may("holdfast", "get").await);
    assert!(may("kubectl", "patch").await);
    release(&cluster, "shop:v2").await;
}

#[tokio::test]
async fn an_outage_ends_watches_and_answers_nothing_until_it_is_over() {
    let cluster = cluster().await;
    let client = cluster.client_named("watcher").unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let config = watcher::Config::default();
    let mut events = std::pin::pin!(kube::runtime::watcher(maps.clone(), config));
    while !matches!(events.next().await.unwrap().unwrap(), Event::InitDone) {}

    let watchers = || Meets {
        user_agent: Some("watcher".to_owned()),
        ..Meets::default()
    };
    cluster.inject(Fault::lasting(watchers(), Effect::Hang));
    cluster.break_watches();
    let within = Duration::from_millis(300);
    assert!(
        tokio::time::timeout(within, maps.get_opt("one"))
            .await
            .is_err(),
        "it hangs"
    );

    cluster.heal();
    cluster.inject(Fault::lasting(watchers(), Effect::Unavailable));
    // Without the client's own tries, which would hide it.
    let raw = reqwest::Client::builder()
        .no_proxy()
        .user_agent("watcher")
        .build()
        .unwrap();
    let answer = raw
        .get(format!("{}/api/v1/configmaps", cluster.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 503);

    cluster.heal();
    cluster.inject(Fault::once(watchers(), Effect::Delay(within)));
    let began = Instant::now();
    assert!(maps.get_opt("one").await.unwrap().is_none());
    assert!(began.elapsed() >= within);

    let other: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    other
        .create(&PostParams::default(), &config_map("after"))
        .await
        .unwrap();
    let seen = async {
        loop {
            if let Some(Ok(Event::Apply(map) | Event::InitApply(map))) = events.next().await {
                return map.name_any();
            }
        }
    };
    // The watch that was open when the server hung is answered at the end of its connection.
    assert_eq!(tokio::time::timeout(SOON, seen).await.unwrap(), "after");
}
