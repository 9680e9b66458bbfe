//! Looking, undoing, claiming, announcing.

use std::path::Path;
use std::time::Duration;

use holdfast::clock::Clock;
use holdfast::cluster::connect::{Clients, Wanted, Wish, connect};
use holdfast::cluster::kubernetes::Kubernetes;
use holdfast::cluster::{Announcement, Platform as _, Precondition, Undo};
use holdfast::domain::event::Access;
use holdfast::domain::id::{Digest, RollbackId};
use holdfast::domain::rollback::{Answer, Term};
use holdfast::domain::rollout::Seen;
use holdfast::domain::spec::WorkloadRef;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::controlplane::{ControlPlane, control_plane};
use crate::support::eventually::eventually;
use crate::support::kubectl::{check_on_server, install_account};

const SOON: Duration = Duration::from_secs(30);

/// The kustomize base.
pub fn base() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/k8s"))
}

/// A namespace of a story, and Holdfast in it.
pub struct Stage {
    pub namespace: String,
    pub clients: Clients,
    pub platform: Kubernetes,
    /// What people change with: the administrator's.
    pub deployments: Api<Deployment>,
    pub events: Api<Event>,
}

impl Stage {
    pub async fn begin(story: &str) -> Self {
        let plane = control_plane().await;
        let namespace = plane.namespace(story).await;
        let clients = clients(plane, &namespace).await;
        let admin = plane.client().await;
        Self {
            platform: Kubernetes::new(clients.calls.clone(), Clock::system(), "story"),
            deployments: Api::namespaced(admin.clone(), &namespace),
            events: Api::namespaced(admin, &namespace),
            namespace,
            clients,
        }
    }

    pub fn target(&self) -> WorkloadRef {
        WorkloadRef::deployment(&self.namespace, "web")
    }

    pub async fn release(&self, image: &str) -> Seen {
        let container = json!({ "name": "web", "image": image });
        let template = json!({ "metadata": { "labels": { "app": "web" } },
                               "spec": { "containers": [container] } });
        let known = self.deployments.get_opt("web").await.unwrap();
        if known.is_some() {
            let patch = Patch::Strategic(json!({ "spec": { "template": template } }));
            let person = PatchParams {
                field_manager: Some("person".into()),
                ..Default::default()
            };
            self.deployments
                .patch("web", &person, &patch)
                .await
                .unwrap();
        } else {
            let deployment = json!({ "metadata": { "name": "web" }, "spec": { "replicas": 2,
                "selector": { "matchLabels": { "app": "web" } }, "template": template } });
            let deployment = serde_json::from_value(deployment).unwrap();
            self.deployments
                .create(&PostParams::default(), &deployment)
                .await
                .unwrap();
        }
        // The times in managedFields are whole seconds: what comes next comes in another one.
        tokio::time::sleep(Duration::from_millis(1_001)).await;
        self.settled(|_| true).await
    }

    /// The workload once the controller has numbered its present template.
    pub async fn settled(&self, also: impl Fn(&Seen) -> bool) -> Seen {
        eventually("the template has a number", SOON, || async {
            let seen = self
                .platform
                .look(&self.target())
                .await
                .map_err(|it| it.to_string())?;
            let seen = seen.ok_or("not there")?;
            if seen.revision.is_some() && also(&seen) {
                Ok(seen)
            } else {
                Err(format!("{seen:?}"))
            }
        })
        .await
    }

    fn undo(&self, seen: &Seen, revision: u64) -> (Undo, Precondition) {
        let held = seen
            .revisions
            .iter()
            .find(|held| held.number == revision)
            .unwrap();
        let undo = Undo {
            rollback: RollbackId(Digest::of(&["rollback"])),
            target: self.target(),
            from: seen.template,
            to: held.template,
            at: Clock::system().now(),
            term: Term(1),
        };
        let resource_version = seen.resource_version.clone();
        (
            undo,
            Precondition {
                uid: seen.uid.clone(),
                resource_version,
            },
        )
    }
}

async fn clients(plane: &ControlPlane, namespace: &str) -> Clients {
    let account = install_account(plane, base(), namespace).unwrap();
    let kubeconfig = plane.kubeconfig_for(namespace, &account).await;
    let wanted = Wanted {
        access: Wish::Required,
        kubeconfig: Some(kubeconfig),
        context: None,
    };
    connect(&wanted).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_api_server_takes_every_manifest() {
    let plane = control_plane().await;
    let count = check_on_server(plane, base()).unwrap();
    assert!(count >= 9, "{count}");
}

#[tokio::test]
async fn an_undo_with_the_rights_of_the_base_puts_the_template_back() {
    let stage = Stage::begin("undo").await;
    let access = stage
        .platform
        .access([stage.namespace.as_str()])
        .await
        .unwrap();
    assert_eq!(access, Access::Open);
    let first = stage.release("registry.example/web:v1").await;
    let second = stage.release("registry.example/web:v2").await;
    assert_eq!((first.revision, second.revision), (Some(1), Some(2)));
    assert_eq!(second.changed_by.as_deref(), Some("person"));
    let settled = stage.settled(|seen| seen.revisions.len() == 2).await;
    assert_eq!(
        settled.revisions[0].template, first.template,
        "the digest ignores the hash label"
    );

    // Status updates move the version: look and send until nobody was in between.
    let undone = eventually("the undo is applied", SOON, || async {
        let seen = stage.settled(|_| true).await;
        let (undo, precondition) = stage.undo(&seen, 1);
        match stage.platform.undo(&undo, &precondition).await {
            Answer::Applied => Ok(undo),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    let after = stage.settled(|seen| seen.template == first.template).await;
    assert_eq!(after.revision, Some(3));
    assert_eq!(after.marks.rollback, Some(undone.rollback));
    assert_eq!(after.changed_by.as_deref(), Some("holdfast"));
    assert_eq!(after.replicas.desired, 2);
    let observed = stage
        .platform
        .observe(&stage.target(), undone.to)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (observed.template, observed.rollback),
        (undone.to, Some(undone.rollback))
    );

    let accepted = eventually("the patch is in the audit log", SOON, || async {
        let audit = control_plane().await.audit().in_namespace(&stage.namespace);
        let patches = audit
            .patches_of("deployments")
            .by_field_manager("holdfast")
            .accepted();
        if patches.count() == 0 {
            Err(audit.to_string())
        } else {
            Ok(patches.count())
        }
    })
    .await;
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn a_stale_version_is_a_conflict_and_another_uid_is_named_in_the_refusal() {
    let stage = Stage::begin("stale").await;
    stage.release("registry.example/web:v1").await;
    let seen = stage.release("registry.example/web:v2").await;
    let (undo, precondition) = stage.undo(&seen, 1);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "touched": "yes" } } }));
    stage
        .deployments
        .patch("web", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(
        stage.platform.undo(&undo, &precondition).await,
        Answer::Conflict
    );

    // Past the look of `undo`, as if the change came between it and the patch.
    let mine: Api<Deployment> = Api::namespaced(stage.clients.calls.clone(), &stage.namespace);
    let refused = async |path: &str, value: &str| {
        let operation = json!([{ "op": "replace", "path": path, "value": value }]);
        let patch = Patch::<()>::Json(serde_json::from_value(operation).unwrap());
        match mine.patch("web", &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
            other => panic!("{other:?}"),
        }
    };
    let stale = refused("/metadata/resourceVersion", &precondition.resource_version).await;
    assert_eq!(stale.0, 409, "{stale:?}");
    let other = refused("/metadata/uid", "00000000-0000-4000-8000-000000000000").await;
    assert!(
        other.0 == 409 || (other.0 == 422 && other.1.contains("metadata.uid")),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_claim_and_an_event_need_no_more_rights_than_there_are() {
    let stage = Stage::begin("claim").await;
    let seen = stage.release("registry.example/web:v1").await;
    stage
        .platform
        .claim(&stage.target(), Term(4))
        .await
        .unwrap();
    stage
        .platform
        .claim(&stage.target(), Term(3))
        .await
        .unwrap();
    assert_eq!(stage.settled(|_| true).await.marks.term, Some(4));
    let announcement = Announcement {
        target: stage.target(),
        uid: seen.uid,
        reason: "RolledBack",
        note: "put v1 back".to_owned(),
        warning: true,
    };
    stage.platform.announce(&announcement).await.unwrap();
    stage.platform.announce(&announcement).await.unwrap();
    let events = stage
        .events
        .list(&ListParams::default())
        .await
        .unwrap()
        .items;
    let own = |event: &&Event| event.reason.as_deref() == Some("RolledBack");
    assert_eq!(events.iter().filter(own).count(), 1);
}

#[tokio::test]
async fn without_the_right_to_patch_the_answer_names_it() {
    let plane = control_plane().await;
    let namespace = plane.namespace("forbidden").await;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": { "name": "nobody", "namespace": namespace } });
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(plane.client().await, &namespace);
    let account = serde_json::from_value::<_>(account).unwrap();
    accounts
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    let kubeconfig = plane.kubeconfig_for(&namespace, "nobody").await;
    let wanted = Wanted {
        access: Wish::Required,
        kubeconfig: Some(kubeconfig),
        context: None,
    };
    let clients = connect(&wanted).await.unwrap().unwrap();
    let platform = Kubernetes::new(clients.calls, Clock::system(), "story");
    assert_eq!(
        platform.access([namespace.as_str()]).await.unwrap(),
        Access::Forbidden
    );
    let undo = Undo {
        rollback: RollbackId(Digest::of(&["rollback"])),
        target: WorkloadRef::deployment(&namespace, "web"),
        from: holdfast::cluster::template::digest(&Value::Null),
        to: holdfast::cluster::template::digest(&Value::Null),
        at: Clock::system().now(),
        term: Term(1),
    };
    let precondition = Precondition {
        uid: holdfast::domain::id::Uid("u".into()),
        resource_version: "1".into(),
    };
    let answer = platform.undo(&undo, &precondition).await;
    assert_eq!(answer, Answer::Refused("no-permission".into()));
}
