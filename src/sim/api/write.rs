//! Updating and deleting: preconditions, generations, finalizers, and what goes with an owner.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::defaults;
use super::refusal::Refusal;
use super::resource::{Generation, NAMESPACES, PODS, Resource};
use super::store::{Key, State, Store};
use crate::sim::object::{
    as_map, is_terminating, list, map_under, number, number_or, set_metadata, text, uid, written,
};

/// Which part of the object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything but the status, where that is a subresource.
    Object,
    /// The status and the annotations.
    Status,
}

/// How a writer names the uid it expects, which decides how a wrong one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The whole object was sent: a wrong uid is a failed precondition (409).
    Replace,
    /// A patch was sent: a wrong uid is an attempt to change it (422).
    Patch,
}

/// What a deletion asks for.
#[derive(Debug, Clone, Default)]
pub struct Deletion {
    /// Seconds a pod may take to end; its own grace period if absent.
    pub grace_seconds: Option<i64>,
    /// Whether dependents stay, without their owner.
    pub orphan: bool,
    /// The uid the object must have.
    pub uid: Option<String>,
    /// The version the object must have.
    pub version: Option<String>,
}

/// What a deletion did.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The object is gone.
    Gone(Arc<Value>),
    /// The object is marked and waits for its finalizers or its grace period.
    Marked(Arc<Value>),
}

impl Store {
    /// Changes an object by `edit`, which sees it as it is now.
    ///
    /// # Errors
    /// If it does not exist, changed meanwhile, or the change breaks a rule.
    pub fn update(
        &self,
        key: &Key,
        scope: Scope,
        form: Form,
        edit: impl FnOnce(&Value) -> Result<Value, Refusal>,
    ) -> Result<Arc<Value>, Refusal> {
        let resource = key.resource;
        let mut state = self.lock();
        let current = state.objects.get(key).cloned();
        let current = current.ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        let mut object = edit(&current)?;
        check_identity(key, form, &current, &object)?;
        keep_what_is_the_servers(resource, scope, &current, &mut object);
        if scope == Scope::Object {
            defaults::fill(resource, &mut object);
            defaults::check(resource, &object, Some(&current))?;
            raise_generation(resource, &current, &mut object);
        }
        set_metadata(
            &mut object,
            "resourceVersion",
            text(&current, "/metadata/resourceVersion"),
        );
        if object == *current {
            return Ok(current);
        }
        let was_held = !list(&current, "/metadata/finalizers").is_empty();
        let is_held = !list(&object, "/metadata/finalizers").is_empty();
        let stored = self.commit(&mut state, key.clone(), object);
        if is_terminating(&stored) && was_held && !is_held && !waits_for_grace(&stored) {
            return Ok(self.sweep(&mut state, key.clone(), false).unwrap_or(stored));
        }
        Ok(stored)
    }

    /// Writes back an object that was read before, changed by `edit`; refused if it changed since.
    ///
    /// # Errors
    /// If it does not exist, changed meanwhile, or the change breaks a rule.
    pub fn write_back(
        &self,
        resource: &'static Resource,
        read: &Arc<Value>,
        scope: Scope,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Arc<Value>, Refusal> {
        let mut object = Value::clone(read);
        edit(&mut object);
        if object == **read {
            return Ok(Arc::clone(read));
        }
        self.update(&Key::of(resource, read), scope, Form::Replace, |_| {
            Ok(object)
        })
    }

    /// Deletes an object, and what it owns.
    ///
    /// # Errors
    /// If it does not exist or a precondition does not hold.
    pub fn delete(&self, key: &Key, deletion: &Deletion) -> Result<Deleted, Refusal> {
        let resource = key.resource;
        let mut state = self.lock();
        let current = state.objects.get(key).cloned();
        let current = current.ok_or_else(|| Refusal::not_found(resource, &key.name))?;
        let (own_uid, version) = (uid(&current), text(&current, "/metadata/resourceVersion"));
        if let Some(seen) = deletion.uid.as_ref().filter(|seen| *seen != own_uid) {
            return Err(Refusal::deleted_another(resource, &key.name, seen, own_uid));
        }
        if let Some(seen) = deletion.version.as_ref().filter(|seen| *seen != version) {
            return Err(Refusal::deleted_older(resource, &key.name, seen, version));
        }
        let grace = self.grace_of(key, &current, deletion);
        if grace == 0 && list(&current, "/metadata/finalizers").is_empty() {
            let gone = self.sweep(&mut state, key.clone(), deletion.orphan);
            return Ok(Deleted::Gone(gone.unwrap_or(current)));
        }
        if is_terminating(&current)
            && number(&current, "/metadata/deletionGracePeriodSeconds") <= grace
        {
            return Ok(Deleted::Marked(current));
        }
        let marked = self.mark(&mut state, key.clone(), &current, grace);
        Ok(Deleted::Marked(marked))
    }

    fn grace_of(&self, key: &Key, object: &Value, deletion: &Deletion) -> i64 {
        let ended = ["Succeeded", "Failed"].contains(&text(object, "/status/phase"));
        let never_ran = text(object, "/spec/nodeName").is_empty();
        if key.resource != &PODS || ended || never_ran {
            return 0;
        }
        let own = number_or(object, "/spec/terminationGracePeriodSeconds", 30);
        deletion.grace_seconds.unwrap_or(own).max(0)
    }

    fn mark(&self, state: &mut State, key: Key, object: &Value, grace: i64) -> Arc<Value> {
        let mut object = object.clone();
        let end = self.now() + jiff::SignedDuration::from_secs(grace);
        set_metadata(&mut object, "deletionTimestamp", written(end));
        set_metadata(&mut object, "deletionGracePeriodSeconds", grace);
        self.commit(state, key, object)
    }

    /// Removes an object, what it owns and, for a namespace, what is in it.
    fn sweep(&self, state: &mut State, key: Key, orphan: bool) -> Option<Arc<Value>> {
        let first = self.remove(state, &key)?;
        let mut gone = VecDeque::from([(key, Arc::clone(&first))]);
        while let Some((key, object)) = gone.pop_front() {
            let mut next = state.dependents(uid(&object));
            if key.resource == &NAMESPACES {
                let inside = state
                    .objects
                    .keys()
                    .filter(|other| other.namespace == key.name);
                next.extend(inside.cloned().collect::<Vec<_>>());
            }
            for dependent in next {
                let Some(current) = state.objects.get(&dependent).cloned() else {
                    continue;
                };
                let is_content = key.resource == &NAMESPACES && dependent.namespace == key.name;
                if !is_content && (orphan || has_other_owner(state, &current, uid(&object))) {
                    self.disown(state, dependent, &current, uid(&object));
                    continue;
                }
                let grace = self.grace_of(&dependent, &current, &Deletion::default());
                let is_held = !list(&current, "/metadata/finalizers").is_empty();
                if !is_content && (grace > 0 || is_held) {
                    if !is_terminating(&current) {
                        self.mark(state, dependent, &current, grace);
                    }
                } else if let Some(last) = self.remove(state, &dependent) {
                    gone.push_back((dependent, last));
                }
            }
        }
        Some(first)
    }

    fn disown(&self, state: &mut State, key: Key, object: &Value, owner: &str) {
        let mut object = object.clone();
        let references = map_under(&mut object, "metadata").get_mut("ownerReferences");
        if let Some(references) = references.and_then(Value::as_array_mut) {
            references.retain(|reference| text(reference, "/uid") != owner);
        }
        self.commit(state, key, object);
    }
}

fn has_other_owner(state: &State, object: &Value, gone: &str) -> bool {
    list(object, "/metadata/ownerReferences")
        .iter()
        .map(|reference| text(reference, "/uid"))
        .any(|owner| owner != gone && state.has_uid(owner))
}

fn waits_for_grace(object: &Value) -> bool {
    number(object, "/metadata/deletionGracePeriodSeconds") > 0
}

fn check_identity(key: &Key, form: Form, current: &Value, object: &Value) -> Result<(), Refusal> {
    let resource = key.resource;
    let name = text(object, "/metadata/name");
    if name != key.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            key.name
        )));
    }
    let seen = uid(object);
    if !seen.is_empty() && seen != uid(current) {
        return Err(match form {
            Form::Replace => Refusal::replaced_another(key, seen, uid(current)),
            Form::Patch => {
                let problem = format!("Invalid value: {seen:?}: field is immutable");
                Refusal::invalid(resource, name, "metadata.uid", &problem)
            }
        });
    }
    let version = text(object, "/metadata/resourceVersion");
    if !version.is_empty() && version != text(current, "/metadata/resourceVersion") {
        return Err(Refusal::conflict(resource, name));
    }
    Ok(())
}

/// Restores what the writer may not change.
fn keep_what_is_the_servers(
    resource: &Resource,
    scope: Scope,
    current: &Value,
    object: &mut Value,
) {
    const KEPT: [&str; 6] = [
        "uid",
        "namespace",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ];
    const KEPT_BY_STATUS: [&str; 3] = ["labels", "ownerReferences", "finalizers"];
    let status_kept = if scope == Scope::Status {
        &KEPT_BY_STATUS[..]
    } else {
        &[]
    };
    let metadata = map_under(object, "metadata");
    for key in KEPT.iter().chain(status_kept) {
        restore(metadata, key, current.pointer(&format!("/metadata/{key}")));
    }
    let map = as_map(object);
    for key in ["apiVersion", "kind"] {
        restore(map, key, current.get(key));
    }
    match scope {
        Scope::Status => restore(map, "spec", current.get("spec")),
        Scope::Object if resource.has_status => restore(map, "status", current.get("status")),
        Scope::Object => {}
    }
}

fn restore(map: &mut serde_json::Map<String, Value>, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}

fn raise_generation(resource: &Resource, current: &Value, object: &mut Value) {
    let differs = |pointer| current.pointer(pointer) != object.pointer(pointer);
    let raised = match resource.generation {
        Generation::None => false,
        Generation::Spec => differs("/spec"),
        Generation::SpecOrAnnotations => differs("/spec") || differs("/metadata/annotations"),
    };
    if raised {
        let generation = number(current, "/metadata/generation") + 1;
        set_metadata(object, "generation", generation);
    }
}
