//! What is kept of a ReplicaSet: its template's digest, its number, its owner. Never the object.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::Value;

use super::{marks, template};
use crate::domain::id::{TemplateDigest, Uid};
use crate::domain::rollout::Revision;

/// A ReplicaSet that a Deployment owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSet {
    /// Its unique id.
    pub uid: Uid,
    /// Its name.
    pub name: Arc<str>,
    /// The unique id of the Deployment that controls it.
    pub owner: Uid,
    /// That Deployment's name.
    pub owner_name: Arc<str>,
    /// Digest of its template.
    pub template: TemplateDigest,
    /// Its revision; none: an annotation that is no number.
    pub number: Option<u64>,
    /// Images of the template.
    pub images: Vec<Arc<str>>,
    /// Replicas that are ready.
    pub ready: u32,
}

// === impl ReplicaSet ===

impl ReplicaSet {
    /// Reads one; none if no Deployment controls it.
    #[must_use]
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let owner = controller(object)?;
        if owner.kind != "Deployment" {
            return None;
        }
        let template = object.data.pointer("/spec/template")?;
        let annotations = object.metadata.annotations.clone().unwrap_or_default();
        Some(Self {
            uid: Uid(object.metadata.uid.as_deref()?.into()),
            name: object.metadata.name.as_deref()?.into(),
            owner: Uid(owner.uid.as_str().into()),
            owner_name: owner.name.as_str().into(),
            template: template::digest(template),
            number: marks::revision(&annotations),
            images: template::images(template),
            ready: count(&object.data, "/status/readyReplicas"),
        })
    }

    /// It as a revision that could be put back.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        Some(Revision {
            template: self.template,
            number: self.number?,
            held_by: self.name.clone(),
            images: self.images.clone(),
            ready: self.ready,
        })
    }
}

/// Who controls an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its unique id.
    pub uid: String,
}

/// The owner reference with `controller: true`.
#[must_use]
pub fn controller(object: &DynamicObject) -> Option<Controller> {
    let owners = object.metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(Controller {
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

/// A count that is absent is zero.
#[must_use]
pub fn count(value: &Value, place: &str) -> u32 {
    let number = value.pointer(place).and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX)
}
