//! The control plane is a real one: controllers work, RBAC forbids, the audit log has the bodies.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::controlplane::{client_of, control_plane};
use crate::support::eventually::eventually;
use crate::support::faults::{Fault, FaultProxy};
use crate::support::kubectl::{check_on_server, install_account, kubectl};

const SOON: Duration = Duration::from_secs(30);
const REVISION: &str = "deployment.kubernetes.io/revision";

fn deployment(name: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "app", "image": "registry.example/app:v1" }] },
            },
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_deployment_gets_a_replica_set_of_revision_one() {
    let plane = control_plane().await;
    let namespace = plane.namespace("revision").await;
    let client = plane.client().await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    deployments
        .create(&PostParams::default(), &deployment("api"))
        .await
        .unwrap();

    let replica_sets: Api<ReplicaSet> = Api::namespaced(client, &namespace);
    let revision = eventually("a ReplicaSet appears", SOON, || async {
        let list = replica_sets
            .list(&ListParams::default())
            .await
            .map_err(|it| it.to_string())?;
        let annotations = list
            .items
            .first()
            .and_then(|set| set.metadata.annotations.clone());
        annotations
            .and_then(|all| all.get(REVISION).cloned())
            .ok_or("none yet".to_owned())
    })
    .await;
    assert_eq!(revision, "1");
}

#[tokio::test]
async fn the_audit_log_shows_a_patch_with_its_manager_and_body() {
    let plane = control_plane().await;
    let namespace = plane.namespace("audit").await;
    let deployments: Api<Deployment> = Api::namespaced(plane.client().await, &namespace);
    deployments
        .create(&PostParams::default(), &deployment("api"))
        .await
        .unwrap();
    let patch = json!({ "metadata": { "annotations": { "holdfast.dev/rollback-id": "r-1" } } });
    let params = PatchParams {
        field_manager: Some("holdfast".to_owned()),
        ..Default::default()
    };
    let dry = PatchParams {
        dry_run: true,
        ..params.clone()
    };
    deployments
        .patch("api", &dry, &Patch::Merge(&patch))
        .await
        .unwrap();
    deployments
        .patch("api", &params, &Patch::Merge(&patch))
        .await
        .unwrap();

    let patches = eventually("the patch is in the audit log", SOON, || async {
        let audit = plane.audit().in_namespace(&namespace);
        let patches = audit
            .patches_of("deployments")
            .by_field_manager("holdfast")
            .accepted();
        if patches.count() == 0 {
            Err(audit.to_string())
        } else {
            Ok(patches)
        }
    })
    .await;
    assert_eq!(
        patches.count(),
        1,
        "the dry run counts for nothing:\n{patches}"
    );
    assert_eq!(patches.0[0].body.as_ref().unwrap(), &patch);
    assert_eq!(patches.0[0].user.username, "admin");
    let all = plane.audit().in_namespace(&namespace);
    assert_eq!(
        all.patches_of("deployments")
            .by_field_manager("someone-else")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_service_account_may_do_what_its_role_says_and_nothing_else() {
    let plane = control_plane().await;
    let namespace = plane.namespace("rbac").await;
    let role = format!(
        r"
apiVersion: v1
kind: ServiceAccount
metadata: {{ name: reader, namespace: {namespace} }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: reader, namespace: {namespace} }}
rules: [{{ apiGroups: [apps], resources: [deployments], verbs: [get, list] }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: reader, namespace: {namespace} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader }}
subjects: [{{ kind: ServiceAccount, name: reader, namespace: {namespace} }}]
"
    );
    kubectl(plane, &["apply", "-f", "-"], Some(&role)).unwrap();

    let kubeconfig = plane.kubeconfig_for(&namespace, "reader").await;
    let client = client_of(&kubeconfig).await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    eventually("the role has arrived at the authorizer", SOON, || async {
        deployments.list(&ListParams::default()).await
    })
    .await;
    let refused = deployments
        .create(&PostParams::default(), &deployment("api"))
        .await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    let elsewhere: Api<ServiceAccount> = Api::namespaced(client, "kube-system");
    elsewhere.list(&ListParams::default()).await.unwrap_err();

    eventually("the refusal is in the audit log", SOON, || async {
        let audit = plane.audit().by_account(&namespace, "reader");
        let refused = audit.forbidden().in_namespace(&namespace);
        if refused.filter(|entry| entry.verb == "create").count() == 1 {
            Ok(())
        } else {
            Err(audit.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_behind_a_proxy_loses_the_api_server_and_finds_it_again() {
    let plane = control_plane().await;
    let namespace = plane.namespace("proxied").await;
    let account: ServiceAccount =
        serde_json::from_value(json!({ "metadata": { "name": "someone" } })).unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await, &namespace);
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let mut proxy = FaultProxy::start(plane.address()).await;
    let kubeconfig = plane
        .kubeconfig_through(proxy.address(), &namespace, "someone")
        .await;
    let client = client_of(&kubeconfig).await;

    client.apiserver_version().await.unwrap();
    proxy.set(Fault::Refuse).await;
    client.apiserver_version().await.unwrap_err();
    proxy.set(Fault::BlackHole).await;
    let hung = tokio::time::timeout(Duration::from_secs(1), client.apiserver_version()).await;
    assert!(hung.is_err(), "a black hole answered: {hung:?}");
    proxy.set(Fault::Pass).await;
    eventually("the API server is back", SOON, || {
        client.apiserver_version()
    })
    .await;
}

const MANIFESTS: &str = r"
apiVersion: v1
kind: ServiceAccount
metadata: { name: daemon }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { ports: [{ port: 80 }] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: daemon }
rules: [{ apiGroups: [apps], resources: [deployments], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: daemon }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: daemon }
subjects: [{ kind: ServiceAccount, name: daemon, namespace: product }]
";

#[tokio::test]
async fn manifests_are_checked_by_the_server_strictly() {
    let plane = control_plane().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "kustomization.yaml",
        "namespace: product\nresources: [all.yaml]\n",
    );
    write("all.yaml", MANIFESTS);
    assert_eq!(check_on_server(plane, folder.path()), Ok(4));
    let services = kubectl(
        plane,
        &["-n", "product", "get", "services", "-o", "name"],
        None,
    );
    assert_eq!(services, Ok(String::new()), "a check stores nothing");

    write("all.yaml", &MANIFESTS.replace("ports", "prots"));
    let refused = check_on_server(plane, folder.path()).unwrap_err();
    assert!(refused.contains("prots"), "{refused}");
}

#[tokio::test]
async fn two_stories_install_the_same_account_and_both_keep_their_rights() {
    let plane = control_plane().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "kustomization.yaml",
        "namespace: product\nresources: [all.yaml]\n",
    );
    write("all.yaml", MANIFESTS);
    let mut clients = Vec::new();
    for story in ["first", "second"] {
        let namespace = plane.namespace(story).await;
        let account = install_account(plane, folder.path(), &namespace).unwrap();
        assert_eq!(account, "daemon");
        let client = client_of(&plane.kubeconfig_for(&namespace, &account).await).await;
        clients.push((namespace, client));
    }
    for (namespace, client) in clients {
        let deployments: Api<Deployment> = Api::all(client.clone());
        eventually("the role has arrived at the authorizer", SOON, || async {
            deployments.list(&ListParams::default()).await
        })
        .await;
        let services: Api<Service> = Api::namespaced(client, &namespace);
        services.list(&ListParams::default()).await.unwrap_err();
    }
}
