//! The platform that is a Kubernetes cluster: looks, claims, undoes, announces.
//!
//! Every look is a fresh read; no cache has a say in what is done. A patch is sent once, and an answer that
//! did not come is a value ([`Answer::Unknown`]) that the next look resolves.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ObjectMeta, Selector};
use serde_json::{Value, json};

use super::deployment::Deployment;
use super::replica_set::{ReplicaSet, controller};
use super::{
    Announcement, Planned, Platform, PlatformError, Precondition, Undo, announce, call, marks, undo,
};
use crate::clock::Clock;
use crate::domain::decision::Hold;
use crate::domain::event::Access;
use crate::domain::id::TemplateDigest;
use crate::domain::rollback::{Answer, Observed, Term};
use crate::domain::rollout::{RolloutId, Seen};
use crate::domain::spec::{Mode, WorkloadRef};

/// Who Holdfast is in managedFields and in the audit log.
pub const FIELD_MANAGER: &str = "holdfast";
/// How often a claim is tried against other writers.
const CLAIM_TRIES: usize = 5;

/// A Kubernetes cluster.
#[derive(Clone)]
pub struct Kubernetes {
    client: kube::Client,
    clock: Clock,
    instance: Arc<str>,
}

/// A Deployment with the ReplicaSets it controls, read just now.
struct Fresh {
    deployment: DynamicObject,
    digest: Deployment,
    sets: Vec<DynamicObject>,
    set_digests: Vec<ReplicaSet>,
}

// === impl Fresh ===

impl Fresh {
    /// The ReplicaSet that holds a template: the newest, if several do.
    fn holder(&self, template: TemplateDigest) -> Option<&DynamicObject> {
        let holds = |set: &&ReplicaSet| set.template == template && set.number.is_some();
        let newest = self
            .set_digests
            .iter()
            .filter(holds)
            .max_by_key(|set| set.number)?;
        self.sets
            .iter()
            .find(|set| set.metadata.uid.as_deref() == Some(&*newest.uid.0))
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// Talks through this client; `instance` names this process on Events.
    #[must_use]
    pub fn new(client: kube::Client, clock: Clock, instance: &str) -> Self {
        Self {
            client,
            clock,
            instance: instance.into(),
        }
    }

    fn deployments(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<apps::Deployment>(&());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    fn replica_sets(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<apps::ReplicaSet>(&());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    async fn get(&self, target: &WorkloadRef) -> Result<Option<DynamicObject>, PlatformError> {
        let api = self.deployments(target.namespace());
        call::within(
            call::READ,
            "read the Deployment",
            api.get_opt(target.name()),
        )
        .await
    }

    async fn read(&self, target: &WorkloadRef) -> Result<Option<Fresh>, PlatformError> {
        let Some(deployment) = self.get(target).await? else {
            return Ok(None);
        };
        let odd = || PlatformError::Odd(format!("{target} lacks a uid, a version or a template"));
        let digest = Deployment::read(&deployment).ok_or_else(odd)?;
        let parameters = ListParams::default().labels_from(&selector(target, &deployment)?);
        let api = self.replica_sets(target.namespace());
        let listed =
            call::within(call::READ, "list the ReplicaSets", api.list(&parameters)).await?;
        let mut sets = listed.items;
        sets.retain(|set| controller(set).is_some_and(|owner| owner.uid == *digest.uid.0));
        let set_digests = sets.iter().filter_map(ReplicaSet::read).collect();
        Ok(Some(Fresh {
            deployment,
            digest,
            sets,
            set_digests,
        }))
    }

    /// A workload as it is now, as the watcher would report it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn look(&self, target: &WorkloadRef) -> Result<Option<Seen>, PlatformError> {
        let fresh = self.read(target).await?;
        Ok(fresh.map(|fresh| fresh.digest.seen(&fresh.set_digests, self.clock.now())))
    }

    /// Whether the API server would let us change Deployments in all of these namespaces.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn access<'a>(
        &self,
        namespaces: impl IntoIterator<Item = &'a str>,
    ) -> Result<Access, PlatformError> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        for namespace in namespaces {
            let review = may_patch(namespace);
            let parameters = PostParams::default();
            let asked = api.create(&parameters, &review);
            let answer = call::within(call::READ, "ask for the permissions", asked).await?;
            if !answer.status.is_some_and(|status| status.allowed) {
                return Ok(Access::Forbidden);
            }
        }
        Ok(Access::Open)
    }

    /// What would be sent, or why nothing can be.
    fn made(
        fresh: &Fresh,
        undo: &Undo,
        precondition: &Precondition,
    ) -> Result<(Value, Vec<String>), Answer> {
        let Fresh {
            deployment, digest, ..
        } = fresh;
        if digest.uid != precondition.uid
            || digest.resource_version != precondition.resource_version
            || digest.template != undo.from
        {
            return Err(Answer::Conflict);
        }
        if digest.paused {
            return Err(Answer::Refused(Hold::Paused.as_str().into()));
        }
        let Some(set) = fresh.holder(undo.to) else {
            return Err(Answer::Refused(Hold::BaselineGone.as_str().into()));
        };
        let patch = undo::patch(undo, precondition, deployment, set);
        Ok((patch, undo::warnings(deployment, set)))
    }

    async fn send(&self, target: &WorkloadRef, patch: Value) -> Answer {
        let patch = match serde_json::from_value(patch) {
            Ok(patch) => Patch::<()>::Json(patch),
            Err(error) => return Answer::Refused(error.to_string().into()),
        };
        let api = self.deployments(target.namespace());
        let parameters = by_holdfast();
        let call = api.patch(target.name(), &parameters, &patch);
        match tokio::time::timeout(call::WRITE, call).await {
            Ok(Ok(_)) => Answer::Applied,
            Ok(Err(error)) => meaning(&error),
            Err(_) => Answer::Unknown(format!("no answer within {:?}", call::WRITE).into()),
        }
    }
}

#[async_trait]
impl Platform for Kubernetes {
    async fn observe(
        &self,
        target: &WorkloadRef,
        to: TemplateDigest,
    ) -> Result<Option<Observed>, PlatformError> {
        let Some(fresh) = self.read(target).await? else {
            return Ok(None);
        };
        let now = self.clock.now();
        let target_exists = fresh.holder(to).is_some();
        let Deployment {
            uid,
            resource_version,
            template,
            paused,
            marks,
            ..
        } = fresh.digest;
        let refused = if marks.mode == Some(Mode::Never) {
            Some(Hold::Never)
        } else if marks.frozen_until.is_some_and(|until| now < until) {
            Some(Hold::Frozen)
        } else {
            None
        };
        let revision = fresh.digest.revision.unwrap_or(0);
        Ok(Some(Observed {
            rollout: Some(RolloutId {
                uid,
                template,
                revision,
            }),
            resource_version,
            template,
            rollback: marks.rollback,
            target_exists,
            paused,
            refused,
        }))
    }

    async fn plan(&self, undo: &Undo) -> Result<Planned, PlatformError> {
        let target = &undo.target;
        let gone = || PlatformError::Odd(format!("{target} does not exist"));
        let fresh = self.read(target).await?.ok_or_else(gone)?;
        let precondition = Precondition {
            uid: fresh.digest.uid.clone(),
            resource_version: fresh.digest.resource_version.clone(),
        };
        match Self::made(&fresh, undo, &precondition) {
            Ok((patch, warnings)) => Ok(Planned {
                patch: format!("{patch:#}"),
                warnings,
            }),
            Err(Answer::Refused(why)) => Err(PlatformError::Odd(format!("{target}: {why}"))),
            Err(Answer::Applied | Answer::Conflict | Answer::Unknown(_)) => Err(
                PlatformError::Odd(format!("{target} has another template by now")),
            ),
        }
    }

    async fn undo(&self, undo: &Undo, precondition: &Precondition) -> Answer {
        let fresh = match self.read(&undo.target).await {
            Ok(Some(fresh)) => fresh,
            Ok(None) => return Answer::Conflict,
            Err(PlatformError::Forbidden { .. }) => {
                return Answer::Refused(Hold::NoPermission.as_str().into());
            }
            // Nothing was sent, and the next look says so.
            Err(error) => return Answer::Unknown(call::chain(&error).into()),
        };
        match Self::made(&fresh, undo, precondition) {
            Ok((patch, _)) => self.send(&undo.target, patch).await,
            Err(answer) => answer,
        }
    }

    async fn claim(&self, target: &WorkloadRef, term: Term) -> Result<(), PlatformError> {
        let api = self.deployments(target.namespace());
        for _ in 0..CLAIM_TRIES {
            let Some(object) = self.get(target).await? else {
                return Ok(());
            };
            let annotations = object.metadata.annotations.unwrap_or_default();
            if marks::read(&annotations).term >= Some(term.0) {
                return Ok(());
            }
            let patch = Patch::Merge(json!({ "metadata": {
                "resourceVersion": object.metadata.resource_version,
                "annotations": { marks::TERM: term.0.to_string() },
            } }));
            let parameters = by_holdfast();
            let sent = api.patch(target.name(), &parameters, &patch);
            match tokio::time::timeout(call::WRITE, sent).await {
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {}
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => return Ok(()),
                Ok(answer) => {
                    let answered = std::future::ready(answer);
                    return call::within(call::WRITE, CLAIMING, answered)
                        .await
                        .map(|_| ());
                }
                // It may be written: the next turn reads it.
                Err(_) => {}
            }
        }
        Err(PlatformError::Odd(format!(
            "{target} changes faster than it can be claimed"
        )))
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), PlatformError> {
        let event = announce::event(announcement, &self.instance, self.clock.now());
        let api: Api<Event> = Api::namespaced(self.client.clone(), announcement.target.namespace());
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            dry_run: false,
        };
        let made = async {
            match api.create(&parameters, &event).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
                other => other.map(|_| ()),
            }
        };
        call::within(call::READ, "write an Event", made).await
    }
}

const CLAIMING: &str = "write the term on the Deployment";

fn by_holdfast() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// The Deployment's own selector, which its ReplicaSets' labels match.
fn selector(target: &WorkloadRef, object: &DynamicObject) -> Result<Selector, PlatformError> {
    let odd = || PlatformError::Odd(format!("the selector of {target} cannot be read"));
    let found = object
        .data
        .pointer("/spec/selector")
        .cloned()
        .ok_or_else(odd)?;
    let found: LabelSelector = serde_json::from_value(found).map_err(|_| odd())?;
    Selector::try_from(found).map_err(|_| odd())
}

fn may_patch(namespace: &str) -> SelfSubjectAccessReview {
    SelfSubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some("apps".to_owned()),
                resource: Some("deployments".to_owned()),
                verb: Some("patch".to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        status: None,
    }
}

/// What an error in answer to a patch means. Only a refusal that names its reason is a refusal; whatever
/// may have been carried out is unknown.
fn meaning(error: &kube::Error) -> Answer {
    let kube::Error::Api(status) = error else {
        return Answer::Unknown(call::chain(error).into());
    };
    let said = || -> Arc<str> { format!("{} ({})", status.message, status.code).into() };
    match status.code {
        // Gone by now: the next look says so.
        404 | 409 => Answer::Conflict,
        401 | 403 => Answer::Refused(Hold::NoPermission.as_str().into()),
        422 if another_object(&status.message) => Answer::Conflict,
        // Not carried out, and worth another try.
        429 => Answer::Unknown(said()),
        400..=499 => Answer::Refused(said()),
        _ => Answer::Unknown(said()),
    }
}

/// `metadata.uid: Invalid value: "…": field is immutable`: the object was deleted and made anew.
fn another_object(message: &str) -> bool {
    message.contains("metadata.uid")
}
